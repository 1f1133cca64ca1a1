"""What every command shares: settings, a Runtime, and output for people or for scripts."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from domain.audit.service import Actor
from domain.db import Tx, transaction
from domain.merchants import service as merchants
from domain.merchants.service import Merchant
from payspool import instance, logs, runtime, settings
from payspool.cli import identity
from payspool.settings import Settings
from workers.context import Runtime

# Where there is no terminal (a pipe, a log), tables keep their columns whole.
_WIDTH = shutil.get_terminal_size((160, 50)).columns
console = Console(width=_WIDTH)
errors = Console(stderr=True, width=_WIDTH)

MerchantKey = Annotated[str, typer.Argument(metavar="MERCHANT", help="key of the merchant")]
_built: list[Runtime] = []
"""What the command that runs has opened; closed when it ends, however it ends."""

AsJson = Annotated[bool, typer.Option("--json", help="print JSON for scripts")]


def current() -> Settings:
    """The settings of this command, with the running instance's addresses. Raises BadSettings."""
    return instance.resolve(settings.load())


def build(process: str = "command", pool_size: int = 2) -> tuple[Settings, Runtime]:
    """Settings and a Runtime for a command."""
    found = current()
    logs.configure("warning", "text", process=process)
    made = runtime.build(found, pool_size=pool_size, process=process)
    _built.append(made)
    return found, made


def close() -> None:
    """Close the connections of every Runtime that this command built."""
    while _built:
        made = _built.pop()
        made.engine.dispose()
        made.redis.close()


@contextmanager
def opened() -> Iterator[Tx]:
    """The one transaction of a command."""
    _, rt = build()
    with transaction(rt.engine) as tx:
        yield tx


@contextmanager
def working() -> Iterator[Runtime]:
    """The Runtime of a command that opens several transactions, or needs Valkey."""
    _, rt = build()
    try:
        yield rt
    finally:
        rt.engine.dispose()
        rt.redis.close()


@contextmanager
def for_merchant(key: str) -> Iterator[tuple[Tx, Merchant]]:
    """The one transaction of a command about a merchant. Raises NotFound."""
    with opened() as tx:
        yield tx, merchants.get(tx, key)


def me() -> Actor:
    """Who runs this command, as the audit trail keeps it."""
    return Actor("command", identity.account())


def operator(tx: Tx, merchant: Merchant, scope: str) -> Actor:
    """Who prepares or approves a merchant's runs by this command. Raises Forbidden (identity.operator)."""
    return identity.operator(tx, merchant, scope, current().operator_key)


def interactive() -> bool:
    """Whether a person reads and answers."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def show(rows: Sequence[Any], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows (mappings) as a table, or as a JSON list; ``empty`` says what to do without any."""
    plain = [{c: row[c] for c in columns} for row in map(_mapping, rows)]
    if as_json:
        emit_json(plain)
        return
    if not plain:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = all(isinstance(row[column], int) for row in plain)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in plain:
        table.add_row(*(escape(_visible(_cell(row[c]))) for c in columns))
    console.print(table)


def emit_json(value: Any) -> None:
    """Print a value as JSON, exactly."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def say(message: str) -> None:
    """Print a sentence as it is: what people named themselves is no markup, and no terminal's command."""
    console.print(_visible(message), markup=False, highlight=False, soft_wrap=True)


def progress() -> Progress:
    """A progress bar on standard error, so that what a command prints stays its own."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
        console=errors,
    )


def count(number: int, noun: str) -> str:
    """``1 payout``, ``2 payouts``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _mapping(row: Any) -> Any:
    return row if isinstance(row, dict) else row._mapping


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, dict | list):
        return json.dumps(value, default=_plain)
    return str(value)


def _visible(text: str) -> str:
    """Text without what a terminal obeys: others write names and a statement's purposes, and could blot
    out or turn round what stands beside them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t\u00a0" else "\ufffd" for c in text)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)
