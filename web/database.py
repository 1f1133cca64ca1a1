"""One transaction of a request, in which no statement and no wait for others takes long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from domain.db import Tx, transaction
from web.context import ApiContext


@contextmanager
def bounded(context: ApiContext) -> Iterator[Tx]:
    """A transaction whose statements end within the limits of the API; beyond them the database raises,
    which becomes a 503 (`busy`) with Retry-After."""
    limits = context.limits
    with transaction(context.engine) as tx:
        tx.execute(
            text(
                "SELECT set_config('statement_timeout', :statement, true),"
                " set_config('lock_timeout', :lock, true)"
            ),
            {
                "statement": f"{int(limits.statement_seconds * 1000)}ms",
                "lock": f"{int(limits.lock_seconds * 1000)}ms",
            },
        )
        yield tx
