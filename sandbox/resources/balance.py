"""Balances (Stripe: `/v1/balance`): of the platform, or of the account in `Stripe-Account`.

All funds are of source type `card`. What is pending becomes available when the sandbox's clock
passes its date.
"""

from dataclasses import replace

from sandbox import ledger
from sandbox.call import Call, Json, Route
from sandbox.params import EXPAND


def _amounts(call: Call, account: str, bucket: str, default: str) -> list[Json]:
    rows = call.store.all(
        "SELECT currency, amount FROM balances WHERE ledger = ? ORDER BY currency",
        f"{account}:{bucket}",
    )
    held = {row["currency"]: row["amount"] for row in rows} or {default: 0}
    return [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in held.items()
    ]


def shape(call: Call, account: str) -> Json:
    """Return the balance of an account as the API shows it."""
    row = call.store.one("SELECT default_currency FROM accounts WHERE id = ?", account)
    default = row["default_currency"] if row else "usd"
    body: Json = {
        "object": "balance",
        "available": _amounts(call, account, "available", default),
        "livemode": False,
        "pending": _amounts(call, account, "pending", default),
        "refund_and_dispute_prefunding": {
            "available": [{"amount": 0, "currency": default, "source_types": {"card": 0}}],
            "pending": [{"amount": 0, "currency": default, "source_types": {"card": 0}}],
        },
    }
    if account == call.platform:
        body["connect_reserved"] = [{"amount": 0, "currency": default}]
    return body


def retrieve(call: Call) -> Json:
    """Return the balance."""
    return shape(call, call.account)


def settle(call: Call) -> None:
    """Make the matured funds of all accounts available, whoever asked first.

    `balance.available` tells each platform whose balance grew.
    """
    for account in ledger.settle(call.store, call.now):
        row = call.store.one("SELECT platform FROM accounts WHERE id = ?", account)
        if row is not None and row["platform"] is None:
            own = replace(call, platform=account, account=account, idempotency_key=None)
            own.emit("balance.available", shape(own, account))


ROUTES = (Route("GET", "/v1/balance", {"expand": EXPAND}, retrieve, "balance"),)
