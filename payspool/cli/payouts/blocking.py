"""`payspool payees block` and `unblock`: a person keeps a payee from being paid."""

from typing import Annotated

import typer

from domain.audit import service as audit
from domain.db import Tx
from domain.payouts import service
from domain.payouts.rules.words import said
from payspool.cli import payees, session
from payspool.cli.session import MerchantKey

User = Annotated[str, typer.Argument(metavar="USER", help="as events name them")]
Reason = Annotated[str, typer.Option(help="kept in the audit trail, and shown while it holds")]


@payees.app.command(epilog="Example: payspool payees block acme ada --reason 'asked us to wait'")
def block(merchant: MerchantKey, user: User, reason: Reason) -> None:
    """Pay a user nothing from now on. What they earn is still owed; what is on its way stays so."""
    with session.for_merchant(merchant) as (tx, found):
        reason = said("--reason", reason, "say why")
        service.block_payee(tx, found.id, user, reason)
        _record(tx, found.id, "payee.blocked", user, reason)
    session.say(f"{user} is blocked. `payspool payees unblock {merchant} {user}` lifts it.")


@payees.app.command(epilog="Example: payspool payees unblock acme ada --reason 'booked as paid'")
def unblock(merchant: MerchantKey, user: User, reason: Reason) -> None:
    """Pay a user again, whoever blocked them; the next run takes what is owed."""
    with session.for_merchant(merchant) as (tx, found):
        reason = said("--reason", reason, "say why")
        service.block_payee(tx, found.id, user, None)
        _record(tx, found.id, "payee.unblocked", user, reason)
    session.say(f"{user} can be paid again.")


def _record(tx: Tx, merchant_id: int, action: str, user: str, reason: str) -> None:
    audit.record(
        tx,
        session.me(),
        action,
        merchant_id=merchant_id,
        subject_kind="payee",
        subject_id=user,
        reason=reason,
    )
