"""Where what came is found again: an event by its name, and what has none byte for byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

from sqlalchemy import Engine, text

from domain.db import transaction
from payspool_client import InvalidEvent, parse_event


def missing(engine: Engine, texts: Sequence[str]) -> list[str]:
    """Those texts that cannot be found: not by their event's name, and not byte for byte."""
    named: dict[tuple[str, str], str] = {}
    unnamed: dict[bytes, str] = {}
    for one in texts:
        try:
            identity = parse_event(one).identity
        except InvalidEvent as error:
            identity = error.identity  # type: ignore[assignment]
        if identity is not None and identity.merchant == "acme":
            named[identity.source, identity.id] = one
        else:
            unnamed[sha256(one.encode("utf-8", "surrogatepass")).digest()] = one
    with transaction(engine) as tx:
        names = {"sources": [s for s, _ in named], "ids": [i for _, i in named]}
        for row in tx.execute(text(_BY_NAME), names):
            named.pop((row.source, row.event_id))
        for row in tx.execute(text(_BY_BYTES), {"hashes": list(unnamed)}):
            assert bytes(row.raw) == unnamed.pop(sha256(row.raw).digest()).encode(
                "utf-8", "surrogatepass"
            )
    return [*named.values(), *unnamed.values()]


_BY_NAME = """
    SELECT source, event_id FROM inbox_events
    JOIN unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS k (s, i) ON (source, event_id) = (s, i)
"""
_BY_BYTES = """
    SELECT raw FROM rejected_messages WHERE raw_hash = ANY(CAST(:hashes AS bytea[]))
"""


def not_applied(engine: Engine, good: Sequence[str]) -> list[str]:
    """Good events that were held up."""
    by_id = {json.loads(one)["id"]: one for one in good}
    query = "SELECT event_id FROM inbox_events WHERE status = 'applied' AND event_id = ANY(:ids)"
    with transaction(engine) as tx:
        applied = set(tx.execute(text(query), {"ids": list(by_id)}).scalars())
    return [one for id_, one in by_id.items() if id_ not in applied]
