"""Transfers and their funding: the states, what moves them on, and the money in the books.

`incoming_payment_waiting → processing → funds_converted → outgoing_payment_sent`, by the sandbox's
clock once it is funded; a bounced one goes on `→ bounced_back → processing → cancelled →
funds_refunded`. `customerTransactionId` is the key: a second call with it answers with the first
one's transfer, whatever else it says, and makes none.
"""

import uuid
from datetime import datetime
from typing import Any

from sandbox import agenda, ledger
from sandbox.errors import SandboxError
from sandbox.store import Row, Store, dump
from sandbox.wise import accounts, money, quotes
from sandbox.wise.call import Invalid, Json, NotFound, WiseCall, WiseError, WiseRoute, iso, next_id

PATH = (
    "incoming_payment_waiting",
    "processing",
    "funds_converted",
    "outgoing_payment_sent",
    "bounced_back",
    "processing",
    "cancelled",
    "funds_refunded",
)
_WAITING, _PROCESSING, _SENT, _BOUNCED, _CANCELLED, _REFUNDED = 0, 1, 3, 4, 6, 7
# How long the sandbox's clock takes from each stage to the next.
_STEP_SECONDS = {1: 600, 2: 3600, 3: 2 * 24 * 3600, 4: 600, 5: 600, 6: 24 * 3600}
# Unfunded transfers are cancelled after fourteen days.
UNFUNDED_SECONDS = 14 * 24 * 3600
EVENT = "transfers#state-change"
_BASE = 50_000_000
MAX_LIMIT = 100
_REFERENCE_LENGTH = 140
_IN_TRANSIT, _FEES, _EXCHANGE, _RECIPIENTS = (
    f"world:wise_{place}" for place in ("in_transit", "fees", "exchange", "recipients")
)


class MoveImpossible(SandboxError):
    """A transfer was asked into a state that does not follow the one that it is in."""

    def __init__(self, id: int, status: str, asked: str) -> None:
        super().__init__(f"Transfer {id} is {status}, which {asked} does not follow.")


def shape(store: Store, row: Row) -> Json:
    """Return a transfer as the API shows it."""
    quote = _quote(store, row)
    source, target = quote["source_currency"], quote["target_currency"]
    created = datetime.fromisoformat(iso(row["created"]))
    owner = store.one("SELECT type FROM wise_profiles WHERE id = ?", row["profile"])
    business = owner is not None and owner["type"] == "BUSINESS"
    return {
        "id": row["id"],
        "user": row["user"],
        "targetAccount": row["recipient"],
        "sourceAccount": None,
        "quote": None,
        "quoteUuid": row["quote"],
        "status": row["status"],
        "reference": row["reference"] or "",
        "rate": float(quote["rate"]),
        "created": f"{created:%Y-%m-%d %H:%M:%S}",
        "business": row["profile"] if business else None,
        "transferRequest": None,
        "details": {"reference": row["reference"] or ""},
        "hasActiveIssues": row["stage"] == _BOUNCED,
        "sourceCurrency": source,
        "sourceValue": money.shown(quote["source_amount"] - quote["fee"], source),
        "targetCurrency": target,
        "targetValue": money.shown(quote["target_amount"], target),
        "customerTransactionId": row["customer_transaction_id"],
    }


def _quote(store: Store, row: Row) -> Row:
    quote = store.one("SELECT * FROM wise_quotes WHERE id = ?", row["quote"])
    assert quote is not None, "a transfer has its quote"
    return quote


def _row(store: Store, id: int | str) -> Row:
    row = store.one("SELECT * FROM wise_transfers WHERE id = ?", str(id))
    if row is None:
        raise NotFound("transfer", id)
    return row


def _key(body: Json) -> str:
    value = body["customerTransactionId"]
    try:
        return str(uuid.UUID(value))
    except (ValueError, TypeError, AttributeError):
        raise Invalid("customerTransactionId", "Send a UUID.") from None


def create(call: WiseCall) -> Any:
    """Make a transfer from a quote to a recipient; it waits for its funding."""
    body = call.take("details", must=("targetAccount", "quoteUuid", "customerTransactionId"))
    key = _key(body)
    sql = "SELECT * FROM wise_transfers WHERE user = ? AND customer_transaction_id = ?"
    repeated = call.store.one(sql, call.user, key)
    if repeated is not None:
        return shape(call.store, repeated)
    details = body.get("details") or {}
    reference = details.get("reference") if isinstance(details, dict) else None
    if reference is not None and not (
        isinstance(reference, str) and len(reference) <= _REFERENCE_LENGTH
    ):
        raise Invalid("reference", f"A reference has up to {_REFERENCE_LENGTH} characters.")
    quote = call.mine("wise_quotes", "quote", body["quoteUuid"])
    recipient = call.mine("wise_recipients", "recipient", body["targetAccount"])
    _check(call, quote, recipient)
    id = next_id(call.store, "wise_transfers", _BASE)
    call.store.insert(
        "wise_transfers",
        id=id,
        profile=quote["profile"],
        user=call.user,
        recipient=recipient["id"],
        quote=quote["id"],
        customer_transaction_id=key,
        reference=reference,
        status=PATH[_WAITING],
        stage=_WAITING,
        bounces="wise" in call.destiny,
        created=call.now,
    )
    agenda.put(call.store, call.now + UNFUNDED_SECONDS, "wise", str(id))
    row = _row(call.store, id)
    _tell(call, row, None)
    return shape(call.store, row)


def _check(call: WiseCall, quote: Row, recipient: Row) -> None:
    if not recipient["active"]:
        raise Invalid("targetAccount", "The recipient was deleted.")
    if recipient["currency"] != quote["target_currency"]:
        message = f"The recipient is paid in {recipient['currency']}."
        raise Invalid("targetAccount", message)
    used = call.store.one("SELECT 1 FROM wise_transfers WHERE quote = ?", quote["id"])
    if used is not None:
        raise Invalid("quoteUuid", "The quote was used; make another one.", "error.quote.used")
    if quote["created"] + quotes.LIFETIME_SECONDS <= call.now:
        message = "The quote has expired; make another one."
        raise Invalid("quoteUuid", message, "error.quote.expired")


def fund(call: WiseCall) -> Any:
    """Pay for a transfer from the profile's balance.

    Too little on it is no refusal but an answer: `REJECTED`, `transfer.insufficient_funds`.
    """
    profile = call.profile(call.path["profile"])["id"]
    row = call.mine("wise_transfers", "transfer", call.path["transfer"])
    if row["profile"] != profile:
        raise NotFound("transfer", row["id"])
    type = call.take(must=("type",))["type"]
    if type != "BALANCE":
        raise Invalid("type", "The sandbox funds from a BALANCE only.")
    if row["stage"] != _WAITING:
        return {"type": type, "status": "REJECTED", "errorCode": "transfer.already_funded"}
    quote = _quote(call.store, row)
    amount, currency = quote["source_amount"], quote["source_currency"]
    if accounts.held(call.store, profile, currency) < amount:
        return {"type": type, "status": "REJECTED", "errorCode": "transfer.insufficient_funds"}
    _move(call, row, accounts.ledger_of(profile), _IN_TRANSIT, amount - quote["fee"], currency)
    _move(call, row, accounts.ledger_of(profile), _FEES, quote["fee"], currency)
    call.store.run("UPDATE wise_transfers SET funded_at = ? WHERE id = ?", call.now, row["id"])
    if "wise" in call.destiny:
        call.store.run("UPDATE wise_transfers SET bounces = 1 WHERE id = ?", row["id"])
    _become(call, row, _PROCESSING)
    return {"type": type, "status": "COMPLETED", "errorCode": None}


def _move(call: WiseCall, row: Row, debit: str, credit: str, amount: int, currency: str) -> None:
    ledger.shift(
        call.store,
        debit=debit,
        credit=credit,
        amount=amount,
        currency=currency.lower(),
        kind="wise_transfer",
        source=f"wise/transfers/{row['id']}",
        now=call.now,
    )


def _become(call: WiseCall, row: Row, stage: int, since: int | None = None) -> None:
    """Move a transfer to a stage of its path, its money with it, and tell it.

    `since` is when it came there, if that was earlier than now.
    """
    quote = _quote(call.store, row)
    sent, source = quote["source_amount"] - quote["fee"], quote["source_currency"]
    received, target = quote["target_amount"], quote["target_currency"]
    own = accounts.ledger_of(row["profile"])
    if stage == _SENT:
        _move(call, row, _IN_TRANSIT, _EXCHANGE, sent, source)
        _move(call, row, _EXCHANGE, _RECIPIENTS, received, target)
    if stage == _BOUNCED:
        _move(call, row, _RECIPIENTS, _EXCHANGE, received, target)
        _move(call, row, _EXCHANGE, _IN_TRANSIT, sent, source)
    if stage == _REFUNDED:
        _move(call, row, _IN_TRANSIT, own, sent, source)
        _move(call, row, _FEES, own, quote["fee"], source)
    call.store.run(
        "UPDATE wise_transfers SET stage = ?, status = ? WHERE id = ?",
        stage,
        PATH[stage],
        row["id"],
    )
    agenda.drop(call.store, str(row["id"]))
    funded = row["funded_at"] is not None or stage == _PROCESSING
    ends = stage == _SENT and not row["bounces"]
    if stage in _STEP_SECONDS and funded and not ends:
        came = call.now if since is None else since
        agenda.put(call.store, came + _STEP_SECONDS[stage], "wise", str(row["id"]))
    if PATH[stage] != row["status"]:
        _tell(call, _row(call.store, row["id"]), row["status"])


def step(call: WiseCall, id: int, due: int) -> None:
    """Take a transfer's next step by the clock."""
    row = _row(call.store, id)
    stage = _CANCELLED if row["stage"] == _WAITING else row["stage"] + 1
    _become(call, row, stage, due)


def _tell(call: WiseCall, row: Row, previous: str | None) -> None:
    """Write the event of a change of state, and queue it for the profile's subscriptions."""
    resource = {
        "type": "transfer",
        "id": row["id"],
        "profile_id": row["profile"],
        "account_id": row["recipient"],
    }
    data = {
        "resource": resource,
        "current_state": row["status"],
        "previous_state": previous,
        "occurred_at": iso(call.now),
    }
    id = str(uuid.uuid4())
    call.store.insert(
        "wise_events",
        id=id,
        profile=row["profile"],
        type=EVENT,
        data=dump(data),
        created=call.now,
    )
    for subscription in call.store.all(
        "SELECT id FROM wise_subscriptions WHERE profile = ? AND trigger_on = ?",
        row["profile"],
        EVENT,
    ):
        call.notifier.queue(id, f"wise:{subscription['id']}", EVENT)


def retrieve(call: WiseCall) -> Any:
    """Return one transfer."""
    return shape(call.store, call.mine("wise_transfers", "transfer", call.path["transfer"]))


def cancel(call: WiseCall) -> Any:
    """Cancel a transfer that was not sent yet; what was paid for it is refunded a day later."""
    row = call.mine("wise_transfers", "transfer", call.path["transfer"])
    if row["stage"] >= _SENT:
        message = f"The transfer is {row['status']} and cannot be cancelled."
        raise WiseError(409, "transfer.not_cancellable", message)
    _become(call, row, _CANCELLED)
    return retrieve(call)


def payments(call: WiseCall) -> Any:
    """List what funded a transfer."""
    row = call.mine("wise_transfers", "transfer", call.path["transfer"])
    if row["funded_at"] is None:
        return []
    quote = _quote(call.store, row)
    return [
        {
            "id": row["id"],
            "method": "BALANCE",
            "pricingVariant": None,
            "amount": money.shown(quote["source_amount"], quote["source_currency"]),
            "currency": quote["source_currency"],
            "timeCreated": iso(row["funded_at"]),
            "timeUpdated": iso(row["funded_at"]),
        }
    ]


def _whole(call: WiseCall, name: str, default: int, most: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdecimal() or len(text) > 15 or int(text) > most:
        raise Invalid(name, f"Send a number from 0 to {most}.")
    return int(text)


def _day(call: WiseCall, name: str) -> int | None:
    text = call.query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(name, "Send a date, or a date and a time in UTC.") from None
    return int(datetime.fromisoformat(f"{moment:%Y-%m-%dT%H:%M:%S}+00:00").timestamp())


def index(call: WiseCall) -> Any:
    """List transfers of a profile, newest first."""
    profile = call.query.get("profile")
    if profile is None:
        profile = call.store.all(
            "SELECT id FROM wise_profiles WHERE user = ? ORDER BY id", call.user
        )[0]["id"]
    where: list[tuple[str, Any]] = [("t.profile = ?", call.profile(profile)["id"])]
    for name, column in (("sourceCurrency", "source"), ("targetCurrency", "target")):
        if name in call.query:
            where.append((f"q.{column}_currency = ?", call.query[name].upper()))
    for name, operator in (("createdDateStart", ">="), ("createdDateEnd", "<=")):
        moment = _day(call, name)
        if moment is not None:
            where.append((f"t.created {operator} ?", moment))
    if "status" in call.query:
        where.append(("instr(?, ',' || t.status || ',') > 0", f",{call.query['status']},"))
    rows = call.store.all(
        "SELECT t.* FROM wise_transfers AS t JOIN wise_quotes AS q ON q.id = t.quote "  # noqa: S608
        f"WHERE {' AND '.join(text for text, _ in where)} ORDER BY t.id DESC LIMIT ? OFFSET ?",
        *[value for _, value in where],
        _whole(call, "limit", 10, MAX_LIMIT),
        _whole(call, "offset", 0, 10**9),
    )
    return [shape(call.store, row) for row in rows]


# The moves that Wise's own sandbox simulates: status -> the stages that it may follow.
_SIMULATED = {
    "processing": (_PROCESSING, (_PROCESSING,)),
    "funds_converted": (2, (1,)),
    "outgoing_payment_sent": (_SENT, (2,)),
    "bounced_back": (_BOUNCED, (_SENT,)),
    "funds_refunded": (_REFUNDED, (_BOUNCED, 5, _CANCELLED)),
}


def move(call: WiseCall, id: int | str, status: str) -> Json:
    """Move a funded transfer on, as Wise's own sandbox simulates it.

    Raises:
        MoveImpossible: `status` does not follow the transfer's own.
    """
    row = _row(call.store, id)
    stage, after = _SIMULATED.get(status, (0, ()))
    if row["stage"] not in after or row["funded_at"] is None:
        raise MoveImpossible(row["id"], row["status"], status)
    _become(call, row, stage)
    return shape(call.store, _row(call.store, id))


def simulate(call: WiseCall) -> Any:
    """Move one of the user's transfers on."""
    row = call.mine("wise_transfers", "transfer", call.path["transfer"])
    try:
        return move(call, row["id"], call.path["status"])
    except MoveImpossible as problem:
        raise WiseError(409, "transfer.simulation", str(problem)) from None


ROUTES = (
    WiseRoute("POST", "/v1/transfers", create),
    WiseRoute("GET", "/v1/transfers", index),
    WiseRoute("GET", "/v1/transfers/{transfer}", retrieve),
    WiseRoute("PUT", "/v1/transfers/{transfer}/cancel", cancel),
    WiseRoute("GET", "/v1/transfers/{transfer}/payments", payments),
    WiseRoute("POST", "/v3/profiles/{profile}/transfers/{transfer}/payments", fund, created=True),
    WiseRoute("GET", "/v1/simulation/transfers/{transfer}/{status}", simulate),
)
