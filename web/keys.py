"""The keys that were found good lately, so that not every request asks the database."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
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
        return key

    def _keep(self, digest: bytes, key: ApiKey | None, now: float) -> None:
        if key is None:
            self._held.pop(digest, None)
            return
        if len(self._held) >= SIZE_MAX:
            self._held.clear()
        self._held[digest] = _Held(key, now, now + self._fresh)
