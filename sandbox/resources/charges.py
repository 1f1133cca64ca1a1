"""Charges (Stripe: `/v1/charges`): enough of them to fund a balance, and the payments of transfers.

Test tokens decide, as Stripe's do: `tok_visa` pays and is available in two days,
`tok_bypassPending` pays and is available at once, `tok_chargeDeclined` is declined.
"""

import json
from typing import Any

from sandbox import fees, ids, ledger
from sandbox.call import Call, Json, Route
from sandbox.currencies import MAXIMUM_PAYMENT, MINIMUM_PAYMENT
from sandbox.errors import ApiError, InvalidParameter
from sandbox.pagination import DEFAULT_LIMIT, conditions, equals, page
from sandbox.params import (
    EXPAND,
    LIST,
    Amount,
    Boolean,
    Currency,
    Metadata,
    Range,
    Text,
    check_amount,
    refused,
)
from sandbox.resources import balance
from sandbox.resources.metadata import changed, fresh, merged
from sandbox.store import Row, Store, dump

EXPANDABLE = {
    "balance_transaction": ("balance_transaction",),
    "refunds": ("refund",),
    "source_transfer": ("transfer",),
}
REFUND_EXPANDABLE = {
    "balance_transaction": ("balance_transaction",),
    "charge": ("charge",),
    "source_transfer_reversal": ("transfer_reversal",),
}
PENDING_SECONDS = 2 * 24 * 3600
_AT_ONCE = "tok_bypassPending"
_DECLINED = "tok_chargeDeclined"
_TOKENS = ("tok_visa", "tok_mastercard", "tok_amex", _AT_ONCE, _DECLINED)


def shape(row: Row) -> Json:
    """Return a charge, or the payment (`py_…`) that a transfer is to its destination."""
    return {
        "id": row["id"],
        "object": "charge",
        "amount": row["amount"],
        "amount_captured": row["amount"],
        "amount_refunded": row["amount_refunded"],
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": row["balance_transaction"],
        "billing_details": {
            "address": None,
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": row["statement_descriptor"],
        "captured": True,
        "created": row["created"],
        "currency": row["currency"],
        "customer": None,
        "description": row["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": json.loads(row["metadata"]),
        "on_behalf_of": None,
        "outcome": None,
        "paid": True,
        "payment_intent": None,
        "payment_method": None,
        "payment_method_details": None,
        "radar_options": {},
        "receipt_email": row["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": row["amount_refunded"] == row["amount"],
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": row["source_transfer"],
        "statement_descriptor": row["statement_descriptor"],
        "statement_descriptor_suffix": row["statement_descriptor_suffix"],
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": row["transfer_group"],
    }


def refund(row: Row) -> Json:
    """Return the refund that a transfer's reversal is to the destination's payment."""
    return {
        "id": row["id"],
        "object": "refund",
        "amount": row["amount"],
        "balance_transaction": row["balance_transaction"],
        "charge": row["charge"],
        "created": row["created"],
        "currency": row["currency"],
        "metadata": {},
        "payment_intent": None,
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": row["source_transfer_reversal"],
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _check_new(params: Json) -> None:
    check_amount(params["amount"], params["currency"])
    if params.get("capture") is False:
        raise InvalidParameter("The sandbox captures every charge at once.", "capture")
    if params["source"] not in _TOKENS:
        message = f"The sandbox takes these test tokens: {', '.join(_TOKENS)}."
        raise InvalidParameter(message, "source", "resource_missing")


def create(call: Call) -> Json:
    """Charge a test card."""
    params, id = call.params, ids.new("ch")
    if params["source"] == _DECLINED:
        raise ApiError(
            402,
            "The card was declined.",
            type="card_error",
            code="card_declined",
            fields={"decline_code": "generic_decline"},
        )
    at_once = params["source"] == _AT_ONCE
    entries = ledger.move(
        call.store,
        debit="cards",
        credit=ledger.Side(call.account, "charge", id, params.get("description")),
        amount=params["amount"],
        currency=params["currency"],
        kind="charge",
        source=id,
        now=call.now,
        available_on=None if at_once else call.now + PENDING_SECONDS,
        fee=fees.of_charges(call.store, call.platform).of(params["amount"]),
    )
    texts = (
        "description",
        "receipt_email",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_group",
    )
    call.store.insert(
        "charges",
        id=id,
        account=call.account,
        amount=params["amount"],
        currency=params["currency"],
        metadata=dump(fresh(params.get("metadata"))),
        balance_transaction=entries[0],
        created=call.now,
        **{name: params.get(name) for name in texts},
    )
    body = shape(call.find("charges", id, "charge", "charge"))
    call.emit("charge.succeeded", body)
    if at_once and call.account == call.platform:
        call.emit("balance.available", balance.shape(call, call.account))
    return body


def load(call: Call, id: str) -> Json | None:
    """Return a charge that the platform may see through `expand`."""
    row = call.store.one("SELECT * FROM charges WHERE id = ?", id)
    return None if row is None else shape(row)


def load_refund(call: Call, id: str) -> Json | None:
    """Return a refund that the platform may see through `expand`."""
    row = call.store.one("SELECT * FROM refunds WHERE id = ?", id)
    return None if row is None else refund(row)


def load_refunds(call: Call, charge: str) -> Json:
    """Return the refunds of a charge, for `expand[]=refunds`: its ten newest."""
    rows = _refunds(call.store, charge)
    return {
        "object": "list",
        "data": [refund(row) for row in rows[:DEFAULT_LIMIT]],
        "has_more": len(rows) > DEFAULT_LIMIT,
        "url": f"/v1/charges/{charge}/refunds",
    }


def _refunds(store: Store, charge: str) -> list[Row]:
    return store.all(
        "SELECT * FROM refunds WHERE charge = ? ORDER BY seq DESC LIMIT ?",
        charge,
        DEFAULT_LIMIT + 1,
    )


def retrieve(call: Call) -> Json:
    """Return one charge of the account."""
    return shape(call.find("charges", call.path["charge"], "charge", "charge"))


def update(call: Call) -> Json:
    """Change the description, metadata, receipt address or transfer group."""
    before, params = retrieve(call), call.params
    if params.get("transfer_group") and before["transfer_group"]:
        raise ApiError(400, "The charge already has a transfer group.", param="transfer_group")
    after = {
        **before,
        **{
            name: params.get(name, before[name])
            for name in ("description", "receipt_email", "transfer_group")
        },
        "metadata": merged(before["metadata"], params),
    }
    call.store.run(
        "UPDATE charges SET description = ?, receipt_email = ?, transfer_group = ?, metadata = ? "
        "WHERE id = ?",
        after["description"],
        after["receipt_email"],
        after["transfer_group"],
        dump(after["metadata"]),
        after["id"],
    )
    previous = changed(before, after)
    if previous:
        call.emit("charge.updated", after, previous)
    return after


def index(call: Call) -> Json:
    """List charges, newest first."""
    where: list[tuple[str, Any]] = [
        ("account = ?", call.account),
        *equals(call, "transfer_group"),
        *conditions("created", call.params.get("created")),
    ]
    return page(call, "charges", shape, where, url="/v1/charges", kind="charge")


_NO_CUSTOMERS = refused("it has no customers and no payment intents")
_NO_FEES = refused("it takes no fees; make a transfer instead")
_NO_RISK = refused("it judges no risk and ships nothing")
_CREATE = {
    "amount": Amount(least=MINIMUM_PAYMENT, maximum=MAXIMUM_PAYMENT).must(),
    "application_fee": _NO_FEES,
    "application_fee_amount": _NO_FEES,
    "capture": Boolean(),
    "currency": Currency().must(),
    "customer": _NO_CUSTOMERS,
    "description": Text(limit=40_000),
    "destination": _NO_FEES,
    "expand": EXPAND,
    "metadata": Metadata(),
    "on_behalf_of": _NO_FEES,
    "radar_options": _NO_RISK,
    "receipt_email": Text(),
    "shipping": _NO_RISK,
    "source": Text().must(),
    "statement_descriptor": Text(limit=22),
    "statement_descriptor_suffix": Text(limit=22),
    "transfer_data": _NO_FEES,
    "transfer_group": Text(),
}
_UPDATE = {
    "customer": _NO_CUSTOMERS,
    "description": Text(limit=40_000, unsets=True),
    "expand": EXPAND,
    "fraud_details": _NO_RISK,
    "metadata": Metadata(),
    "receipt_email": Text(unsets=True),
    "shipping": _NO_RISK,
    "transfer_group": Text(),
}
_INDEX = {
    **LIST,
    "created": Range(),
    "customer": _NO_CUSTOMERS,
    "payment_intent": _NO_CUSTOMERS,
    "transfer_group": Text(),
}

ROUTES = (
    Route("POST", "/v1/charges", _CREATE, create, "charge", check=_check_new),
    Route("GET", "/v1/charges", _INDEX, index, "charge", lists=True),
    Route("GET", "/v1/charges/{charge}", {"expand": EXPAND}, retrieve, "charge"),
    Route("POST", "/v1/charges/{charge}", _UPDATE, update, "charge"),
)
