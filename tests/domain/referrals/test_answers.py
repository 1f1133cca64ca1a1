"""What people ask is answered from the rows: what a program did, a user's history, and why an amount."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.errors import NotFound
from domain.payouts import service as payouts
from domain.payouts.service import PayeeUpdate, RunSpec
from domain.referrals import answers, holds
from domain.referrals.rules.holds import HoldPolicy
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    ONE_TIME,
    PERCENTAGE,
    TIERED,
    assert_whole,
    code,
    conversion,
    dispute,
    merchant,
    open_shop,
    program,
    refund,
    rows,
    scalar,
    send,
    send_one_by_one,
    together,
)

MIA = Actor("person", "mia")


@pytest.fixture
def db(tx: Tx) -> Rolled:
    return Rolled(tx)


def stats(db: Any, acme: int, **narrowed: Any) -> dict[str, int]:
    with transaction(db) as tx:
        return answers.statistics(tx, acme, "refer", **narrowed).total


def counted_again(db: Any) -> dict[str, int]:
    """The same sums out of the rows themselves."""
    [made] = rows(
        db,
        "SELECT count(*), coalesce(sum(transaction_amount), 0)::bigint, coalesce(sum(amount_earned), 0)::bigint,"
        " coalesce(sum(referee_amount_earned), 0)::bigint FROM trackings t JOIN programs p ON p.id = program_id"
        " WHERE key = 'refer'",
    )
    [taken] = rows(
        db,
        "SELECT count(r.*), coalesce(sum(amount), 0)::bigint, coalesce(sum(reversed), 0)::bigint,"
        " coalesce(sum(referee_reversed), 0)::bigint FROM tracking_reversals r"
        " JOIN trackings t ON t.id = tracking_id JOIN programs p ON p.id = program_id WHERE key = 'refer'",
    )
    names = ("conversions", "volume", "earned", "referee_earned")
    back = ("reversals", "refunded", "reversed", "referee_reversed")
    return dict(zip(names, made, strict=True)) | dict(zip(back, taken, strict=True))


def test_a_program_tells_what_it_did_in_all_and_by_day(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE, referee_rule={"amount": 50})
    with transaction(db) as tx:
        program(tx, acme, ONE_TIME, "other")
        code(tx, acme, "OTHER-1", "bea", "other")
    send_one_by_one(
        db,
        conversion("o1"),
        conversion("o2", "cyd", 5_000, at=JUNE + DAY),
        conversion("o3", by="OTHER-1"),
        refund("o1", 2_500, at=JUNE + 3 * DAY),
        dispute("o2", "lost", at=JUNE + 3 * DAY),
        conversion("o1", "again", id_="copy"),
    )
    total = stats(db, acme)
    assert total == counted_again(db)
    assert total == {
        "conversions": 2,
        "volume": 15_000,
        "earned": 1_500,
        "referee_earned": 100,
        "reversals": 2,
        "refunded": 2_500,
        "reversed": 750,
        "referee_reversed": 62,
    }
    with transaction(db) as tx:
        told = answers.statistics(tx, acme, "refer").days
    assert [(row.day, row.conversions, row.reversals) for row in told] == [
        (date(2026, 6, 1), 1, 0),
        (date(2026, 6, 2), 1, 0),
        (date(2026, 6, 4), 0, 2),
    ]
    assert stats(db, acme, since=date(2026, 6, 2), until=date(2026, 6, 4))["volume"] == 5_000
    with transaction(db) as tx, pytest.raises(NotFound):
        answers.statistics(tx, merchant(tx, "zeta"), "refer")


def test_what_a_program_did_is_exact_among_workers(engine: Engine) -> None:
    acme = open_shop(engine, TIERED)

    def work(worker: int) -> None:
        for i in range(12):
            send(
                engine,
                conversion(f"o{worker}-{i}", f"u{worker}-{i}"),
                refund(f"o{(worker + 1) % 8}-{i}", 1_000),
            )

    together([lambda w=w: work(w) for w in range(8)])
    assert stats(engine, acme) == counted_again(engine)
    assert stats(engine, acme)["conversions"] == 96
    assert_whole(engine)


def test_a_history_is_paged_newest_first_over_an_index(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        code(tx, acme, "BEA-001", "bea")
    for i in range(5):
        send(db, conversion(f"o{i}", f"u{i}"), conversion(f"b{i}", f"u{i}", by="BEA-001"))
    found: list[str] = []
    before = None
    while True:
        with transaction(db) as tx:
            page = answers.history(tx, acme, "ada", before=before, limit=2)
        if not page:
            break
        found += [row.transaction_id for row in page]
        before = page[-1].id
    assert found == ["o4", "o3", "o2", "o1", "o0"]
    with transaction(db) as tx:
        # Of so few rows any plan is cheap: what is asked is whether an index has them in this order.
        index = tx.execute(text("SELECT pg_get_indexdef('ix_trackings_referrer'::regclass)"))
        assert index.scalar_one().endswith("(merchant_id, referrer_user_id, id)")


def why(db: Any, acme: int, order: str) -> str:
    with transaction(db) as tx:
        told = answers.explain_tracking(tx, acme, answers.tracking_of(tx, acme, order))
    return "\n".join(told.why)


def test_every_amount_is_explained_by_rule_tier_version_and_events(engine: Engine) -> None:
    acme = open_shop(engine, TIERED, referee_rule={"basis_points": 250, "cap": 90})
    with transaction(engine) as tx:
        holds.set_policy(tx, acme, "refer", HoldPolicy(code_per_hour=3), actor=MIA)
        payouts.put_payees(tx, [PayeeUpdate(acme, "ada", "stripe", JUNE, "acct_ada")])
    send_one_by_one(engine, *(conversion(f"o{i}", f"u{i}") for i in range(4)))
    payouts.build_run(engine, RunSpec(acme, "june", JUNE + DAY))
    send_one_by_one(engine, refund("o0", 2_500), dispute("o0", "lost"), dispute("o1"))
    first = why(engine, acme, "o0")
    for sentence in (
        "u0 converted on 2026-06-01 12:00 UTC by the code ADA-01 of ada: transaction o0 of 100.00 USD"
        " (event o0/paid of shop).",
        "By count, ada had reached 1, this one included: tier 1 of version 1 of the program refer, 4 % of"
        " 100.00 USD: 4.00 USD.",
        "u0 gets 2.5 % of 100.00 USD, at most 0.90 USD: 0.90 USD.",
        "The refund r1 gave 25.00 USD back on 2026-06-02 12:00 UTC: its share, 1.00 USD and 0.22 USD of the"
        " other side, was taken back (event o0/r1 of shop).",
        "The dispute d1 was lost on 2026-06-02 12:00 UTC: all that was left, 3.00 USD",
        "reward of ada: 4.00 USD, in payout 1, which is approved.",
        "clawback of ada: -3.00 USD, payable from",
        "ada keeps 0.00 USD of 4.00 USD: it is reversed.",
    ):
        assert sentence in first, first
    assert "It is held since 2026-06-02 12:00 UTC (dispute d1); hold" in why(engine, acme, "o1")
    fourth = why(engine, acme, "o3")
    assert "had reached 4, this one included: tier 2 of version 1" in fourth
    assert "(velocity); hold" in fourth
    hold = scalar(engine, "SELECT id FROM tracking_holds WHERE kind = 'velocity'")
    with transaction(engine) as tx:
        holds.reject(tx, acme, hold, actor=MIA, reason="a bot")
    fourth = why(engine, acme, "o3")
    assert "until it was rejected by mia: a bot." in fourth
    assert "10.00 USD, void." in fourth
    with transaction(engine) as tx, pytest.raises(NotFound):
        answers.explain_tracking(tx, merchant(tx, "zeta"), 1)
    with transaction(engine) as tx, pytest.raises(NotFound):
        answers.tracking_of(tx, acme, "never")


def test_what_was_taken_back_of_a_held_reward_is_told_as_held_with_it(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    send(db, conversion("o1"), refund("o1", 2_500), dispute("o1"))
    told = why(db, acme, "o1")
    assert "reward of ada: 10.00 USD, held." in told
    assert "clawback of ada: -2.50 USD, held." in told
    send(db, dispute("o1", "won"))
    assert "clawback of ada: -2.50 USD, payable from" in why(db, acme, "o1")


def test_what_earned_nothing_is_explained_too(db: Rolled) -> None:
    acme = open_shop(
        db, {"kind": "tiered", "by": "volume", "tiers": [{"from": 20_000, "amount": 100}]}
    )
    send(db, conversion("o1"))
    assert "reached 100.00 USD, this one included: below the first tier" in why(db, acme, "o1")


def test_a_fixed_amount_without_a_purchase_is_explained(db: Rolled) -> None:
    acme = open_shop(db, ONE_TIME)
    send(db, conversion("o1", amount=None))
    assert "The one_time rule of version 1 of the program refer gives a fixed 5.00 USD." in why(
        db, acme, "o1"
    )
