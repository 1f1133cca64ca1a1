"""A dispute holds what was earned; lost, it takes it back; whatever comes first, and whatever was paid."""

from __future__ import annotations

import random
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.db import transaction
from domain.earnings import service as earnings
from domain.payouts import service as payouts
from domain.payouts.rules import Leave
from domain.payouts.service import PayeeUpdate, RunSpec
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PERCENTAGE,
    TIERED,
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
    standing,
    together,
)
from tests.domain.payouts import house


def held(db: Any) -> list[tuple[Any, ...]]:
    return rows(db, "SELECT DISTINCT hold_reason FROM earnings WHERE amount > 0 ORDER BY 1")


def due(db: Any, acme: int) -> tuple[int, int]:
    """What Ada is due, and what of hers is held."""
    with transaction(db) as tx:
        [owed] = earnings.summary(tx, acme, "ada", JUNE + 100 * DAY)
    return owed.due, owed.held


def test_an_open_dispute_holds_both_rewards_and_a_won_one_lets_them_go(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE, referee_rule={"amount": 50})
    send_one_by_one(db, conversion("o1"), dispute("o1"))
    assert held(db) == [("dispute",)]
    assert due(db, acme) == (0, 1_000)
    assert rows(db, "SELECT payout_status FROM tracking_details") == [("held",)]
    send(db, dispute("o1", "won"))
    assert held(db) == [(None,)]
    assert due(db, acme) == (1_000, 0)
    assert rows(db, "SELECT kind, ref, outcome FROM tracking_holds") == [("dispute", "d1", "won")]
    assert_whole(db)


def test_a_lost_dispute_takes_back_what_refunds_have_left(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE, referee_rule={"amount": 51})
    send_one_by_one(
        db,
        conversion("o1"),
        refund("o1", 3_333),
        dispute("o1"),
        dispute("o1", "lost", at=JUNE + 2 * DAY),
    )
    assert (balance(db), balance(db, "ben")) == (0, 0)
    assert rows(
        db, "SELECT kind, reversed, referee_reversed FROM tracking_reversals ORDER BY id"
    ) == [
        ("refund", 333, 17),
        ("dispute", 667, 34),
    ]
    assert due(db, acme) == (0, 0)
    assert rows(db, "SELECT payout_status FROM tracking_details") == [("reversed",)]
    assert_whole(db)


STORY = [
    conversion("o1"),
    refund("o1", 2_500, id_="a"),
    dispute("o1", "opened", at=JUNE + 2 * DAY),
    dispute("o1", "lost", at=JUNE + 3 * DAY),
    refund("o1", 7_500, id_="b", at=JUNE + 4 * DAY),
]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_every_order_of_refunds_and_a_lost_dispute_ends_alike(db: Rolled, size: int) -> None:
    for order in permutations(STORY):
        with db.scratch():
            open_shop(db, TIERED, referee_rule={"amount": 33})
            for at in range(0, 5, size):
                send(db, *order[at : at + size])
            assert set(standing(db).values()) == {"applied"}
            assert (balance(db), balance(db, "ben")) == (0, 0)
            assert held(db) == [(None,)]
            assert rows(db, "SELECT refunded_amount, dispute_lost FROM trackings") == [
                (10_000, True)
            ]
            assert rows(db, "SELECT conversions, volume, rewards FROM referrer_states") == [
                (0, 0, 0)
            ]
            assert_whole(db)


@pytest.mark.parametrize("final", ["won", "lost"])
def test_what_was_decided_is_not_opened_again(db: Rolled, final: str) -> None:
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1"), dispute("o1", final))
    assert said(send(db, dispute("o1", "opened"))) == ["applied"]
    assert held(db) == [(None,)]
    other = "lost" if final == "won" else "won"
    outcomes = send(db, dispute("o1", final, event_id="again"), dispute("o1", other))
    assert said(outcomes) == ["rejected:duplicate_dispute", "rejected:dispute_decided"]
    assert said(send(db, dispute("o1", other))) == ["duplicate"]
    assert balance(db) == (1_000 if final == "won" else 0)
    assert_whole(db)


def test_a_won_dispute_leaves_the_hold_of_another(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send_one_by_one(
        db,
        conversion("o1"),
        dispute("o1", id_="d1"),
        dispute("o1", id_="d2"),
        dispute("o1", "won", id_="d1"),
    )
    assert held(db) == [("dispute",)]
    send(db, dispute("o1", "won", id_="d2"))
    assert held(db) == [(None,)]


def test_two_lost_disputes_take_a_reward_once(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send(db, conversion("o1"), dispute("o1", "lost", id_="d1"), dispute("o1", "lost", id_="d2"))
    assert balance(db) == 0
    assert scalar(db, "SELECT count(*) FROM earnings") == 2
    assert_whole(db)


def test_a_dispute_waits_for_its_conversion_and_the_reward_is_born_held(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    assert said(send(db, dispute("o1"))) == ["waiting:waits_for_conversion"]
    send(db, conversion("o1"))
    assert standing(db)["o1/d1/opened"] == "applied"
    assert held(db) == [("dispute",)]


def test_a_dispute_of_a_refused_conversion_has_nothing_to_hold(db: Rolled) -> None:
    open_shop(db, PERCENTAGE, min_amount=20_000)
    send(db, conversion("o1"))
    assert said(send(db, dispute("o1", "lost"))) == ["applied:nothing_to_reverse"]
    assert scalar(db, "SELECT count(*) FROM tracking_holds") == 0


def test_a_conversion_without_an_amount_is_taken_back_as_a_whole_by_a_lost_dispute(
    db: Rolled,
) -> None:
    open_shop(db, ONE_TIME)
    send(db, conversion("o1", amount=None), dispute("o1", "lost"))
    assert balance(db) == 0
    assert said(send(db, refund("o1", 100))) == ["rejected:full_refund_required"]
    assert said(send(db, refund("o1", id_="r2"))) == ["applied"]
    assert balance(db) == 0
    assert_whole(db)


def test_a_lost_dispute_gives_back_a_reward_of_the_referrers_cap_once(db: Rolled) -> None:
    open_shop(db, PERCENTAGE, max_rewards_per_referrer=1)
    send_one_by_one(db, conversion("o1"), dispute("o1", "lost"), refund("o1"))
    assert said(send(db, conversion("o2", "u2"), conversion("o3", "u3"))) == [
        "applied",
        "rejected:reward_cap_reached",
    ]
    assert_whole(db)


def test_the_database_keeps_what_a_dispute_holds_until_it_is_decided(db: Rolled) -> None:
    open_shop(db, PERCENTAGE)
    send_one_by_one(db, conversion("o1"), dispute("o1"))
    for change in (
        "UPDATE earnings SET held_at = NULL, hold_reason = NULL",
        "DELETE FROM tracking_holds",
    ):
        with (
            pytest.raises(Exception, match=r"is open|append-only|permission"),
            transaction(db) as tx,
        ):
            tx.execute(text(change))
    send(db, dispute("o1", "won"))
    with pytest.raises(IntegrityError, match="final"), transaction(db) as tx:
        tx.execute(text("UPDATE tracking_holds SET outcome = 'lost'"))


def run(engine: Engine, acme: int, name: str) -> None:
    payouts.build_run(engine, RunSpec(acme, name, JUNE + 30 * DAY))


def payee(engine: Engine, acme: int) -> None:
    with transaction(engine) as tx:
        payouts.put_payees(tx, [PayeeUpdate(acme, "ada", "stripe", JUNE, "acct_ada")])


def test_what_is_disputed_is_in_no_run_and_its_neighbours_are(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    payee(engine, acme)
    send_one_by_one(engine, conversion("o1"), conversion("o2", "u2", 5_000), dispute("o1"))
    send(engine, refund("o1", 5_000))
    run(engine, acme, "one")
    assert rows(engine, "SELECT amount FROM payouts") == [(500,)]
    send(engine, dispute("o1", "won"))
    run(engine, acme, "two")
    assert rows(engine, "SELECT amount FROM payouts ORDER BY id") == [(500,), (500,)]
    house.assert_whole(engine)


def test_a_dispute_of_what_waits_to_be_sent_cancels_that_payout(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    payee(engine, acme)
    send(engine, conversion("o1"))
    run(engine, acme, "one")
    send(engine, dispute("o1"))
    with transaction(engine) as tx:
        payout_id = tx.execute(text("SELECT id FROM payouts")).scalar_one()
        left = payouts.begin_first_attempt(tx, payouts.frozen(tx, payout_id), house.PAPER)
    assert left == Leave("on_hold")
    assert rows(engine, "SELECT state FROM payouts") == [("canceled",)]
    send(engine, dispute("o1", "lost"))
    run(engine, acme, "two")
    assert rows(engine, "SELECT state FROM payouts") == [("canceled",)]
    assert balance(engine) == 0
    house.assert_whole(engine)


def test_a_dispute_lost_after_the_payout_is_owed_by_the_next(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE)
    payee(engine, acme)
    send(engine, conversion("o1"))
    run(engine, acme, "one")
    attempt = house.begin(engine, scalar(engine, "SELECT id FROM payouts"))
    send(engine, dispute("o1"))  # while it is being sent
    house.record(engine, attempt, house.SUCCESS)
    assert rows(engine, "SELECT payout_status FROM tracking_details") == [("paid",)]
    send(engine, dispute("o1", "lost"))
    assert balance(engine) == -1_000
    assert due(engine, acme) == (-1_000, 0)
    send(engine, conversion("o2", "u2", 30_000))
    run(engine, acme, "two")
    assert rows(engine, "SELECT amount FROM payouts ORDER BY id") == [(1_000,), (2_000,)]
    house.assert_whole(engine)


@pytest.mark.parametrize("seed", range(2))
def test_workers_that_share_disputes_refunds_and_runs_lose_no_cent(
    engine: Engine, seed: int
) -> None:
    dice = random.Random(seed)
    acme = open_shop(engine, PERCENTAGE)
    payee(engine, acme)
    orders = [f"o{i}" for i in range(16)]
    texts = [
        one
        for number, order in enumerate(orders)
        for one in (
            conversion(order, f"u{number}"),
            refund(order, 1_234, id_="a"),
            dispute(order),
            dispute(order, "lost" if number % 2 else "won", at=JUNE + 2 * DAY),
            refund(order, 2_000, id_="b"),
        )
    ]
    texts += dice.sample(texts, 20)
    dice.shuffle(texts)
    shares = [texts[i::4] for i in range(4)]

    def work(share: list[str]) -> None:
        for at in range(0, len(share), 3):
            send(engine, *share[at : at + 3])

    def build() -> None:
        for number in range(4):
            run(engine, acme, f"run {number}")

    together([*[lambda s=s: work(s) for s in shares], build])
    assert {s for s in standing(engine).values() if s != "applied"} == set()
    kept = 1_000 - 323
    paid = scalar(engine, "SELECT coalesce(sum(amount), 0) FROM payouts")
    assert balance(engine) + paid == 8 * kept
    assert held(engine) == [(None,)]
    house.assert_whole(engine)
