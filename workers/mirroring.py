"""What was sent is kept outside of the database too, before each key is used, and compared before each send.

The order is: the attempt is committed, then kept in Valkey (on its disk) and in the log, then its key is
used. So an attempt that may have paid is always known outside; what a failover forgets is missed. One
that could not be kept is not sent: it waits under its key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import structlog
from dramatiq.errors import ConnectionClosed
from sqlalchemy import Engine

from domain.db import transaction
from domain.payouts.rules import Leave
from domain.payouts.rules.stopping import Stop
from domain.payouts.rules.watermark import BEHIND, Mark
from domain.payouts.service import Attempt, watermark
from queues.marks import MarkLost, Marks, OtherServer
from workers.failures import is_infrastructure

log = structlog.get_logger(__name__)

NOTHING_KEPT: Final = Mark("", ())
"""Agrees with no database."""
LOOKS: Final = 2
"""How often a send looks at what is kept before it is put off: once more after somebody rearmed."""

T = TypeVar("T")


class Runtime(Protocol):
    """What these functions need of the composition root."""

    @property
    def engine(self) -> Engine:
        """The runtime role's engine."""

    @property
    def marks(self) -> Marks | None:
        """What is kept outside of the database; None: nothing, and nothing is compared."""


def begin(
    runtime: Runtime, begin_with: Callable[[Mark | None], T | Leave]
) -> tuple[T | Leave, Mark | None]:
    """Begin what is to be sent, compared with what is kept outside; a difference stops all sending.

    ``begin_with`` commits to it, or leaves it for BEHIND. Returns what it began, and the mark that it was
    compared with: ``keep`` wants it. Raises ConnectionClosed if nobody can tell what is kept: nothing is
    begun then.
    """
    begun: T | Leave = Leave(BEHIND)
    for _ in range(LOOKS):
        mark = _kept(runtime)
        begun = begin_with(mark)
        if begun != Leave(BEHIND):
            return begun, mark
        check(runtime)
    return begun, None


def check(runtime: Runtime) -> Stop | None:
    """Compare the database with what is kept outside; the stop of all sending if it may have forgotten.

    Where nothing is kept (Valkey was emptied, or is new) the database is taken at its word if it is where
    it says it was: what that cannot see is an older state of the same server at the same moment. Raises
    ConnectionClosed.
    """
    if runtime.marks is None:
        return None
    mark = _read(runtime.marks)
    with transaction(runtime.engine) as tx:
        stop = watermark.compare(tx, mark)
        present = watermark.present(tx) if stop is None and mark is None else None
    if stop is not None:
        log.error("payouts.stopped_after_failover", stop_id=stop.stop_id, reason=stop.reason)
    if present is not None and runtime.marks.learn(present.server, present.attempts):
        log.warning(
            "watermark.learned",
            server=present.server,
            newest_attempt=max(present.attempts, default=None),
            why="Valkey knew nothing: it is new, or was emptied; the database was taken at its word",
        )
    return stop


def at_start(runtime: Runtime) -> None:
    """``check`` before the first message; a server that is away is looked at again before each send."""
    try:
        check(runtime)
    except Exception as error:
        if not is_infrastructure(error):
            raise
        log.warning("watermark.unread", error=str(error)[:200])


def keep_newest(runtime: Runtime) -> None:
    """Keep the newest attempt outside, as ``keep``: for what people carry out, before they get it.

    Raises ConnectionClosed, MarkLost or OtherServer if it could not be kept: nobody may get it then.
    """
    if runtime.marks is None:
        return
    with transaction(runtime.engine) as tx:
        present = watermark.present(tx)
    if present.attempts:
        runtime.marks.keep(present.server, present.attempts[-1])
        log.info(
            "payout.attempt_kept", attempt_id=present.attempts[-1], key=None, server=present.server
        )


def account_name(merchant_id: int, method: str, account: str) -> str:
    """A gateway's account of a merchant, as it is kept.

    >>> account_name(7, "stripe", "acct_1")
    '7/stripe/acct_1'
    """
    return f"{merchant_id}/{method}/{account}"


def keep(runtime: Runtime, attempt: Attempt, mark: Mark | None, account: str) -> str | None:
    """Keep a committed attempt outside, before its key is used; why it could not be, if so.

    ``mark`` is the one that it was begun with, on whose server it was committed; ``account`` is the
    gateway's account that it goes through.
    """
    if runtime.marks is None or mark is None:
        return None
    try:
        runtime.marks.keep(
            mark.server,
            attempt.attempt_id,
            account_name(attempt.merchant_id, attempt.method, account),
        )
    except ConnectionClosed as error:
        return f"it could not be kept outside of the database: {error}"
    except (MarkLost, OtherServer):
        return "what is kept outside of the database changed while it was begun"
    log.info(
        "payout.attempt_kept",
        payout_id=attempt.payout_id,
        attempt_id=attempt.attempt_id,
        key=attempt.key,
        server=mark.server,
    )
    return None


def _kept(runtime: Runtime) -> Mark | None:
    if runtime.marks is None:
        return None
    mark = _read(runtime.marks)
    if mark is None:
        check(runtime)
        mark = _read(runtime.marks)
    return mark or NOTHING_KEPT


def _read(marks: Marks) -> Mark | None:
    kept = marks.read()
    return None if kept is None else Mark(kept.server, kept.attempts)
