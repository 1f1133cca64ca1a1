"""Programs run on schedules, their tiers may begin anew, and a copy is a program of its own."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.db import Tx, transaction
from domain.errors import Forbidden, Invalid, NotFound
from domain.referrals import admin
from domain.referrals.admin import NewCode, Terms
from domain.referrals.rules.periods import PERIODS, begins, ends
from tests.domain.inbox.rolled import Rolled
from tests.domain.inbox.shop import (
    DAY,
    JUNE,
    PERCENTAGE,
    SECOND,
    TESTER,
    assert_whole,
    balance,
    code,
    conversion,
    dispute,
    open_shop,
    program,
    refund,
    rows,
    said,
    scalar,
    send,
    send_one_by_one,
    together,
)

MONTHLY = {
    "kind": "tiered",
    "by": "count",
    "period": "month",
    "tiers": [{"from": 1, "amount": 100}, {"from": 3, "amount": 300}],
}


@pytest.fixture
def db(tx: Tx) -> Rolled:
    return Rolled(tx)


def month(number: int, day: int = 1) -> datetime:
    return datetime(2026, number, day, tzinfo=UTC)


@pytest.mark.parametrize("period", PERIODS)
def test_periods_follow_one_another_without_a_gap(period: str) -> None:
    starts = [begins(period, month(m, d)) for m in range(1, 13) for d in (1, 28)]
    for a, b in pairwise(sorted(set(starts))):
        assert ends(period, a) == b
        assert begins(period, b - SECOND) == a
    assert begins("quarter", month(12, 31)) == month(10)


def test_tiers_of_a_period_begin_anew_by_the_time_of_the_conversion(db: Rolled) -> None:
    open_shop(db, MONTHLY)
    times = [
        month(5, 31),
        month(5, 2),
        month(5, 3),
        month(6),
        month(6, 2),
        month(5, 1),
        month(6, 3),
    ]
    texts = [conversion(f"o{i}", f"u{i}", at=at) for i, at in enumerate(times)]
    for cut in (7, 1, 3):
        with db.scratch():
            for at in range(0, 7, cut):
                send(db, *texts[at : at + cut])
            found = rows(
                db,
                "SELECT (explanation->'reached')::int, amount_earned, explanation->>'period' FROM trackings"
                " ORDER BY seq",
            )
            assert found == [
                (reached, 300 if reached > 2 else 100, "month") for reached in (1, 2, 3, 1, 2, 4, 3)
            ]
            assert_whole(db)


def test_a_reversal_lowers_the_count_of_the_period_that_it_was_counted_in(db: Rolled) -> None:
    open_shop(db, MONTHLY)
    send_one_by_one(
        db,
        conversion("a", "u1", at=month(4, 2)),
        conversion("b", "u2", at=month(4, 3)),
        conversion("c", "u3", at=month(5, 1)),
        refund("a", at=month(5, 2)),
        dispute("b", "lost", at=month(5, 2)),
        conversion("d", "u4", at=month(4, 9)),
        conversion("e", "u5", at=month(5, 3)),
    )
    assert rows(db, "SELECT starts_at, conversions FROM referrer_periods ORDER BY 1") == [
        (month(4), 1),
        (month(5), 2),
    ]


def test_a_version_with_a_period_counts_what_came_before_it(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    send(db, *(conversion(f"a{i}", f"u{i}", at=month(5, 1 + i)) for i in range(3)), refund("a0"))
    for rule in (MONTHLY, PERCENTAGE, MONTHLY):
        with transaction(db) as tx:
            admin.change_program(tx, acme, "refer", Terms(rule, "usd"), actor=TESTER)
        send(
            db, conversion(f"b{scalar(db, 'SELECT count(*) FROM trackings')}", "v", at=month(5, 9))
        )
    assert rows(
        db,
        "SELECT (explanation->'reached')::int FROM trackings WHERE explanation->>'period' IS NOT NULL"
        " ORDER BY id",
    ) == [(3,), (5,)]


@pytest.mark.parametrize("seed", range(2))
def test_tiers_by_volume_of_a_quarter_are_exact_among_workers(engine: Engine, seed: int) -> None:
    tiers = [{"from": 0, "basis_points": 100}, {"from": 20_000, "basis_points": 500}]
    open_shop(engine, {"kind": "tiered", "by": "volume", "period": "quarter", "tiers": tiers})
    dice = random.Random(seed)
    texts = [
        conversion(f"o{i}", f"u{i}", dice.randrange(1, 3_000), at=month(1 + i % 6, 5))
        for i in range(64)
    ]
    dice.shuffle(texts)

    def work(mine: list[str]) -> None:
        for at in range(0, len(mine), 3):
            send(engine, *mine[at : at + 3])

    together([lambda w=w: work(texts[w::8]) for w in range(8)])
    volumes = {month(1): 0, month(4): 0}
    for at, amount, earned, reached in rows(
        engine,
        "SELECT converted_at, transaction_amount, amount_earned, (explanation->'reached')::int"
        " FROM trackings ORDER BY seq",
    ):
        start = begins("quarter", at)
        volumes[start] += amount
        assert reached == volumes[start]
        assert earned == round(amount * (5 if reached >= 20_000 else 1) / 100)
    assert dict(rows(engine, "SELECT starts_at, volume FROM referrer_periods")) == volumes
    assert_whole(engine)


def test_a_program_counts_from_its_start_until_its_end_by_the_conversions_time(db: Rolled) -> None:
    open_shop(db, PERCENTAGE, starts_at=JUNE, ends_at=JUNE + DAY)
    outcomes = send(
        db,
        conversion("o1", "u1", at=JUNE - SECOND),
        conversion("o2", "u2", at=JUNE),
        conversion("o3", "u3", at=JUNE + DAY - SECOND),
        conversion("o4", "u4", at=JUNE + DAY),
    )
    assert said(outcomes) == [
        "rejected:program_inactive",
        "applied",
        "applied",
        "rejected:program_inactive",
    ]
    assert [
        "starts at" in (o.detail or "") or "ended at" in (o.detail or "") for o in outcomes
    ] == [
        True,
        False,
        False,
        True,
    ]
    assert balance(db) == 2_000


def test_a_copy_has_the_terms_and_none_of_the_codes(db: Rolled) -> None:
    acme = open_shop(db, MONTHLY, hold_days=9, ends_at=JUNE + DAY, referee_rule={"amount": 5})
    with transaction(db) as tx:
        admin.copy_program(tx, acme, "refer", "again", None, actor=TESTER)
        one, other = admin.programs(tx, acme)
        same = ("rule", "referee_rule", "hold_days", "ends_at", "name", "currency")
        assert [getattr(one, f) for f in same] == [getattr(other, f) for f in same]
        assert (one.key, one.version) == ("again", 1)
        assert [row.program for row in admin.codes(tx, acme, user_id=None, limit=9)] == ["refer"]
        with pytest.raises(NotFound):
            admin.copy_program(tx, acme, "nope", "x", None, actor=TESTER)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"rule": MONTHLY | {"period": "week"}}, "rule.period"),
        ({"starts_at": JUNE, "ends_at": JUNE}, "ends_at"),
        ({"starts_at": datetime(2026, 6, 1)}, "starts_at"),  # noqa: DTZ001
        ({"codes_per_user": 0}, "codes_per_user"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_field(
    db: Rolled, terms: dict[str, Any], field: str
) -> None:
    acme = open_shop(db, PERCENTAGE)
    with pytest.raises(Invalid) as refused, transaction(db) as tx:
        program(tx, acme, **({"rule": PERCENTAGE, "key": "other"} | terms))
    assert refused.value.field == field


def test_a_lifetime_is_no_period(db: Rolled) -> None:
    open_shop(db, MONTHLY | {"period": "lifetime"})
    send(db, conversion("o1", "u1", at=month(4)), conversion("o2", "u2", at=month(5)))
    assert rows(db, "SELECT (explanation->'reached')::int FROM trackings ORDER BY seq") == [
        (1,),
        (2,),
    ]
    assert scalar(db, "SELECT count(*) FROM referrer_periods") == 0


def test_one_user_has_as_many_codes_as_the_program_says(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE, codes_per_user=2)
    with transaction(db) as tx:
        code(tx, acme, "ADA-02")
    for more in ([NewCode("ada")], [NewCode("bea"), NewCode("bea"), NewCode("bea")]):
        with pytest.raises(Invalid, match="more than 2 codes"), transaction(db) as tx:
            admin.create_codes(tx, acme, "refer", more, actor=TESTER)
    assert scalar(db, "SELECT count(*) FROM codes") == 2


def test_two_who_make_a_users_last_code_at_once_make_one(engine: Engine) -> None:
    acme = open_shop(engine, PERCENTAGE, codes_per_user=2)

    def make() -> str:
        try:
            with transaction(engine) as tx:
                admin.create_codes(tx, acme, "refer", [NewCode("ada")], actor=TESTER)
        except Invalid:
            return "refused"
        return "made"

    assert sorted(together([make] * 4)) == ["made"] + ["refused"] * 3


def test_a_suspended_code_counts_nothing_until_it_is_back_and_the_audit_says_why(
    db: Rolled,
) -> None:
    acme = open_shop(db, PERCENTAGE)

    def put(status: str) -> None:
        with transaction(db) as tx:
            admin.set_code_status(
                tx, acme, "ADA-01", status, actor=TESTER, reason="posted in a forum"
            )

    put("suspended")
    assert said(send(db, conversion("o1"))) == ["rejected:code_inactive"]
    put("active")
    assert said(send(db, conversion("o2"))) == ["applied"]
    assert rows(
        db,
        "SELECT before, after, reason FROM audit_entries WHERE action = 'code.status_set' LIMIT 1",
    ) == [({"status": "active"}, {"status": "suspended"}, "posted in a forum")]
    with transaction(db) as tx:
        with pytest.raises(NotFound):
            admin.set_code_status(tx, acme, "NOBODYS", "active", actor=TESTER, reason="x")
        with pytest.raises(Invalid, match="status"):
            admin.set_code_status(tx, acme, "ADA-01", "expired", actor=TESTER, reason="x")


def test_an_ended_program_stays_ended(db: Rolled) -> None:
    acme = open_shop(db, PERCENTAGE)
    with transaction(db) as tx:
        admin.set_program_status(tx, acme, "refer", "ended", actor=TESTER)
    with pytest.raises(Forbidden), transaction(db) as tx:
        admin.set_program_status(tx, acme, "refer", "active", actor=TESTER)
