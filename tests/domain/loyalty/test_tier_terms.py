"""Other tiers hold for every card at once; the sweep books what they change, some cards at a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Event as Signal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import Tx, transaction
from domain.loyalty import service
from domain.loyalty.service import loading, tiers
from tests.domain.loyalty.conftest import NOON
from tests.domain.loyalty.test_concurrency import together
from tests.domain.loyalty.test_tiers import opened, settle, tier, told

applying = sys.modules["domain.loyalty.service.apply"]
"""The module: the package has a function of its name."""
DAY = timedelta(days=1)
LOWER = [{"key": "silver", "from": 50, "basis_points": 15_000}]
HIGHER = [{"key": "silver", "from": 500, "basis_points": 15_000}]


def club(tx: Tx, open_shop: Callable[..., Any], cards: int, points: int = 60) -> Any:
    """A shop with tiers, and so many cards of so many points."""
    shop = opened(tx, open_shop)
    names = [f"C{n}" for n in range(1, cards + 1)]
    shop.apply(tx, [shop.enrol(card) for card in names[1:]])
    shop.apply(tx, [shop.earn(card, points) for card in names])
    return shop


def change(tx: Tx, shop: Any, table: list[Any], at: Any = NOON + DAY) -> None:
    service.change_program(tx, shop.merchant_id, "beans", at, tiers=table)


def reached(tx: Tx, shop: Any) -> list[Any]:
    rows = tx.execute(
        text(
            "SELECT c.number, t.to_tier, t.reason, t.changed_at FROM tier_changes t JOIN cards c ON c.id = t.card_id"
            " WHERE t.merchant_id = :m ORDER BY t.card_id, t.number"
        ),
        {"m": shop.merchant_id},
    )
    return [tuple(row) for row in rows]


def test_a_change_of_tiers_writes_no_card_and_holds_for_each_at_once(
    tx: Tx, open_shop: Any
) -> None:
    shop = club(tx, open_shop, 3)
    kept = "SELECT card_id, tier, xmin::text FROM card_tiers ORDER BY card_id"
    before = tx.execute(text(kept)).all()
    change(tx, shop, LOWER)
    assert tx.execute(text(kept)).all() == before
    assert [tier(tx, shop, NOON + DAY, f"C{n}") for n in (1, 2, 3)] == ["silver"] * 3
    # An event books it as of its moment, as the sweep would.
    shop.apply(tx, [shop.earn("C2", 1, NOON + 2 * DAY)], NOON + 2 * DAY)
    assert told(tx, shop, "C2") == [(None, "silver", "terms", 60, NOON + DAY)]
    assert settle(tx, shop, NOON + 2 * DAY) == 2
    assert reached(tx, shop) == [(f"C{n}", "silver", "terms", NOON + DAY) for n in (1, 2, 3)]


def test_cards_that_were_never_counted_are_and_those_of_later_are_not(
    tx: Tx, open_shop: Any
) -> None:
    shop = open_shop(tx)
    shop.apply(tx, [shop.enrol("C1"), shop.earn("C1", 60)])
    assert service.tier(tx, shop.merchant_id, "C1", NOON) is None, "a program without tiers"
    basic = [{"key": "basic", "from": 0, "basis_points": 10_000}, *LOWER]
    change(tx, shop, basic)
    after = NOON + 2 * DAY
    shop.apply(tx, [shop.enrol("C2", time=after)], after)
    assert tier(tx, shop, after, "C1") == "silver"
    assert service.tier(tx, shop.merchant_id, "C2", after) is None
    settle(tx, shop, after)
    assert reached(tx, shop) == [("C1", "silver", "terms", NOON + DAY)]
    shop.apply(tx, [shop.earn("C2", 5, after)], after)
    assert reached(tx, shop)[1:] == [("C2", "basic", "earned", after)]


def test_a_sweep_that_is_killed_goes_on_where_it_was(
    engine: Engine, open_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "TIER_CARDS", 4)
    with transaction(engine) as tx:
        shop = club(tx, open_shop, 10)
        change(tx, shop, LOWER)
    at, sizes = NOON + 2 * DAY, []
    for _ in range(2):
        with transaction(engine) as tx:
            sizes.append(service.recount_tiers(tx, shop.merchant_id, at).cards)

    def killed() -> None:
        with transaction(engine) as tx:
            service.recount_tiers(tx, shop.merchant_id, at)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        killed()
    with transaction(engine) as tx:
        assert len(reached(tx, shop)) == 8
        last = service.recount_tiers(tx, shop.merchant_id, at)
        sizes.append(last.cards)
    assert sizes == [4, 4, 2]
    with transaction(engine) as tx:
        assert service.recount_tiers(tx, shop.merchant_id, at).cursor is None
        assert len(reached(tx, shop)) == 10


def test_a_dry_run_goes_through_all_cards_and_changes_nothing(
    tx: Tx, open_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "TIER_CARDS", 4)
    shop = club(tx, open_shop, 10)
    change(tx, shop, LOWER)
    at, cursor, seen = NOON + 2 * DAY, (0, 0), 0
    while True:
        page = service.recount_tiers(tx, shop.merchant_id, at, cursor, dry_run=True)
        seen += len(page.changes)
        if page.cursor is None:
            break
        cursor = page.cursor
    assert (seen, reached(tx, shop)) == (10, [])
    assert settle(tx, shop, at) == 10


def test_a_sweep_of_before_the_change_counts_nothing_by_it(tx: Tx, open_shop: Any) -> None:
    shop = club(tx, open_shop, 1, 120)
    change(tx, shop, HIGHER, NOON + 40 * DAY)
    assert settle(tx, shop, NOON + 35 * DAY) == 0, "it fired before: the next one books it"
    assert settle(tx, shop, NOON + 41 * DAY) == 1
    assert told(tx, shop)[1:] == [("silver", None, "terms", 0, NOON + 40 * DAY)]


def test_a_second_change_before_the_first_is_counted_is_the_one_that_holds(
    tx: Tx, open_shop: Any
) -> None:
    shop = club(tx, open_shop, 2)
    change(tx, shop, LOWER)
    change(tx, shop, HIGHER, NOON + 2 * DAY)
    assert settle(tx, shop, NOON + 3 * DAY) == 0
    assert tier(tx, shop, NOON + 3 * DAY) is None
    change(tx, shop, [], NOON + 3 * DAY)
    assert settle(tx, shop, NOON + 4 * DAY) == 0


@pytest.mark.parametrize("counted_anew", [False, True])
def test_a_batch_that_read_the_program_before_its_tiers_changed_does_not_bring_the_old_ones_back(
    engine: Engine, open_shop: Any, monkeypatch: pytest.MonkeyPatch, counted_anew: bool
) -> None:
    """It stands still with the program of before, its card not locked yet, or locked and not decided."""
    with transaction(engine) as tx:
        shop = club(tx, open_shop, 1, 120)
    where, step = (loading, "open_cards") if counted_anew else (applying, "_decide_all")
    loaded, go_on, at = Signal(), Signal(), NOON + 2 * DAY
    goes_on = getattr(where, step)

    def slowly(*given: Any) -> Any:
        loaded.set()
        assert go_on.wait(30)
        return goes_on(*given)

    def work(worker: int) -> None:
        if worker == 0:
            with transaction(engine) as tx:
                shop.apply(tx, [shop.earn("C1", 10, at)], at)
            return
        assert loaded.wait(30)
        with transaction(engine) as tx:
            change(tx, shop, HIGHER)
        with transaction(engine) as tx:
            assert not counted_anew or settle(tx, shop, at) == 1
        go_on.set()

    with monkeypatch.context() as patched:
        patched.setattr(where, step, slowly)
        together(2, work)
    with transaction(engine) as tx:
        assert tier(tx, shop, at) is None, "whatever the late batch wrote"
        settle(tx, shop, at)
        assert told(tx, shop) == [
            (None, "silver", "earned", 120, NOON),
            ("silver", None, "terms", 120 if counted_anew else 130, NOON + DAY),
        ]
        kept = "SELECT tier, terms FROM card_tiers"
        assert [tuple(row) for row in tx.execute(text(kept))] == [(None, 2)]


def test_events_beside_the_sweep_and_two_sweeps_book_each_change_once(
    engine: Engine, open_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "TIER_CARDS", 5)
    with transaction(engine) as tx:
        shop = club(tx, open_shop, 40)
        change(tx, shop, LOWER)
    at = NOON + 2 * DAY

    def work(worker: int) -> None:
        if worker < 2:
            going: Any = (0, 0)
            while going is not None:
                with transaction(engine) as tx:
                    going = service.recount_tiers(tx, shop.merchant_id, at).cursor
            return
        for n in range(worker, 41, 2):
            with transaction(engine) as tx:
                shop.apply(tx, [shop.earn(f"C{n}", 1, at)], at)

    together(4, work)
    with transaction(engine) as tx:
        settle(tx, shop, at)
        assert [row[1:] for row in reached(tx, shop)] == [("silver", "terms", NOON + DAY)] * 40


def test_a_card_that_somebody_holds_is_waited_for(engine: Engine, open_shop: Any) -> None:
    with transaction(engine) as tx:
        shop = club(tx, open_shop, 3)
        change(tx, shop, LOWER)
    at, held, counting = NOON + 2 * DAY, Signal(), Signal()

    def work(worker: int) -> int:
        if worker == 0:
            with transaction(engine) as tx:
                tx.execute(text("SELECT FROM cards WHERE number = 'C2' FOR UPDATE"))
                held.set()
                assert counting.wait(30)
                time.sleep(0.2)  # the sweep waits for the card, or has passed it over
            return 0
        assert held.wait(30)
        counting.set()
        with transaction(engine) as tx:
            return service.recount_tiers(tx, shop.merchant_id, at).cards

    assert together(2, work) == [0, 3]
