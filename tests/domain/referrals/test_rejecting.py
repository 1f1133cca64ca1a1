"""What a person rejects is void or taken back, whatever payouts have of it, and counts for nothing later."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.db import Tx, transaction
from domain.payouts import service as payouts
from domain.payouts.gateway import SeenTransfer
from domain.payouts.rules import Leave
from domain.referrals import admin, answers, holds
from domain.referrals.admin import Terms
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    PATIENCE,
    PERCENTAGE,
    assert_whole,
    balance,
    conversion,
    dispute,
    open_shop,
    refund,
    rows,
    said,
    scalar,
    send,
    send_one_by_one,
    wait_until_blocked,
)
from tests.domain.referrals.halves import MIA, begin, half_claimed, run, send_payout

SAME = "a" * 64
BY_COUNT = {
    "kind": "tiered",
    "by": "count",
    "tiers": [{"from": 1, "amount": 100}, {"from": 2, "amount": 300}],
}
BY_VOLUME = BY_COUNT | {
    "by": "volume",
    "tiers": [{"from": 1, "amount": 100}, {"from": 15_000, "amount": 300}],
}


@pytest.fixture
def db(tx: Tx) -> Rolled:
    return Rolled(tx)


def shop(db: Any, rule: dict[str, Any], **terms: Any) -> int:
    """A shop where who brings Ada's own address is held."""
    acme = open_shop(db, rule, **terms)
    with transaction(db) as tx:
        admin.create_codes(
            tx, acme, "refer", [admin.NewCode("ada", "ADA-02", email_hash=SAME)], actor=MIA
        )
    return acme


def reject(db: Any, acme: int, order: str = "o1") -> holds.Rejected:
    with transaction(db) as tx:
        listed = holds.listing(tx, acme, limit=9)
        [hold] = [h for h in listed if (h.transaction_id, h.kind == "dispute") == (order, False)]
        return holds.reject(tx, acme, hold.id, actor=MIA, reason="one person")


@pytest.mark.parametrize("claimed", ["ada", "ben"])
def test_the_side_that_was_paid_is_taken_back_and_the_other_is_void(
    db: Rolled, claimed: str
) -> None:
    acme, number = half_claimed(db, claimed, sent=True)
    done = reject(db, acme)
    assert done.payouts == [number]
    assert f"payout {number}" in done.sentence
    other = "ada" if claimed == "ben" else "ben"
    assert (balance(db, claimed), balance(db, other)) == (-1_000, 0)
    [status] = rows(
        db,
        "SELECT payout_status, reversed_amount, referee_reversed_amount FROM tracking_details",
    )
    assert status == ("reversed", 1_000, 1_000)
    by = {"ada": "ADA-01", "ben": "BEN-01"}[claimed]
    send_one_by_one(
        db, refund("o1", 10_000), dispute("o1", "lost"), conversion("o2", "cyd", 20_000, by=by)
    )
    run(db, acme, "second")
    assert rows(db, "SELECT user_id, amount FROM payouts ORDER BY id") == [
        (claimed, 1_000),
        (claimed, 1_000),
    ], "2,000 were earned since, less what was paid for fraud"
    assert_whole(db)


@pytest.mark.parametrize("claimed", ["ada", "ben"])
@pytest.mark.parametrize("disputed", [False, True])
def test_a_payout_that_was_not_sent_is_canceled_and_nothing_of_it_is_claimed_again(
    db: Rolled, claimed: str, disputed: bool
) -> None:
    acme, number = half_claimed(db, claimed, sent=False)
    if disputed:
        send(db, dispute("o1"))
    reject(db, acme)
    if disputed:
        send(db, dispute("o1", "won"))
    begun = begin(db, number)
    assert isinstance(begun, Leave)
    assert begun.reason == "on_hold"
    assert scalar(db, "SELECT state FROM payouts") == "canceled"
    assert run(db, acme, "second").created == 0
    assert (balance(db), balance(db, "ben")) == (0, 0)
    by = {"ada": "ADA-01", "ben": "BEN-01"}[claimed]
    send(db, conversion("o2", "cyd", 20_000, by=by))
    run(db, acme, "third")
    assert rows(db, "SELECT amount FROM payouts WHERE state <> 'canceled'") == [(2_000,)]
    assert_whole(db)


def come_back(db: Any, acme: int, number: int) -> None:
    """All of a payout comes back, and a person lets it be owed again."""
    with transaction(db) as tx:
        [(key, transfer)] = rows(
            db,
            "SELECT idempotency_key, external_id FROM payout_attempts WHERE payout_id = :n",
            n=number,
        )
        seen = SeenTransfer(transfer, key, ((f"{transfer}/0", 1_000),))
        assert payouts.book_reversals(tx, acme, seen) is payouts.Booked.BOOKED
        payouts.release(tx, number, reason="said so", actor=MIA)


def test_what_came_back_and_is_owed_again_less_what_another_payout_took_is_neither_lost_nor_paid(
    db: Rolled,
) -> None:
    acme, number = half_claimed(db, "ben", sent=True)
    send_one_by_one(db, refund("o1", 4_000, id_="r1"), conversion("o2", "cyd", 20_000, by="BEN-01"))
    run(db, acme, "second")
    [(second,)] = rows(db, "SELECT id FROM payouts WHERE amount = 1600")
    send_payout(db, second)
    come_back(db, acme, number)
    assert balance(db, "ben") == 1_000
    reject(db, acme)
    assert balance(db, "ben") == 400, "it was taken of another payout, and the first one came back"
    run(db, acme, "third")
    assert rows(db, "SELECT amount FROM payouts ORDER BY id DESC LIMIT 1") == [(400,)]
    assert_whole(db)


@pytest.mark.parametrize("disputed", [False, True])
@pytest.mark.parametrize("sent", [False, True])
def test_what_another_payout_took_back_is_owed_again_when_the_first_one_is_given_back(
    db: Rolled, sent: bool, disputed: bool
) -> None:
    acme, first = half_claimed(db, "ada", sent=sent)
    reject(db, acme)
    send(db, conversion("o2", "cyd", 20_000))
    run(db, acme, "second")
    [(second, amount)] = rows(db, "SELECT id, amount FROM payouts WHERE id <> :n", n=first)
    assert amount == 1_000, "2,000 less what was paid, or would have been, for fraud"
    if disputed:
        send(db, dispute("o1"))
    if sent:
        come_back(db, acme, first)
    else:
        assert isinstance(begin(db, first), Leave)
    if disputed:
        assert run(db, acme, "disputed").created == 0
        send(db, dispute("o1", "won"))
    run(db, acme, "third")
    assert rows(db, "SELECT amount FROM payouts WHERE id NOT IN (:a, :b)", a=first, b=second) == [
        (1_000,)
    ]
    assert balance(db) == 0
    assert_whole(db)


def test_a_payout_that_was_not_sent_is_canceled_though_another_one_has_a_refund_of_it(
    db: Rolled,
) -> None:
    acme, first = half_claimed(db, "ada", sent=False)
    send_one_by_one(db, refund("o1", 4_000), conversion("o2", "cyd", 20_000))
    run(db, acme, "second")
    reject(db, acme)
    assert isinstance(begin(db, first), Leave)
    run(db, acme, "third")
    assert rows(db, "SELECT amount FROM payouts WHERE state <> 'canceled' ORDER BY id") == [
        (1_600,),
        (400,),
    ], "2,000 in all, and nothing of what was rejected"
    assert balance(db) == 0
    assert_whole(db)


def earned(db: Any) -> list[int]:
    return [amount for (amount,) in rows(db, "SELECT amount_earned FROM trackings ORDER BY id")]


@pytest.mark.parametrize("rule", [BY_COUNT, BY_VOLUME, BY_COUNT | {"period": "month"}])
def test_it_helps_to_reach_no_tier_and_what_it_helped_to_reach_before_stays(
    db: Rolled, rule: dict[str, Any]
) -> None:
    acme = shop(db, rule)
    suspect = conversion("o1", referred_email_hash=SAME)
    send_one_by_one(db, suspect, conversion("o2", "cyd"), refund("o1", 1_000, id_="r"))
    assert earned(db) == [100, 300]
    reject(db, acme)
    send(db, refund("o2", id_="all"))
    send_one_by_one(db, conversion("o3", "dan"), conversion("o4", "eve"), suspect)
    assert earned(db) == [100, 300, 100, 300]
    assert_whole(db)


def test_it_uses_up_neither_a_cap_nor_a_code_nor_a_first_conversion(db: Rolled) -> None:
    acme = shop(db, {"kind": "one_time", "amount": 500}, max_rewards_per_referrer=1, max_uses=1)
    send(db, conversion("o1", referred_email_hash=SAME))
    assert said(send(db, conversion("o2", "cyd"), conversion("o3"))) == [
        "rejected:code_exhausted",
        "rejected:already_rewarded",
    ]
    reject(db, acme)
    assert said(send_one_by_one(db, conversion("o4"), conversion("o5", "cyd"))) == [
        "applied",
        "rejected:code_exhausted",
    ]
    assert earned(db) == [500, 500]
    assert scalar(db, "SELECT uses FROM codes WHERE code = 'ADA-01'") == 1
    assert_whole(db)


def test_terms_that_count_anew_count_it_no_more(db: Rolled) -> None:
    acme = shop(db, PERCENTAGE)
    send(db, conversion("o1", referred_email_hash=SAME))
    reject(db, acme)
    with transaction(db) as tx:
        admin.change_program(tx, acme, "refer", Terms(BY_COUNT, "usd"), actor=MIA)
    send_one_by_one(db, conversion("o2", "cyd"), conversion("o3", "dan"))
    assert earned(db) == [1_000, 100, 300]
    with transaction(db) as tx:
        admin.change_program(
            tx, acme, "refer", Terms({"kind": "one_time", "amount": 7}, "usd"), actor=MIA
        )
    assert said(send(db, conversion("o4", "ben"), conversion("o5", "cyd"))) == [
        "applied",
        "rejected:already_rewarded",
    ]


def test_it_is_told_in_the_statistics_and_in_the_explanation(db: Rolled) -> None:
    acme = shop(db, PERCENTAGE, referee_rule={"amount": 51})
    send_one_by_one(db, conversion("o1", referred_email_hash=SAME), refund("o1", 3_000))
    done = reject(db, acme)
    assert done.payouts == []
    assert done.sentence == f"Rejected hold {done.hold.id}: 10.00 USD of ada will not be paid."
    with transaction(db) as tx:
        total = answers.statistics(tx, acme, "refer").total
        why = answers.explain_tracking(tx, acme, answers.tracking_of(tx, acme, "o1")).why
    assert (total["earned"], total["reversed"]) == (1_000, 1_000)
    assert (total["referee_earned"], total["referee_reversed"]) == (51, 51)
    taken = [one for one in why if f"Hold {done.hold.id} was rejected" in one]
    assert taken
    assert taken[0].endswith(
        "all that was left, 7.00 USD and 0.36 USD of the other side, was taken back."
    )
    assert why[-1] == "ada keeps 0.00 USD of 10.00 USD: it is reversed."


def in_turn(engine: Engine, one: Callable[[Tx], None], other: Callable[[Tx], None]) -> None:
    """The second of them waits for the first."""

    def later() -> None:
        with transaction(engine) as tx:
            other(tx)

    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            one(tx)
            waiting = pool.submit(later)
            wait_until_blocked(engine)
        waiting.result(PATIENCE)


@pytest.mark.parametrize("first", ["reject", "convert"])
def test_a_rejection_and_a_conversion_of_one_referrer_wait_for_one_another(
    engine: Engine, first: str
) -> None:
    acme = shop(engine, BY_COUNT, max_uses=2)
    send_one_by_one(engine, conversion("o1", referred_email_hash=SAME))
    hold = scalar(engine, "SELECT id FROM tracking_holds")

    def turn_down(tx: Tx) -> None:
        holds.reject(tx, acme, hold, actor=MIA, reason="one person")

    def convert(tx: Tx) -> None:
        assert said(send(Rolled(tx), conversion("o2", "cyd"))) == ["applied"]  # type: ignore[arg-type]

    in_turn(engine, *((turn_down, convert) if first == "reject" else (convert, turn_down)))
    assert earned(engine) == [100, 100 if first == "reject" else 300]
    assert rows(engine, "SELECT conversions, rewards FROM referrer_states") == [(1, 1)]
    assert scalar(engine, "SELECT uses FROM codes WHERE code = 'ADA-01'") == 1
    assert_whole(engine)


def test_a_run_that_claims_while_it_is_rejected_leaves_it_or_has_it_taken_back(
    engine: Engine,
) -> None:
    acme, _ = half_claimed(engine, "ben", sent=True)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as tx:
            [hold] = holds.listing(tx, acme, limit=9)
            holds.reject(tx, acme, hold.id, actor=MIA, reason="one person")
            building = pool.submit(run, engine, acme, "second")
            wait_until_blocked(engine)
        assert building.result(PATIENCE).created == 0
    assert (balance(engine), balance(engine, "ben")) == (0, -1_000)
    assert_whole(engine)


@pytest.mark.parametrize("first", ["reject", "convert"])
def test_a_rejection_is_not_counted_by_who_counts_for_the_first_time_meanwhile(
    engine: Engine, first: str
) -> None:
    acme = shop(engine, PERCENTAGE)
    send(engine, conversion("o1", referred_email_hash=SAME))
    with transaction(engine) as tx:
        admin.change_program(tx, acme, "refer", Terms(BY_COUNT, "usd"), actor=MIA)
    hold = scalar(engine, "SELECT id FROM tracking_holds")

    def turn_down(tx: Tx) -> None:
        holds.reject(tx, acme, hold, actor=MIA, reason="one person")

    def convert(tx: Tx) -> None:
        assert said(send(Rolled(tx), conversion("o2", "cyd"))) == ["applied"]  # type: ignore[arg-type]

    in_turn(engine, *((turn_down, convert) if first == "reject" else (convert, turn_down)))
    assert rows(engine, "SELECT conversions, rewards FROM referrer_states") == [(1, 1)]
    assert_whole(engine)
