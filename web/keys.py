"""The keys that were found good lately, so that not every request asks the database."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.access import service as access
from domain.access.service import ApiKey
from domain.db import limit_statements, transaction

log: Final = structlog.get_logger("web")

FRESH_SECONDS: Final = 2.0
"""How long a key that was found good is good without another look: the bound within which an API
process notices that it was revoked or has expired."""

STALE_SECONDS: Final = 60.0
"""While the database cannot be asked, how long a key is good since it was last found so: events are
queued through a failover, and a key that was revoked just before it is good no longer than this."""

SIZE_MAX: Final = 10_000
"""Most keys that are remembered."""

LOOK_TIMEOUT_MS: Final = 1_000
"""Longest statement of a look, and longest wait for a lock in it: requests wait for it."""

NOTE_AGAIN_SECONDS: Final = 10.0
"""After a use could not be recorded, how long none is tried: a server that is read-only costs a
connection each time."""

DATABASE_AWAY: Final = (OperationalError, InterfaceError, PoolTimeout)


@dataclass(slots=True)
class _Held:
    key: ApiKey
    found_at: float
    look_at: float


class KeyCache:
    """Finds the key behind a secret. May be used by many threads; holds hashes, never secrets.

    One thread at a time looks for a key: while the database is slow, the others go on with what is
    held, or, for a key that is not, wait for that one's answer instead of taking connections too.

    Parameters:
        fresh: Seconds without another look (see FRESH_SECONDS).
        stale: Seconds without the database (see STALE_SECONDS).
    """

    def __init__(
        self, engine: Engine, *, fresh: float = FRESH_SECONDS, stale: float = STALE_SECONDS
    ) -> None:
        self._engine = engine
        self._fresh = fresh
        self._stale = stale
        self._held: dict[bytes, _Held] = {}
        self._looks: dict[bytes, Future[ApiKey | None]] = {}
        self._lock = threading.Lock()
        self._look_at = 0.0
        self._note_at = 0.0

    def find(self, secret: str) -> ApiKey | None:
        """The key, or None if it opens nothing. Raises what SQLAlchemy raises without the database."""
        if not access.is_key(secret):
            return None
        digest = access.hash_of(secret)
        now = time.monotonic()
        with self._lock:
            held = self._held.get(digest)
            if held is not None and now - held.found_at > self._stale:
                held = None
            if held is not None and now < max(held.look_at, self._look_at):
                return held.key
            look = self._looks.get(digest)
            mine = look is None
            if look is None:
                look = self._looks[digest] = Future()
        if mine:
            self._look(look, digest, secret)
        elif held is not None:
            return held.key
        try:
            key = look.result()
        except DATABASE_AWAY:
            if held is None:
                raise
            return held.key
        if mine and key is not None:
            self._note_use(key)
        return key

    def _look(self, look: Future[ApiKey | None], digest: bytes, secret: str) -> None:
        """Ask the database, and tell all who wait for the answer."""
        now = time.monotonic()
        try:
            with transaction(self._engine) as tx:
                limit_statements(tx, LOOK_TIMEOUT_MS)
                key = access.check(tx, secret)
            self._keep(digest, key, now)
            look.set_result(key)
        except BaseException as error:
            # A database that is slow is slow for all: no key that is held is looked for meanwhile.
            self._look_at = time.monotonic() + self._fresh
            look.set_exception(error)
        finally:
            with self._lock:
                del self._looks[digest]

    def _note_use(self, key: ApiKey) -> None:
        """Record the use of a key; nobody is refused because that cannot be written."""
        if key.used_lately or time.monotonic() < self._note_at:
            return
        try:
            with transaction(self._engine) as tx:
                limit_statements(tx, LOOK_TIMEOUT_MS)
                access.note_use(tx, key)
        except SQLAlchemyError as error:
            self._note_at = time.monotonic() + NOTE_AGAIN_SECONDS
            log.debug("use of a key not recorded", key_id=key.id, error=str(error).splitlines()[0])

    def _keep(self, digest: bytes, key: ApiKey | None, now: float) -> None:
        with self._lock:
            if key is None:
                self._held.pop(digest, None)
                return
            if len(self._held) >= SIZE_MAX:
                self._held.clear()
            self._held[digest] = _Held(key, now, now + self._fresh)
