"""Random histories with holds: how events are cut into batches, and whether sweeps run, changes nothing.

LOYALTY_HISTORIES sets how many histories are tried: a twenty-fifth of it.
"""

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from domain.db import Tx
from domain.loyalty import service
from domain.loyalty.store import cards as card_store
from tests.domain.loyalty.books import told

START = datetime(2026, 3, 20, 12, tzinfo=UTC)
TERMS = {
    "zone": "Europe/Berlin",
    "pending_days": 1,
    "inactivity_days": 3,
    "expiration": [{"kind": "rolling", "days": 5}],
    "hold_minutes": 2 * 24 * 60,
}
HISTORIES = max(int(os.environ.get("LOYALTY_HISTORIES", "1000")) // 25, 1)

# What happens, with how many points or to which of the holds before it.
EVENT = st.tuples(
    st.sampled_from(
        ["earn", "earn", "redeem", "hold", "hold", "capture", "capture", "release", "adjust"]
    ),
    st.integers(1, 12),
)
# Hours since what came before, and what comes then.
HISTORY = st.lists(
    st.tuples(st.sampled_from([0, 1, 13, 30, 60]), st.lists(EVENT, max_size=5)),
    min_size=2,
    max_size=7,
)
QUICK = settings(
    max_examples=HISTORIES,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def few_lots_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short histories have cards with more lots than are read at first."""
    monkeypatch.setattr(card_store, "FIRST_LOTS", 2)


def events_of(shop: Any, drawn: Sequence[tuple[str, int]], at: datetime, holds: list[str]) -> Any:
    made = []
    for kind, value in drawn:
        if kind == "earn":
            made.append(shop.earn("C1", value, at))
        elif kind == "redeem":
            made.append(shop.redeem("C1", value, at))
        elif kind == "adjust":
            made.append(shop.adjust("C1", -value, at))
        elif kind == "hold":
            made.append(shop.event("points_held", at, card="C1", points=value))
        elif holds:
            named = {"card": "C1", "related_event": holds[-1 - value % min(len(holds), 3)]}
            part = {"points": (value + 1) // 2} if kind == "capture" and value % 2 else {}
            type_ = "hold_captured" if kind == "capture" else "hold_released"
            made.append(shop.event(type_, at, **named, **part))
    return made


def play(tx: Tx, shop: Any, history: Any, *, one_by_one: bool, sweeps: bool) -> Any:
    """What came of each event, what was booked in all, and what is left; the books right at each step."""
    now, holds, outcomes = START, [], told(shop.apply(tx, [shop.enrol("C1", time=START)], START))
    for hours, drawn in [*history, (2_000, [])]:
        now += timedelta(hours=hours)
        if sweeps or not drawn:
            sweep(tx, shop, now)
        events = events_of(shop, drawn, now, holds)
        became: list[Any] = []
        for part in [[e] for e in events] if one_by_one else [events]:
            became += told(shop.apply(tx, part, now))
        outcomes += became
        # Only of those that were placed: what becomes of the others is the inbox's to know.
        holds += [
            event.event_id
            for event, said in zip(events, became, strict=True)
            if event.type == "loyalty.points_held" and said == 0
        ]
        tx.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        tx.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        assert service.check_invariants(tx) == []
    booked: Counter[Any] = Counter()
    values = {"merchant": shop.merchant_id}
    for type_, points, at in tx.execute(
        text(
            "SELECT type, points_delta, transaction_at FROM loyalty_transactions"
            " WHERE merchant_id = :merchant AND points_delta <> 0"
        ),
        values,
    ):
        booked[type_, at] += points
    left = tx.execute(
        text(
            "SELECT sum(remaining), sum(held) FROM point_lots WHERE merchant_id = :merchant"
            " UNION ALL SELECT points_balance, points_debt FROM cards WHERE merchant_id = :merchant"
        ),
        values,
    ).all()
    ended = tx.execute(
        text("SELECT status, closed_at FROM point_holds WHERE merchant_id = :merchant ORDER BY id"),
        values,
    ).all()
    return outcomes, booked, left, ended


def sweep(tx: Tx, shop: Any, now: datetime) -> None:
    service.time_out_holds(tx, now - timedelta(hours=12))
    for part in service.plan_expiry(tx, shop.merchant_id, now, 2):
        service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, now)


@given(history=HISTORY)
@QUICK
def test_a_history_with_holds_gives_the_same_however_it_is_cut_and_swept(
    tx: Tx, open_shop: Any, history: Any
) -> None:
    attempt = tx.begin_nested()
    try:
        one, *others = [
            play(tx, open_shop(tx, **TERMS), history, one_by_one=cut, sweeps=swept)
            for cut, swept in ((True, False), (False, False), (False, True))
        ]
        for other in others:
            assert other == one
        assert [status for status, _ in one[3] if status == "open"] == []
    finally:
        attempt.rollback()
