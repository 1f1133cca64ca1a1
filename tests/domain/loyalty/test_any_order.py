"""Any interleaving of all events, twice, out of order and cut anywhere, against a plain model of the book.

Everything goes through the inbox. After each history: every row, lot, debt and outcome is the model's,
balance = Σ remaining − debt = Σ delta, and the ledger of points owes what the cards hold.
What fails here is shrunk; ``test_histories`` plays many more of more kinds. LOYALTY_HISTORIES sets how many
are tried: a twentieth of it.
"""

import json
import os
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from domain.db import Tx
from domain.inbox import service as inbox
from domain.ledger import service as ledger
from domain.loyalty import service
from domain.loyalty.store import cards as card_store
from tests.domain.inbox.shop import event, merchant, read
from tests.oracles.loyalty_pages import Terms
from tests.oracles.loyalty_tills import Tills

START = datetime(2026, 3, 20, 12, tzinfo=UTC)
CARDS = ("A", "B")
HISTORIES = max(int(os.environ.get("LOYALTY_HISTORIES", "1000")) // 20, 1)
_names = count(1)

TYPES = {
    "earn": "loyalty.points_earned",
    "redeem": "loyalty.points_redeemed",
    "void": "loyalty.points_voided",
    "adjust": "loyalty.points_adjusted",
    "refund": "loyalty.purchase_refunded",
    "stamp": "loyalty.stamp_earned",
    "full": "loyalty.stamp_redeemed",
    "unstamp": "loyalty.stamp_voided",
}
KINDS = st.sampled_from(
    ["earn"] * 7 + ["redeem"] * 4 + ["void"] * 4 + ["refund"] * 3
    + ["adjust", "use", "stamp", "stamp", "full", "unstamp"]
)  # fmt: skip
# kind, card, a number, which other event it is about, hours late, hours until the next arrival
DRAWN = st.tuples(
    KINDS,
    st.sampled_from("AAAAAB"),
    st.integers(0, 40),
    st.integers(0, 30),
    st.sampled_from([0, 0, 0, 0, 1, 30, 100, 270, 400]),
    st.sampled_from([0, 0, 0, 0, 2, 5, 12, 30, 70, 130]),
)
# Where events stand in the arrival (a key for each), how it is cut, and which come twice.
HISTORY = st.tuples(
    st.lists(DRAWN, min_size=6, max_size=14),
    st.lists(st.integers(0, 3), min_size=14, max_size=14),
    st.lists(st.booleans(), min_size=14, max_size=14),
    st.booleans(),
    st.integers(0, 1),
)


def built(drawn: list[Any], ranks: list[int]) -> list[tuple[timedelta, dict[str, Any]]]:
    """The events, moved by up to three places, with the time until each arrives."""
    events = []
    for n, (kind, card, value, about, late, gap) in enumerate(drawn):
        e: dict[str, Any] = {
            "id": f"e{n}",
            "kind": kind,
            "late": timedelta(hours=late),
            "card": card,
        }
        other = f"e{about % max(len(drawn), 1)}"
        if kind == "earn":
            e |= {"amount": value * 50, "order": f"o{about % 2}"}
        elif kind == "redeem":
            e |= {"points": value // 4 + 1}
        elif kind in ("void", "unstamp"):
            e |= {
                "of": _like(drawn, about, kind, other),
                "points": None if value % 3 else value // 6 + 1,
            }
        elif kind == "adjust":
            e |= {"points": value - 20 or 1}
        elif kind == "refund":
            e |= {
                "card": card if value % 3 else None,
                "order": f"o{about % 2}",
                "refund": f"r{value % 7}",
                "amount": value * 11 + 1,
            }
        elif kind == "use":
            e |= {"active": value % 2 == 0}
        elif kind == "stamp":
            e |= {"stamps": value % 4 + 1}
        events.append((n + ranks[n], n, timedelta(hours=gap), e))
    return [(gap, e) for _, _, gap, e in sorted(events, key=lambda one: one[:2])]


def _like(drawn: list[Any], about: int, kind: str, other: str) -> str:
    """Mostly an event that can be voided, so that histories say something."""
    fit = ("earn", "redeem") if kind == "void" else ("stamp",)
    fitting = [f"e{n}" for n, one in enumerate(drawn) if one[0] in fit]
    return fitting[about % len(fitting)] if fitting and about % 7 else other


def text_of(shop: str, e: dict[str, Any]) -> str:
    data = {"card": e["card"]}
    kind = e["kind"]
    if kind == "use":
        type_ = "loyalty.card_reactivated" if e["active"] else "loyalty.card_deactivated"
    else:
        type_ = TYPES[kind]
    if kind == "earn":
        data |= {"purchase_amount": e["amount"], "order_reference": e["order"]}
    elif kind in ("void", "unstamp"):
        data |= {"related_event": e["of"]} | ({"points": e["points"]} if kind == "void" else {})
    elif kind == "refund":
        data |= {"order_reference": e["order"], "refund_id": e["refund"], "amount": e["amount"]}
    elif kind in ("redeem", "adjust"):
        data |= {"points": e["points"]} | ({"reason": "so"} if kind == "adjust" else {})
    elif kind == "stamp":
        data |= {"stamps": e["stamps"]}
    return event(type_, e["id"], e["at"], to=shop, **data)


@pytest.fixture(autouse=True)
def few_lots_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short histories have cards with more lots than are read at first."""
    monkeypatch.setattr(card_store, "FIRST_LOTS", 2)


def set_clock(tx: Tx, now: datetime) -> None:
    tx.execute(
        text(
            "INSERT INTO business_clock VALUES (1, :now)"
            " ON CONFLICT (id) DO UPDATE SET simulated_at = excluded.simulated_at"
        ),
        {"now": now},
    )


def open_shop(tx: Tx, terms: Terms) -> tuple[str, int]:
    name = f"any-{next(_names)}"
    merchant_id = merchant(tx, name)
    service.create_program(
        tx,
        merchant_id,
        "beans",
        name="Beans",
        currency="eur",
        kind="hybrid",
        stamp_target=3,
        stamp_cooldown_minutes=0,
        stamp_daily_limit=None,
        min_redemption=terms.least,
        pending_days=terms.pending,
        backdating_days=terms.backdating,
        inactivity_days=terms.inactivity,
        expiration=[{"kind": "rolling", "days": terms.life}],
        restore_days=terms.restore,
        allow_debt=terms.allow_debt,
    )
    enrolments = (
        event("loyalty.card_created", c, START, to=name, card=c, customer_id=c) for c in CARDS
    )
    set_clock(tx, START)
    inbox.apply(tx, read(*enrolments))
    return name, merchant_id


def play(tx: Tx, history: Any) -> None:
    drawn, ranks, twice, allow_debt, pending = history
    terms = Terms(12, 8, 6, pending, 2, allow_debt, 2)
    shop, merchant_id = open_shop(tx, terms)
    book, now = Tills(terms, CARDS, START), START
    batch: list[dict[str, Any]] = []
    for n, (gap, e) in enumerate([*built(drawn, ranks), (timedelta(days=3), {})]):
        if gap and batch:
            inbox.apply(tx, read(*(text_of(shop, one) for one in batch)))
            book.arrive(batch, now)
            batch = []
        now += gap
        set_clock(tx, now)
        if gap > timedelta(hours=60):
            inbox_sweep(tx, merchant_id, book, now)
        if e:
            e["at"] = now - e.pop("late")
            batch += [e, e] if twice[n] else [e]
    compare(tx, shop, merchant_id, book)


def inbox_sweep(tx: Tx, merchant_id: int, book: Tills, now: datetime) -> None:
    """The sweeps: of what waits, and of what is due."""
    inbox.recheck_waiting(tx)
    book.sweep_waiting(now)
    for part in service.plan_expiry(tx, merchant_id, now, 10):
        service.expire_range(tx, merchant_id, part.first_id, part.last_id, now)
    book.sweep(now)


def compare(tx: Tx, shop: str, merchant_id: int, book: Tills) -> None:
    def rows(statement: str) -> list[tuple[Any, ...]]:
        return [tuple(r) for r in tx.execute(text(statement), {"m": merchant_id})]

    said = {
        name: status + (f":{reason}" if reason and status != "waiting" else "")
        for name, status, reason in rows(
            "SELECT event_id, status, reason FROM inbox_events WHERE merchant_id = :m"
        )
        if name not in CARDS
    }
    assert said == book.said
    for name, mine in book.cards.items():
        found = rows(
            "SELECT type, points_delta, points_balance_after FROM loyalty_transactions t"
            f" JOIN cards c ON c.id = t.card_id WHERE t.merchant_id = :m AND number = '{name}' AND seq > 1 ORDER BY seq"
        )
        assert found == mine.rows
        ((balance, debt, stamps, active, remaining, delta),) = rows(
            "SELECT points_balance, points_debt, stamps_balance, status = 'active',"
            " (SELECT coalesce(sum(remaining), 0) FROM point_lots WHERE card_id = c.id),"
            " (SELECT sum(points_delta) FROM loyalty_transactions WHERE card_id = c.id)"
            f" FROM cards c WHERE merchant_id = :m AND number = '{name}'"
        )
        assert balance == remaining - debt == delta == mine.balance()
        assert (debt, stamps, active) == (mine.debt, mine.stamps, mine.active)
        lots = rows(
            "SELECT remaining, occurred_at, available_at, expires_at FROM point_lots l"
            f" JOIN cards c ON c.id = l.card_id WHERE l.merchant_id = :m AND number = '{name}' ORDER BY l.id"
        )
        assert lots == [(x.left, x.since, x.spendable, x.until) for x in mine.lots]
    assert service.check_invariants(tx) == []
    assert ledger.check_invariants(tx) == []


@given(history=HISTORY)
@settings(
    max_examples=HISTORIES,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_arrives_however_is_booked_as_in_the_plain_book(tx: Tx, history: Any) -> None:
    attempt = tx.begin_nested()
    try:
        play(tx, history)
    except AssertionError:
        print(json.dumps(history, default=str))  # noqa: T201
        raise
    finally:
        attempt.rollback()
