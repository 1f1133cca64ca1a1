"""The command line, a module for each noun."""

import sys
from typing import Final

import httpx
import redis.exceptions
import typer
from dramatiq.errors import ConnectionClosed
from sqlalchemy.exc import DataError, OperationalError, ProgrammingError

from domain.errors import DomainError
from payspool.cli import (
    clock,
    codes,
    dead,
    doctor,
    events,
    keys,
    loyalty,
    merchants,
    payees,
    payouts,
    programs,
    queue,
    running,
    schedule,
    session,
)
from payspool.embedded import EmbeddedError
from payspool.sandbox_client import SandboxRefused
from payspool.settings import BadSettings
from payspool.supervisor import SupervisorError
from payspool_client import PayspoolClientError
from queues.errors import QueuesError

_EXPECTED: Final = (
    DomainError,
    BadSettings,
    EmbeddedError,
    SupervisorError,
    PayspoolClientError,
    SandboxRefused,
    QueuesError,
)
_OTHER_SCHEMA: Final = ("42P01", "42703")
"""SQLSTATEs undefined_table and undefined_column."""

app = typer.Typer(
    help="Payspool turns conversion and loyalty events into money owed, and money owed into money paid, once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _around(context: typer.Context) -> None:
    context.call_on_close(session.close)


running.register(app)
app.command(epilog="Example: payspool doctor")(doctor.doctor)
for _name, _module in {
    "merchants": merchants,
    "keys": keys,
    "programs": programs,
    "codes": codes,
    "payees": payees,
    "events": events,
    "payouts": payouts,
    "loyalty": loyalty,
    "queue": queue,
    "dead": dead,
    "schedule": schedule,
    "clock": clock,
}.items():
    app.add_typer(_module.app, name=_name)


def main() -> None:
    """Run a command; expected errors end it with one clear sentence and status 1."""
    try:
        app(prog_name="payspool")  # also where `python -m payspool` ran it
    except _EXPECTED as error:
        sys.stderr.write(f"{error}\n")
    except OperationalError as error:
        sys.stderr.write(f"PostgreSQL does not answer: {error.orig}\nTry `payspool doctor`.\n")
    except (redis.exceptions.ConnectionError, ConnectionClosed) as error:
        sys.stderr.write(f"Valkey does not answer: {error}\nTry `payspool doctor`.\n")
    except httpx.TransportError as error:
        sys.stderr.write(f"The sandbox does not answer: {error}\nTry `payspool doctor`.\n")
    except DataError as error:
        sys.stderr.write(f"A value cannot be stored: {error.orig}\n")
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in _OTHER_SCHEMA:
            raise
        sys.stderr.write(
            f"The database has another schema than this Payspool: {error.orig}\nRun `payspool migrate`.\n"
        )
    else:
        return
    sys.exit(1)
