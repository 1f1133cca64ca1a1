"""Eighteen months of a real shop's purchases, day by day, under each expiration policy, against a calculation
card by card that walks the calendar; and whether sweeps run each day, late, twice, killed, or not at all.

A card earns a point for each dollar and spends 60 with every third purchase, if it has them. The default
plays 24 of the 2,357 customers, TIME_MACHINE_CARDS says how many.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, text

from domain.db import Tx
from domain.loyalty import service
from tests.domain.loyalty.conftest import open_shop
from tests.oracles.expiry import Account, Program

__all__ = ["open_shop"]

SAMPLE = Path(__file__).parents[2] / "examples" / "cdnow_purchases.csv"
CARDS = int(os.environ.get("TIME_MACHINE_CARDS", "24"))
DAY = timedelta(days=1)
LAST = datetime(1998, 9, 1, tzinfo=UTC)
LONG_AFTER = [datetime(1998 + n // 12, n % 12 + 1, 2, tzinfo=UTC) for n in range(9, 30)]
SPENT, EVERY = 60, 3

QUARTERS = {"kind": "rolling", "months": 6, "round_up": "quarter"}
NEW_YEAR = {"kind": "calendar", "month": 12, "day": 31, "grace_days": 31}
POLICIES = {
    "inactivity": Program("UTC", [], 180),
    "rolling days": Program("Europe/Berlin", [{"kind": "rolling", "days": 90}]),
    "rolling months, to the end of a quarter": Program("America/New_York", [QUARTERS]),
    "a fixed date with a grace period": Program("Asia/Kathmandu", [NEW_YEAR]),
    "all of them": Program(
        "Australia/Lord_Howe", [{"kind": "rolling", "months": 11}, QUARTERS, NEW_YEAR], 120
    ),
    "never": Program("UTC", []),
}


class Purchase(NamedTuple):
    """A purchase of the sample: whose, when, cents, and whether points are spent with it."""

    customer: str
    at: datetime
    cents: int
    spends: bool


def purchases() -> list[Purchase]:
    """Of the customers who bought most often and, as many, of some in between; in order of time."""
    with SAMPLE.open(newline="") as file:
        lines = list(csv.DictReader(file))
    often = Counter(line["customer_id"] for line in lines)
    ranked = [customer for customer, _ in often.most_common()]
    busy, rest = ranked[: CARDS // 2], ranked[CARDS // 2 :]
    spread = max(len(rest) // max(CARDS - len(busy), 1), 1)
    chosen = {*busy, *rest[::spread][: CARDS - len(busy)]}
    seen, in_day, found = Counter[str](), Counter[str](), []
    for line in lines:
        customer, day = line["customer_id"], line["date"]
        opening = datetime.combine(date.fromisoformat(day), time(9), UTC)
        if customer in chosen:
            seen[customer] += 1
            at = opening + timedelta(seconds=in_day[day])
            cents = round(float(line["amount_usd"]) * 100)
            found.append(Purchase(customer, at, cents, seen[customer] % EVERY == 0))
        in_day[day] += 1
    return found


def calculated(program: Program, bought: list[Purchase]) -> dict[str, list[tuple[Any, ...]]]:
    """Each card's rows, one card after the other."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for customer in {one.customer for one in bought}:
        account = Account(Program(program.zone, program.policies, program.inactivity_days))
        account.program = program
        mine = rows[customer] = []
        for one in bought:
            if one.customer != customer:
                continue
            gone = account.pass_to(one.at)
            mine += [("points_expired", -points, at) for at, points in gone]
            if one.cents >= 100:
                account.earn(one.cents // 100, one.at)
                mine.append(("points_earned", one.cents // 100, one.at))
            if one.spends and account.balance() >= SPENT:
                account.spend(SPENT, one.at)
                mine.append(("points_redeemed", -SPENT, one.at))
        mine += [("points_expired", -n, at) for at, n in account.pass_to(LONG_AFTER[-1])]
    return rows


@pytest.fixture
def tx(engine: Engine) -> Iterator[Tx]:
    """On a database of its own: what other tests rolled back makes the shared one slow to look through."""
    with engine.connect() as connection:
        outer = connection.begin()
        yield connection
        outer.rollback()


def booked(tx: Tx, shop: Any) -> dict[str, list[tuple[Any, ...]]]:
    found = tx.execute(
        text(
            "SELECT c.number, t.type, t.points_delta, t.transaction_at FROM loyalty_transactions t"
            " JOIN cards c ON c.id = t.card_id WHERE t.merchant_id = :m AND seq > 1 ORDER BY c.id, seq"
        ),
        {"m": shop.merchant_id},
    )
    return {
        number: [tuple(rest) for _, *rest in mine]
        for number, mine in groupby(found, key=lambda row: row[0])
    }


def events_of(shop: Any, bought: list[Purchase], new: set[str]) -> Iterator[Any]:
    for one in bought:
        if one.customer in new:
            new.discard(one.customer)
            yield shop.enrol(one.customer, time=one.at)
        yield shop.earn(one.customer, purchase_amount=one.cents, time=one.at)
        if one.spends:
            yield shop.redeem(one.customer, SPENT, one.at)


def sweep(tx: Tx, shop: Any, fire_at: datetime, size: int = 2_000, *, killed: bool = False) -> None:
    """The sweep of a day; one that is killed has booked its first range, and the second in vain."""
    for number, part in enumerate(service.plan_expiry(tx, shop.merchant_id, fire_at, size)):
        attempt = tx.begin_nested()
        service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, fire_at)
        if killed and number == 1:
            attempt.rollback()
            return
        attempt.commit()


def due(tx: Tx, fire_at: datetime, shops: dict[Any, Any]) -> list[Any]:
    """Those of some shops where a sweep would find something, asked at once."""
    found = tx.execute(
        text("SELECT DISTINCT merchant_id FROM cards WHERE expire_check_on <= :at"), {"at": fire_at}
    )
    merchants = set(found.scalars())
    return [shop for shop in shops.values() if shop.merchant_id in merchants]


def test_18_months_of_purchases_expire_as_calculated_whenever_sweeps_run(
    tx: Tx, open_shop: Any
) -> None:
    bought, rng = purchases(), Random(18)
    daily, careless, never = [
        {
            name: open_shop(
                tx,
                zone=program.zone,
                currency="usd",
                expiration=program.policies,
                inactivity_days=program.inactivity_days,
                minimum_purchase=100,
            )
            for name, program in POLICIES.items()
        }
        for _ in range(3)
    ]
    shops = [shop for road in (daily, careless, never) for shop in road.values()]
    new = {shop.merchant_id: {one.customer for one in bought} for shop in shops}
    of_day = {day: list(some) for day, some in groupby(bought, key=lambda one: one.at.date())}
    now = bought[0].at.replace(hour=3, minute=0, second=0)
    while now <= LAST:
        for shop in due(tx, now, daily):
            sweep(tx, shop, now)
        if rng.random() < 0.1:
            late = now - rng.randrange(20) * DAY
            for shop in due(tx, late, careless):
                sweep(tx, shop, late, 2, killed=True)
                for _ in range(rng.randrange(3)):
                    sweep(tx, shop, late, 3)
        today = of_day.get(now.date(), [])
        if today:
            events = [e for shop in shops for e in events_of(shop, today, new[shop.merchant_id])]
            shops[0].apply(tx, events, now + timedelta(hours=20))
        now += DAY
    for at in LONG_AFTER:
        for shop in due(tx, at, daily):
            sweep(tx, shop, at)
    for shop in [*careless.values(), *never.values()]:
        sweep(tx, shop, LONG_AFTER[-1])
    for policy, program in POLICIES.items():
        wanted = calculated(program, bought)
        assert any(type_ == "points_expired" for rows in wanted.values() for type_, *_ in rows) == (
            policy != "never"
        )
        for road in (daily, careless, never):
            assert booked(tx, road[policy]) == wanted
    assert service.check_invariants(tx) == []


def told_late(bought: list[Purchase], rng: Random) -> list[tuple[datetime, Purchase]]:
    """When the shop tells of each purchase: days later for some, but no card's later one before its earlier."""
    arrives: list[tuple[datetime, Purchase]] = []
    last: dict[str, datetime] = {}
    for one in bought:
        late = one.at + rng.choice((0, 0, 1, 9, 20, 29)) * DAY
        last[one.customer] = max(late, last.get(one.customer, late))
        arrives.append((last[one.customer], one))
    return sorted(arrives, key=lambda told: (told[0], told[1].at))


def net(tx: Tx, shop: Any) -> tuple[dict[str, list[tuple[Any, ...]]], int]:
    """Each card's rows in order of time, an expiry less what was given back of it; and how many were."""
    found = tx.execute(
        text(
            """
            SELECT c.number, t.type, t.points_delta + coalesce(sum(r.points_delta), 0), t.transaction_at,
                   count(r.id)
            FROM loyalty_transactions t JOIN cards c ON c.id = t.card_id
            LEFT JOIN loyalty_transactions r ON r.related_transaction_id = t.id
            WHERE t.merchant_id = :m AND t.seq > 1 AND t.related_transaction_id IS NULL
            GROUP BY c.id, t.id ORDER BY c.id, t.transaction_at, t.seq
            """
        ),
        {"m": shop.merchant_id},
    ).all()
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for number, type_, points, at, _ in found:
        mine = rows.setdefault(number, [])
        if points:
            mine.append((type_, points, at))
    return rows, sum(row[-1] for row in found)


def test_purchases_told_up_to_a_month_late_leave_what_those_told_in_time_would(
    tx: Tx, open_shop: Any
) -> None:
    bought, rng = purchases(), Random(29)
    program = Program("Europe/Berlin", [], 40)
    shop = open_shop(
        tx, zone=program.zone, currency="usd", inactivity_days=40, minimum_purchase=100
    )
    new = {one.customer for one in bought}
    for customer in sorted(new):
        shop.apply(tx, [shop.enrol(customer, time=bought[0].at)], bought[0].at)
    arrivals = told_late(bought, rng)
    now = bought[0].at.replace(hour=3, minute=0, second=0)
    while arrivals:
        sweep(tx, shop, now)
        today = [one for at, one in arrivals if at <= now + timedelta(hours=20)]
        arrivals = arrivals[len(today) :]
        if today:
            shop.apply(tx, list(events_of(shop, today, set())), now + timedelta(hours=20))
        now += DAY
    sweep(tx, shop, LONG_AFTER[-1])
    rows, restored = net(tx, shop)
    wanted = calculated(program, bought)
    assert rows == {customer: sorted(wanted[customer], key=lambda row: row[2]) for customer in rows}
    assert restored > 10
    assert service.check_invariants(tx) == []
