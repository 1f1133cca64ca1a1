"""What a card shows is what it would let go, at any moment, booked or not."""

import doctest
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.loyalty.rules import Lot, spendable, standing
from domain.loyalty.rules.standing import standing as standing_of

START = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = st.integers(0, 40).map(timedelta)


@st.composite
def lots(draw: st.DrawFn) -> Lot:
    points = draw(st.integers(1, 100))
    ends = draw(st.none() | DAYS)
    return Lot(
        points,
        remaining=draw(st.integers(1, points)),
        occurred_at=START,
        available_at=START + draw(DAYS),
        expires_at=None if ends is None else START + ends,
    )


@given(st.lists(lots(), max_size=6), st.none() | DAYS, DAYS)
def test_points_are_spendable_pending_or_gone_and_nothing_is_counted_twice(
    of_card: list[Lot], ends: timedelta | None, later: timedelta
) -> None:
    deadline, at = None if ends is None else START + ends, START + later
    booked = sum(lot.remaining for lot in of_card)
    seen = standing_of(booked, of_card, deadline, at)
    if deadline is not None and deadline <= at:
        assert (seen.balance, seen.spendable, seen.pending) == (0, 0, 0)
        assert seen.next_expiry is None
        return
    assert seen.spendable == spendable(of_card, at)
    assert seen.balance == seen.spendable + seen.pending
    assert seen.next_expiry is None or seen.next_expiry > at
    assert sum(points for _, points in seen.by_deadline) == seen.balance, "deadlines sum to it"
    assert seen.next_expiry == next((due for due, _ in seen.by_deadline if due), None)
    if seen.next_expiry is not None:
        assert standing_of(booked, of_card, deadline, seen.next_expiry).balance < booked


def test_the_example_is_true() -> None:
    assert doctest.testmod(standing) == (0, 5)
