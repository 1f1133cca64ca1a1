"""Top-ups (Stripe: `/v1/topups`): money from the platform's bank into its balance.

In the sandbox the bank always pays and at once: a top-up has succeeded when it is answered.
"""

import json
from typing import Any

from sandbox import ids, ledger
from sandbox.call import Call, Json, Route
from sandbox.currencies import MAXIMUM_PAYMENT, MINIMUM_PAYMENT
from sandbox.errors import ApiError
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
from sandbox.resources import balance
from sandbox.resources.metadata import fresh, merged
from sandbox.store import Row, dump

EXPANDABLE = {"balance_transaction": ("balance_transaction",)}


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
        "expected_availability_date": row["created"],
        "failure_code": None,
        "failure_message": None,
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


def create(call: Call) -> Json:
    """Fund the platform's balance."""
    if call.account != call.platform:
        raise ApiError(400, "Only a platform can be topped up; drop the Stripe-Account header.")
    params = call.params
    id = ids.new("tu")
    description = params.get("description")
    entries = ledger.move(
        call.store,
        debit="bank",
        credit=ledger.Side(call.account, "topup", id, description),
        amount=params["amount"],
        currency=params["currency"],
        kind="topup",
        source=id,
        now=call.now,
    )
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
        status="succeeded",
        balance_transaction=entries[0],
        created=call.now,
    )
    body = retrieve_by(call, id)
    call.emit("topup.created", {**body, "status": "pending", "balance_transaction": None})
    call.emit("topup.succeeded", body)
    call.emit("balance.available", balance.shape(call, call.account))
    return body


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
    "source": _ALWAYS_THE_BANK,
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
)
