"""A merchant with payouts in different states, for the tests of what is told about them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from domain.audit.service import Actor
from domain.db import next_ids, transaction
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.inbox import service as inbox
from domain.inbox.rules import Delivery, parse
from domain.payouts import service
from domain.payouts.gateway import Order
from domain.payouts.rules import GatewayOutcome
from domain.payouts.service import Attempt, PayeeUpdate, RunResult, RunSpec
from domain.payouts.store import policies
from domain.referrals import admin, holds
from domain.referrals.admin import NewCode, Terms
from domain.referrals.rules.holds import HoldPolicy
from tests.web.support import Api, conversion

TESTER = Actor("person", "tester")
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
CLOSED = GatewayOutcome(
    "response",
    http_status=403,
    code="account_invalid",
    message="No such destination: 'acct_secret2'.",
)
SILENCE = GatewayOutcome("timeout", message="ReadTimeout")
PAID = GatewayOutcome("response", http_status=200, external_id="tr_1", request_id="req_1")


class Paper:
    """The pure half of a gateway: it makes parameters, and sends nothing."""

    method = "stripe"
    account = "acct_platform"
    api_version = "2026-10-28.paper"

    def params(self, order: Order) -> dict[str, Any]:
        return {"amount": order.amount, "destination": order.destination}


def owe(api: Api, user: str, amount: int, *, currency: str = "eur", merchant: int = 0) -> None:
    """Owe a user something that is due, with an account of its own."""
    merchant_id = merchant or api.merchant.id
    with transaction(api.engine) as tx:
        account = f"acct_secret{user.removeprefix('u-')}"
        service.put_payees(tx, [PayeeUpdate(merchant_id, user, "stripe", JUNE, account)])
        source = tx.execute(text("SELECT count(*) + 1 FROM earnings")).scalar_one()
        new = NewEarning(
            merchant_id, user, currency, amount, "reward", "tracking", source, JUNE, JUNE
        )
        earnings.record(tx, [new])


def build(api: Api, name: str = "run", *, merchant: int = 0, **minimums: int) -> RunResult:
    """Build a run of what is due."""
    spec = RunSpec(merchant or api.merchant.id, name, JUNE, minimums)
    return service.build_run(api.engine, spec)


def send(api: Api, payout_id: int, outcome: GatewayOutcome) -> None:
    """Begin an attempt, and record what became of it."""
    with transaction(api.engine) as tx:
        begun = service.begin_first_attempt(tx, service.frozen(tx, payout_id), Paper())  # type: ignore[arg-type]
    assert isinstance(begun, Attempt)
    with transaction(api.engine) as tx:
        service.record_outcome(tx, begun, outcome)


def three_payouts(api: Api) -> None:
    """Run 1 with payouts 1 (unknown), 2 (failed) and 3 (approved), and one whom it left out."""
    for number in (1, 2, 3):
        owe(api, f"u-{number}", 1000 * number)
    owe(api, "u-4", 40)
    build(api, eur=500)
    send(api, 1, SILENCE)
    send(api, 2, CLOSED)


def two_that_wait(api: Api) -> None:
    """Runs 2 and 3, which wait for a person's approval; a schedule prepared them."""
    with transaction(api.engine) as tx:
        policies.put(tx, api.merchant.id, "always", 72)
    for number in (5, 6):
        owe(api, f"u-{number}", 1000 * number)
        build(api, f"waits {number}", eur=500)


def sixth_paid(api: Api) -> None:
    """After `two_that_wait`: payout 6 of 12.90, paid."""
    with transaction(api.engine) as tx:
        policies.put(tx, api.merchant.id, "never", 72)
    owe(api, "u-7", 1290)
    build(api, "later", eur=500)
    send(api, 6, PAID)


def two_holds(api: Api) -> None:
    """A program `friends` with u-7's code, three conversions by it (trackings 17 to 19: what is owed
    otherwise names trackings of its own), and holds 1 and 2 of the last two."""
    acme = api.merchant.id
    terms = Terms({"kind": "percentage", "basis_points": 1000}, "eur")
    with transaction(api.engine) as tx:
        next_ids(tx, "trackings", 16)
        admin.create_program(tx, acme, "friends", "Friends", terms, actor=TESTER)
        admin.create_codes(tx, acme, "friends", [NewCode("u-7", "FRIENDS-7")], actor=TESTER)
        holds.set_policy(tx, acme, None, HoldPolicy(code_per_day=1), actor=TESTER)
        texts = [json.dumps(conversion(n, code="FRIENDS-7")) for n in (901, 902, 903)]
        inbox.apply(tx, parse(Delivery("m-9", i, one) for i, one in enumerate(texts)))
