"""Transfers: money from the platform's balance to a connected account's (Stripe: `/v1/transfers`).

A transfer debits the platform and credits the destination at once, in one posting, and shows on the
destination as a payment (`py_…`). After creation only metadata and the description change.
"""

import json
from typing import Any

from sandbox import ids, ledger
from sandbox.call import Call, Json, Route
from sandbox.errors import AccountInvalid, ApiError, BalanceInsufficient, ResourceMissing
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
)
from sandbox.resources import transfer_objects as objects
from sandbox.resources.metadata import changed, fresh, merged
from sandbox.store import Row, dump

EXPANDABLE = {
    "balance_transaction": ("balance_transaction",),
    "destination": ("account",),
    "destination_payment": ("charge",),
    "source_transaction": ("charge",),
}
# Any of these lets an account receive transfers.
RECEIVING = ("transfers", "legacy_payments")
_DEFAULT_SOURCE = "card"


def _check_new(params: Json) -> None:
    if "amount" in params:
        check_amount(params["amount"], params["currency"])
    elif "source_transaction" not in params:
        # Stripe takes the whole charge when a transfer names one; otherwise the amount is required.
        raise ApiError(
            400, "Missing required param: amount.", code="parameter_missing", param="amount"
        )


def _destination(call: Call, id: str) -> Row:
    row = call.store.one("SELECT * FROM accounts WHERE id = ?", id)
    if row is None or row["platform"] != call.account or row["state"] == "deauthorized":
        raise ResourceMissing("destination", id, "destination", status=400)
    if row["state"] == "closed" or row["deleted"]:
        raise AccountInvalid(id, "destination")
    able = call.store.one(
        "SELECT 1 FROM capabilities WHERE account = ? AND requested = 1 AND name IN (?, ?) "
        "AND coalesce(status, 'active') = 'active'",
        id,
        *RECEIVING,
    )
    if able is None or row["state"] != "active":
        raise ApiError(
            400,
            f"Account {id} cannot receive transfers: it needs one of the capabilities "
            f"{', '.join(RECEIVING)} to be active.",
            code="insufficient_capabilities_for_transfer",
        )
    return row


def _charged(call: Call, charge: Row, net: int, currency: str, amount: int | None) -> int:
    """Return what to transfer of a charge, of which `net` is what its fee left."""
    if charge["currency"] != currency:
        message = f"The charge {charge['id']} is in {charge['currency']}, not {currency}."
        raise ApiError(400, message, param="currency")
    used = call.store.one(
        "SELECT coalesce(sum(amount - amount_reversed), 0) AS n FROM transfers "
        "WHERE source_transaction = ?",
        charge["id"],
    )
    left = net - charge["amount_refunded"] - (used["n"] if used else 0)
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        message = f"The charge {charge['id']} has {left} left to transfer, {wanted} asked."
        raise ApiError(400, message, code="balance_insufficient", param="amount")
    return int(wanted)


def _source(call: Call) -> tuple[int, int | None, str | None]:
    """Return the amount, when it becomes available, and the group that the charge gives."""
    params = call.params
    currency = params["currency"]
    if "source_transaction" in params:
        id = params["source_transaction"]
        charge = call.find("charges", id, "charge", "source_transaction", status=400)
        entry = call.store.one(
            "SELECT net, available_on FROM balance_transactions WHERE id = ?",
            charge["balance_transaction"],
        )
        assert entry is not None, "a charge has its balance transaction"
        amount = _charged(call, charge, entry["net"], currency, params.get("amount"))
        if entry["available_on"] > call.now:
            return amount, entry["available_on"], charge["transfer_group"]
        group = charge["transfer_group"]
    else:
        amount, group = params["amount"], None
    source_type = params.get("source_type", _DEFAULT_SOURCE)
    # All funds of the sandbox are of type `card`; the other balances exist and are empty.
    held = (
        ledger.available(call.store, call.account, currency)
        if source_type == _DEFAULT_SOURCE
        else 0
    )
    if held < amount:
        raise BalanceInsufficient(call.account, held, amount, currency)
    return amount, None, group


def create(call: Call) -> Json:
    """Pay a connected account. Refusals from here on are stored under the idempotency key."""
    params = call.params
    payer = call.store.one("SELECT state FROM accounts WHERE id = ?", call.account)
    if payer is None or payer["state"] != "active":
        raise ApiError(
            400, f"Account {call.account} may not make transfers.", code="transfers_not_allowed"
        )
    destination = _destination(call, params["destination"])["id"]
    amount, available_on, charge_group = _source(call)
    id, payment = ids.new("tr"), ids.new("py")
    description = params.get("description")
    entries = ledger.move(
        call.store,
        debit=ledger.Side(call.account, "transfer", id, description),
        credit=ledger.Side(destination, "payment", payment),
        amount=amount,
        currency=params["currency"],
        kind="transfer",
        source=id,
        now=call.now,
        available_on=available_on,
    )
    group = params.get("transfer_group") or charge_group
    call.store.insert(
        "charges",
        id=payment,
        account=destination,
        amount=amount,
        currency=params["currency"],
        metadata="{}",
        transfer_group=group,
        balance_transaction=entries[1],
        source_transfer=id,
        created=call.now,
    )
    call.store.insert(
        "transfers",
        id=id,
        account=call.account,
        destination=destination,
        amount=amount,
        currency=params["currency"],
        description=description,
        metadata=dump(fresh(params.get("metadata"))),
        transfer_group=group,
        source_transaction=params.get("source_transaction"),
        source_type=params.get("source_type", _DEFAULT_SOURCE),
        destination_payment=payment,
        balance_transaction=entries[0],
        created=call.now,
    )
    body = objects.load_transfer(call, id)
    assert body is not None, "the row was written above"
    call.emit("transfer.created", body)
    return body


def retrieve(call: Call) -> Json:
    """Return one transfer."""
    row = call.find("transfers", call.path["transfer"], "transfer", "transfer")
    return objects.transfer(call.store, row)


def update(call: Call) -> Json:
    """Change metadata or the description; nothing else of a transfer ever changes."""
    row = call.find("transfers", call.path["transfer"], "transfer", "transfer")
    before = objects.transfer(call.store, row)
    metadata = merged(json.loads(row["metadata"]), call.params)
    description = call.params.get("description", row["description"])
    call.store.run(
        "UPDATE transfers SET metadata = ?, description = ? WHERE id = ?",
        dump(metadata),
        description,
        row["id"],
    )
    after = {**before, "metadata": metadata, "description": description}
    previous = changed(before, after)
    if previous:
        call.emit("transfer.updated", after, previous)
    return after


def index(call: Call) -> Json:
    """List transfers, newest first."""
    where: list[tuple[str, Any]] = [
        ("account = ?", call.account),
        *equals(call, "destination", "transfer_group"),
        *conditions("created", call.params.get("created")),
    ]
    return page(
        call,
        "transfers",
        lambda row: objects.transfer(call.store, row),
        where,
        url="/v1/transfers",
        kind="transfer",
    )


_CREATE = {
    "amount": Amount(),
    "currency": Currency().must(),
    "description": Text(),
    "destination": Text().must(),
    "expand": EXPAND,
    "metadata": Metadata(),
    "source_transaction": Text(),
    "source_type": choice("bank_account", "card", "fpx"),
    "transfer_group": Text(),
}
_UPDATE = {"description": Text(unsets=True), "expand": EXPAND, "metadata": Metadata()}
_INDEX = {**LIST, "created": Range(), "destination": Text(), "transfer_group": Text()}

ROUTES = (
    Route("POST", "/v1/transfers", _CREATE, create, "transfer", check=_check_new),
    Route("GET", "/v1/transfers", _INDEX, index, "transfer", lists=True),
    Route("GET", "/v1/transfers/{transfer}", {"expand": EXPAND}, retrieve, "transfer"),
    Route("POST", "/v1/transfers/{transfer}", _UPDATE, update, "transfer"),
)
