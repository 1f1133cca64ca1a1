"""`payspool codes`: referral codes."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import DomainError, Invalid
from domain.referrals import admin, validating
from domain.referrals import bulk as bulk_codes
from domain.referrals.admin import NewCode
from domain.referrals.bulk import MAX_CODES
from domain.sheets import SheetWriter
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey
from payspool_client import email_hash

app = typer.Typer(help="Referral codes.", no_args_is_help=True)


@app.command(epilog="Example: payspool codes create acme friends ada --code ADA-2026")
def create(
    merchant: MerchantKey,
    program: Annotated[str, typer.Argument(metavar="PROGRAM")],
    user: Annotated[str, typer.Argument(metavar="USER", help="who owns the code")],
    code: Annotated[str | None, typer.Option(help="6 to 20 characters; made if left out")] = None,
    max_uses: Annotated[int | None, typer.Option(help="conversions, at most", min=1)] = None,
    expires: Annotated[
        datetime | None, typer.Option(help="UTC", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    ] = None,
    email: Annotated[
        str | None, typer.Option(help="the owner's; kept as a hash, to tell who refers themself")
    ] = None,
) -> None:
    """Create a code, and print it."""
    new = NewCode(
        user,
        code,
        max_uses,
        expires.replace(tzinfo=UTC) if expires else None,
        None if email is None else _hash(email),
    )
    with session.for_merchant(merchant) as (tx, found):
        made = admin.create_codes(tx, found.id, program, [new], actor=session.me())
    session.console.print(made[0], highlight=False)


@app.command(
    epilog="Example: payspool codes bulk acme friends --users users.txt --to codes.csv"
    "   (or --user ada --count 500)"
)
def bulk(
    merchant: MerchantKey,
    program: Annotated[str, typer.Argument(metavar="PROGRAM")],
    to: Annotated[Path, typer.Option(help="CSV of user and code; must not be there yet")],
    users: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="a user on each line")
    ] = None,
    user: Annotated[str | None, typer.Option(help="one owner of all; with --count")] = None,
    count: Annotated[int, typer.Option(min=1, max=MAX_CODES, help="codes of each user")] = 1,
    max_uses: Annotated[int | None, typer.Option(help="conversions, at most", min=1)] = None,
    expires: Annotated[
        datetime | None, typer.Option(help="UTC", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    ] = None,
) -> None:
    """Create up to a million codes: all of them, or none if it is stopped.

    The codes are in the CSV before they are made final: where FILE.part is left, look with
    `payspool codes validate` whether its last code is there. If it is, all are, and the file is whole.
    """
    if (users is None) == (user is None):
        raise Invalid("--users", "give either --users FILE, or --user and --count")
    part = to.with_name(to.name + ".part")
    for path in (to, part):
        if path.exists():
            raise Invalid("--to", f"{path} is there already; it is not overwritten")
    owners = _owners(users, user, count)
    try:
        with session.for_merchant(merchant) as (tx, found), part.open("w", newline="") as file:
            out = SheetWriter(file, lineterminator="\n")
            out.writerow(["user_id", "code"])
            with session.progress() as shown:
                task = shown.add_task("codes", total=len(owners))

                def made(rows: list[tuple[str, str]]) -> None:
                    out.writerows(rows)
                    shown.advance(task, len(rows))

                number = bulk_codes.create(
                    tx,
                    found.id,
                    program,
                    owners,
                    actor=session.me(),
                    max_uses=max_uses,
                    expires_at=expires.replace(tzinfo=UTC) if expires else None,
                    made=made,
                )
            file.flush()
            os.fsync(file.fileno())
    except DomainError:
        part.unlink(missing_ok=True)  # nothing was committed
        raise
    part.rename(to)
    session.say(f"Created {session.count(number, 'code')}: {to}")


@app.command(epilog="Example: payspool codes validate acme REF-7K2M9Q --for ben")
def validate(
    merchant: MerchantKey,
    code: Annotated[str, typer.Argument(metavar="CODE")],
    referred: Annotated[str | None, typer.Option("--for", help="who would use it")] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a code could be used now; exits with 1 if not."""
    with session.for_merchant(merchant) as (tx, found):
        said = validating.validate(tx, found.id, code, referred_user_id=referred)
    if as_json:
        session.emit_json(asdict(said))
    elif said.refusal is None:
        session.say(f"{said.code} of {said.user_id} can be used (program {said.program}).")
    else:
        session.say(f"{said.refusal.reason}: {said.refusal.detail}.")
    if said.refusal is not None:
        raise typer.Exit(1)


@app.command(
    epilog="Example: payspool codes status acme REF-7K2M9Q suspended --reason 'in a forum'"
)
def status(
    merchant: MerchantKey,
    code: Annotated[str, typer.Argument(metavar="CODE")],
    to: Annotated[str, typer.Argument(metavar="active|inactive|suspended")],
    reason: Annotated[str, typer.Option(help="kept in the audit trail")],
) -> None:
    """Suspend a code, take it out of use, or bring it back. What it earned stays."""
    with session.for_merchant(merchant) as (tx, found):
        admin.set_code_status(tx, found.id, code, to, actor=session.me(), reason=reason)
    session.say(f"The code {code!r} is {to}.")


def _owners(users: Path | None, user: str | None, count: int) -> list[str]:
    if user is not None:
        return [user] * count
    assert users is not None
    with users.open(encoding="utf-8-sig") as file:
        names = [name for line in file if (name := line.strip())]
    if len(names) * count > MAX_CODES:
        raise Invalid("--users", f"at most {MAX_CODES:,} codes are made at once")
    return [name for name in names for _ in range(count)]


def _hash(email: str) -> str:
    try:
        return email_hash(email)
    except ValueError as error:
        raise Invalid("--email", str(error)) from None


@app.command("list", epilog="Example: payspool codes list acme --user ada")
def list_(
    merchant: MerchantKey,
    user: Annotated[str | None, typer.Option(help="only this user's")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List codes, newest first."""
    with session.for_merchant(merchant) as (tx, found):
        rows = admin.codes(tx, found.id, user_id=user, limit=limit)
    session.show(
        rows,
        ["code", "user_id", "program", "status", "uses", "max_uses", "expires_at"],
        as_json=as_json,
        empty=f"No codes yet. Create one with `payspool codes create {merchant} PROGRAM USER`.",
    )
