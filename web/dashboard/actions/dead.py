"""Retry and discard dead letters: one, some, or all that match a filter."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from domain.db import transaction
from domain.dead_letters import service, store
from domain.dead_letters.service import Decided
from domain.dead_letters.store import Filter
from queues.dead import DeadSet
from web.dashboard.actions.registry import Doing, action, given

Progress = Callable[[int], None]


@dataclass
class _Done:
    """What became of letters. ``told``: why the first few were left alone."""

    number: int = 0
    left: int = 0
    told: str = ""

    def sentence(self, verb: str) -> str:
        """What to tell."""
        said = f"{verb} {self.number:,} dead letter{'' if self.number == 1 else 's'}."
        return said + (f" Left alone: {self.left:,}. {self.told}" if self.left else "")


@action("dead.retry", "operator")
def retry(
    doing: Doing, *, ids: Sequence[int], reason: str = "", progress: Progress | None = None
) -> str:
    """Put messages back on their queues, as they were, with nothing counted against them."""
    return _each(_chosen(doing, ids), _retry(doing, reason), progress).sentence("Retried")


@action("dead.discard", "operator")
def discard(
    doing: Doing, *, ids: Sequence[int], reason: str, progress: Progress | None = None
) -> str:
    """Decide that messages shall not run."""
    why = given(reason)
    return _each(_chosen(doing, ids), _discard(doing, why), progress).sentence("Discarded")


@action("dead.retry_all", "operator")
def retry_all(
    doing: Doing, *, wanted: Filter, upto: int, reason: str = "", progress: Progress | None = None
) -> str:
    """Retry every open letter that matches a filter and was dead when ``upto`` was the newest."""
    found = _matching(doing, wanted, upto)
    return _each(found, _retry(doing, reason), progress).sentence("Retried")


@action("dead.discard_all", "operator")
def discard_all(
    doing: Doing, *, wanted: Filter, upto: int, reason: str, progress: Progress | None = None
) -> str:
    """Discard every open letter that matches a filter and was dead when ``upto`` was the newest."""
    why = given(reason)
    found = _matching(doing, wanted, upto)
    return _each(found, _discard(doing, why), progress).sentence("Discarded")


def _matching(doing: Doing, wanted: Filter, upto: int) -> Iterator[list[int]]:
    """Newest first, page by page. What dies meanwhile, also again, is behind us and does not come twice."""
    before = upto + 1
    while True:
        with transaction(doing.engine) as tx:
            page = store.matching(tx, wanted, before=before, limit=service.BATCH_LETTERS)
        yield from service.batches(page)
        if not page:
            return
        before = page[-1].id


def _chosen(doing: Doing, ids: Sequence[int]) -> Iterator[list[int]]:
    with transaction(doing.engine) as tx:
        sizes = store.sizes(tx, ids)
    there = {row.id for row in sizes}
    yield from service.batches(sizes)
    if gone := [one for one in ids if one not in there]:
        yield gone  # to be told that they are not there


def _each(
    batches: Iterable[list[int]], decide: Callable[[list[int]], Decided], progress: Progress | None
) -> _Done:
    """Each batch in a transaction of its own: what somebody else decided meanwhile is told, and stops no other."""
    done = _Done()
    for batch in batches:
        decided = decide(batch)
        done.number += len(decided.letters)
        done.left += len(decided.refused)
        done.told = done.told or next(map(str, decided.refused.values()), "")
        if progress is not None:
            progress(done.number + done.left)
    return done


def _retry(doing: Doing, reason: str) -> Callable[[list[int]], Decided]:
    def decide(ids: list[int]) -> Decided:
        with transaction(doing.engine) as tx:
            put_back = doing.context.put_back(tx)
            return service.retry(tx, ids, doing.actor, put_back, reason.strip() or None)

    return decide


def _discard(doing: Doing, reason: str) -> Callable[[list[int]], Decided]:
    def decide(ids: list[int]) -> Decided:
        with transaction(doing.engine) as tx:
            decided = service.discard(tx, ids, doing.actor, reason)
        of_queues: dict[str, list[str]] = {}
        for row in decided.letters:
            of_queues.setdefault(row.queue, []).append(row.redis_message_id)
        for queue, redis_ids in of_queues.items():
            # Should this fail, the sweep removes them: the decision is committed.
            DeadSet(doing.context.redis, doing.context.namespace, queue).remove(redis_ids)
        return decided

    return decide
