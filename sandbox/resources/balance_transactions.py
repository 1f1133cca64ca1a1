"""Balance transactions (Stripe: `/v1/balance_transactions`): every line of an account's balance."""

from typing import Any

from sandbox.call import Call, Json, Route
from sandbox.ledger import REPORTING_CATEGORY
from sandbox.pagination import conditions, equals, page
from sandbox.params import EXPAND, LIST, Currency, Range, Text
from sandbox.store import Row

EXPANDABLE = {"source": ("charge", "payout", "refund", "topup", "transfer", "transfer_reversal")}


def shape(row: Row, now: int) -> Json:
    """Return a balance transaction; only charges have a fee."""
    detail = {
        "amount": row["fee"],
        "application": None,
        "currency": row["currency"],
        "description": "Processing fees of the sandbox",
        "type": "stripe_fee",
    }
    return {
        "id": row["id"],
        "object": "balance_transaction",
        "amount": row["net"] + row["fee"],
        "available_on": row["available_on"],
        "balance_type": "payments",
        "created": row["created"],
        "currency": row["currency"],
        "description": row["description"],
        "exchange_rate": None,
        "fee": row["fee"],
        "fee_details": [detail] if row["fee"] else [],
        "net": row["net"],
        "reporting_category": REPORTING_CATEGORY[row["type"]],
        "source": None if row["type"] == "adjustment" else row["source"],
        "status": "available" if row["available_on"] <= now else "pending",
        "type": row["type"],
    }


def load(call: Call, id: str) -> Json | None:
    """Return a balance transaction that the platform may see through `expand`."""
    row = call.store.one("SELECT * FROM balance_transactions WHERE id = ?", id)
    return None if row is None else shape(row, call.now)


def retrieve(call: Call) -> Json:
    """Return one balance transaction of the account."""
    id = call.path["id"]
    return shape(call.find("balance_transactions", id, "balance transaction", "id"), call.now)


def index(call: Call) -> Json:
    """List balance transactions, newest first.

    `payout` matches none: it asks for what an automatic payout holds, and there are none.
    """
    where: list[tuple[str, Any]] = [
        ("account = ?", call.account),
        *equals(call, "currency", "source", "type"),
        *conditions("created", call.params.get("created")),
    ]
    if "payout" in call.params:
        where.append(("NULL = ?", call.params["payout"]))
    return page(
        call,
        "balance_transactions",
        lambda row: shape(row, call.now),
        where,
        url="/v1/balance_transactions",
        kind="balance transaction",
    )


_INDEX = {
    **LIST,
    "created": Range(),
    "currency": Currency(),
    "payout": Text(),
    "source": Text(),
    "type": Text(),
}

ROUTES = (
    Route("GET", "/v1/balance_transactions", _INDEX, index, "balance_transaction", lists=True),
    Route(
        "GET",
        "/v1/balance_transactions/{id}",
        {"expand": EXPAND},
        retrieve,
        "balance_transaction",
    ),
)
