"""Five programs over the sample of real purchases: every amount is what a short calculation says."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.db import transaction
from domain.referrals import answers
from tests.domain.inbox.shop import (
    assert_whole,
    code,
    conversion,
    dispute,
    merchant,
    program,
    refund,
    rows,
    said,
    send,
)
from tests.oracles.referrals import FOUNDERS, Happening, calculate, happenings

SAMPLE = Path(__file__).parents[2] / "examples" / "cdnow_purchases.csv"
BATCH = 500
PROGRAMS = {
    1: ({"kind": "one_time", "amount": 500}, {"referee_rule": {"amount": 200}}),
    2: (
        {"kind": "recurring", "basis_points": 800, "max_payments": 6, "duration_days": 365},
        {},
    ),
    3: (
        {"kind": "percentage", "basis_points": 1000, "cap": 600},
        {"referee_rule": {"basis_points": 333, "cap": 150}, "window_days": 180},
    ),
    4: (
        {
            "kind": "tiered",
            "by": "count",
            "period": "month",
            "tiers": [{"from": 1, "basis_points": 400}, {"from": 4, "basis_points": 700}],
        },
        {},
    ),
    0: (
        {
            "kind": "tiered",
            "by": "volume",
            "tiers": [
                {"from": 0, "basis_points": 300},
                {"from": 100_000, "basis_points": 500},
                {"from": 300_000, "basis_points": 800},
            ],
        },
        {},
    ),
}


def text_of(one: Happening) -> str:
    order = f"cdnow-{one.row}"
    if one.what == "bought":
        by = f"FOUNDER-{one.founder:02}"
        return conversion(order, one.customer, one.amount, by=by, at=one.at)
    if one.what == "refunded":
        return refund(order, one.amount, at=one.at)
    return dispute(order, one.what, at=one.at)


@pytest.fixture
def played(engine: Engine) -> Engine:
    with transaction(engine) as tx:
        acme = merchant(tx)
        for number, (rule, terms) in PROGRAMS.items():
            program(tx, acme, rule, f"p{number}", min_amount=100, **terms)
    story = happenings(SAMPLE)
    owners = {one.founder: one.customer for one in story if one.number == one.founder}
    with transaction(engine) as tx:
        for founder in range(1, FOUNDERS + 1):
            code(tx, acme, f"FOUNDER-{founder:02}", owners[founder], f"p{founder % 5}")
    for at in range(0, len(story), BATCH):
        send(engine, *map(text_of, story[at : at + BATCH]))
    return engine


def test_every_amount_of_the_sample_is_what_a_short_calculation_says(played: Engine) -> None:
    shop = calculate(SAMPLE)
    assert len(shop.earned) > 4_500
    stored = {
        int(order.removeprefix("cdnow-")): tuple(amounts)
        for order, *amounts in rows(
            played,
            "SELECT transaction_id, amount_earned, referee_amount_earned, amount_earned - reversed_amount,"
            " referee_amount_earned - referee_reversed_amount FROM trackings",
        )
    }
    assert stored == {
        row: (e.reward, e.referee, e.kept(e.reward), e.kept(e.referee))
        for row, e in shop.earned.items()
    }
    reasons = rows(
        played, "SELECT reason, count(*) FROM inbox_events WHERE status = 'rejected' GROUP BY 1"
    )
    assert dict(reasons) == shop.refused
    owners = {o.founder: o.customer for o in happenings(SAMPLE) if o.number == o.founder}
    owed: dict[str, int] = {}
    for e in shop.earned.values():
        owner = owners[e.of.founder]
        owed[owner] = owed.get(owner, 0) + e.kept(e.reward)
        owed[e.of.customer] = owed.get(e.of.customer, 0) + e.kept(e.referee)
    assert dict(
        rows(
            played,
            "SELECT owner, balance FROM ledger_accounts WHERE kind = 'payable' AND balance <> 0",
        )
    ) == {user: amount for user, amount in owed.items() if amount}
    with transaction(played) as tx:
        told = [answers.statistics(tx, 1, f"p{n}").total for n in PROGRAMS]
    assert sum(t["earned"] for t in told) == sum(e.reward for e in shop.earned.values())
    assert sum(t["reversed"] for t in told) == sum(
        e.reward - e.kept(e.reward) for e in shop.earned.values()
    )
    assert rows(played, "SELECT count(*) FROM earnings WHERE held_at IS NOT NULL") == [(0,)]
    assert_whole(played)
    again = send(played, *map(text_of, happenings(SAMPLE)[:BATCH]))
    assert set(said(again)) == {"duplicate"}
