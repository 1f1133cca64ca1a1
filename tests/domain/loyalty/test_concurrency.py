"""What holds when several workers and the sweep touch the same cards at once."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

from sqlalchemy import Engine, text

from domain.db import transaction
from domain.loyalty import service
from domain.loyalty.rules import Refusal
from tests.domain.waiting import until_one_waits_for

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PATIENCE = 60
"""Seconds that a test waits for its threads."""


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run ``work(0) … work(count - 1)`` at the same moment; raises what any of them raised."""
    barrier = Barrier(count, timeout=PATIENCE)

    def start(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return [f.result(PATIENCE) for f in [pool.submit(start, n) for n in range(count)]]


def balanced(engine: Engine) -> None:
    with transaction(engine) as tx:
        assert service.check_invariants(tx) == []


def test_four_workers_never_overspend_a_card(engine: Engine, open_shop: Any) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx)
        shop.apply(tx, [shop.enrol("C1"), *(shop.earn("C1", 5) for _ in range(19))])

    def spend(worker: int) -> int:
        accepted = 0
        for _ in range(10):
            with transaction(engine) as tx:
                outcomes = shop.apply(tx, [shop.redeem("C1", 10)])
            accepted += not isinstance(outcomes[0], Refusal)
        return accepted

    assert sum(together(4, spend)) == 9, "95 points are nine times 10"
    with transaction(engine) as tx:
        assert tx.execute(text("SELECT points_balance FROM cards")).scalar() == 5
    balanced(engine)


def test_batches_over_the_same_cards_in_any_order_do_not_deadlock(
    engine: Engine, open_shop: Any
) -> None:
    cards = [f"C{i}" for i in range(20)]
    with transaction(engine) as tx:
        shop = open_shop(tx)
        shop.apply(tx, [e for c in cards for e in (shop.enrol(c), shop.earn(c, 1_000))])

    def work(worker: int) -> None:
        order = random.Random(worker)
        for _ in range(5):
            with transaction(engine) as tx:
                chosen = order.sample(cards, len(cards))
                shop.apply(tx, [e for c in chosen for e in (shop.earn(c, 3), shop.redeem(c, 2))])

    together(4, work)
    with transaction(engine) as tx:
        balances = tx.execute(text("SELECT DISTINCT points_balance, last_seq FROM cards")).all()
    assert [tuple(row) for row in balances] == [(1_020, 42)]
    balanced(engine)


def test_cards_are_locked_in_the_order_of_their_ids(engine: Engine, open_shop: Any) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx)
        shop.apply(tx, [shop.enrol(f"C{i}") for i in range(40)])
        ids = list(tx.execute(text("SELECT id FROM cards ORDER BY id")).scalars())

    def earn() -> None:
        with transaction(engine) as tx:
            order = random.Random(1).sample(range(40), 40)
            shop.apply(tx, [shop.earn(f"C{i}", 3) for i in order])

    free = text("SELECT id FROM cards ORDER BY id FOR NO KEY UPDATE SKIP LOCKED")
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as holder:
            holder.execute(text("SELECT FROM cards WHERE id = :id FOR UPDATE"), {"id": ids[20]})
            earning = pool.submit(earn)
            until_one_waits_for(engine, holder)
            with transaction(engine) as tx:
                left = list(tx.execute(free).scalars())
        earning.result(PATIENCE)
    assert left == ids[21:]


def test_one_of_several_concurrent_enrolments_of_a_customer_wins(
    engine: Engine, open_shop: Any
) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx, welcome_bonus=10)

    def enrol(worker: int) -> list[Any]:
        with transaction(engine) as tx:
            # Half by the same number, half with one of their own; the customers of all are the same.
            return shop.apply(
                tx,
                [
                    shop.enrol(f"C{i}" if worker % 2 else f"C{i}-{worker}", f"customer-{i}")
                    for i in range(10)
                ],
            )

    results = together(4, enrol)
    for of_customer in zip(*results, strict=True):
        refused = [o.reason for o in of_customer if isinstance(o, Refusal)]
        assert len(refused) == 3
        assert set(refused) <= {"card_exists", "customer_has_card"}
    with transaction(engine) as tx:
        assert tx.execute(text("SELECT count(*), sum(points_balance) FROM cards")).one() == (
            10,
            100,
        )
    balanced(engine)


def test_who_loses_the_race_for_a_number_leaves_it_to_the_next_in_its_batch(
    engine: Engine, open_shop: Any
) -> None:
    with transaction(engine) as tx:
        shop = open_shop(tx)
    started = Barrier(2, timeout=PATIENCE)

    def winner() -> None:
        with transaction(engine) as tx:
            shop.apply(tx, [shop.enrol("W", "ada")])
            started.wait()
            # The other batch now waits for this transaction at the unique key.
            _until_somebody_waits(engine)

    def loser() -> list[Any]:
        started.wait()
        with transaction(engine) as tx:
            return shop.apply(tx, [shop.enrol("C1", "ada"), shop.enrol("C1", "bob")])

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(winner), pool.submit(loser)
        first.result(PATIENCE)
        refused, done = second.result(PATIENCE)
    assert refused.reason == "customer_has_card"
    assert done.card == "C1"
    balanced(engine)


def _until_somebody_waits(engine: Engine) -> None:
    for _ in range(500):
        with transaction(engine) as tx:
            waiting = tx.execute(
                text(
                    "SELECT count(*), pg_sleep(0.01) FROM pg_locks WHERE NOT granted AND database ="
                    " (SELECT oid FROM pg_database WHERE datname = current_database())"
                    " OR NOT granted AND locktype = 'transactionid'"
                )
            ).first()
        if waiting is not None and waiting[0]:
            return
    raise AssertionError("nobody waited for the winner")


def test_the_sweep_beside_redemptions_books_each_point_once(engine: Engine, open_shop: Any) -> None:
    cards = [f"C{i}" for i in range(60)]
    with transaction(engine) as tx:
        shop = open_shop(tx, inactivity_days=10)
        shop.apply(tx, [e for c in cards for e in (shop.enrol(c), shop.earn(c, 10))])
    fire_at = NOON + 20 * DAY
    timely = NOON + 2 * DAY

    def work(worker: int) -> int:
        if worker == 0:
            return _sweep_until_done(engine, shop, fire_at)
        spent = 0
        for card in random.Random(worker).sample(cards, len(cards)):
            with transaction(engine) as tx:
                # Timely but late: where the sweep has been there, it gives back what that took.
                (outcome,) = shop.apply(tx, [shop.redeem(card, 3, timely)], fire_at)
            spent += 0 if isinstance(outcome, Refusal) else 3
        return spent

    expired, *spent = together(3, work)
    expired += _sweep_until_done(engine, shop, fire_at)
    with transaction(engine) as tx:
        restored = tx.execute(
            text(
                "SELECT coalesce(sum(points_delta), 0) FROM loyalty_transactions WHERE type = 'points_adjustment'"
            )
        ).scalar_one()
        assert expired - restored + sum(spent) == 600
        assert 180 <= sum(spent) <= 360
        assert tx.execute(text("SELECT sum(points_balance) FROM cards")).scalar() == 0
    balanced(engine)


def _sweep_until_done(engine: Engine, shop: Any, fire_at: datetime) -> int:
    points = 0
    for _ in range(200):
        with transaction(engine) as tx:
            planned = service.plan_expiry(tx, shop.merchant_id, fire_at, 7)
        if not planned:
            return points
        for part in planned:
            with transaction(engine) as tx:
                done = service.expire_range(
                    tx, shop.merchant_id, part.first_id, part.last_id, fire_at
                )
            points += done.points
    raise AssertionError("the sweep did not finish")
