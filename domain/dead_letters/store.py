"""All SQL of the dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import replace as altered
from typing import Any, Final

from sqlalchemy import text

from domain.db import Tx

_SHOWN = """id, queue, redis_message_id, actor, args, raw_bytes, raw IS NOT NULL AS raw_kept, reason,
            trace, attempts, deaths, died_at, state, decided_by, decided_at, retried_as, pruned_at, created_at"""


def upsert(tx: Tx, **letter: Any) -> None:
    """Add a letter. One that is still open takes what is known now; a decided one stays as it is."""
    tx.execute(
        text(
            """
            INSERT INTO dead_letters AS d (queue, redis_message_id, actor, args, raw, raw_bytes, reason,
                                           trace, attempts, deaths, died_at)
            VALUES (:queue, :redis_message_id, :actor, :args, :raw, :raw_bytes, :reason,
                    :trace, :attempts, :deaths,
                    coalesce(CAST(:died_at AS timestamptz), clock_timestamp()))
            ON CONFLICT (queue, redis_message_id) DO UPDATE SET
                reason = excluded.reason, trace = excluded.trace,
                attempts = greatest(d.attempts, excluded.attempts),
                deaths = greatest(d.deaths, excluded.deaths)
            WHERE d.state = 'open'
            """
        ),
        letter,
    )


def known(tx: Tx, queue: str, ids: Sequence[str]) -> list[Any]:
    """Which of these Redis ids are here: (redis_message_id, state, raw_kept)."""
    return list(
        tx.execute(
            text(
                """
                SELECT redis_message_id, state, raw IS NOT NULL AS raw_kept FROM dead_letters
                WHERE queue = :queue AND redis_message_id = ANY(CAST(:ids AS text[]))
                """
            ),
            {"queue": queue, "ids": list(ids)},
        )
    )


def find(tx: Tx, letter_id: int) -> Any | None:
    """One letter without its message."""
    return tx.execute(
        text(f"SELECT {_SHOWN} FROM dead_letters WHERE id = :id"),  # noqa: S608 - as above
        {"id": letter_id},
    ).one_or_none()


def lock(tx: Tx, ids: Sequence[int]) -> list[Any]:
    """Letters with their messages, by id, locked: two people decide one after the other."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, queue, redis_message_id, raw, state, decided_by FROM dead_letters
                WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE
                """
            ),
            {"ids": list(ids)},
        )
    )


def decide(tx: Tx, state: str, by: str, decided: Mapping[int, str | None]) -> None:
    """Close letters: by their ids, under which new Redis ids they were put back."""
    tx.execute(
        text(
            """
            UPDATE dead_letters d SET state = :state, decided_by = :by, retried_as = s.retried_as,
                                      decided_at = clock_timestamp()
            FROM unnest(CAST(:ids AS bigint[]), CAST(:fresh AS text[])) AS s (id, retried_as)
            WHERE d.id = s.id AND d.state = 'open'
            """
        ),
        {"ids": list(decided), "fresh": list(decided.values()), "state": state, "by": by},
    )


def open_counts(tx: Tx, at_most: int) -> dict[str, int]:
    """How many letters of each queue wait for a decision; at most ``at_most`` in all are counted."""
    rows = tx.execute(
        text(
            """
            SELECT queue, count(*) AS letters
            FROM (SELECT queue FROM dead_letters WHERE state = 'open' LIMIT :at_most) open
            GROUP BY queue
            """
        ),
        {"at_most": at_most},
    )
    return {row.queue: row.letters for row in rows}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters: None does not narrow. ``text`` is somewhere in their arguments, reason or Redis id."""

    queue: str | None = None
    actor: str | None = None
    text: str | None = None


STATES: Final = ("open", "retried", "discarded")
LOOKED_THROUGH: Final = 20_000
"""Letters whose texts a page looks through. No index finds a part of a text here, so it ends, and is gone on with."""
_TEXT: Final = "(strpos(args, :text) > 0 OR strpos(reason, :text) > 0 OR redis_message_id = :text)"


def _where(wanted: Filter, state: str | None) -> tuple[str, dict[str, Any]]:
    # The state is written out: that of partial indexes has to be known when a statement is planned.
    assert state is None or state in STATES
    clauses = {"queue": "queue = :queue", "actor": "actor = :actor", "text": _TEXT}
    used = {name: value for name, value in asdict(wanted).items() if value is not None}
    said = ["true" if state is None else f"state = '{state}'", *(clauses[name] for name in used)]
    return " AND ".join(said), used


def search(
    tx: Tx, wanted: Filter, *, state: str | None, before: int | None, limit: int
) -> list[Any]:
    """Letters that match with an id below ``before``, newest first. With a text it may look at all there are."""
    where, used = _where(wanted, state)
    return list(
        tx.execute(
            text(
                f"""
                SELECT {_SHOWN} FROM dead_letters WHERE {where} AND id < :before ORDER BY id DESC LIMIT :limit
                """  # noqa: S608 - constants of this module
            ),
            used | {"before": _ABOVE_ALL if before is None else before, "limit": limit},
        )
    )


_ABOVE_ALL: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Found:
    """What a page shows of a search.

    Attributes:
        rows: Newest first.
        open: Open letters that match, as far as was counted.
        counted: Whether these are all.
        below: Where the search of a text ended, if letters are left behind that.
    """

    rows: list[Any]
    open: int
    counted: bool
    below: int | None


def look(
    tx: Tx, wanted: Filter, *, state: str | None, before: int | None, limit: int, count_to: int
) -> Found:
    """Letters that match below ``before``, newest first, and how many open ones match in all, up to ``count_to``
    (0: nobody asks).

    Of a text, as many letters are looked at as `LOOKED_THROUGH` says, whatever they hold.
    """
    if wanted.text is None:
        rows = search(tx, wanted, state=state, before=before, limit=limit)
        if not rows or state != "open" or not count_to:
            return Found(rows, 0, counted=True, below=None)  # nothing is decided on all of these
        number, _ = count_matching(tx, wanted, count_to)
        return Found(rows, number, counted=number < count_to, below=None)
    shown = _window(tx, wanted, state=state, before=before, limit=limit)
    ids = shown.ids or []
    rows = list(
        tx.execute(
            text(f"SELECT {_SHOWN} FROM dead_letters WHERE id = ANY(:ids) ORDER BY id DESC"),  # noqa: S608
            {"ids": ids},
        )
    )
    more = shown.seen == LOOKED_THROUGH
    below = shown.oldest if more and shown.hits < limit else None
    if not rows or state != "open" or not count_to:
        return Found(rows, 0, counted=True, below=below)
    top = shown if before is None else _window(tx, wanted, state=state, before=None, limit=limit)
    return Found(rows, top.hits, counted=top.seen < LOOKED_THROUGH, below=below)


def _window(tx: Tx, wanted: Filter, *, state: str | None, before: int | None, limit: int) -> Any:
    """(seen, oldest, hits, ids): of the newest letters below ``before``, how many, the oldest, how many have
    the text, and the first of these."""
    where, used = _where(altered(wanted, text=None), state)
    return tx.execute(
        text(
            f"""
            WITH looked AS MATERIALIZED (
                SELECT id, {_TEXT} AS hit FROM dead_letters WHERE {where} AND id < :before
                ORDER BY id DESC LIMIT :looked
            )
            SELECT count(*) AS seen, min(id) AS oldest, count(*) FILTER (WHERE hit) AS hits,
                   (SELECT array_agg(id) FROM (SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :limit) h) AS ids
            FROM looked
            """  # noqa: S608 - constants of this module
        ),
        used
        | {
            "text": wanted.text,
            "before": _ABOVE_ALL if before is None else before,
            "looked": LOOKED_THROUGH,
            "limit": limit,
        },
    ).one()


def naming(tx: Tx, what: str) -> list[Any]:
    """Letters whose arguments or message contain a text: id, args, raw; locked."""
    return list(
        tx.execute(
            text(
                """
                SELECT id, args, raw FROM dead_letters
                WHERE position(:what IN args) > 0 OR position(convert_to(:what, 'UTF8') IN raw) > 0
                ORDER BY id FOR NO KEY UPDATE
                """
            ),
            {"what": what},
        )
    )


def matching(tx: Tx, wanted: Filter, *, before: int, limit: int) -> list[Any]:
    """(id, raw_bytes) of open letters that match below ``before``, newest first."""
    where, used = _where(wanted, "open")
    found = tx.execute(
        text(
            f"""
            SELECT id, raw_bytes FROM dead_letters WHERE {where} AND id < :before
            ORDER BY id DESC LIMIT :limit
            """  # noqa: S608 - as above
        ),
        used | {"before": before, "limit": limit},
    )
    return list(found)


def sizes(tx: Tx, ids: Sequence[int]) -> list[Any]:
    """(id, raw_bytes) of those of ``ids`` that are there, newest first."""
    return list(
        tx.execute(
            text(
                "SELECT id, raw_bytes FROM dead_letters WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id DESC"
            ),
            {"ids": list(ids)},
        )
    )


def count_matching(tx: Tx, wanted: Filter, at_most: int) -> tuple[int, int]:
    """How many open letters match, counted up to ``at_most``, and the newest of them (0: none)."""
    where, used = _where(wanted, "open")
    row = tx.execute(
        text(
            f"""
            SELECT count(*) AS letters, coalesce(max(id), 0) AS newest
            FROM (SELECT id FROM dead_letters WHERE {where}
                  ORDER BY id DESC LIMIT :at_most) open
            """  # noqa: S608 - as above
        ),
        used | {"at_most": at_most},
    ).one()
    return row.letters, row.newest


def replace(tx: Tx, letter_id: int, args: str | None, raw: bytes | None) -> None:
    """Keep other arguments and another message of a letter."""
    tx.execute(
        text("UPDATE dead_letters SET args = :args, raw = :raw WHERE id = :id"),
        {"id": letter_id, "args": args, "raw": raw},
    )
