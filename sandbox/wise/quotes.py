"""Quotes: what a transfer will cost and bring. A quote is good for thirty minutes and one transfer."""

import uuid
from typing import Any

from sandbox.store import Row
from sandbox.wise import money
from sandbox.wise.call import Invalid, Json, WiseCall, WiseError, WiseRoute, iso

LIFETIME_SECONDS = 30 * 60
_PAY_IN = ("BALANCE", "BANK_TRANSFER")


def shape(call: WiseCall, row: Row) -> Json:
    """Return a quote as the API shows it, with its payment option of a balance."""
    source, target = row["source_currency"], row["target_currency"]
    fee = money.shown(row["fee"], source)
    used = call.store.one("SELECT funded_at FROM wise_transfers WHERE quote = ?", row["id"])
    status = "PENDING"
    if used is not None:
        status = "FUNDED" if used["funded_at"] is not None else "ACCEPTED"
    elif row["created"] + LIFETIME_SECONDS <= call.now:
        status = "EXPIRED"
    option = {
        "disabled": False,
        "estimatedDelivery": iso(call.now + LIFETIME_SECONDS),
        "fee": {"transferwise": fee, "payIn": 0, "discount": 0, "partner": 0, "total": fee},
        "sourceAmount": money.shown(row["source_amount"], source),
        "targetAmount": money.shown(row["target_amount"], target),
        "sourceCurrency": source,
        "targetCurrency": target,
        "payIn": row["pay_in"],
        "payOut": "BANK_TRANSFER",
        "allowedProfileTypes": ["PERSONAL", "BUSINESS"],
    }
    return {
        "id": row["id"],
        "sourceCurrency": source,
        "targetCurrency": target,
        "sourceAmount": money.shown(row["source_amount"], source),
        "targetAmount": money.shown(row["target_amount"], target),
        "payOut": "BANK_TRANSFER",
        "preferredPayIn": row["pay_in"],
        "rate": float(row["rate"]),
        "createdTime": iso(row["created"]),
        "user": call.user,
        "profile": row["profile"],
        "rateType": "FIXED",
        "rateExpirationTime": iso(row["created"] + LIFETIME_SECONDS),
        "providedAmountType": row["provided"],
        "targetAccount": row["recipient"],
        "paymentOptions": [option],
        "status": status,
        "expirationTime": iso(row["created"] + LIFETIME_SECONDS),
        "notices": [],
    }


def create(call: WiseCall) -> Any:
    """Quote a transfer: give the amount to send or the amount to receive, never both."""
    body = call.take(
        "sourceAmount",
        "targetAmount",
        "targetAccount",
        "payOut",
        "preferredPayIn",
        must=("sourceCurrency", "targetCurrency"),
    )
    profile = call.profile(call.path["profile"])["id"]
    source = money.currency_of(body["sourceCurrency"], "sourceCurrency")
    target = money.currency_of(body["targetCurrency"], "targetCurrency")
    given = [name for name in ("sourceAmount", "targetAmount") if body.get(name) is not None]
    if len(given) != 1:
        message = "Send `sourceAmount` or `targetAmount`, one of them."
        raise WiseError(400, "error.quote.amount.onlySingle", message, "sourceAmount")
    is_source = given == ["sourceAmount"]
    wanted = money.minor(body[given[0]], source if is_source else target, given[0])
    sent, fee, received = money.amounts(source, target, wanted, is_source=is_source)
    pay_in = body.get("preferredPayIn") or "BALANCE"
    if pay_in not in _PAY_IN:
        raise Invalid("preferredPayIn", f"The sandbox knows {', '.join(_PAY_IN)}.")
    if body.get("payOut") not in (None, "BANK_TRANSFER"):
        raise Invalid("payOut", "The sandbox pays out by BANK_TRANSFER only.")
    recipient = body.get("targetAccount")
    if recipient is not None:
        recipient = call.mine("wise_recipients", "recipient", recipient)["id"]
    id = str(uuid.uuid4())
    call.store.insert(
        "wise_quotes",
        id=id,
        profile=profile,
        source_currency=source,
        target_currency=target,
        source_amount=sent,
        target_amount=received,
        fee=fee,
        rate=str(money.rate(source, target)),
        provided="SOURCE" if is_source else "TARGET",
        recipient=recipient,
        pay_in=pay_in,
        created=call.now,
    )
    return shape(call, call.mine("wise_quotes", "quote", id))


def _find(call: WiseCall) -> Row:
    call.profile(call.path["profile"])
    return call.mine("wise_quotes", "quote", call.path["quote"])


def retrieve(call: WiseCall) -> Any:
    """Return one quote."""
    return shape(call, _find(call))


def update(call: WiseCall) -> Any:
    """Name the recipient of a quote."""
    row = _find(call)
    body = call.take("payOut", must=("targetAccount",))
    recipient = call.mine("wise_recipients", "recipient", body["targetAccount"])["id"]
    call.store.run("UPDATE wise_quotes SET recipient = ? WHERE id = ?", recipient, row["id"])
    return shape(call, _find(call))


_ONE = "/v3/profiles/{profile}/quotes/{quote}"
ROUTES = (
    WiseRoute("POST", "/v3/profiles/{profile}/quotes", create),
    WiseRoute("GET", _ONE, retrieve),
    WiseRoute("PATCH", _ONE, update),
)
