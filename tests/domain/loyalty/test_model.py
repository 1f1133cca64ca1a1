"""Random histories of a shop against a model of its cards that is written a second time, plainly.

The model takes one event at a time and keeps lists; it knows nothing of batches, locks or SQL. What the
service books must be what the model books, however the events are cut into batches.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from domain.db import Tx
from domain.loyalty import service
from domain.loyalty.rules import Refusal
from domain.loyalty.store import cards as card_store

START = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")
TERMS = {
    "zone": "Europe/Berlin",
    "welcome_bonus": 4,
    "min_redemption": 2,
    "minimum_purchase": 200,
    "pending_days": 2,
    "backdating_days": 12,
    "inactivity_days": 8,
}
CARDS = ("A", "B", "C")


def at_end(at: datetime) -> datetime:
    """When inactivity since a moment ends a balance."""
    day = at.astimezone(BERLIN).date() + timedelta(TERMS["inactivity_days"] + 1)
    return datetime.combine(day, time(0), BERLIN).astimezone(UTC)


@dataclass
class ModelCard:
    """A card as a person with a pencil would keep it."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    # [points left, since, spendable from], oldest first among equals as they came.
    lots: list[list[Any]] = field(default_factory=list)
    deadline: datetime | None = None
    expired: datetime | None = None
    active_at: datetime | None = None
    # Periods that ended and took points: [end, last activity, the end before, lots, when used again].
    ended: list[list[Any]] = field(default_factory=list)

    def balance(self) -> int:
        return sum(lot[0] for lot in self.lots)

    def row(self, type_: str, points: int, at: datetime) -> None:
        self.rows.append((len(self.rows) + 1, type_, points, self.balance(), at))

    def lapse(self, at: datetime) -> None:
        if self.deadline is None or at < self.deadline:
            return
        lost, before = self.balance(), self.expired
        self.expired, self.deadline = self.deadline, None
        if lost:
            self.ended.append([self.expired, self.active_at, before, [*self.lots], None])
        self.lots.clear()
        if lost:
            self.row("points_expired", -lost, self.expired)

    def prove(self, at: datetime, now: datetime) -> bool:
        """Give back what the last period took, if activity at a time was in it and kept it going."""
        if not self.ended or self.ended[-1][0] != self.expired:
            return False
        end, last, before, lots, again = self.ended[-1]
        until = at_end(at)
        if not last < at < end or until == end or (before and at < before):
            return False
        if self.deadline is not None and again is not None and again >= until:
            return False
        self.ended.pop()
        self.expired = before
        # Among equals as they came, and before what came since.
        self.lots = [*lots, *self.lots]
        self.row("points_adjustment", sum(lot[0] for lot in lots), now)
        if self.deadline is None:
            self.active_at, self.deadline = max(at, self.active_at or at), until
        return True

    def be_active(self, at: datetime, *, qualifies: bool) -> None:
        for one in self.ended:
            if at >= one[0]:
                one[4] = min(one[4] or at, at)
        newer = self.active_at is None or at > self.active_at
        if self.deadline is None or (qualifies and newer):
            self.active_at = at if newer else self.active_at
            assert self.active_at is not None
            self.deadline = at_end(self.active_at)


class Model:
    """All cards of the shop."""

    def __init__(self) -> None:
        self.cards: dict[str, ModelCard] = {}
        self.customers: set[str] = set()

    def apply(self, kind: str, card: str, value: int, at: datetime, now: datetime) -> Any:
        """Points that were booked (signed), or the reason why none were."""
        mine = self.cards.get(card)
        counted = at if now - at <= timedelta(TERMS["backdating_days"]) else now
        counted = min(counted, now)
        if kind == "enrol":
            customer = f"customer-{value % 4}"
            if mine is not None:
                return "card_exists"
            if customer in self.customers:
                return "customer_has_card"
            self.customers.add(customer)
            mine = self.cards[card] = ModelCard(active_at=counted)
            mine.row("card_created", 0, at)
            mine.lots.append([TERMS["welcome_bonus"], counted, counted])
            mine.row("welcome_bonus", TERMS["welcome_bonus"], at)
            mine.be_active(counted, qualifies=False)
            return TERMS["welcome_bonus"]
        if mine is None:
            return "card_unknown"
        as_it_was, proved = deepcopy(mine), False
        if mine.expired is not None and at < mine.expired:
            proved = counted == at and mine.prove(at, now)
            counted = at if proved else now
        mine.lapse(counted)
        told = (self.earn if kind == "earn" else self.redeem)(mine, value, at, counted, now)
        if proved and isinstance(told, str):
            self.cards[card] = as_it_was
        return told

    def earn(
        self, mine: ModelCard, amount: int, at: datetime, counted: datetime, _now: datetime
    ) -> Any:
        if amount < TERMS["minimum_purchase"]:
            return "below_minimum_purchase"
        points = amount // 100
        mine.lots.append([points, counted, counted + timedelta(TERMS["pending_days"])])
        mine.row("points_earned", points, at)
        mine.be_active(counted, qualifies=True)
        return points

    def give_what_is_missing(
        self, mine: ModelCard, points: int, at: datetime, now: datetime
    ) -> datetime | None:
        """What expired only after a redemption, as far as that needs it: it was in time."""
        missing = points - sum(lot[0] for lot in mine.lots if lot[2] <= at)
        gone = [(one, lot) for one in mine.ended if one[0] > at for lot in one[3] if lot[2] <= at]
        if not 0 < missing <= sum(lot[0] for _, lot in gone):
            return None
        given = [0] * len(mine.ended)
        balance = mine.balance()
        for one, lot in sorted(gone, key=lambda part: part[1][1]):
            part = min(lot[0], missing)
            missing -= part
            lot[0] -= part
            given[mine.ended.index(one)] += part
            if part:
                mine.lots.append([part, *lot[1:]])
        for part in given:
            balance += part
            if part:
                mine.rows.append((len(mine.rows) + 1, "points_adjustment", part, balance, now))
        return at

    def redeem(
        self, mine: ModelCard, points: int, at: datetime, counted: datetime, now: datetime
    ) -> Any:
        if points < TERMS["min_redemption"]:
            return "below_min_redemption"
        usable = sorted((lot for lot in mine.lots if lot[2] <= counted), key=lambda lot: lot[1])
        if sum(lot[0] for lot in usable) < points and now - at <= timedelta(
            TERMS["backdating_days"]
        ):
            counted = self.give_what_is_missing(mine, points, at, now) or counted
            usable = sorted((lot for lot in mine.lots if lot[2] <= counted), key=lambda lot: lot[1])
        if sum(lot[0] for lot in usable) < points:
            return "insufficient_points"
        left = points
        for lot in usable:
            part = min(lot[0], left)
            lot[0] -= part
            left -= part
        mine.lots = [lot for lot in mine.lots if lot[0]]
        mine.row("points_redeemed", -points, at)
        mine.be_active(counted, qualifies=True)
        return -points

    def sweep(self, fire_at: datetime) -> None:
        for mine in self.cards.values():
            mine.lapse(fire_at)


# Hours since the previous arrival; then what arrives, each some hours late (or minutes early).
EVENT = st.tuples(
    st.sampled_from(["enrol", "earn", "earn", "redeem", "redeem"]),
    st.sampled_from(CARDS),
    st.integers(0, 30),
    st.sampled_from([0, 0, 0, 1, 30, 100, 200, 270, 400, -0.1]),
)
ARRIVAL = st.tuples(
    st.sampled_from([0, 1, 40, 70, 150, 230]),
    st.lists(EVENT, max_size=8),
    st.booleans(),
    st.lists(st.integers(0, 8), max_size=3),
)
HISTORY = st.lists(ARRIVAL, min_size=1, max_size=6)


def to_event(shop: Any, now: datetime, drawn: tuple[str, str, int, float]) -> tuple[Any, ...]:
    """The event, and the model's arguments for the same."""
    kind, card, value, late = drawn
    at = now - timedelta(hours=late)
    if kind == "enrol":
        return shop.enrol(card, f"customer-{value % 4}", at), (kind, card, value, at, now)
    if kind == "earn":
        amount = value * 50
        return shop.earn(card, time=at, purchase_amount=amount), (kind, card, amount, at, now)
    points = max(value, 1)
    return shop.redeem(card, points, at), (kind, card, points, at, now)


def play(tx: Tx, shop: Any, history: Sequence[Any], cut: Any) -> list[Any]:
    """Play a history; ``cut`` gives where each arrival is cut into batches. Returns what came of each event."""
    now, outcomes = START, []
    for hours, drawn, sweeps, cuts in history:
        now += timedelta(hours=hours)
        if sweeps:
            for part in service.plan_expiry(tx, shop.merchant_id, now, 2):
                service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, now)
        events = [to_event(shop, now, one)[0] for one in drawn]
        edges = [0, *sorted(min(c, len(events)) for c in cut(cuts, len(events))), len(events)]
        for first, last in zip(edges, edges[1:], strict=False):  # noqa: RUF007
            if first < last:
                outcomes += shop.apply(tx, events[first:last], now)
    return [o.reason if isinstance(o, Refusal) else o.points for o in outcomes]


def rows_of(tx: Tx, shop: Any) -> dict[str, list[tuple[Any, ...]]]:
    found = tx.execute(
        text(
            """
            SELECT c.number, t.seq, t.type, t.points_delta, t.points_balance_after, t.transaction_at
            FROM loyalty_transactions t JOIN cards c ON c.id = t.card_id
            WHERE t.merchant_id = :merchant ORDER BY t.card_id, t.seq
            """
        ),
        {"merchant": shop.merchant_id},
    )
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for number, *row in found:
        rows.setdefault(number, []).append(tuple(row))
    return rows


def lots_of(tx: Tx, shop: Any) -> dict[str, list[tuple[Any, ...]]]:
    found = tx.execute(
        text(
            """
            SELECT c.number, l.remaining, l.occurred_at, l.available_at
            FROM point_lots l JOIN cards c ON c.id = l.card_id
            WHERE l.merchant_id = :merchant AND l.remaining > 0 ORDER BY l.id
            """
        ),
        {"merchant": shop.merchant_id},
    )
    lots: dict[str, list[tuple[Any, ...]]] = {}
    for number, *lot in found:
        lots.setdefault(number, []).append(tuple(lot))
    return lots


@pytest.fixture(autouse=True)
def few_lots_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short histories have cards with more lots than are read at first."""
    monkeypatch.setattr(card_store, "FIRST_LOTS", 2)


QUICK = settings(
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@given(history=HISTORY)
@settings(QUICK, max_examples=100)
def test_what_is_booked_is_what_the_model_books(tx: Tx, open_shop: Any, history: Any) -> None:
    attempt = tx.begin_nested()
    try:
        shop, model = open_shop(tx, **TERMS), Model()
        told = play(tx, shop, history, lambda cuts, _: cuts)
        now, expected = START, []
        for hours, drawn, sweeps, _ in history:
            now += timedelta(hours=hours)
            if sweeps:
                model.sweep(now)
            expected += [model.apply(*to_event(shop, now, one)[1]) for one in drawn]
        assert told == expected
        assert rows_of(tx, shop) == {card: mine.rows for card, mine in model.cards.items()}
        assert lots_of(tx, shop) == {
            card: [tuple(lot) for lot in mine.lots]
            for card, mine in model.cards.items()
            if mine.lots
        }
        assert service.check_invariants(tx) == []
    finally:
        attempt.rollback()


@given(history=HISTORY)
@settings(QUICK, max_examples=40)
def test_how_events_are_cut_into_batches_changes_nothing(
    tx: Tx, open_shop: Any, history: Any
) -> None:
    attempt = tx.begin_nested()
    try:
        booked = []
        for cut in (
            lambda _, size: range(size),  # one by one
            lambda _, __: [],  # all that arrives together
            lambda cuts, _: cuts,
        ):
            shop = open_shop(tx, **TERMS)
            told = play(tx, shop, history, cut)
            booked.append((told, rows_of(tx, shop), lots_of(tx, shop), timers_of(tx, shop)))
        assert booked[0] == booked[1] == booked[2]
    finally:
        attempt.rollback()


@given(history=HISTORY)
@settings(QUICK, max_examples=40)
def test_for_events_that_are_on_time_the_sweep_books_only_what_they_would(
    tx: Tx, open_shop: Any, history: Any
) -> None:
    attempt = tx.begin_nested()
    try:
        booked = []
        for swept in (True, False):
            shop = open_shop(tx, **TERMS)
            punctual = [
                (hours, [(*one[:3], 0) for one in drawn], swept, cuts)
                for hours, drawn, _, cuts in history
            ]
            # At the end every card is swept, so that both have booked all that was due.
            told = play(tx, shop, [*punctual, (1_000, [], True, [])], lambda cuts, _: cuts)
            booked.append((told, rows_of(tx, shop)))
        assert booked[0] == booked[1]
    finally:
        attempt.rollback()


def timers_of(tx: Tx, shop: Any) -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in tx.execute(
            text(
                """
                SELECT number, points_balance, last_seq, last_activity_at, inactivity_deadline,
                       expired_through, expire_check_on
                FROM cards WHERE merchant_id = :merchant ORDER BY number
                """
            ),
            {"merchant": shop.merchant_id},
        )
    ]
