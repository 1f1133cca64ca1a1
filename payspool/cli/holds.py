"""`payspool holds`: what may be fraud is held until a person decides."""

from typing import Annotated, Any

import typer

from domain.money import format_minor
from domain.referrals import holds
from domain.referrals.rules.holds import HoldPolicy
from payspool.cli import session
from payspool.cli.session import AsJson, MerchantKey

app = typer.Typer(help="Held earnings: disputes, and what may be fraud.", no_args_is_help=True)

HoldId = Annotated[int, typer.Argument(metavar="HOLD", help="as `payspool holds list` numbers it")]
Why = Annotated[str, typer.Option("--reason", help="kept in the audit trail")]
Most = Annotated[int | None, typer.Option(min=1)]


@app.command("list", epilog="Example: payspool holds list acme --kind velocity")
def list_(
    merchant: MerchantKey,
    kind: Annotated[str | None, typer.Option(help=f"only {', '.join(holds.KINDS)}")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="those that ended")] = False,
    before: Annotated[int | None, typer.Option(help="only below this number")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List what is held, newest first, with the evidence."""
    with session.for_merchant(merchant) as (tx, found):
        rows = holds.listing(tx, found.id, closed=closed, kind=kind, before=before, limit=limit)
    session.show(
        rows if as_json else [_shown(row) for row in rows],
        [*rows[0]._mapping] if as_json and rows else _COLUMNS,
        as_json=as_json,
        empty="Nothing is held." if not closed else "No hold has ended yet.",
    )


_COLUMNS = ["id", "kind", "referrer", "referred", "transaction", "earned", "evidence", "outcome"]


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "referrer": row.referrer_user_id,
        "referred": row.referred_user_id,
        "transaction": row.transaction_id,
        "earned": format_minor(row.amount_earned, row.currency),
        "evidence": row.evidence or {"dispute": row.ref},
        "outcome": row.outcome,
    }


@app.command(epilog="Example: payspool holds release acme 12 --reason 'a family, spoke to both'")
def release(merchant: MerchantKey, hold: HoldId, reason: Why) -> None:
    """End a hold: what was earned may be paid, unless something else holds it."""
    with session.for_merchant(merchant) as (tx, found):
        done = holds.release(tx, found.id, hold, actor=session.me(), reason=reason)
    session.say(f"Released hold {hold} of {done.referrer_user_id}'s reward.")


@app.command(epilog="Example: payspool holds reject acme 12 --reason 'one person, two accounts'")
def reject(merchant: MerchantKey, hold: HoldId, reason: Why) -> None:
    """Void what the held conversion earned, for both sides, or take back what a payout has. It is final."""
    with session.for_merchant(merchant) as (tx, found):
        done = holds.reject(tx, found.id, hold, actor=session.me(), reason=reason)
    session.say(done.sentence)


@app.command(
    epilog="Example: payspool holds policy acme friends --referrer-per-hour 10 --code-per-day 50"
)
def policy(
    merchant: MerchantKey,
    program: Annotated[
        str | None, typer.Argument(metavar="PROGRAM", help="left out: all without one of their own")
    ] = None,
    same_email: Annotated[
        bool, typer.Option(help="hold where both have one e-mail address")
    ] = True,
    shared_destination: Annotated[
        bool, typer.Option(help="hold where both are paid to one account")
    ] = True,
    code_per_hour: Most = None,
    code_per_day: Most = None,
    referrer_per_hour: Most = None,
    referrer_per_day: Most = None,
) -> None:
    """Say what is held from now on: all of it, as given here."""
    said = HoldPolicy(
        same_email,
        shared_destination,
        code_per_hour,
        code_per_day,
        referrer_per_hour,
        referrer_per_day,
    )
    with session.for_merchant(merchant) as (tx, found):
        holds.set_policy(tx, found.id, program, said, actor=session.me())
    session.say(f"Set what is held for {program or 'programs without a policy of their own'}.")


@app.command(epilog="Example: payspool holds policies acme")
def policies(merchant: MerchantKey, as_json: AsJson = False) -> None:
    """Show what is held."""
    with session.for_merchant(merchant) as (tx, found):
        rows = holds.policies(tx, found.id)
    session.show(
        rows,
        [
            "program",
            "same_email",
            "shared_destination",
            "code_per_hour",
            "code_per_day",
            "referrer_per_hour",
            "referrer_per_day",
        ],
        as_json=as_json,
        empty="No policy: e-mail hashes are compared where events bring them, nothing else.",
    )
