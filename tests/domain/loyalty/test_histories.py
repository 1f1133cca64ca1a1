"""A thousand random histories, on many connections at once, against the plain book of ``tests.oracles``.

Histories are played in waves: all that arrives at one moment for a wave's cards is shuffled and applied as
one batch, as several, or as two at the same time, or beside two schedulers whose sweeps run late, twice,
or are killed. Whatever the order was, each history must be what the book says of some order of the same
parts; all its rows, lots, holds, debts, stamps, cash and outcomes.

LOYALTY_HISTORIES sets how many are played, LOYALTY_SEED which wave is the first.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, text

from domain.db import Tx, transaction
from domain.inbox import service as inbox
from domain.inbox.service import applying
from domain.ledger import service as ledger
from domain.loyalty import service
from domain.loyalty.store import cards as card_store
from tests.domain.inbox.shop import event, merchant, read
from tests.domain.loyalty import photo
from tests.domain.loyalty.histories import SHOPS, START, History, Wave, text_of, wave
from tests.oracles.loyalty_pages import Terms
from tests.oracles.loyalty_tills import Tills

WAVE = 100
HISTORIES = int(os.environ.get("LOYALTY_HISTORIES", "1000"))
FIRST = int(os.environ.get("LOYALTY_SEED", "1"))
PATIENCE = 120
_names = count(1)


class Killed(Exception):
    """A scheduler dies in the middle of a range."""


@pytest.fixture(autouse=True)
def few_lots_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short histories have cards with more lots than are read at first; and one page of who waits."""
    monkeypatch.setattr(card_store, "FIRST_LOTS", 2)
    monkeypatch.setattr(applying, "RECHECK_BATCH", 100_000)


class Played:
    """A wave in the database, and in the books: of each history all those that may be true."""

    def __init__(self, engine: Engine, wave: Wave, seed: int) -> None:
        self.engine, self.wave, self.rng = engine, wave, Random(seed)
        self.shops, self.ids = self._open()
        self.books = {h.name: [Tills(SHOPS[h.shop], h.cards, START)] for h in wave.histories}
        self.faults: list[str] = []

    def _open(self) -> tuple[list[str], list[int]]:
        names = [f"histories-{next(_names)}" for _ in SHOPS]
        with transaction(self.engine) as tx:
            set_clock(tx, START)
            ids = [open_shop(tx, *one) for one in zip(names, SHOPS, strict=True)]
            inbox.apply(
                tx,
                read(
                    *(
                        event(
                            "loyalty.card_created",
                            card,
                            START,
                            to=names[h.shop],
                            card=card,
                            customer_id=f"of-{card}",
                        )
                        for h in self.wave.histories
                        for card in h.cards
                    )
                ),
            )
        return names, ids

    def run(self) -> list[str]:
        for step, now in enumerate(self.wave.times):
            with transaction(self.engine) as tx:
                set_clock(tx, now)
            if self.rng.random() < 0.4:
                self.sweep(step, now)
            arrived = [(h, e) for h in self.wave.histories for e in h.steps[step]]
            # Any interleaving of the histories; within one, the order in which its events arrive.
            order = sorted(arrived, key=lambda one: one[0].name)
            places = sorted(range(len(order)), key=lambda _: self.rng.random())
            turns = {name: iter([e for h, e in order if h.name == name]) for name in self.books}
            mixed = [(order[i][0], next(turns[order[i][0].name])) for i in places]
            roads = (self.at_once, self.cut, self.beside, self.swept_beside)
            self.rng.choice(roads)(mixed, now)
            self.compare(step)
            if self.faults:
                return self.faults
        self.finish()
        return self.faults

    # --- roads --------------------------------------------------------------------------------------

    def at_once(self, mixed: Any, now: datetime) -> None:
        self.apply(mixed)
        self.each(lambda book, mine: book.arrive(mine, now), mixed)

    def cut(self, mixed: Any, now: datetime) -> None:
        edges = sorted(self.rng.randrange(len(mixed) + 1) for _ in range(2))
        for first, last in zip([0, *edges], [*edges, len(mixed)], strict=True):
            self.at_once(mixed[first:last], now)

    def beside(self, mixed: Any, now: datetime) -> None:
        """Two workers at the same time, some events with both."""
        with_one = [self.rng.random() < 0.6 for _ in mixed]
        one = [x for x, its in zip(mixed, with_one, strict=True) if its]
        other = [
            x for x, its in zip(mixed, with_one, strict=True) if not its or self.rng.random() < 0.2
        ]
        together(lambda: self.apply(one), lambda: self.apply(other))
        for history in self.wave.histories:
            parts = [[e for h, e in half if h is history] for half in (one, other)]
            orders = [parts, parts[::-1]] if all(parts) else [parts]
            forked = []
            for book in self.books[history.name]:
                for order in orders:
                    forked.append(deepcopy(book))
                    for part in order:
                        forked[-1].arrive(part, now)
            self.books[history.name] = forked

    def swept_beside(self, mixed: Any, now: datetime) -> None:
        """A worker beside two schedulers, whose sweeps leave the cards that it holds for later."""
        sweep = self.sweeping(now, self.rng.choice((1, 7, 40)))
        together(lambda: self.apply(mixed), sweep, sweep)
        sweep()
        for history in self.wave.histories:
            mine, (a, b) = [e for h, e in mixed if h is history], history.cards
            forked = []
            for book in self.books[history.name]:
                for first in ((), (a,), (b,), (a, b)) if mine else [()]:
                    forked.append(deepcopy(book))
                    forked[-1].sweep(now, first)
                    forked[-1].arrive(mine, now)
                    forked[-1].sweep(now)
            self.books[history.name] = forked

    # --- parts --------------------------------------------------------------------------------------

    def apply(self, mixed: Any) -> None:
        if mixed:
            with transaction(self.engine) as tx:
                inbox.apply(tx, read(*(text_of(self.shops[h.shop], e) for h, e in mixed)))

    def each(self, does: Callable[[Tills, list[Any]], Any], mixed: Any) -> None:
        mine: dict[str, list[Any]] = {name: [] for name in self.books}
        for history, e in mixed:
            mine[history.name].append(e)
        for name, books in self.books.items():
            for book in books:
                does(book, mine[name])

    def sweeping(self, fire_at: datetime, size: int, *, killed: bool = False) -> Callable[[], None]:
        def run() -> None:
            for shop in self.ids:
                with transaction(self.engine) as tx:
                    ranges = service.plan_expiry(tx, shop, fire_at, size)
                for part in ranges:
                    with transaction(self.engine) as tx:
                        service.expire_range(tx, shop, part.first_id, part.last_id, fire_at)
                        if killed and part.cards > 1:
                            raise Killed

        return run

    def sweep(self, step: int, now: datetime) -> None:
        """Those of what waits and of holds; that of expiry on time or late, once or twice, or killed before."""
        if self.rng.random() < 0.5:
            with transaction(self.engine) as tx:
                inbox.recheck_waiting(tx)
            self.each(lambda book, _: book.sweep_waiting(now), [])
        if self.rng.random() < 0.5:
            with transaction(self.engine) as tx:
                while service.time_out_holds(tx, now):
                    pass
            self.each(lambda book, _: book.sweep_holds(now), [])
        fire_at = self.wave.times[max(step - self.rng.choice((0, 0, 1, 3)), 0)]
        size = self.rng.choice((1, 7, 1_000))
        if self.rng.random() < 0.3:
            with suppress(Killed):
                self.sweeping(fire_at, size, killed=True)()
        for _ in range(self.rng.choice((1, 2))):
            self.sweeping(fire_at, size)()
        self.each(lambda book, _: book.sweep(fire_at), [])

    def compare(self, step: int) -> None:
        with transaction(self.engine) as tx:
            found = photo.of_database(tx, self.ids)
            self.faults += photo.broken(tx, self.ids)
        for history in self.wave.histories:
            mine = found[history.name]
            books = self.books[history.name]
            true = [book for book in books if photo.of_book(book) == mine]
            if not true:
                self.faults.append(difference(history, step, mine, books))
            self.books[history.name] = distinct(true or books)

    def finish(self) -> None:
        """Long after, all that can is gone, no hold is open, and the product's own checks find nothing."""
        now = self.wave.times[-1] + timedelta(days=90)
        with transaction(self.engine) as tx:
            set_clock(tx, now)
            while service.time_out_holds(tx, now):
                pass
        self.each(lambda book, _: book.sweep_holds(now), [])
        self.sweeping(now, 30)()
        self.each(lambda book, _: book.sweep(now), [])
        self.compare(len(self.wave.times))
        with transaction(self.engine) as tx:
            self.faults += service.check_invariants(tx) + ledger.check_invariants(tx)


def together(*calls: Callable[[], None]) -> None:
    """Run all at once, each in a thread; raises what one of them raised."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result(PATIENCE)


def distinct(books: Sequence[Tills]) -> list[Tills]:
    """One of those that differ in nothing, be it visible or not."""
    return (
        list({repr(book.everything()): book for book in books}.values()) if books[1:] else [*books]
    )


def difference(history: History, step: int, mine: photo.Photo, books: Sequence[Tills]) -> str:
    """What the database says of a history, and what the likeliest book does, where they differ."""
    said, cards = mine
    told = [f"{history.name} differs at step {step} from all of {len(books)} books"]
    expected, pages = photo.of_book(books[0])
    told += [
        f"{n}: {said.get(n)}, not {expected.get(n)}"
        for n in sorted({*said, *expected})
        if said.get(n) != expected.get(n)
    ]
    for card, page in pages.items():
        told += [
            f"{card}: {a}\n    not {b}" for a, b in zip(cards[card], page, strict=True) if a != b
        ]
    told += [f"step {n}: {e}" for n, events in enumerate(history.steps[: step + 1]) for e in events]
    return "\n  ".join(told)


def set_clock(tx: Tx, now: datetime) -> None:
    tx.execute(
        text(
            "INSERT INTO business_clock VALUES (1, :now)"
            " ON CONFLICT (id) DO UPDATE SET simulated_at = excluded.simulated_at"
        ),
        {"now": now},
    )


def open_shop(tx: Tx, name: str, terms: Terms) -> int:
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
        expiration=[{"kind": "rolling", "days": terms.life}] if terms.life else [],
        restore_days=terms.restore,
        allow_debt=terms.allow_debt,
        hold_minutes=terms.hold_hours * 60,
        rewards=[
            {"id": name, "description": name, "points": points} | ({"cash": cash} if cash else {})
            for name, (points, cash) in terms.rewards.items()
        ],
    )
    return merchant_id


@pytest.mark.parametrize("number", range(FIRST, FIRST + max(-(-HISTORIES // WAVE), 1)))
def test_whatever_arrives_in_any_order_and_at_once_is_booked_as_in_the_plain_book(
    engine: Engine, number: int
) -> None:
    faults = Played(engine, wave(number, min(WAVE, HISTORIES)), number).run()
    assert not faults, "\n".join([f"LOYALTY_SEED={number}", *faults[:3]])
