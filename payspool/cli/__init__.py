"""The command line, a module for each noun."""

import sys

import redis.exceptions
import typer
from sqlalchemy.exc import OperationalError

from domain.errors import DomainError
from payspool.cli import (
    clock,
    codes,
    doctor,
    events,
    keys,
    loyalty,
    merchants,
    payees,
    payouts,
    programs,
    running,
    schedule,
)
from payspool.embedded import EmbeddedError
from payspool.sandbox_client import SandboxRefused
from payspool.settings import BadSettings
from payspool_client import PayspoolClientError

app = typer.Typer(
    help="Payspool turns conversion and loyalty events into money owed, and money owed into money paid, once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
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
    "schedule": schedule,
    "clock": clock,
}.items():
    app.add_typer(_module.app, name=_name)


def main() -> None:
    """Run a command; expected errors end it with one clear sentence and status 1."""
    try:
        app()
    except (DomainError, BadSettings, EmbeddedError, PayspoolClientError, SandboxRefused) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except OperationalError as error:
        sys.stderr.write(f"PostgreSQL does not answer: {error.orig}\nTry `payspool doctor`.\n")
        sys.exit(1)
    except redis.exceptions.ConnectionError as error:
        sys.stderr.write(f"Valkey does not answer: {error}\nTry `payspool doctor`.\n")
        sys.exit(1)
