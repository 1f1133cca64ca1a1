"""`payspool users`: people who use the dashboard."""

from datetime import timedelta
from typing import Annotated

import typer

from domain.access import users as service
from domain.access.roles import ROLES
from payspool import instance
from payspool.cli import session
from payspool.cli.secret_input import HELP, STDIN, read_secret
from payspool.cli.session import AsJson
from payspool.settings import load

app = typer.Typer(help="People who use the dashboard.", no_args_is_help=True)

COLUMNS = (
    "name",
    "role",
    "password",
    "sessions",
    "signed_in_at",
    "locked_until",
    "disabled_at",
    "created_at",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="as ada, or ada@example.com")]
Role = Annotated[str, typer.Argument(metavar="ROLE", help=", ".join(ROLES))]
Minutes = Annotated[int, typer.Option(min=1, max=7 * 24 * 60, help="how long the link is good")]


@app.command(epilog="Example: payspool users add ada admin")
def add(
    name: Name,
    role: Role,
    password: Annotated[
        str | None, typer.Option(help=f"{HELP}; without it, a sign-in link is printed")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a person, with a password or with a link by which they sign in once.

    A viewer looks; an operator also pauses, retries and stops; an approver also lets money go.
    """
    secret = None if password is None else read_secret("--password", password, "Password")
    with session.opened() as tx:
        service.add(tx, name, role, actor=session.me(), password=secret)
        token = None if secret else service.make_link(tx, name, actor=session.me())
    if as_json:
        session.emit_json({"name": name, "role": role, "link": token and _address(token)})
        return
    session.say(f"Added {name} as {role}.")
    if token:
        _tell(name, token, service.LINK_GOOD_FOR)


@app.command(epilog="Example: payspool users link ada --minutes 60")
def link(name: Name, minutes: Minutes = 15, as_json: AsJson = False) -> None:
    """Make a link by which a person signs in once, whatever their password is."""
    with session.opened() as tx:
        token = service.make_link(tx, name, actor=session.me(), good_for=timedelta(minutes=minutes))
    if as_json:
        session.emit_json({"name": name, "link": _address(token)})
        return
    _tell(name, token, timedelta(minutes=minutes))


@app.command(epilog="Example: payspool users role ada approver")
def role(name: Name, role: Role) -> None:
    """Give a person another role, from their next click on."""
    with session.opened() as tx:
        service.set_role(tx, name, role, actor=session.me())
    session.say(f"{name} is {role}.")


@app.command(epilog="Example: payspool users password ada --password -")
def password(
    name: Name,
    password: Annotated[str, typer.Option(help=HELP)] = STDIN,
) -> None:
    """Give a person another password. All their sessions end."""
    secret = read_secret("--password", password, "Password")
    with session.opened() as tx:
        service.set_password(tx, name, secret, actor=session.me())
    session.say(f"Set. {name} has to sign in again.")


@app.command(epilog="Example: payspool users disable ada")
def disable(name: Name) -> None:
    """Keep a person out from now on; their sessions and links end."""
    with session.opened() as tx:
        ended = service.disable(tx, name, actor=session.me())
    session.say(f"Disabled {name}; {session.count(ended, 'session')} ended.")


@app.command(epilog="Example: payspool users enable ada")
def enable(name: Name) -> None:
    """Let a person in again who was disabled."""
    with session.opened() as tx:
        service.enable(tx, name, actor=session.me())
    session.say(f"Enabled {name}.")


@app.command("list", epilog="Example: payspool users list --json")
def list_(as_json: AsJson = False) -> None:
    """List people with their roles and open sessions."""
    with session.opened() as tx:
        rows = service.listing(tx)
    session.show(
        rows,
        COLUMNS,
        as_json=as_json,
        empty="Nobody yet. Add the first with `payspool users add NAME admin`.",
    )


def _address(token: str) -> str:
    return f"{instance.dashboard_url(load())}/link/{token}"


def _tell(name: str, token: str, good_for: timedelta) -> None:
    minutes = int(good_for.total_seconds() // 60)
    session.say(_address(token))
    session.errors.print(
        f"{name} signs in by it once, within {session.count(minutes, 'minute')}."
        " Whoever has it is let in: hand it over in private."
    )
