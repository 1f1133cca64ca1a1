"""What Wise tells us moves a payout to what Wise says of it now, however the notice comes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.audit.service import Actor
from domain.db import transaction
from domain.merchants import service as merchants
from domain.payouts import service, webhooks
from domain.payouts.gateway import Deadline
from domain.payouts.rules import GatewayOutcome
from domain.payouts.service import progress
from domain.payouts.webhooks import GatewayNotice
from domain.secrets import SecretBox, new_key
from tests.web.support import serve
from tests.workers.gateways.local_stripe import LocalStripe
from tests.workers.gateways.local_wise import FUNDING, WiseAccount
from tests.workers.payouts.wise_office import WiseOffice
from web.app import ApiContext, ApiLimits
from workers import notices
from workers.pause_log import AuditedPauses

PATIENCE = 10.0
ACTOR = Actor("command", "tests")
TYPE = "transfers#state-change"


class WiseDesk(WiseOffice):
    """An office whom Wise tells how its transfers stand."""

    def do(self, actor: str, args: dict[str, int]) -> Any:
        if actor == "webhooks.apply":
            return notices.apply(self, **args)
        return super().do(actor, args)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with transaction(self.engine) as tx:
            return [tuple(row) for row in tx.exec_driver_sql(statement)]

    def told(self, times: int) -> None:
        """Wait until so many notices are stored."""
        end = time.monotonic() + PATIENCE
        while len(seen := self.rows("SELECT state, error FROM gateway_events")) < times:
            assert time.monotonic() < end, seen
            time.sleep(0.02)


@pytest.fixture
def desk(
    local_stripe: LocalStripe, engine: Engine, redis_url: str, namespace: str
) -> Iterator[WiseDesk]:
    box = SecretBox([new_key()])
    context = ApiContext(
        engine=engine,
        redis_url=redis_url,
        namespace=namespace,
        box=box,
        revision="0003",
        limits=ApiLimits(rate_per_second=100_000),
        queues=("webhooks",),
        pause_log=lambda server, name: AuditedPauses(engine, server, name),
    )
    account = WiseAccount(local_stripe)
    account.fund(1_000_000)
    made = WiseDesk(engine, wise=account)
    made.owe(1_000)
    with serve(context) as http:
        with transaction(engine) as tx:
            merchants.set_wise_account(
                tx,
                merchants.get(tx, "acme"),
                token=account.token,
                base_url=account.url,
                account=account.account,
                public_key=local_stripe.admin("GET", "wise/public-key")["public_key"],
                box=box,
                actor=ACTOR,
            )
        account.call(
            "POST",
            f"/v3/profiles/{account.profile}/subscriptions",
            {
                "name": "payspool",
                "trigger_on": TYPE,
                "delivery": {"version": "2.0.0", "url": f"{http.base_url}/v1/webhooks/wise/acme"},
            },
        )
        yield made
    account.close()


def paid_by(desk: WiseDesk) -> tuple[int, str]:
    """A payout that Wise has taken, and its transfer."""
    [payout_id] = desk.build()
    desk.work_off()
    return payout_id, desk.transfer_of(payout_id)


def test_a_transfer_that_is_sent_bounces_and_is_refunded_takes_its_payout_with_it(
    desk: WiseDesk,
) -> None:
    payout_id, transfer = paid_by(desk)
    desk.told(2)
    desk.wise.move(transfer, "funds_converted", "outgoing_payment_sent")
    desk.told(4)
    desk.work_off()
    assert desk.states() == {payout_id: "paid"}
    desk.wise.move(transfer, "bounced_back")
    desk.told(5)
    desk.work_off()
    assert desk.states() == {payout_id: "returned"}
    desk.wise.move(transfer, "funds_refunded")
    desk.told(6)
    desk.work_off()
    assert desk.states() == {payout_id: "reversed"}
    assert set(desk.rows("SELECT state FROM gateway_events")) == {("applied",)}
    desk.assert_paid_once()


def test_notices_that_come_twice_and_in_any_order_end_in_the_same_rows(desk: WiseDesk) -> None:
    payout_id, transfer = paid_by(desk)
    desk.wise.plan(webhooks=({"fault": "duplicate", "copies": 3},))
    desk.wise.move(transfer, "funds_converted", "outgoing_payment_sent", "bounced_back")
    desk.told(5)
    messages = [m for m in desk.messages() if m[0] == "webhooks.apply"]
    for actor, args in [*reversed(messages), *messages]:
        desk.do(actor, args)
    assert desk.states() == {payout_id: "returned"}
    desk.whole()


def test_notices_that_are_lost_are_made_up_for_by_the_sweep(desk: WiseDesk) -> None:
    desk.wise.plan(webhooks=({"fault": "lose"},))
    payout_id, transfer = paid_by(desk)
    desk.wise.move(transfer, "funds_converted", "outgoing_payment_sent")
    desk.look()
    assert desk.states() == {payout_id: "paid"}
    assert desk.rows("SELECT 1 FROM gateway_events") == []


def test_a_notice_that_overtakes_the_answer_waits_for_it(desk: WiseDesk) -> None:
    [payout_id] = desk.build()
    desk.wise.plan({**FUNDING, "fault": "drop_after", "times": 1})
    messages = desk.messages()
    for actor, args in messages:
        desk.do(actor, args)
    assert desk.states() == {payout_id: "unknown"}
    desk.told(2)
    applied = [m for m in desk.messages() if m[0] == "webhooks.apply"]
    assert [desk.do(*message) for message in applied] == [notices.WAITS] * 2
    desk.execute("UPDATE payouts SET look_at = now()")
    desk.look()
    assert desk.states() == {payout_id: "in_transit"}
    assert [desk.do(*message) for message in applied] == ["applied"] * 2


def test_an_older_answer_changes_nothing(desk: WiseDesk) -> None:
    payout_id, transfer = paid_by(desk)
    gateway = desk.wise.gateway()
    with transaction(desk.engine) as tx:
        before = progress.on_its_way(tx, payout_id)
    assert before is not None
    desk.wise.move(transfer, "funds_converted", "outgoing_payment_sent")
    sent = gateway.progress(transfer)
    desk.wise.move(transfer, "bounced_back")
    desk.look()
    assert desk.states() == {payout_id: "returned"}
    assert sent is not None
    with transaction(desk.engine) as tx:
        progress.apply_progress(tx, desk.merchant_id, sent, before.asked_at)
    assert desk.rows("SELECT state, frozen_reason FROM payouts") == [("returned", None)]


def test_a_transfer_made_by_hand_at_wise_is_none_of_ours(desk: WiseDesk) -> None:
    recipient = desk.wise.recipient()
    quote = desk.wise.call(
        "POST",
        f"/v3/profiles/{desk.wise.profile}/quotes",
        {"sourceCurrency": "EUR", "targetCurrency": "EUR", "targetAmount": 5},
    )
    desk.wise.call(
        "POST",
        "/v1/transfers",
        {
            "targetAccount": int(recipient),
            "quoteUuid": quote["id"],
            "customerTransactionId": "7d3c0a52-2e6c-4a1d-9d7c-61b3cb1e21a4",
        },
    )
    desk.told(1)
    desk.work_off()
    [(state, error)] = desk.rows("SELECT state, error FROM gateway_events")
    assert (state, "no attempt of ours" in error) == ("ignored", True)


def test_an_attempt_that_was_given_up_and_has_paid_after_all_stops_its_payout(
    desk: WiseDesk,
) -> None:
    """Wise said that it had made nothing, which was not true."""
    [payout_id] = desk.build()
    desk.messages()
    gateway = desk.wise.gateway()
    with transaction(desk.engine) as tx:
        attempt = service.begin_attempt(tx, payout_id, gateway)
    assert isinstance(attempt, service.Attempt)
    sent = gateway.send(
        attempt.params, key=attempt.key, api_version=attempt.api_version, deadline=Deadline.begin()
    )
    refused = GatewayOutcome("response", http_status=422, code="transfer_refused", message="No.")
    with transaction(desk.engine) as tx:
        service.record_outcome(tx, attempt, refused)
    assert desk.states() == {payout_id: "failed"}
    desk.told(2)
    desk.work_off()
    [(state, frozen)] = desk.rows("SELECT state, frozen_reason FROM payouts")
    assert state == "failed"
    assert str(sent.external_id) in frozen


@pytest.mark.parametrize(("currency", "resumes"), [("EUR", True), ("USD", False)])
def test_money_that_arrives_at_wise_sends_what_waited_for_it(
    desk: WiseDesk, currency: str, resumes: bool
) -> None:
    [payout_id] = desk.build()
    desk.wise.plan({**FUNDING, "fault": "balance_dry", "times": 1})
    desk.work_off()
    assert desk.states() == {payout_id: "failed"}
    desk.execute("UPDATE payouts SET next_try_at = now() + interval '1 h', look_at = NULL")
    desk.execute("UPDATE payout_shortfalls SET probe_at = now() + interval '1 h'")
    desk.wise.fund(50_000)
    told = {
        "event_type": "balances#credit",
        "data": {"resource": {"type": "balance-account", "id": 1}, "currency": currency},
    }
    notice = GatewayNotice("d-credit", "balances#credit", None, json.dumps(told), False)
    with transaction(desk.engine) as tx:
        stored = webhooks.receive(tx, desk.merchant_id, "wise", notice, mode="test")
    assert stored is not None
    assert notices.apply(desk, stored) == "applied"
    [(due,)] = desk.rows("SELECT look_at IS NOT NULL FROM payouts")
    assert due is resumes
