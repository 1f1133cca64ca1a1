"""`payspool loyalty velocity`: what is too fast, and what a person says of it."""

import json
from typing import Annotated, Any

import typer

from domain.errors import Invalid
from domain.inbox import service as inbox
from domain.loyalty.service import velocity_desk as desk
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey

app = typer.Typer(
    help="Cards, PINs, devices and addresses that were too fast.", no_args_is_help=True
)

CaseId = Annotated[
    int, typer.Argument(metavar="CASE", help="as `payspool loyalty velocity list` numbers it")
]
Why = Annotated[str, typer.Option("--reason", help="kept with the case and in the audit trail")]
_COLUMNS = [
    "id", "action", "card", "type", "points", "store", "pin", "device", "address", "evidence", "outcome"
]  # fmt: skip


@app.command("list", epilog="Example: payspool loyalty velocity list acme")
def list_(
    merchant: MerchantKey,
    closed: Annotated[bool, typer.Option("--closed", help="those that ended")] = False,
    before: Annotated[int | None, typer.Option(help="only below this number")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List what was held or flagged, newest first, with the evidence."""
    with session.for_merchant(merchant) as (tx, found):
        rows = desk.cases(tx, found.id, closed=closed, before=before, limit=limit)
    session.show(
        rows if as_json else [_shown(row) for row in rows],
        [*rows[0]._mapping] if as_json and rows else _COLUMNS,
        as_json=as_json,
        empty="No case has ended yet." if closed else "Nothing was too fast.",
    )


def _shown(row: Any) -> dict[str, Any]:
    said = "; ".join(
        f"{one['reached']} of the {one['per']} in {one['minutes']} minutes from {one['from']},"
        f" at most {one.get('count', one.get('points'))} {'acts' if 'count' in one else 'points'}"
        for one in row.evidence
    )
    return {**row._mapping, "evidence": said}


@app.command(epilog="Example: payspool loyalty velocity release acme 12 --reason 'a bus tour'")
def release(merchant: MerchantKey, case: CaseId, reason: Why) -> None:
    """Apply an event that was held, now; or find a flagged one all right."""
    with session.for_merchant(merchant) as (tx, found):
        done = inbox.release_case(tx, found.id, case, actor=session.me(), reason=reason)
    session.say(done.sentence)


@app.command(epilog="Example: payspool loyalty velocity reject acme 12 --reason 'stamped himself'")
def reject(merchant: MerchantKey, case: CaseId, reason: Why) -> None:
    """Refuse an event that was held; or undo a flagged one. It is final."""
    with session.for_merchant(merchant) as (tx, found):
        done = inbox.reject_case(tx, found.id, case, actor=session.me(), reason=reason)
    session.say(done.sentence)


@app.command(
    epilog='Example: payspool loyalty velocity policy acme \'[{"per": "pin", "what": "earn",'
    ' "minutes": 60, "count": 30, "then": "hold"}]\''
)
def policy(
    merchant: MerchantKey,
    limits: Annotated[str, typer.Argument(metavar="JSON", help="all limits; []: none")],
    program: Annotated[
        str | None, typer.Option(help="left out: all without a policy of their own")
    ] = None,
) -> None:
    """Say what is too fast from now on: all of it, as given here."""
    try:
        said = json.loads(limits)
    except ValueError as error:
        raise Invalid("limits", f"is not JSON: {error}") from None
    with session.for_merchant(merchant) as (tx, found):
        desk.set_policy(tx, found.id, program, said, actor=session.me())
    session.say(f"Set what is too fast in {program or 'programs without a policy of their own'}.")


@app.command(epilog="Example: payspool loyalty velocity policies acme")
def policies(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """Show what is too fast."""
    with session.for_merchant(merchant) as (tx, found):
        rows = desk.policies(tx, found.id)
    session.show(rows, ["program", "limits"], as_json=as_json, empty="Nothing is limited.")
