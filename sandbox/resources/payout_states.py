"""What becomes of a payout: its states, what moves it on, and how it is shown.

`pending → in_transit → paid`, or `failed` while in transit or after it was paid; `canceled` from
pending. The sandbox's clock takes the steps, or the admin API does.
"""

import json
from typing import Any

from sandbox import agenda, ledger
from sandbox.call import Call, Json
from sandbox.errors import ResourceMissing, SandboxError
from sandbox.resources.metadata import changed
from sandbox.store import Row, Store

SUBMITTED_AFTER_SECONDS = 3600
ARRIVES_AFTER_SECONDS = 2 * 24 * 3600
# A bank may send a payment back for about five business days; the sandbox's does after three days.
RETURNED_AFTER_SECONDS = 3 * 24 * 3600
FAILURES = {
    "account_closed": "The bank account has been closed.",
    "account_frozen": "The bank account has been frozen.",
    "bank_account_restricted": "The bank account does not take this kind of payment.",
    "bank_ownership_changed": "The bank account now belongs to another bank.",
    "could_not_process": "The bank could not process this payout.",
    "debit_not_authorized": "Debits are not approved on the bank account.",
    "declined": "The bank has declined this payout.",
    "incorrect_account_holder_name": "The account holder's name is not the bank's.",
    "insufficient_funds": "The bank account has insufficient funds.",
    "invalid_account_number": "The bank account's number is invalid.",
    "invalid_currency": "The bank does not take this currency on that account.",
    "no_account": "No bank account with this number could be found.",
}
# What may follow what; `failed` and `canceled` are final.
_NEXT = {
    "pending": ("in_transit", "paid", "failed"),
    "in_transit": ("paid", "failed"),
    "paid": ("failed",),
}
# Outside the balances: money on its way, and money that the banks have.
IN_TRANSIT, BANKS = "payouts_in_transit", "payees_banks"


class MoveImpossible(SandboxError):
    """A payout was asked into a state that does not follow the one that it is in."""

    def __init__(self, id: str, status: str, asked: str) -> None:
        after = ", ".join(_NEXT.get(status, ())) or "nothing"
        super().__init__(f"{id} is {status}: {after} may follow, not {asked}.")
        self.status = status
        self.asked = asked


class FailureUnknown(SandboxError):
    """A payout was to fail for a reason that does not exist."""

    def __init__(self, code: str) -> None:
        super().__init__(f"`failure_code` is one of {', '.join(FAILURES)}, not {code}.")
        self.code = code


def shape(row: Row) -> Json:
    """Return a payout as the API shows it."""
    code = row["failure_code"]
    landed = row["status"] == "paid"
    return {
        "id": row["id"],
        "object": "payout",
        "amount": row["amount"],
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": row["arrival_date"],
        "automatic": False,
        "balance_transaction": row["balance_transaction"],
        "created": row["created"],
        "currency": row["currency"],
        "description": row["description"],
        "destination": row["destination"],
        "failure_balance_transaction": row["failure_balance_transaction"],
        "failure_code": code,
        "failure_message": FAILURES[code] if code else None,
        "livemode": False,
        "metadata": json.loads(row["metadata"]),
        "method": row["method"],
        "original_payout": row["original_payout"],
        "payout_method": None,
        "reconciliation_status": "not_applicable",
        "reversed_by": row["reversed_by"],
        "source_type": row["source_type"],
        "statement_descriptor": row["statement_descriptor"],
        "status": row["status"],
        "trace_id": {
            "status": "supported" if landed else "pending",
            "value": f"SANDBOX{row['seq']:09d}" if landed else None,
        },
        "type": "bank_account",
    }


def owner_call(call: Call, account: str) -> Call:
    """Return `call` on behalf of the account that owns an object, whoever caused it."""
    row = call.store.one("SELECT platform FROM accounts WHERE id = ?", account)
    platform = (row["platform"] if row else None) or account
    return Call(
        store=call.store,
        notifier=call.notifier,
        platform=platform,
        account=account,
        now=call.now,
        request_id=call.request_id,
        idempotency_key=None,
        base_url=call.base_url,
    )


def step(call: Call, id: str, _due: int) -> None:
    """Take a payout's next step: submitted, arrived, or returned by the bank."""
    row = row_of(call.store, id)
    fails = row["fails_with"]
    if row["status"] == "pending":
        set_status(call, id, "in_transit")
    elif row["status"] == "in_transit":
        failed = fails is not None and row["fails_after"] == "in_transit"
        set_status(call, id, "failed" if failed else "paid", fails)
    elif fails is not None:
        set_status(call, id, "failed", fails)


def row_of(store: Store, id: str) -> Row:
    """Return the row of a payout.

    Raises:
        ResourceMissing: there is none.
    """
    row = store.one("SELECT * FROM payouts WHERE id = ?", id)
    if row is None:
        raise ResourceMissing("payout", id, "payout")
    return row


def set_status(call: Call, id: str, status: str, code: str | None = None) -> Json:
    """Move a payout on, in the books too, and tell it; `code` is why it failed.

    Raises:
        MoveImpossible: `status` does not follow the payout's own, or it was reversed.
        FailureUnknown: there is no such reason.
    """
    row = row_of(call.store, id)
    if status not in _NEXT.get(row["status"], ()) or (status == "failed" and row["reversed_by"]):
        raise MoveImpossible(id, row["status"], status)
    own = owner_call(call, row["account"])
    agenda.drop(call.store, id)
    if status == "failed":
        return _fail(own, row, code or "could_not_process")
    if status == "in_transit":
        agenda.put(call.store, max(row["arrival_date"], call.now), "payout", id)
    elif row["amount"] > 0:
        post(own, row, IN_TRANSIT, BANKS, "payout_arrival")
        if row["fails_with"] is not None and row["fails_after"] == "paid":
            arrived = min(call.now, row["arrival_date"])
            agenda.put(call.store, arrived + RETURNED_AFTER_SECONDS, "payout", id)
    return become(own, row, status, "payout.paid" if status == "paid" else "payout.updated")


def post(call: Call, row: Row, debit: Any, credit: Any, kind: str) -> list[str]:
    """Move a payout's amount between two places; return its balance transactions."""
    return ledger.move(
        call.store,
        debit=debit,
        credit=credit,
        amount=abs(row["amount"]),
        currency=row["currency"],
        kind=kind,
        source=row["id"],
        now=call.now,
    )


def _fail(call: Call, row: Row, code: str) -> Json:
    if code not in FAILURES:
        raise FailureUnknown(code)
    if row["amount"] < 0:
        raise MoveImpossible(row["id"], "a reversal", "failed")
    back = ledger.Side(call.account, "payout_failure", row["id"], FAILURES[code])
    where = BANKS if row["status"] == "paid" else IN_TRANSIT
    entries = post(call, row, where, back, "payout_failure")
    call.store.run(
        "UPDATE payouts SET failure_code = ?, failure_balance_transaction = ? WHERE id = ?",
        code,
        entries[0],
        row["id"],
    )
    return become(call, row, "failed", "payout.failed")


def become(call: Call, row: Row, status: str, event: str) -> Json:
    """Write the status of a payout whose money was moved, and tell it."""
    call.store.run("UPDATE payouts SET status = ? WHERE id = ?", status, row["id"])
    after = shape(row_of(call.store, row["id"]))
    call.emit(event, after, changed(shape(row), after) if event == "payout.updated" else None)
    return after
