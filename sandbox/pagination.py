"""Lists as Stripe pages them: newest first, cursors by id, `has_more`."""

from collections.abc import Callable
from typing import Any

from sandbox.call import Call, Json
from sandbox.errors import ResourceMissing
from sandbox.store import Row

DEFAULT_LIMIT = 10


def conditions(column: str, bounds: list[tuple[str, int]] | None) -> list[tuple[str, Any]]:
    """Return the conditions of a `Range` parameter on a column."""
    return [(f"{column} {operator} ?", number) for operator, number in bounds or []]


def equals(call: Call, *columns: str) -> list[tuple[str, Any]]:
    """Return the conditions of the filters that were sent, for columns of the same names."""
    return [(f"{name} = ?", call.params[name]) for name in columns if name in call.params]


def page(
    call: Call,
    table: str,
    shape: Callable[[Row], Json],
    where: list[tuple[str, Any]],
    *,
    url: str,
    kind: str,
) -> Json:
    """Return one page of a table's rows, newest first.

    `where` holds conditions with their values; texts of conditions are this package's, never the
    caller's. With `ending_before`, the page just before the cursor, still newest first.

    Raises:
        ResourceMissing: a cursor names no object of this list.
    """
    limit = int(call.params.get("limit", DEFAULT_LIMIT))
    backwards = "ending_before" in call.params
    clauses = list(where)
    for cursor, operator in (("starting_after", "<"), ("ending_before", ">")):
        id = call.params.get(cursor)
        if id is not None:
            clauses.append((f"seq {operator} ?", _position(call, table, where, id, kind, cursor)))
    rows = call.store.all(
        f"SELECT * FROM {table} {_where(clauses)} "  # noqa: S608
        f"ORDER BY seq {'ASC' if backwards else 'DESC'} LIMIT ?",
        *[value for _, value in clauses],
        limit + 1,
    )
    shown = rows[:limit]
    if backwards:
        shown.reverse()
    return {
        "object": "list",
        "data": [shape(row) for row in shown],
        "has_more": len(rows) > limit,
        "url": url,
    }


def _where(clauses: list[tuple[str, Any]]) -> str:
    return "WHERE " + " AND ".join(text for text, _ in clauses) if clauses else ""


def _position(
    call: Call, table: str, where: list[tuple[str, Any]], id: str, kind: str, cursor: str
) -> int:
    # Only the owner's condition, always the first, guards a cursor: filters may exclude its object.
    owner = where[:1]
    row = call.store.one(
        f"SELECT seq FROM {table} {_where([*owner, ('id = ?', id)])}",  # noqa: S608
        *[value for _, value in owner],
        id,
    )
    if row is None:
        raise ResourceMissing(kind, id, cursor, status=400)
    return int(row["seq"])
