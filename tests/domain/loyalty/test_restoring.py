"""Points that expired are given back by an operator: linked, with a deadline, once, and never more than expired."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.errors import Invalid, NotFound
from domain.loyalty import service
from domain.loyalty.service import Grace, Restored
from tests.domain.loyalty.books import state, told
from tests.domain.loyalty.test_concurrency import balanced, together

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ME = Actor("person", "ada@shop")


def restore(
    tx: Tx, shop: Any, id_: str = "r-1", points: int | None = None, **more: Any
) -> Restored:
    values = {"grace": Grace(), "actor": ME, "reason": "was ill", "now": NOON, **more}
    return service.restore_points(tx, shop.merchant_id, "C1", id_, points=points, **values)


@pytest.fixture
def late(tx: Tx, open_shop: Callable[..., Any]) -> Any:
    """A shop where 60, and later 40 points of C1 expired by NOON, and 5 are left."""
    return opened(tx, open_shop)


def opened(tx: Tx, open_shop: Callable[..., Any]) -> Any:
    shop = open_shop(tx, backdating_days=400, expiration=[{"kind": "rolling", "days": 30}])
    for ago, points in ((90, 60), (60, 40), (1, 5)):
        at = NOON - ago * DAY
        events = [shop.enrol("C1", time=at)] if ago == 90 else []
        shop.apply(tx, [*events, shop.earn("C1", points, at)], at)
    return shop


def test_all_that_expired_comes_back_as_lots_that_live_for_the_grace(tx: Tx, late: Any) -> None:
    done = restore(tx, late)
    until = datetime(2026, 7, 2, tzinfo=UTC)
    assert done == Restored("C1", "restored", 100, until, 105)
    assert state(tx, "C1") == (105, 0, [0, 0, 5, 40, 60])
    rows = tx.execute(
        text(
            "SELECT t.points_delta, o.type, o.points_delta AS expired, t.reason FROM loyalty_transactions t"
            " JOIN loyalty_transactions o ON o.id = t.related_transaction_id ORDER BY t.id"
        )
    )
    assert [tuple(row) for row in rows] == [
        (40, "points_expired", -40, "was ill"),
        (60, "points_expired", -60, "was ill"),
    ]
    [summary] = service.summary(tx, late.merchant_id)
    assert (summary.issued, summary.expired, summary.outstanding) == (105, 0, 105)
    audited = tx.execute(text("SELECT action, reason, after FROM audit_entries")).one()
    assert (audited.action, audited.after["points"]) == ("card.points_restored", 100)
    seen = service.card(tx, late.merchant_id, "C1", until)
    assert seen is not None
    assert seen.points.balance == 5 - 5


def test_a_part_takes_the_latest_expiry_first_and_never_more_than_expired(
    tx: Tx, late: Any
) -> None:
    assert restore(tx, late, "r-1", 50).points == 50
    assert state(tx, "C1")[2] == [0, 0, 5, 40, 10]
    with pytest.raises(Invalid, match="50 expired points are left"):
        restore(tx, late, "r-2", 51)
    assert restore(tx, late, "r-3", None).points == 50
    with pytest.raises(Invalid, match="no expired points to restore"):
        restore(tx, late, "r-4", None)


def test_the_same_request_gives_nothing_twice(tx: Tx, late: Any) -> None:
    restore(tx, late, "r-1", 50)
    again = restore(tx, late, "r-1", 50, now=NOON + DAY)
    assert (again.result, again.points) == ("already", 50)
    assert state(tx, "C1")[0] == 55
    with pytest.raises(Invalid, match="another name"):
        restore(tx, late, "r-1", 20)
    assert tx.execute(text("SELECT count(*) FROM audit_entries")).scalar() == 1


def test_a_dry_run_tells_the_same_and_changes_nothing(tx: Tx, late: Any) -> None:
    at = NOON + 60 * DAY
    would = restore(tx, late, dry_run=True, now=at)
    assert (would.result, would.points) == ("would_restore", 105)
    assert state(tx, "C1")[0] == 5
    assert restore(tx, late, now=at).points == 105, (
        "what is due by then is booked, and restored too"
    )
    assert state(tx, "C1")[0] == 105


def test_what_is_restored_expires_at_its_new_deadline_and_can_be_restored_again(
    tx: Tx, late: Any
) -> None:
    until = NOON + 2 * DAY
    restore(tx, late, "r-1", 30, grace=Grace(until=until))
    [part] = service.plan_expiry(tx, late.merchant_id, until, 10)
    assert (
        service.expire_range(tx, late.merchant_id, part.first_id, part.last_id, until).points == 30
    )
    assert restore(tx, late, "r-2", None, now=until).points == 100
    assert state(tx, "C1")[0] == 105


def test_restored_points_pay_a_debt_first(tx: Tx, late: Any) -> None:
    late.apply(tx, [late.adjust("C1", -25)])
    assert restore(tx, late, "r-1", 40).balance == 20
    assert state(tx, "C1") == (20, 0, [0, 0, 0, 20])


def test_a_balance_that_inactivity_ended_starts_a_new_period(
    tx: Tx, open_shop: Callable[..., Any]
) -> None:
    shop = open_shop(tx, inactivity_days=30, backdating_days=400)
    start = NOON - 60 * DAY
    shop.apply(tx, [shop.enrol("C1", time=start), shop.earn("C1", 80, start)], start)
    assert restore(tx, shop, grace=Grace(days=90)).balance == 80
    seen = service.card(tx, shop.merchant_id, "C1", NOON)
    assert seen is not None
    assert seen.points.by_deadline == [(datetime(2026, 7, 2, tzinfo=UTC), 80)]
    assert state(tx, "C1")[0] == 80


def test_what_expired_on_a_card_that_was_merged_is_restored_on_the_survivor(
    tx: Tx, late: Any
) -> None:
    late.apply(tx, [late.enrol("C2")])
    service.merge_cards(tx, late.merchant_id, "C1", "C2", actor=ME, reason="one person", now=NOON)
    restore(tx, late, "r-1", 50)
    done = restore(tx, late, "r-2", 50)
    assert (done.card, done.balance) == ("C2", 105)
    assert state(tx, "C2")[0] == 105
    assert restore(tx, late, "r-1", 50).result == "already"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"points": 0}, "positive"),
        ({"id_": " "}, "name the restore"),
        ({"reason": ""}, "say why"),
        ({"grace": Grace(until=NOON)}, "ahead"),
        ({"grace": Grace(days=0)}, "days"),
        ({"grace": Grace(days=1, until=NOON + DAY)}, "either"),
    ],
    ids=["no points", "no name", "no reason", "past", "no days", "both"],
)
def test_what_makes_no_sense_is_refused_by_name(
    tx: Tx, late: Any, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        restore(tx, late, **values)
    with pytest.raises(NotFound):
        service.restore_points(
            tx,
            late.merchant_id,
            "C9",
            "r",
            points=None,
            grace=Grace(),
            actor=ME,
            reason="r",
            now=NOON,
        )


def test_the_database_refuses_to_restore_more_than_expired(tx: Tx, late: Any) -> None:
    restore(tx, late)
    with pytest.raises(IntegrityError, match="exceeded by its corrections"):
        tx.execute(
            text(
                "INSERT INTO loyalty_transactions (merchant_id, card_id, program_id, program_version, seq, type,"
                " points_delta, points_balance_after, stamps_balance_after, explanation, transaction_at, reason,"
                " related_transaction_id)"
                " SELECT c.merchant_id, c.id, c.program_id, 1, c.last_seq + 1, 'points_adjustment', 1,"
                " c.points_balance + 1, 0, '{}', now(), 'x',"
                " (SELECT min(id) FROM loyalty_transactions WHERE type = 'points_expired') FROM cards c"
            )
        )


def test_beside_itself_and_beside_redemptions_it_gives_once(
    engine: Engine, open_shop: Callable[..., Any]
) -> None:
    with transaction(engine) as tx:
        shop = opened(tx, open_shop)

    def work(worker: int) -> Any:
        with transaction(engine) as tx:
            if worker == 2:
                return told(shop.apply(tx, [shop.redeem("C1", 5)]))
            return restore(tx, shop, "r-1", 50).result

    *results, spent = together(3, work)
    assert (sorted(results), spent) == (["already", "restored"], [-5])
    with transaction(engine) as tx:
        assert state(tx, "C1")[0] == 50
    balanced(engine)
