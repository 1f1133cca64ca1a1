"""Write bank files, and read what a bank's statement says of their payouts."""

from datetime import date

from domain.db import transaction
from domain.errors import Forbidden
from web.dashboard.actions.registry import Doing, Handed, action
from web.dashboard.bank import BankDesk, StatementForm


def _desk(doing: Doing) -> BankDesk:
    if doing.context.bank is None:
        raise Forbidden("This dashboard writes no bank files. Use `payspool payouts export`.")
    return doing.context.bank


@action("bank.preview_file", "operator")
def preview_file(
    doing: Doing, *, merchant_id: int, run_id: int, format: str, on: date | None
) -> Handed:
    """What a bank file of a run would hold, cancel and leave; changes nothing."""
    made = _desk(doing).export(
        merchant_id, run_id, actor=doing.actor, format=format, on=on, dry_run=True
    )
    return Handed("Nothing was changed.", made)


@action("bank.export_file", "operator")
def export_file(
    doing: Doing, *, merchant_id: int, run_id: int, format: str, on: date | None
) -> Handed:
    """Write the bank file of a run, which sends its payouts; or give the last one again."""
    made = _desk(doing).export(
        merchant_id, run_id, actor=doing.actor, format=format, on=on, dry_run=False
    )
    if made.file_id is None:
        return Handed("No file was written: nothing fits this format.", made)
    if made.again:
        # The first time was noted where it was made. It holds whole account numbers: so is each other time.
        with transaction(doing.engine) as tx:
            doing.audit(
                tx,
                "bank_file.given_again",
                merchant_id=merchant_id,
                subject=("bank_file", made.file_id),
            )
        return Handed(f"Bank file {made.file_id} again, as {made.created_by} exported it.", made)
    return Handed(f"Wrote bank file {made.file_id}: its payouts are in transit.", made)


@action("bank.preview_statement", "operator")
def preview_statement(
    doing: Doing, *, merchant_id: int, content: bytes, form: StatementForm
) -> Handed:
    """What a statement would do to payouts; changes nothing."""
    read = _desk(doing).read(merchant_id, content, actor=doing.actor, form=form, dry_run=True)
    return Handed("Nothing was changed.", read)


@action("bank.import_statement", "approver")
def import_statement(
    doing: Doing, *, merchant_id: int, content: bytes, form: StatementForm
) -> Handed:
    """Mark payouts paid, failed or returned as a statement says."""
    read = _desk(doing).read(merchant_id, content, actor=doing.actor, form=form, dry_run=False)
    settled = sum(read.payouts.values())
    return Handed(f"Read statement {read.statement_id}; payouts settled by it: {settled:,}.", read)
