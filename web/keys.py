"""The keys that were found good lately, so that not every request asks the database."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.access import service as access
from domain.access.service import ApiKey
from domain.db import transaction

FRESH_SECONDS: Final = 2.0
"""How long a key that was found good is good without another look: the bound within which an API
process notices that it was revoked or has expired."""

STALE_SECONDS: Final = 60.0
"""While the database cannot be asked, how long a key is good since it was last found so: events are
queued through a failover, and a key that was revoked just before it is good no longer than this."""

SIZE_MAX: Final = 10_000
"""Most keys that are remembered."""

NOTE_AGAIN_SECONDS: Final = 10.0
"""After a use could not be recorded, how long none is tried: a server that is read-only costs a
connection each time."""

log: Final = structlog.get_logger("web")

DATABASE_AWAY: Final = (OperationalError, InterfaceError, PoolTimeout)


@dataclass(slots=True)
class _Held:
    key: ApiKey
    found_at: float
    look_at: float


class KeyCache:
    """Finds the key behind a secret. May be used by many threads; holds hashes, never secrets.

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
        self._note_at = 0.0

    def find(self, secret: str) -> ApiKey | None:
        """The key, or None if it opens nothing. Raises what SQLAlchemy raises without the database."""
        if not access.is_key(secret):
            return None
        digest = access.hash_of(secret)
        now = time.monotonic()
        held = self._held.get(digest)
        if held is not None:
            if now < held.look_at and now - held.found_at <= self._stale:
                return held.key
            # Others go on with what is known while this thread looks: a database that hangs must not
            # take them all.
            held.look_at = now + self._fresh
        try:
            with transaction(self._engine) as tx:
                key = access.check(tx, secret)
        except DATABASE_AWAY:
            if held is None or now - held.found_at > self._stale:
                raise
            return held.key
        self._keep(digest, key, now)
        if key is not None:
            self._note_use(key)
        return key

    def _note_use(self, key: ApiKey) -> None:
        """Record the use of a key; nobody is refused because that cannot be written."""
        if key.used_lately or time.monotonic() < self._note_at:
            return
        try:
            with transaction(self._engine) as tx:
                access.note_use(tx, key)
        except SQLAlchemyError as error:
            self._note_at = time.monotonic() + NOTE_AGAIN_SECONDS
            log.debug("use of a key not recorded", key_id=key.id, error=str(error).splitlines()[0])

    def _keep(self, digest: bytes, key: ApiKey | None, now: float) -> None:
        if key is None:
            self._held.pop(digest, None)
            return
        if len(self._held) >= SIZE_MAX:
            self._held.clear()
        self._held[digest] = _Held(key, now, now + self._fresh)
