"""Retry refused and dead events, and give one new content."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy.exc import InterfaceError, OperationalError

from domain.db import transaction
from domain.errors import DomainError
from domain.inbox import service as inbox
from domain.inbox.service import Selection
from web.dashboard.actions.dead import Progress
from web.dashboard.actions.registry import Doing, action, given


@action("event.retry", "operator")
def retry(doing: Doing, *, numbers: Sequence[int], reason: str = "") -> str:
    """Apply events again with the content that they have."""
    return _retried(doing, iter([sorted(set(numbers))]), reason, None)


@action("event.retry_all", "operator")
def retry_all(
    doing: Doing, *, selection: Selection, reason: str = "", progress: Progress | None = None
) -> str:
    """Apply every event of a selection again."""
    return _retried(doing, _selected(doing, selection), reason, progress)


@action("event.edit", "operator")
def edit(
    doing: Doing,
    *,
    number: int,
    data: str,
    reason: str,
    type_: str | None = None,
    time: datetime | None = None,
) -> str:
    """Give a refused or dead event new content, and apply it."""
    with transaction(doing.engine) as tx:
        done = inbox.edit(
            tx, number, data, actor=doing.actor, reason=given(reason), type=type_, time=time
        )
    outcome = done.outcome
    why = f" ({outcome.reason}: {outcome.detail})" if outcome.reason else ""
    return f"Event {number} is revision {done.revision} now: {outcome.status}{why}."


def _selected(doing: Doing, selection: Selection) -> Iterator[list[int]]:
    after = 0
    while True:
        with transaction(doing.engine) as tx:
            page = [row.id for row in inbox.selected(tx, selection, after)]
        if not page:
            return
        yield page
        after = page[-1]


def _retried(
    doing: Doing, batches: Iterator[list[int]], reason: str, progress: Progress | None
) -> str:
    tried = applied = buggy = seen = 0
    refused = ""
    for batch in batches:
        todo = [batch]
        while todo:
            part = todo.pop()
            try:
                with transaction(doing.engine) as tx:
                    done = inbox.retry(tx, part, actor=doing.actor, reason=reason.strip() or None)
            except (DomainError, OperationalError, InterfaceError):
                raise
            except Exception:
                if len(part) > 1:  # a bug: its neighbours go on
                    middle = len(part) // 2
                    todo += [part[middle:], part[:middle]]
                    continue
                buggy += 1
                continue
            tried += sum(one.tried for one in done)
            applied += sum(one.tried and one.status == "applied" for one in done)
            refused = refused or next(
                (one.detail or "" for one in done if one.status != "applied"), ""
            )
        seen += len(batch)
        if progress is not None:
            progress(seen)
    said = f"Retried {tried:,} event{'' if tried == 1 else 's'}: {applied:,} applied."
    said += f" {refused}" if refused and applied < tried else ""
    return said + (f" A bug stopped {buggy:,}; they stay as they were." if buggy else "")
