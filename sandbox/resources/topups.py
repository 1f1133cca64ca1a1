"""Top-ups (Stripe: `/v1/topups`): money from the platform's bank into its balance.

A top-up is pending until the bank has paid, a day of the sandbox's clock; it fails then when its test
token or a fault plan says so. `POST /_sandbox/fund` makes one that has succeeded at once.
"""

import json
from dataclasses import replace
from typing import Any

from sandbox import agenda, ids, ledger
from sandbox.call import Call, Json, Route
from sandbox.currencies import MAXIMUM_PAYMENT, MINIMUM_PAYMENT
from sandbox.errors import ApiError, InvalidParameter, ResourceMissing, SandboxError
from sandbox.pagination import conditions, equals, page
from sandbox.params import (
    EXPAND,
    LIST,
    Amount,
    Currency,
    Metadata,
    Range,
    Text,
    check_amount,
    choice,
    refused,
)
from sandbox.resources import balance, external_accounts
from sandbox.resources.metadata import fresh, merged
from sandbox.store import Row, dump

EXPANDABLE = {"balance_transaction": ("balance_transaction",)}
PAID_AFTER_SECONDS = 24 * 3600
FAILURES = {
    "account_closed": "The bank account has been closed.",
    "debit_not_authorized": "Debits are not approved on the bank account.",
    "insufficient_funds": "The bank account has insufficient funds.",
    "invalid_currency": "The bank account is in another currency.",
    "no_account": "No bank account with this number could be found.",
}


class NotPending(SandboxError):
    """A top-up was to be moved on that has come to its end."""

    def __init__(self, id: str, status: str) -> None:
        super().__init__(f"{id} is {status}; only pending top-ups succeed or fail.")
        self.status = status


class FailureUnknown(SandboxError):
    """A top-up was to fail for a reason that does not exist."""

    def __init__(self, code: str) -> None:
        super().__init__(f"`failure_code` is one of {', '.join(FAILURES)}, not {code}.")
        self.code = code


def shape(row: Row) -> Json:
    """Return a top-up as the API shows it."""
    return {
        "id": row["id"],
        "object": "topup",
        "amount": row["amount"],
        "balance_transaction": row["balance_transaction"],
        "created": row["created"],
        "currency": row["currency"],
        "description": row["description"],
        "expected_availability_date": row["expected_at"],
        "failure_code": row["failure_code"],
        "failure_message": FAILURES[row["failure_code"]] if row["failure_code"] else None,
        "initiated_by": "user",
        "livemode": False,
        "metadata": json.loads(row["metadata"]),
        "payment_method": None,
        "source": None,
        "statement_descriptor": row["statement_descriptor"],
        "status": row["status"],
        "transfer_group": row["transfer_group"],
    }


def _check_new(params: Json) -> None:
    check_amount(params["amount"], params["currency"])
    source = params.get("source")
    if source is not None and source not in external_accounts.TOKENS:
        known = ", ".join(external_accounts.TOKENS)
        message = f"No such source: '{source}'. The sandbox takes: {known}."
        raise InvalidParameter(message, "source", "resource_missing")


def create(call: Call) -> Json:
    """Ask the platform's bank for money; its clock brings it."""
    return _insert(call, call.now + PAID_AFTER_SECONDS)


def create_succeeded(call: Call) -> Json:
    """Fund the platform's balance at once, as the admin API does."""
    return set_status(call, _insert(call, call.now)["id"], "succeeded")


def _insert(call: Call, expected_at: int) -> Json:
    if call.account != call.platform:
        raise ApiError(400, "Only a platform can be topped up; drop the Stripe-Account header.")
    params = call.params
    id = ids.new("tu")
    description = params.get("description")
    fails = call.destiny.get("topup")
    if fails is None and "source" in params:
        fails = external_accounts.failure_of(params["source"])
    call.store.insert(
        "topups",
        id=id,
        account=call.account,
        amount=params["amount"],
        currency=params["currency"],
        description=description,
        metadata=dump(fresh(params.get("metadata"))),
        statement_descriptor=params.get("statement_descriptor"),
        transfer_group=params.get("transfer_group"),
        status="pending",
        expected_at=expected_at,
        fails_with=fails,
        created=call.now,
    )
    agenda.put(call.store, expected_at, "topup", id)
    body = retrieve_by(call, id)
    call.emit("topup.created", body)
    return body


def step(call: Call, id: str, _due: int) -> None:
    """Let the bank pay, or refuse to."""
    row = _row(call, id)
    set_status(call, id, "failed" if row["fails_with"] else "succeeded", row["fails_with"])


def _row(call: Call, id: str) -> Row:
    row = call.store.one("SELECT * FROM topups WHERE id = ?", id)
    if row is None:
        raise ResourceMissing("topup", id, "topup")
    return row


def set_status(call: Call, id: str, status: str, code: str | None = None) -> Json:
    """Let a pending top-up succeed or fail, in the books too, and tell it.

    Raises:
        NotPending: it has come to its end.
        FailureUnknown: there is no such reason.
    """
    row = _row(call, id)
    if row["status"] != "pending":
        raise NotPending(id, row["status"])
    own = replace(call, platform=row["account"], account=row["account"])
    agenda.drop(call.store, id)
    if status != "succeeded":
        reason = code or "insufficient_funds"
        if reason not in FAILURES:
            raise FailureUnknown(reason)
        return _become(own, id, status, None, reason if status == "failed" else None)
    entries = ledger.move(
        call.store,
        debit="bank",
        credit=ledger.Side(row["account"], "topup", id, row["description"]),
        amount=row["amount"],
        currency=row["currency"],
        kind="topup",
        source=id,
        now=call.now,
    )
    body = _become(own, id, status, entries[0], None)
    own.emit("balance.available", balance.shape(own, own.account))
    return body


def _become(call: Call, id: str, status: str, entry: str | None, code: str | None) -> Json:
    call.store.run(
        "UPDATE topups SET status = ?, balance_transaction = ?, failure_code = ? WHERE id = ?",
        status,
        entry,
        code,
        id,
    )
    body = shape(_row(call, id))
    call.emit(f"topup.{status}", body)
    return body


def cancel(call: Call) -> Json:
    """Call a pending top-up off."""
    body = retrieve(call)
    if body["status"] != "pending":
        message = f"Top-up {body['id']} is {body['status']}; only pending ones can be canceled."
        raise ApiError(400, message, param="topup")
    return set_status(call, body["id"], "canceled")


def retrieve_by(call: Call, id: str) -> Json:
    """Return one top-up of the account."""
    return shape(call.find("topups", id, "topup", "topup"))


def load(call: Call, id: str) -> Json | None:
    """Return a top-up of the account, for `expand`."""
    row = call.store.one("SELECT * FROM topups WHERE id = ? AND account = ?", id, call.account)
    return None if row is None else shape(row)


def retrieve(call: Call) -> Json:
    """Return one top-up."""
    return retrieve_by(call, call.path["topup"])


def update(call: Call) -> Json:
    """Change metadata or the description."""
    before = retrieve(call)
    after = {
        **before,
        "description": call.params.get("description", before["description"]),
        "metadata": merged(before["metadata"], call.params),
    }
    call.store.run(
        "UPDATE topups SET description = ?, metadata = ? WHERE id = ?",
        after["description"],
        dump(after["metadata"]),
        after["id"],
    )
    return after


def index(call: Call) -> Json:
    """List top-ups, newest first."""
    where: list[tuple[str, Any]] = [
        ("account = ?", call.account),
        *equals(call, "status"),
        *conditions("amount", call.params.get("amount")),
        *conditions("created", call.params.get("created")),
    ]
    return page(call, "topups", shape, where, url="/v1/topups", kind="topup")


_ALWAYS_THE_BANK = refused("money always comes from the platform's own bank account")
_CREATE = {
    "amount": Amount(least=MINIMUM_PAYMENT, maximum=MAXIMUM_PAYMENT).must(),
    "currency": Currency().must(),
    "description": Text(),
    "expand": EXPAND,
    "metadata": Metadata(),
    "payment_method": _ALWAYS_THE_BANK,
    "payment_method_options": _ALWAYS_THE_BANK,
    "source": Text(),
    "statement_descriptor": Text(limit=15),
    "transfer_group": Text(),
}
_INDEX = {
    **LIST,
    "amount": Range(),
    "created": Range(),
    "status": choice("canceled", "failed", "pending", "succeeded"),
}
_UPDATE = {"description": Text(unsets=True), "expand": EXPAND, "metadata": Metadata()}

ROUTES = (
    Route("POST", "/v1/topups", _CREATE, create, "topup", check=_check_new),
    Route("GET", "/v1/topups", _INDEX, index, "topup", lists=True),
    Route("GET", "/v1/topups/{topup}", {"expand": EXPAND}, retrieve, "topup"),
    Route("POST", "/v1/topups/{topup}", _UPDATE, update, "topup"),
    Route("POST", "/v1/topups/{topup}/cancel", {"expand": EXPAND}, cancel, "topup"),
)
