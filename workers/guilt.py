"""Which stored event a bug is about: found by trying the work without it, and kept as dead.

An event that came wakes those that waited for it, and a page of the sweep takes up many: a bug in one of
them stops the transaction that took it up, which is no fault of the others in it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import structlog

from domain.db import Tx, transaction, trial
from domain.inbox.rules import Outcome
from domain.inbox.service import Stored
from workers.context import Runtime
from workers.failures import is_infrastructure, sentence_of

log = structlog.get_logger(__name__)

ROUNDS: Final = 3
"""How often the guilty are sought: another may be stored after the search and before its end."""

R = TypeVar("R")
Work = Callable[[Tx, Stored], R]
"""What a bug stopped. It is tried in many transactions, of which the last alone is committed."""


def bury_guilty(rt: Runtime, work: Work[R]) -> R:
    """Do ``work`` in one transaction in which the stored events that a bug is about become dead.

    Raises the bug if the work fails without any stored event too, and what is infrastructure at once.
    """
    guilty: dict[int, Exception] = {}
    for attempt in range(ROUNDS):
        guilty = _sifted(rt, work, guilty)
        stored = Stored({id_: sentence_of(error) for id_, error in guilty.items()})
        try:
            with transaction(rt.engine) as tx:
                result = work(tx, stored)
        except Exception as error:
            if is_infrastructure(error) or attempt == ROUNDS - 1:
                raise
            continue
        break
    for id_ in stored.buried:
        log.error("event.dead", number=id_, exc_info=guilty[id_])
    rt.watch.events_decided(
        [Outcome("dead", type_, id_, "bug") for id_, type_ in stored.buried.items()]
    )
    return result


def _sifted(rt: Runtime, work: Work[R], guilty: Mapping[int, Exception]) -> dict[int, Exception]:
    """Stored events without which the work can be done, each with the bug that it provokes.

    Whatever the work takes up is left out, and let in again by halves. What one of those wakes is read
    only once the work comes that far: so it is left out in its turn before anybody is blamed for it.
    """
    left_out = dict(guilty)
    known = set(guilty)
    parts: list[Sequence[int]] = [()]  # at first nobody is let in
    while parts:
        part = parts.pop()
        without = {id_: error for id_, error in left_out.items() if id_ not in set(part)}
        read, error = _tried(rt, work, without)
        more = [id_ for id_ in read if id_ not in known]
        if error is None:
            left_out = without
        elif more:
            known.update(more)
            left_out |= dict.fromkeys(more, error)
            parts += [more, part]
        elif len(part) > 1:
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
        elif part:
            left_out[part[0]] = error
        else:
            raise error
    return left_out


def _tried(
    rt: Runtime, work: Work[R], without: Mapping[int, Exception]
) -> tuple[Sequence[int], Exception | None]:
    """Which stored events the work takes up, and the bug that stops it; nothing of it stays."""
    stored = Stored({id_: sentence_of(error) for id_, error in without.items()})
    try:
        with trial(rt.engine) as tx:
            work(tx, stored)
    except Exception as error:
        if is_infrastructure(error):
            raise
        return list(stored.read), error
    return list(stored.read), None
