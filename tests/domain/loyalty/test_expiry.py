"""Expiry by inactivity: a predicate that any event applies, and that the sweep only books."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import Tx, transaction
from domain.errors import Invalid
from domain.loyalty import service
from domain.loyalty.service import ExpiryResult

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
# A year after 1 June 2026 in Berlin, where the day after begins at 22:00 UTC.
DEADLINE = datetime(2027, 6, 1, 22, tzinfo=UTC)


def sweep(tx: Tx, shop: Any, fire_at: datetime, size: int = 100) -> list[ExpiryResult]:
    return [
        service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, fire_at)
        for part in service.plan_expiry(tx, shop.merchant_id, fire_at, size)
    ]


def expiries(tx: Tx) -> list[Any]:
    return [
        tuple(row)
        for row in tx.execute(
            text(
                """
                SELECT c.number, t.seq, t.points_delta, t.points_balance_after, t.transaction_at,
                       t.explanation, t.program_version, t.inbox_id, t.store_id
                FROM loyalty_transactions t JOIN cards c ON c.id = t.card_id
                WHERE type = 'points_expired' ORDER BY c.number, t.seq
                """
            )
        )
    ]


def test_a_redemption_after_the_deadline_fails_and_books_the_expiry(
    tx: Tx, shop: Any, history: Any
) -> None:
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100)])
    (refused,) = shop.apply(tx, [shop.redeem("C1", 10, DEADLINE)], DEADLINE + DAY)
    assert refused.reason == "insufficient_points"
    assert history(tx, shop)[-1][2:] == ("points_expired", -100, 0, DEADLINE)
    assert service.check_invariants(tx) == []


def test_any_event_of_the_card_books_it_even_a_refused_one(tx: Tx, shop: Any, history: Any) -> None:
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100)])
    (refused,) = shop.apply(tx, [shop.earn("C1", purchase_amount=1, time=DEADLINE)], DEADLINE)
    assert refused.reason == "no_points"
    assert history(tx, shop)[-1][2:] == ("points_expired", -100, 0, DEADLINE)


def test_a_timely_redemption_that_arrives_late_is_honoured_whether_the_sweep_was_there_or_not(
    tx: Tx, shop: Any
) -> None:
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 100), shop.enrol("C2"), shop.earn("C2", 100)])
    timely, later = DEADLINE - timedelta(hours=1), DEADLINE + 3 * DAY
    (done,) = shop.apply(tx, [shop.redeem("C1", 10, timely)], later)
    assert done.balance == 90
    sweep(tx, shop, later)
    (done,) = shop.apply(tx, [shop.redeem("C2", 10, timely)], later)
    assert done.balance == 90
    assert service.check_invariants(tx) == []


def test_the_sweep_and_the_next_event_book_the_same_row(tx: Tx, open_shop: Any) -> None:
    booked = []
    for by_sweep in (True, False):
        shop = open_shop(tx, inactivity_days=365, zone="Europe/Berlin")
        odd = NOON - timedelta(microseconds=1_500)
        shop.apply(
            tx,
            [shop.enrol("C1"), shop.earn("C1", 70), shop.earn("C1", 30, odd), shop.redeem("C1", 5)],
        )
        if by_sweep:
            assert sweep(tx, shop, DEADLINE + DAY) == [ExpiryResult(1, 95, 0, 0)]
        shop.apply(tx, [shop.redeem("C1", 1, DEADLINE + 2 * DAY)], DEADLINE + 2 * DAY)
        booked.append(
            (
                expiries(tx)[-1],
                tx.execute(
                    text(
                        """
                        SELECT l.points, a.points, x.amount, x.kind, x.occurred_at
                        FROM loyalty_transactions t
                        JOIN lot_allocations a ON a.debit_transaction_id = t.id
                        JOIN point_lots l ON l.id = a.lot_id
                        JOIN ledger_transfers x ON x.source_kind = 'loyalty_transaction' AND x.source_id = t.id
                        WHERE t.type = 'points_expired' AND t.merchant_id = :merchant ORDER BY l.points
                        """
                    ),
                    {"merchant": shop.merchant_id},
                ).all(),
            )
        )
    assert booked[0] == booked[1]
    assert booked[0][0][1:5] == (5, -95, 0, DEADLINE)
    assert booked[0][0][5]["last_activity_at"] == "2026-06-01T12:00:00.000000Z"
    assert service.check_invariants(tx) == []


def test_the_sweep_expires_what_is_due_and_rearms_what_has_moved(tx: Tx, shop: Any) -> None:
    shop.apply(tx, [e for i in range(5) for e in (shop.enrol(f"C{i}"), shop.earn(f"C{i}", 10))])
    active = NOON + 100 * DAY
    shop.apply(tx, [shop.earn("C3", 1, active)], active)
    shop.apply(tx, [shop.redeem("C4", 10, active)], active)
    assert sweep(tx, shop, DEADLINE - timedelta(microseconds=1)) == []
    assert sweep(tx, shop, DEADLINE) == [ExpiryResult(cards=3, points=30, rearmed=2, skipped=0)]
    timers = tx.execute(text("SELECT number, expire_check_on FROM cards ORDER BY number")).all()
    assert [(n, at is None) for n, at in timers] == [
        ("C0", True),
        ("C1", True),
        ("C2", True),
        ("C3", False),
        ("C4", True),
    ]
    assert sweep(tx, shop, DEADLINE) == []
    assert sweep(tx, shop, DEADLINE + 100 * DAY) == [ExpiryResult(1, 11, 0, 0)]
    assert service.check_invariants(tx) == []


def test_a_dry_run_tells_what_the_sweep_then_does(tx: Tx, shop: Any) -> None:
    service.create_program(
        tx, shop.merchant_id, "tea", name="Tea", currency="eur", inactivity_days=30
    )
    shop.apply(
        tx,
        [
            *(shop.enrol(f"B{i}", program="beans") for i in range(2)),
            *(shop.earn(f"B{i}", 10) for i in range(2)),
            *(shop.enrol(f"T{i}", program="tea") for i in range(3)),
            *(shop.earn(f"T{i}", 7) for i in range(3)),
        ],
    )
    told = service.dry_run(tx, shop.merchant_id, NOON + 40 * DAY)
    assert [(row.program, row.cards, row.points) for row in told] == [("tea", 3, 21)]
    told = service.dry_run(tx, shop.merchant_id, DEADLINE)
    assert [(row.program, row.cards, row.points) for row in told] == [
        ("beans", 2, 20),
        ("tea", 3, 21),
    ]
    (done,) = sweep(tx, shop, DEADLINE)
    assert (done.cards, done.points) == (5, 41)
    assert service.dry_run(tx, shop.merchant_id, DEADLINE) == []


def test_ranges_hold_as_many_due_cards_as_asked_and_cover_all(tx: Tx, shop: Any) -> None:
    shop.apply(tx, [e for i in range(7) for e in (shop.enrol(f"C{i}"), shop.earn(f"C{i}", 1))])
    ranges = service.plan_expiry(tx, shop.merchant_id, DEADLINE, 3)
    assert [part.cards for part in ranges] == [3, 3, 1]
    assert all(a.last_id < b.first_id for a, b in pairwise(ranges))
    with pytest.raises(Invalid, match="range_size"):
        service.plan_expiry(tx, shop.merchant_id, DEADLINE, 0)


def test_the_sweep_of_one_merchant_leaves_the_others(tx: Tx, open_shop: Any) -> None:
    mine, yours = open_shop(tx, inactivity_days=10), open_shop(tx, inactivity_days=10)
    mine.apply(tx, [mine.enrol("C1"), yours.enrol("C1"), mine.earn("C1", 1), yours.earn("C1", 1)])
    everything = (0, 2**62)
    done = service.expire_range(tx, mine.merchant_id, *everything, NOON + 20 * DAY)
    assert (done.cards, done.points) == (1, 1)
    assert [row.cards for row in service.dry_run(tx, yours.merchant_id, NOON + 20 * DAY)] == [1]


def test_points_that_are_still_pending_expire_with_the_balance(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx, pending_days=30, inactivity_days=10)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 5)])
    assert sweep(tx, shop, NOON + 20 * DAY) == [ExpiryResult(1, 5, 0, 0)]
    assert service.check_invariants(tx) == []


def test_a_program_without_a_policy_never_expires_anything(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(tx)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 5)])
    assert sweep(tx, shop, NOON + 4_000 * DAY) == []
    (done,) = shop.apply(tx, [shop.redeem("C1", 5, NOON + 4_000 * DAY)], NOON + 4_000 * DAY)
    assert done.balance == 0


def test_a_card_earns_again_after_its_expiry(tx: Tx, shop: Any) -> None:
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 5)])
    sweep(tx, shop, DEADLINE)
    again = DEADLINE + 5 * DAY
    shop.apply(tx, [shop.earn("C1", 7, again)], again)
    assert sweep(tx, shop, again + 400 * DAY) == [ExpiryResult(1, 7, 0, 0)]
    assert [row[1:4] for row in expiries(tx)] == [(3, -5, 0), (5, -7, 0)]
    assert service.check_invariants(tx) == []


def test_a_year_of_late_events_in_one_batch_books_each_expiry_in_its_place(
    tx: Tx, open_shop: Any, history: Any
) -> None:
    shop = open_shop(tx, inactivity_days=10, backdating_days=400, zone="UTC")
    start = NOON - 360 * DAY
    outcomes = shop.apply(
        tx,
        [
            shop.enrol("C1", time=start),
            shop.earn("C1", 10, start),
            shop.earn("C1", 20, start + 100 * DAY),
            shop.earn("C1", 30, start + 105 * DAY),
            shop.redeem("C1", 50, start + 110 * DAY),
            shop.redeem("C1", 1, NOON),
        ],
    )
    assert [getattr(o, "balance", None) for o in outcomes] == [0, 10, 20, 50, 0, None]
    assert [row[2:5] for row in history(tx, shop)] == [
        ("card_created", 0, 0),
        ("points_earned", 10, 10),
        ("points_expired", -10, 0),
        ("points_earned", 20, 20),
        ("points_earned", 30, 50),
        ("points_redeemed", -50, 0),
    ]
    assert service.check_invariants(tx) == []


def test_a_deadline_that_one_late_event_sets_and_the_next_one_passes_is_booked_between(
    tx: Tx, open_shop: Any, history: Any
) -> None:
    shop = open_shop(tx, inactivity_days=10, backdating_days=400, zone="UTC")
    shop.apply(tx, [shop.enrol("C1", time=NOON - 300 * DAY)])
    shop.apply(tx, [shop.earn("C1", 10, NOON - 200 * DAY), shop.earn("C1", 20)])
    assert [row[2:5] for row in history(tx, shop)][1:] == [
        ("points_earned", 10, 10),
        ("points_expired", -10, 0),
        ("points_earned", 20, 20),
    ]
    assert service.check_invariants(tx) == []


def test_the_sweep_writes_each_card_and_lot_once(tx: Tx, open_shop: Any) -> None:
    shop = open_shop(
        tx, inactivity_days=365, backdating_days=30, expiration=[{"kind": "rolling", "days": 2}]
    )
    shop.apply(
        tx,
        [
            one
            for i in range(3)
            for one in (
                shop.enrol(f"C{i}"),
                shop.earn(f"C{i}", 10, NOON - 2 * DAY),
                shop.earn(f"C{i}", 5, NOON - DAY),
                shop.earn(f"C{i}", 1),
            )
        ],
    )
    before = written(tx)
    assert sweep(tx, shop, NOON + 2 * DAY) == [ExpiryResult(3, 45, 0, 0)]
    after = written(tx)
    assert {table: after[table] - before[table] for table in after} == {"cards": 3, "point_lots": 6}
    assert service.check_invariants(tx) == []


def written(tx: Tx) -> dict[str, int]:
    """Rows that the transaction has updated so far."""
    found = tx.execute(
        text(
            "SELECT relname, n_tup_upd FROM pg_stat_xact_user_tables WHERE relname IN ('cards', 'point_lots')"
        )
    )
    return {row.relname: row.n_tup_upd for row in found}


def test_two_programs_in_one_range_are_posted_each_to_its_own_accounts(tx: Tx, shop: Any) -> None:
    service.create_program(
        tx, shop.merchant_id, "tea", name="Tea", currency="eur", inactivity_days=30
    )
    shop.apply(
        tx,
        [
            *(shop.enrol(f"{key}{i}", program=key) for i in range(2) for key in ("beans", "tea")),
            *(shop.earn(f"beans{i}", 10) for i in range(2)),
            *(shop.earn(f"tea{i}", 7) for i in range(2)),
        ],
    )
    assert sweep(tx, shop, DEADLINE) == [ExpiryResult(4, 34, 0, 0)]
    posted = tx.execute(
        text(
            """
            SELECT l.currency, d.kind, c.kind, l.amount, l.group_id = l.id, t.card_id = k.id, t.transaction_at = l.occurred_at
            FROM ledger_transfers l
            JOIN ledger_accounts d ON d.id = l.debit_account_id JOIN ledger_accounts c ON c.id = l.credit_account_id
            JOIN loyalty_transactions t ON t.id = l.source_id AND l.source_kind = 'loyalty_transaction'
            JOIN cards k ON 'points:' || rtrim(k.number, '0123456789') = l.currency AND k.id = t.card_id
            WHERE l.kind = 'points_expired' AND l.merchant_id = :merchant ORDER BY l.id
            """
        ),
        {"merchant": shop.merchant_id},
    ).all()
    accounts = ("points_liability", "points_breakage")
    assert sorted(tuple(row) for row in posted) == [
        ("points:beans", *accounts, 10, True, True, True),
        ("points:beans", *accounts, 10, True, True, True),
        ("points:tea", *accounts, 7, True, True, True),
        ("points:tea", *accounts, 7, True, True, True),
    ]
    assert service.check_invariants(tx) == []


def test_a_card_that_somebody_holds_is_passed_over_and_done_by_the_next_run(
    engine: Engine, open_shop: Any
) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx, inactivity_days=10)
        shop.apply(tx, [e for i in range(4) for e in (shop.enrol(f"C{i}"), shop.earn(f"C{i}", 1))])
    due = NOON + 20 * DAY
    with transaction(engine) as holder:
        holder.execute(text("SELECT 1 FROM cards WHERE number = 'C2' FOR NO KEY UPDATE"))
        with transaction(engine) as tx:
            assert sweep(tx, shop, due) == [ExpiryResult(3, 3, 0, skipped=1)]
    with transaction(engine) as tx:
        assert sweep(tx, shop, due) == [ExpiryResult(1, 1, 0, 0)]
        assert service.check_invariants(tx) == []


def test_a_sweep_that_is_killed_between_ranges_and_runs_again_books_each_card_once(
    engine: Engine, open_shop: Any
) -> None:
    class Killed(Exception):
        pass

    with transaction(engine) as tx:
        shop = open_shop(tx, inactivity_days=10)
        shop.apply(tx, [e for i in range(30) for e in (shop.enrol(f"C{i}"), shop.earn(f"C{i}", 1))])
    due = NOON + 20 * DAY
    with transaction(engine) as tx:
        planned = service.plan_expiry(tx, shop.merchant_id, due, 10)

    def run(part: Any, *, killed: bool = False) -> ExpiryResult:
        with transaction(engine) as tx:
            done = service.expire_range(tx, shop.merchant_id, part.first_id, part.last_id, due)
            if killed:
                raise Killed
            return done

    assert run(planned[0]).cards == 10
    with pytest.raises(Killed):
        run(planned[1], killed=True)
    # Redelivered from the beginning, with the same ranges and the same cut-off.
    assert [run(part).cards for part in planned] == [0, 10, 10]
    assert [run(part).cards for part in planned] == [0, 0, 0]
    with transaction(engine) as tx:
        assert len(expiries(tx)) == 30
        assert service.check_invariants(tx) == []
