"""The guilty are found among what woke what, however much there is, and nobody else is blamed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from domain.db import Tx
from domain.inbox.service import Stored
from workers.context import Runtime
from workers.guilt import bury_guilty

Wakes = dict[int, list[int]]


@pytest.fixture
def rt(engine: Engine) -> Runtime:
    return Runtime(engine, None, "test", None, sandbox=True)  # type: ignore[arg-type]


def waking(wakes: Wakes, guilty: set[int]) -> Callable[[Tx, Stored], set[int]]:
    """Work that takes up what 0 (which came) wakes and what that wakes in turn; returns all of it."""

    def work(_tx: Tx, stored: Stored) -> set[int]:
        stored.buried.clear()
        applied: set[int] = set()
        woken = wakes.get(0, [])
        while woken:
            taken = [id_ for id_ in woken if id_ not in stored.dead and id_ not in applied]
            stored.buried |= {id_: "conversion.refunded" for id_ in woken if id_ in stored.dead}
            stored.read |= dict.fromkeys(taken)
            if cursed := guilty & set(taken):
                raise ValueError(f"cursed by {min(cursed)}")
            applied |= set(taken)
            woken = [follower for id_ in taken for follower in wakes.get(id_, [])]
        return applied

    return work


def innocent(wakes: Wakes, guilty: set[int]) -> set[int]:
    """What is woken by innocent events alone, and innocent itself."""
    found: set[int] = set()
    woken = list(wakes.get(0, []))
    while woken:
        one = woken.pop()
        if one not in guilty and one not in found:
            found.add(one)
            woken += wakes.get(one, [])
    return found


def test_who_wakes_the_guilty_is_not_blamed_for_it(rt: Runtime) -> None:
    # 1 stops the work before 2 has woken 3, so that 3 is not seen at first.
    wakes = {0: [1, 2], 2: [3, 4]}
    assert bury_guilty(rt, waking(wakes, {1, 3})) == {2, 4}


@pytest.mark.parametrize("seed", range(20))
def test_all_that_is_innocent_is_applied(rt: Runtime, seed: int) -> None:
    chance = random.Random(seed)
    wakes: Wakes = {}
    for id_ in range(1, 40):
        wakes.setdefault(chance.randrange(id_) if chance.random() < 0.5 else 0, []).append(id_)
    guilty = {id_ for id_ in range(1, 40) if chance.random() < seed / 30}
    assert bury_guilty(rt, waking(wakes, guilty)) == innocent(wakes, guilty)


def test_what_fails_without_any_stored_event_is_its_own_bug(rt: Runtime) -> None:
    def work(_tx: Tx, stored: Stored) -> None:
        stored.read |= {1: None, 2: None}
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        bury_guilty(rt, work)


def test_one_that_is_stored_while_the_guilty_is_sought_is_found_too(rt: Runtime) -> None:
    turns = 0

    def work(tx: Tx, stored: Stored) -> set[int]:
        nonlocal turns
        turns += 1
        late = turns > 5  # after the search, before its end
        return waking({0: [1, 2, 3] if late else [1, 2]}, {1, 3})(tx, stored)

    assert bury_guilty(rt, work) == {2}
