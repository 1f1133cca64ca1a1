"""Money that came back is booked once, moves the payout when it is all of it, and is decided on once."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.db import transaction
from domain.payouts import service
from domain.payouts.errors import NotReleasable
from tests.domain.payouts import house
from tests.workers.notices.desk import ACTOR, Desk
from workers import notices

BALANCES = """
    SELECT a.kind, sum(CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END)
    FROM ledger_accounts a JOIN ledger_transfers t ON a.id IN (t.credit_account_id, t.debit_account_id)
    GROUP BY 1 HAVING sum(CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END) <> 0
"""


def paid(desk: Desk) -> tuple[int, str]:
    """A payout that was paid, and its transfer; what happens to it is told."""
    desk.platform.fund(5_000)
    desk.owe(1_000)
    [payout] = desk.build()
    desk.work_off()
    desk.listen(connect=False)
    [(transfer,)] = desk.rows("SELECT external_transaction_id FROM payouts")
    return payout, transfer


def reverse(desk: Desk, transfer: str, amount: int | None = None, told: int = 1) -> None:
    """By hand, at Stripe; the notice comes and is applied."""
    form = {} if amount is None else {"amount": str(amount)}
    desk.platform.call("POST", f"/v1/transfers/{transfer}/reversals", **form)
    desk.told("transfer.reversed", told)
    desk.work_off()


def balances(desk: Desk) -> dict[str, int]:
    return {kind: int(amount) for kind, amount in desk.rows(BALANCES)}


def test_a_transfer_that_is_reversed_in_full_reverses_its_payout(desk: Desk) -> None:
    _, transfer = paid(desk)
    reverse(desk, transfer)
    assert desk.rows("SELECT state, reversed_amount FROM payouts") == [("reversed", 1_000)]
    assert desk.rows("SELECT state FROM payout_attempts") == [("reversed",)]
    assert balances(desk) == {"payouts_reversed": 1_000, "rewards_expense": -1_000}
    house.assert_whole(desk.engine)
    desk.assert_paid_once()


def test_parts_add_up_and_the_last_one_reverses_the_payout(desk: Desk) -> None:
    _, transfer = paid(desk)
    reverse(desk, transfer, 300)
    assert desk.rows("SELECT state, reversed_amount FROM payouts") == [("paid", 300)]
    assert balances(desk) == {
        "gateway_clearing": 700,
        "payouts_reversed": 300,
        "rewards_expense": -1_000,
    }
    house.assert_whole(desk.engine)
    reverse(desk, transfer, 700, told=2)
    assert desk.rows("SELECT state, reversed_amount FROM payouts") == [("reversed", 1_000)]
    house.assert_whole(desk.engine)


def test_a_notice_of_a_reversal_that_comes_twice_or_late_books_nothing_twice(desk: Desk) -> None:
    _, transfer = paid(desk)
    desk.spoil(fault="duplicate", type="transfer.reversed", copies=3)
    desk.platform.call("POST", f"/v1/transfers/{transfer}/reversals", amount="300")
    desk.told("transfer.reversed")
    first = desk.messages()
    reverse(desk, transfer, 200, told=2)
    for actor, args in first * 2:
        desk.do(actor, args)
    assert desk.rows("SELECT reversed_amount FROM payouts") == [(500,)]
    assert desk.rows("SELECT amount FROM payout_reversals ORDER BY id") == [(300,), (200,)]
    house.assert_whole(desk.engine)


def test_a_reversal_before_its_payout_is_settled_waits_for_that(desk: Desk) -> None:
    desk.platform.fund(5_000)
    desk.owe(1_000)
    desk.build()
    desk.listen(connect=False)
    desk.platform.plan({"fault": "drop_after"})
    [(_, args)] = [m for m in desk.messages() if m[0] == "payouts.send"]
    desk.do("payouts.send", args)
    assert set(desk.states().values()) == {"unknown"}
    [made] = desk.platform.transfers()
    desk.platform.stripe.admin("DELETE", "faults")
    desk.platform.call("POST", f"/v1/transfers/{made.id}/reversals", amount="300")
    desk.told("transfer.reversed")
    [(notice_id,)] = desk.rows("SELECT id FROM gateway_events WHERE type = 'transfer.reversed'")
    assert notices.apply(desk, notice_id) == "waits"
    desk.work_off()
    assert set(desk.states().values()) == {"paid"}
    assert notices.apply(desk, notice_id) in ("applied", "left")
    assert desk.rows("SELECT reversed_amount FROM payouts") == [(300,)]
    house.assert_whole(desk.engine)


def test_a_transfer_made_by_hand_is_none_of_ours(desk: Desk) -> None:
    paid(desk)
    account = desk.account()
    made = desk.platform.call(
        "POST", "/v1/transfers", amount="50", currency="usd", destination=account
    )
    reverse(desk, made["id"])
    assert desk.notices("transfer.reversed") == [
        ("ignored", f"{made['id']}: no attempt of ours made it")
    ]
    assert desk.rows("SELECT count(*) FROM payout_reversals") == [(0,)]


def test_what_came_back_whole_is_let_go_once_and_paid_by_the_next_run(desk: Desk) -> None:
    payout, transfer = paid(desk)
    with transaction(desk.engine) as tx, pytest.raises(NotReleasable, match="it is paid"):
        service.release(tx, payout, reason="too early", actor=ACTOR)
    reverse(desk, transfer)
    with transaction(desk.engine) as tx:
        service.release(tx, payout, reason="wrong account", actor=ACTOR)
    house.assert_whole(desk.engine)
    assert balances(desk) == {"payable": 1_000, "rewards_expense": -1_000}
    with transaction(desk.engine) as tx, pytest.raises(NotReleasable, match="did it already"):
        service.release(tx, payout, reason="again", actor=ACTOR)
    [again] = desk.build("next")
    desk.work_off()
    assert desk.states() == {payout: "reversed", again: "paid"}
    house.assert_whole(desk.engine)
    desk.assert_paid_once()


@pytest.mark.parametrize(
    ("owed", "left"),
    [
        (True, {"gateway_clearing": 700, "payable": 300, "rewards_expense": -1_000}),
        (False, {"gateway_clearing": 700, "rewards_expense": -700}),
    ],
)
def test_a_part_that_came_back_is_owed_again_or_kept_once(
    desk: Desk, owed: bool, left: dict[str, int]
) -> None:
    _, transfer = paid(desk)
    reverse(desk, transfer, 300)
    [(part,)] = desk.rows("SELECT id FROM payout_reversals")
    with transaction(desk.engine) as tx:
        service.decide(tx, desk.merchant_id, part, owed=owed, reason="so", actor=ACTOR)
    assert balances(desk) == left
    house.assert_whole(desk.engine)
    with transaction(desk.engine) as tx, pytest.raises(NotReleasable, match="already"):
        service.decide(tx, desk.merchant_id, part, owed=not owed, reason="no", actor=ACTOR)
    assert desk.rows(
        "SELECT action, reason FROM audit_entries WHERE action = 'payout_reversal.decided'"
    ) == [("payout_reversal.decided", "so")]


def test_a_payout_of_which_a_part_was_decided_is_not_let_go_as_a_whole(desk: Desk) -> None:
    payout, transfer = paid(desk)
    reverse(desk, transfer, 300)
    [(part,)] = desk.rows("SELECT id FROM payout_reversals")
    with transaction(desk.engine) as tx:
        service.decide(tx, desk.merchant_id, part, owed=True, reason="so", actor=ACTOR)
    reverse(desk, transfer, 700, told=2)
    with transaction(desk.engine) as tx, pytest.raises(NotReleasable, match="one by one"):
        service.release(tx, payout, reason="all", actor=ACTOR)
    with pytest.raises(DBAPIError, match="let go once"), transaction(desk.engine) as tx:
        tx.execute(text("UPDATE payouts SET release_confirmed_by = 'somebody'"))
    house.assert_whole(desk.engine)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE payout_reversals SET amount = 1",
        "UPDATE payout_reversals SET decision = 'released', decided_by = 'x', decided_at = now()",
        "UPDATE payouts SET reversed_amount = 5000",
    ],
)
def test_the_database_keeps_what_came_back(desk: Desk, change: str) -> None:
    _, transfer = paid(desk)
    reverse(desk, transfer, 300)
    with pytest.raises(DBAPIError), transaction(desk.engine) as tx:
        tx.execute(text(change))
