"""What Stripe tells us ends in the right rows, however it comes: spoilt, doubled, late, or not at all."""

from __future__ import annotations

import time

import pytest

from domain.db import transaction
from domain.payouts import service
from domain.payouts.gateway import PayeeCheck
from tests.workers.notices.desk import Desk
from workers import notices


def waits_for_money(desk: Desk) -> None:
    """A payout that Stripe refused because there was no money."""
    desk.owe(1_000)
    [payout] = desk.build()
    desk.do("payouts.send", {"payout_id": payout})
    desk.messages()
    desk.execute("UPDATE payouts SET next_try_at = now() + interval '1 h', look_at = NULL")
    assert desk.rows("SELECT state, parked_reason FROM payouts") == [
        ("failed", "balance_insufficient")
    ]


def test_money_that_arrives_sends_what_waited_for_it(desk: Desk) -> None:
    waits_for_money(desk)
    desk.listen(connect=False)
    desk.platform.fund(5_000)
    desk.told("balance.available")
    desk.work_off()
    assert desk.notices("balance.available") == [("applied", None)]
    desk.sweep()
    assert set(desk.states().values()) == {"paid"}
    desk.assert_paid_once()


def test_money_of_another_currency_sends_nothing(desk: Desk) -> None:
    waits_for_money(desk)
    desk.listen(connect=False)
    desk.platform.fund(5_000, "eur")
    desk.told("balance.available")
    desk.work_off()
    desk.sweep()
    assert set(desk.states().values()) == {"failed"}


def test_money_that_is_gone_again_sends_nothing(desk: Desk) -> None:
    waits_for_money(desk)
    desk.listen(connect=False)
    desk.platform.fund(5_000)
    desk.told("balance.available")
    desk.platform.stripe.admin("POST", "drain", key=desk.platform.key, currency="usd")
    desk.work_off()
    assert desk.rows("SELECT look_at FROM payouts") == [(None,)]


def test_an_account_that_is_restricted_is_blocked_until_stripe_says_it_is_ready(desk: Desk) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    desk.platform.set_state(desk.account(), "restricted")
    desk.told("account.updated")
    desk.work_off()
    reason, by = desk.payee()
    assert (bool(reason), by) == (True, "gateway")
    desk.platform.set_state(desk.account(), "active")
    desk.told("account.updated", 2)
    desk.work_off()
    assert desk.payee() == (None, None)


def test_an_account_that_is_ready_again_is_paid_what_it_was_refused(desk: Desk) -> None:
    desk.platform.fund(5_000)
    desk.owe(1_000)
    [payout] = desk.build()
    desk.platform.set_state(desk.account(), "restricted")
    desk.do("payouts.send", {"payout_id": payout})
    desk.messages()
    [(state, code, look)] = desk.rows("SELECT state, error_code, look_at FROM payouts")
    assert (state, look) == ("failed", None), "nothing asks for it by itself"
    assert "transfer" in code or "account" in code
    desk.listen(connect=True)
    desk.platform.set_state(desk.account(), "active")
    desk.told("account.updated")
    desk.work_off()
    assert desk.rows("SELECT look_at <= clock_timestamp() FROM payouts") == [(True,)]
    desk.sweep()
    assert desk.states() == {payout: "paid"}
    assert desk.rows("SELECT max(n) FROM payout_attempts") == [(2,)]
    desk.assert_paid_once()


def test_a_gateway_lifts_no_block_of_an_operator(desk: Desk) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    with transaction(desk.engine) as tx:
        [(user,)] = tx.exec_driver_sql("SELECT user_id FROM payees").all()
        service.block_payee(tx, desk.merchant_id, user, "under review")
    desk.platform.set_state(desk.account(), "restricted")
    desk.platform.set_state(desk.account(), "active")
    desk.told("account.updated", 2)
    desk.work_off()
    assert desk.payee() == ("under review", "operator")


def test_an_account_that_deauthorizes_us_is_blocked(desk: Desk) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    desk.platform.set_state(desk.account(), "deauthorized")
    desk.told("account.application.deauthorized")
    desk.work_off()
    assert desk.payee()[1] == "gateway"


def test_an_old_notice_that_comes_late_changes_nothing(desk: Desk) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    desk.platform.set_state(desk.account(), "restricted")
    desk.told("account.updated")
    late = desk.messages()
    desk.platform.set_state(desk.account(), "active")
    desk.told("account.updated", 2)
    desk.work_off()
    for actor, args in late:
        desk.do(actor, args)
    assert desk.payee() == (None, None)


def test_an_answer_to_an_older_question_changes_nothing(desk: Desk) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    desk.platform.set_state(desk.account(), "restricted")
    desk.told("account.updated")
    [(notice_id,)] = desk.rows(
        "SELECT id FROM gateway_events WHERE type = 'account.updated' ORDER BY id LIMIT 1"
    )
    with transaction(desk.engine) as tx:
        old = service.open_notice(tx, notice_id)
        newer = service.open_notice(tx, notice_id)
    assert old is not None
    assert newer is not None
    with transaction(desk.engine) as tx:
        assert service.apply_account(tx, newer, desk.account(), PayeeCheck(True)) == 1
        assert service.apply_account(tx, old, desk.account(), PayeeCheck(False, "old")) == 0
    assert desk.payee() == (None, None)


def test_a_doubled_notice_is_stored_and_applied_once(desk: Desk) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    desk.spoil(fault="duplicate", type="account.updated", copies=4)
    desk.platform.set_state(desk.account(), "restricted")
    desk.told("account.updated")
    time.sleep(0.3)
    asked = [args for actor, args in desk.messages() if actor == "webhooks.apply"]
    ids = desk.rows("SELECT id FROM gateway_events")
    assert sorted(args["notice_id"] for args in asked) == sorted(id_ for (id_,) in ids)
    for args in asked:
        assert notices.apply(desk, **args) in ("applied", "ignored")
        assert notices.apply(desk, **args) == "left"
    assert len(desk.notices("account.updated")) == 1


@pytest.mark.parametrize("fault", ["wrong_secret", "stale", "truncated"])
def test_a_spoilt_delivery_is_refused_and_its_repetition_is_taken(desk: Desk, fault: str) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    desk.spoil(fault=fault, type="account.updated", tries=1)
    desk.platform.set_state(desk.account(), "restricted")
    desk.told("account.updated")
    desk.work_off()
    assert desk.notices("account.updated") == [("applied", None)]
    assert desk.payee()[1] == "gateway"


def test_a_notice_of_the_other_mode_is_kept_and_ignored(desk: Desk) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    desk.spoil(fault="wrong_mode", type="account.updated")
    desk.platform.set_state(desk.account(), "restricted")
    desk.told("account.updated")
    assert not [a for a in desk.messages() if a[0] == "webhooks.apply" and _is(desk, a[1])]
    assert desk.notices("account.updated") == [
        ("ignored", "it is a live event, and the merchant is in test mode")
    ]


def _is(desk: Desk, args: dict[str, int]) -> bool:
    types = desk.rows(f"SELECT type FROM gateway_events WHERE id = {args['notice_id']}")
    return types == [("account.updated",)]


def test_what_means_nothing_to_us_is_ignored_and_says_so(desk: Desk) -> None:
    desk.owe(1_000)
    desk.platform.fund(5_000)
    desk.listen(connect=False)
    desk.build()
    desk.work_off()
    desk.told("transfer.created")
    desk.work_off()
    assert desk.notices("transfer.created") == [("ignored", "transfer.created means nothing to us")]


def test_a_notice_whose_message_was_lost_is_asked_for_again_once_per_backoff(desk: Desk) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    desk.platform.set_state(desk.account(), "restricted")
    desk.told("account.updated")
    desk.messages()
    assert notices.sweep(desk) == 0
    desk.execute("UPDATE gateway_events SET look_at = now() - interval '1 s'")
    assert notices.sweep(desk, paused=True) == 0
    assert notices.sweep(desk) > 0
    assert notices.sweep(desk) == 0
    desk.work_off()
    assert desk.payee()[1] == "gateway"


def test_while_stripe_is_away_a_notice_waits(desk: Desk) -> None:
    desk.owe(1_000)
    desk.listen(connect=True)
    desk.platform.set_state(desk.account(), "restricted")
    desk.told("account.updated")
    desk.platform.stripe.admin(
        "PUT",
        "faults",
        seed=1,
        rules=[{"method": "GET", "path": "/v1/accounts/*", "fault": "error_500_not_done"}],
    )
    desk.work_off()
    assert desk.notices("account.updated") == [("received", None)]
    desk.platform.stripe.admin("DELETE", "faults")
    desk.execute("UPDATE gateway_events SET look_at = now() - interval '1 s'")
    notices.sweep(desk)
    desk.work_off()
    assert desk.notices("account.updated") == [("applied", None)]


def test_the_platform_and_its_connected_accounts_each_sign_with_their_own_secret(
    desk: Desk,
) -> None:
    waits_for_money(desk)
    desk.listen(connect=True)
    desk.listen(connect=False)
    desk.platform.set_state(desk.account(), "restricted")
    desk.platform.fund(5_000)
    desk.told("account.updated")
    desk.told("balance.available")
