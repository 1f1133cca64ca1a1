"""CSV of what a page lists, with the page's filters, streamed; no cell of it is a formula."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from domain.db import Tx, snapshot
from domain.dead_letters import store as dead_store
from domain.errors import NotFound
from domain.merchants import service as merchants
from domain.payouts.rules.explaining import masked
from domain.sheets import SheetWriter
from web.dashboard.context import DashboardContext
from web.dashboard.pages import audit, dead, events, payees, payouts

PAGE: Final = 1_000
ROWS_MAX: Final = 1_000_000
"""Most rows of a file; spreadsheets hold no more, and a filter is at hand."""

Query = dict[str, str]
Rows = Callable[[Tx, int, Query, Any], list[dict[str, Any]]]
"""(tx, merchant id or 0, query, where the page begins) → rows."""


def _plain(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [row if isinstance(row, dict) else dict(row._mapping) for row in rows]


def _dead(tx: Tx, _merchant: int, query: Query, before: Any) -> list[dict[str, Any]]:
    found, state = dead.wanted(query)
    return _plain(dead_store.search(tx, found, state=state, before=before, limit=PAGE))


def _payees(tx: Tx, merchant_id: int, query: Query, after: Any) -> list[dict[str, Any]]:
    rows = (
        [] if after and query.get("user") else payees.rows_of(tx, merchant_id, query, PAGE, after)
    )
    return [row | {"account": masked(row["account"] or "")} for row in _plain(rows)]


KINDS: Final[dict[str, tuple[Sequence[str], str, Rows]]] = {
    "audit": (
        (
            "id",
            "created_at",
            "actor_kind",
            "actor_id",
            "action",
            "subject_kind",
            "subject_id",
            "merchant",
            "reason",
            "before",
            "after",
        ),
        "id",
        lambda tx, _m, query, before: _plain(audit.rows_of(tx, query, PAGE, before)),
    ),
    "dead": (
        (
            "id",
            "queue",
            "actor",
            "args",
            "reason",
            "attempts",
            "deaths",
            "died_at",
            "state",
            "decided_by",
        ),
        "id",
        _dead,
    ),
    "events": (
        (
            "inbox_id",
            "source",
            "id",
            "type",
            "status",
            "reason",
            "detail",
            "occurred_at",
            "received_at",
        ),
        "inbox_id",
        lambda tx, m, query, before: (
            [] if before and query.get("id") else _plain(events.rows_of(tx, m, query, PAGE, before))
        ),
    ),
    "payouts": (
        (
            "id",
            "run_id",
            "user_id",
            "amount",
            "currency",
            "status",
            "method",
            "external_transaction_id",
            "processed_at",
            "failed_at",
            "error_message",
            "waits_for",
            "created_at",
        ),
        "id",
        lambda tx, m, query, before: _plain(payouts.rows_of(tx, m, query, PAGE, before)),
    ),
    "payees": (
        ("user_id", "name", "method", "account", "blocked_reason", "owed"),
        "user_id",
        _payees,
    ),
}


def install(app: FastAPI, context: DashboardContext) -> None:
    """Add the downloads to an application; the gate has let in who asks."""

    @app.get("/export/{kind}.csv")
    def of_installation(request: Request, kind: str) -> Response:
        if kind not in ("audit", "dead"):
            return PlainTextResponse("There is no such export.", 404)
        return _file(context, kind, None, _query(request))

    @app.get("/export/{merchant}/{kind}.csv")
    def of_merchant(request: Request, merchant: str, kind: str) -> Response:
        if kind not in ("events", "payouts", "payees"):
            return PlainTextResponse("There is no such export.", 404)
        return _file(context, kind, merchant, _query(request))


def _query(request: Request) -> Query:
    return {name: said.replace("\0", "") for name, said in request.query_params.items()}


def _file(context: DashboardContext, kind: str, merchant: str | None, query: Query) -> Response:
    merchant_id, named = 0, merchant or query.get("merchant")
    if named:
        try:
            with snapshot(context.engine) as tx:
                merchant_id = merchants.get(tx, named).id
        except NotFound as error:
            return PlainTextResponse(str(error), 404)
    name = f"{kind}.csv" if merchant is None else f"{merchant}-{kind}.csv"
    return StreamingResponse(
        _lines(context, kind, merchant_id, query),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _lines(context: DashboardContext, kind: str, merchant_id: int, query: Query) -> Iterator[str]:
    columns, key, rows_of = KINDS[kind]
    yield _line(columns)
    at, written = None, 0
    with snapshot(context.engine) as tx:
        while written < ROWS_MAX:
            rows = rows_of(tx, merchant_id, query, at)
            yield "".join(_line([_cell(row.get(name)) for name in columns]) for row in rows)
            if len(rows) < PAGE:
                return
            written += len(rows)
            at = rows[-1][key]


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, default=str)
    elif hasattr(value, "isoformat"):
        value = value.isoformat()
    return value


def _line(cells: Sequence[Any]) -> str:
    out = io.StringIO()
    SheetWriter(out).writerow(cells)
    return out.getvalue()
