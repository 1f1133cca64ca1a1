"""Idempotency keys as Stripe's v1 API keeps them.

A result is stored once execution began, whatever its status: 4xx of the endpoint and 500 included.
Not stored: refusals before execution (parameters, authentication), a conflict with a request that
is under way, and rate limits. A replay answers the very same status and body. A key is forgotten 24
hours (of the sandbox's clock) after its first use; the same key then executes again.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sandbox.errors import ApiError
from sandbox.store import Store, digest

MAX_KEY = 255
LIFETIME_SECONDS = 24 * 3600


class KeyTooLong(ApiError):
    """The key has no length that Stripe takes."""

    def __init__(self, length: int) -> None:
        super().__init__(400, f"Idempotency keys have 1 to {MAX_KEY} characters, not {length}.")


class KeyReused(ApiError):
    """The key was first used with other parameters."""

    def __init__(self, key: str) -> None:
        super().__init__(
            400,
            f"The idempotency key '{key}' was first used with other parameters or for another "
            "endpoint; send those again, or use another key for another request.",
            type="idempotency_error",
        )


class KeyInUse(ApiError):
    """A request with the same key is still under way."""

    def __init__(self, key: str) -> None:
        super().__init__(
            409,
            f"Another request with the idempotency key '{key}' is in progress; try again later.",
            code="idempotency_key_in_use",
        )


@dataclass(frozen=True)
class Stored:
    """The first answer to a key."""

    status: int
    body: str
    request_id: str


def fingerprint(method: str, path: str, raw: dict[str, Any]) -> str:
    """Return what must be equal for two requests to be the same one."""
    return digest(f"{method} {path} {json.dumps(raw, sort_keys=True)}")


class Keys:
    """The keys of all accounts: results in the books, requests under way in memory."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._under_way: set[tuple[str, str]] = set()

    def find(self, scope: str, key: str, mark: str, now: int) -> Stored | None:
        """Return the stored result of a key, or None if the request is to be executed.

        Raises:
            KeyTooLong: over 255 characters, or empty.
            KeyReused: the key was used for another request.
            KeyInUse: the same key is under way.
        """
        if not 0 < len(key) <= MAX_KEY:
            raise KeyTooLong(len(key))
        # Under way until it is answered: what a slow request has stored is not replayed before.
        if (scope, key) in self._under_way:
            raise KeyInUse(key)
        row = self.store.one(
            "SELECT * FROM idempotency_keys WHERE scope = ? AND key = ?", scope, key
        )
        if row is not None and row["created"] + LIFETIME_SECONDS > now:
            if row["fingerprint"] != mark:
                raise KeyReused(key)
            return Stored(row["status"], row["body"], row["request_id"])
        return None

    @contextmanager
    def under_way(self, scope: str, key: str | None) -> Iterator[None]:
        """Hold the key while its request executes, so that a concurrent one conflicts."""
        if key is None:
            yield
            return
        self._under_way.add((scope, key))
        try:
            yield
        finally:
            self._under_way.discard((scope, key))

    def save(self, scope: str, key: str, mark: str, result: Stored, now: int) -> None:
        """Store the first answer, in the transaction of what it tells."""
        self.store.run(
            "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "fingerprint = ?3, request_id = ?4, status = ?5, body = ?6, created = ?7",
            scope,
            key,
            mark,
            result.request_id,
            result.status,
            result.body,
            now,
        )

    def prune(self, now: int) -> int:
        """Delete keys of over 24 hours; return how many."""
        return self.store.run(
            "DELETE FROM idempotency_keys WHERE created <= ?", now - LIFETIME_SECONDS
        )
