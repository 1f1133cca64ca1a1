"""Reports are the sums of the rows themselves: late, backdated and imported ones included."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from domain.db import Tx
from domain.errors import Invalid, NotFound
from domain.loyalty import service
from domain.loyalty.rules.importing import read_card
from domain.loyalty.rules.reporting import DIMENSIONS, chosen, wanted
from domain.loyalty.service import reporting
from domain.loyalty.service.importing import import_cards
from domain.loyalty.store.reporting import MEASURES

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(1)
BERLIN = "Europe/Berlin"


@pytest.fixture
def busy(tx: Tx, open_shop: Any) -> Any:
    """A shop where all types of rows were made, in two stores, over the turn of a month in Berlin."""
    shop = open_shop(
        tx,
        kind="hybrid",
        stamp_target=3,
        stamp_cooldown_minutes=0,
        inactivity_days=365,
        zone=BERLIN,
        welcome_bonus=5,
        backdating_days=3_650,
        cost_per_1000_points=333,
    )
    where: dict[str, Any] = {"store_id": "s1", "staff_pin_id": "pin-1", "terminal_device_id": "t1"}
    # The last minute of June in Berlin, and the first of July.
    last, first = (datetime(2026, 6, 30, 21, 59, tzinfo=UTC), datetime(2026, 6, 30, 22, tzinfo=UTC))
    earn = shop.earn("C1", 100, last, **where)
    spend = shop.redeem("C1", 40, first, store_id="s2")
    stamps = shop.stamp("C1", 4, first, store_id="s2")
    shop.apply(
        tx,
        [
            shop.enrol("C1", time=NOON),
            shop.enrol("C2", time=NOON),
            earn,
            spend,
            stamps,
            shop.event("stamp_redeemed", first + DAY, card="C1", stamps=3, store_id="s1"),
            shop.void(earn, 10, first + DAY),
            shop.void(spend, 15, first + DAY),
            shop.adjust("C1", 7, first + 2 * DAY),
            shop.adjust("C1", -2, first + 2 * DAY),
            shop.event(
                "stamp_voided", first + DAY, card="C1", related_event=stamps.event_id, stamps=1
            ),
        ],
        first + 3 * DAY,
    )
    import_cards(
        tx,
        shop.merchant_id,
        [read_card([{"card": "I1", "customer": "i", "points": "50", "stamps": "2"}])],
    )
    # A proof of activity of last month that comes a year late.
    late = first + 400 * DAY
    shop.apply(tx, [shop.earn("C2", 30, last - DAY, store_id="s2")], late)
    for one in service.plan_expiry(tx, shop.merchant_id, late, 100):
        service.expire_range(tx, shop.merchant_id, one.first_id, one.last_id, late)
    return shop


def ask(tx: Tx, shop: Any, first: str = "2020-01-01", last: str = "2029-12-31", **more: Any) -> Any:
    return reporting.report(tx, shop.merchant_id, wanted(first, last, **({"zone": BERLIN} | more)))


def facts(tx: Tx, shop: Any) -> list[Any]:
    return list(
        tx.execute(
            text(
                "SELECT t.*, p.key AS program FROM loyalty_transactions t"
                " JOIN loyalty_programs p ON p.id = t.program_id WHERE t.merchant_id = :m"
            ),
            {"m": shop.merchant_id},
        )
    )


def key_of(row: Any, by: tuple[str, ...], per: str | None) -> tuple[Any, ...]:
    columns = {
        "program": (row.program,),
        "store": (row.store_id, row.store_name),
        "type": (row.type,),
        "staff": (row.staff_pin_id, row.staff_name),
        "device": (row.terminal_device_id,),
    }
    day = row.transaction_at.astimezone(ZoneInfo(BERLIN)).date()
    start = {
        "day": day,
        "week": day - timedelta(day.weekday()),
        "month": day.replace(day=1),
        None: None,
    }[per]
    divided = tuple(value for name in DIMENSIONS if name in by for value in columns[name])
    return ((start,) if per else ()) + divided


@pytest.mark.parametrize("per", [None, "day", "week", "month"])
@pytest.mark.parametrize(
    "by", [(), ("store",), ("type", "program"), ("staff", "device"), DIMENSIONS], ids="+".join
)
def test_a_report_is_the_sum_of_its_rows(
    tx: Tx, busy: Any, by: tuple[str, ...], per: str | None
) -> None:
    told = ask(tx, busy, by=by, per=per)
    rows = facts(tx, busy)
    counted, points, stamps = Counter[Any](), Counter[Any](), Counter[Any]()
    for row in rows:
        key = key_of(row, by, per)
        counted[key] += 1
        points[key] += row.points_delta
        stamps[key] += row.stamps_delta
    width = len(told.columns) - len(MEASURES)
    seen = {}
    for row in told.rows:
        assert list(row) == told.columns
        key = tuple(row.values())[:width]
        assert key not in seen
        seen[key] = row
        net = (
            row["points_issued"] + row["points_imported"] + row["points_adjusted"]
            - row["points_taken_back"] - row["points_redeemed"] + row["points_given_back"]
            - row["points_expired"] + row["points_restored"]
        )  # fmt: skip
        assert net == row["points_net"] == points[key]
        assert (
            row["stamps_issued"] + row["stamps_imported"] + row["stamps_adjusted"]
            - row["stamps_voided"] - row["stamps_redeemed"]
        ) == row["stamps_net"] == stamps[key]  # fmt: skip
        assert row["transactions"] == counted[key]
    assert set(seen) == set(counted)


def test_a_report_tells_what_was_issued_redeemed_voided_and_expired(tx: Tx, busy: Any) -> None:
    (row,) = ask(tx, busy).rows
    assert {name: row[name] for name in row if name.startswith(("points", "stamps"))} == {
        "points_issued": 5 + 5 + 100 + 30,
        "points_imported": 50,
        "points_adjusted": 5,
        "points_taken_back": 10,
        "points_redeemed": 40,
        "points_given_back": 15,
        "points_expired": row["points_expired"],
        "points_restored": 0,
        "points_net": row["points_net"],
        "stamps_issued": 4,
        "stamps_imported": 2,
        "stamps_adjusted": 0,
        "stamps_voided": row["stamps_voided"],
        "stamps_redeemed": 3,
        "stamps_net": row["stamps_net"],
    }
    assert row["points_expired"] > 0
    assert row["stamps_voided"] > 0


def test_days_are_those_of_the_zone_and_late_rows_fall_on_theirs(tx: Tx, busy: Any) -> None:
    def issued(last: str, zone: str) -> int:
        (row,) = ask(tx, busy, "2026-06-01", last, zone=zone, program="beans").rows
        return int(row["points_issued"] - row["points_redeemed"])

    assert issued("2026-06-30", BERLIN) == 140, "with what came a year late"
    assert issued("2026-06-30", "UTC") == 100, "and the redemption of 22:00 UTC"
    assert issued("2026-06-29", BERLIN) == 40


def test_a_report_can_be_of_one_store_type_staff_and_device(tx: Tx, busy: Any) -> None:
    def count(**only: str) -> int:
        return int(ask(tx, busy, **only).rows[0]["transactions"])

    rows = facts(tx, busy)
    for name, column, value in (
        ("store", "store_id", "s1"),
        ("type", "type", "points_earned"),
        ("staff", "staff_pin_id", "pin-1"),
        ("device", "terminal_device_id", "t1"),
    ):
        expected = sum(getattr(row, column) == value for row in rows)
        assert count(**{name: value}) == expected > 0
    assert count(store="s1", type="points_earned") == 1
    assert count(store="nowhere") == 0
    with pytest.raises(NotFound):
        count(program="none")


def test_another_merchants_rows_are_not_in_it(tx: Tx, busy: Any, open_shop: Any) -> None:
    other = open_shop(tx)
    assert ask(tx, other).rows[0]["transactions"] == 0
    assert ask(tx, other, by=["store"]).rows == []


def test_what_is_owed_has_its_value_at_the_programs_cost(tx: Tx, busy: Any) -> None:
    (owed,) = ask(tx, busy).owed
    (net,) = ask(tx, busy).rows
    assert owed.outstanding == net["points_net"], "the ledger and the history say the same"
    assert owed.breakage == net["points_expired"] - net["points_restored"]
    assert owed.outstanding_value == round(owed.outstanding * 333 / 1_000)
    assert owed.breakage_value == round(owed.breakage * 333 / 1_000)
    assert owed.currency == "eur"
    service.change_program(tx, busy.merchant_id, "beans", NOON, cost_per_1000_points=None)
    (owed,) = ask(tx, busy).owed
    assert (owed.outstanding_value, owed.breakage_value) == (None, None)
    with pytest.raises(Invalid, match="cost_per_1000_points"):
        service.change_program(tx, busy.merchant_id, "beans", NOON, cost_per_1000_points=-1)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"first": "2026-06-02", "last": "2026-06-01"}, "to"),
        ({"first": "2010-01-01"}, "to"),
        ({"first": "june"}, "from"),
        ({"first": "2026-06-01T00:00:00Z"}, "from"),
        ({"first": "0001-01-01"}, "from"),
        ({"last": "9999-12-31"}, "to"),
        ({"zone": "Mars/Base"}, "zone"),
        ({"zone": "../etc/passwd"}, "zone"),
        ({"by": ["colour"]}, "by"),
        ({"per": "year"}, "per"),
        ({"type": "earn"}, "type"),
        ({"store": "x" * 101}, "store"),
        ({"store": "\0"}, "store"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_asked_for_wrongly_is_refused_by_field(
    tx: Tx, shop: Any, said: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid, match=f"^{field}: "):
        ask(tx, shop, **said)


def test_a_zone_that_the_database_does_not_know_is_refused(tx: Tx, busy: Any) -> None:
    told = wanted("2026-06-01", "2026-06-30", zone="UTC", per="day")
    with pytest.raises(Invalid, match="the database does not know"):
        reporting.report(tx, busy.merchant_id, replace(told, zone="No/Where"))


def test_a_report_of_too_many_rows_is_refused(
    tx: Tx, busy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "MAX_ROWS", 2)
    with pytest.raises(Invalid, match="gives over 2 rows"):
        ask(tx, busy, per="day")


def test_a_history_is_told_by_page_and_by_what_its_rows_have(tx: Tx, busy: Any) -> None:
    def seqs(limit: int = 100, before: int | None = None, **only: Any) -> list[int]:
        rows = service.history(
            tx,
            busy.merchant_id,
            "C1",
            before=before,
            limit=limit,
            only=chosen(**({"zone": BERLIN} | only)),
        )
        return [row.seq for row in rows or ()]

    every = seqs()
    assert every == sorted(every, reverse=True)
    paged: list[int] = []
    while page := seqs(3, paged[-1] if paged else None):
        paged += page
    assert paged == every
    redeemed = seqs(types=["points_redeemed", "stamp_redeemed"])
    assert len(redeemed) == 2
    assert seqs(store="s2", types=["points_redeemed"]) == redeemed[1:]
    assert seqs(staff="pin-1") == seqs(device="t1") == seqs(store="s1", until="2026-06-30")
    assert set(seqs(since="2026-07-01")) | set(seqs(until="2026-06-30")) == set(every)
    assert not set(seqs(since="2026-07-01")) & set(seqs(until="2026-06-30"))
    assert seqs(order_reference="none") == []
    assert (
        service.history(tx, busy.merchant_id, "none", only=chosen(zone="UTC", store="s1")) is None
    )
