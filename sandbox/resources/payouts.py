"""Payouts: money from an account's balance to its bank (Stripe: `/v1/payouts`).

A payout debits the balance at once and lies between the two until the bank has it:
`pending → in_transit → paid`, moved by the sandbox's clock. It fails while in transit, or days
after it was paid, when the bank account or a fault plan says so; the money then comes back. Nothing
is paid out without being asked: the sandbox has no automatic payouts, whatever a schedule says.
"""

from typing import Any

from sandbox import agenda, ids, ledger
from sandbox.call import Call, Json, Route
from sandbox.errors import (
    AccountInvalid,
    ApiError,
    BalanceInsufficient,
    ResourceMissing,
)
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
from sandbox.resources import account_objects, external_accounts
from sandbox.resources import payout_states as states
from sandbox.resources.metadata import changed, fresh, merged
from sandbox.store import Row, dump

EXPANDABLE = {
    "balance_transaction": ("balance_transaction",),
    "destination": ("bank_account",),
    "failure_balance_transaction": ("balance_transaction",),
    "original_payout": ("payout",),
    "reversed_by": ("payout",),
}


def _check_new(params: Json) -> None:
    check_amount(params["amount"], params["currency"], to_bank=True)


def _payer(call: Call) -> Row:
    row = call.store.one("SELECT * FROM accounts WHERE id = ?", call.account)
    if row is None or row["state"] in ("deauthorized", "closed") or row["deleted"]:
        raise AccountInvalid(call.account)
    if not account_objects.payouts_enabled(call.store, row):
        raise ApiError(
            400,
            f"Account {row['id']} may not make payouts: see its requirements.",
            code="payouts_not_allowed",
        )
    return row


def _destination(call: Call, currency: str) -> Row:
    id = call.params.get("destination")
    if id is None:
        held = external_accounts.default(call.store, call.account, currency)
        if held is None:
            message = f"{call.account} has no external account in that currency ({currency})."
            raise ApiError(400, message, param="currency")
        return held
    row = call.store.one(
        "SELECT * FROM external_accounts WHERE id = ? AND account = ? AND deleted = 0",
        id,
        call.account,
    )
    if row is None:
        raise ResourceMissing("external account", id, "destination", status=400)
    if row["currency"] != currency:
        message = f"{id} is in {row['currency']}, the payout in {currency}."
        raise ApiError(400, message, param="destination")
    return row


def create(call: Call) -> Json:
    """Pay out to the account's bank. Refusals from here on are stored under the key."""
    params = call.params
    amount, currency = params["amount"], params["currency"]
    _payer(call)
    destination = _destination(call, currency)
    if params.get("method") == "instant":
        raise ApiError(
            400,
            f"{destination['id']} takes no instant payouts.",
            code="instant_payouts_unsupported",
            param="method",
        )
    # All funds of the sandbox are of type `card`; the other balances exist and are empty.
    own = params.get("source_type", "card") == "card"
    held = ledger.available(call.store, call.account, currency) if own else 0
    if held < amount:
        raise BalanceInsufficient(call.account, held, amount, currency)
    id = ids.new("po")
    entries = ledger.move(
        call.store,
        debit=ledger.Side(call.account, "payout", id, params.get("description")),
        credit=states.IN_TRANSIT,
        amount=amount,
        currency=currency,
        kind="payout",
        source=id,
        now=call.now,
    )
    destiny = call.destiny if "payout" in call.destiny else {}
    call.store.insert(
        "payouts",
        id=id,
        account=call.account,
        amount=amount,
        currency=currency,
        status="pending",
        arrival_date=call.now + states.ARRIVES_AFTER_SECONDS,
        destination=destination["id"],
        description=params.get("description"),
        metadata=dump(fresh(params.get("metadata"))),
        method="standard",
        source_type=params.get("source_type", "card"),
        statement_descriptor=params.get("statement_descriptor"),
        balance_transaction=entries[0],
        fails_with=destiny.get("payout") or destination["failure_code"],
        fails_after=destiny.get("after", "in_transit"),
        created=call.now,
    )
    agenda.put(call.store, call.now + states.SUBMITTED_AFTER_SECONDS, "payout", id)
    body = states.shape(call.find("payouts", id, "payout", "payout"))
    call.emit("payout.created", body)
    return body


def load(call: Call, id: str) -> Json | None:
    """Return a payout, for `expand`."""
    row = call.store.one("SELECT * FROM payouts WHERE id = ?", id)
    return None if row is None else states.shape(row)


def _find(call: Call) -> Row:
    return call.find("payouts", call.path["payout"], "payout", "payout")


def retrieve(call: Call) -> Json:
    """Return one payout."""
    return states.shape(_find(call))


def update(call: Call) -> Json:
    """Change the metadata; nothing else of a payout can be changed."""
    row = _find(call)
    before = states.shape(row)
    after = {**before, "metadata": merged(before["metadata"], call.params)}
    call.store.run(
        "UPDATE payouts SET metadata = ? WHERE id = ?", dump(after["metadata"]), row["id"]
    )
    previous = changed(before, after)
    if previous:
        call.emit("payout.updated", after, previous)
    return after


def cancel(call: Call) -> Json:
    """Take back a payout that the bank has not seen yet."""
    row = _find(call)
    if row["status"] != "pending" or row["amount"] < 0:
        message = f"Payout {row['id']} is {row['status']}; only pending payouts can be canceled."
        raise ApiError(400, message, param="payout")
    back = ledger.Side(call.account, "payout_cancel", row["id"])
    states.post(call, row, states.IN_TRANSIT, back, "payout_cancel")
    agenda.drop(call.store, row["id"])
    return states.become(call, row, "canceled", "payout.canceled")


def reverse(call: Call) -> Json:
    """Take money back from a connected account's US bank: a payout of the negative amount.

    What comes back is available on the day that the reversal arrives.
    """
    row = _find(call)
    bank = call.store.one("SELECT * FROM external_accounts WHERE id = ?", row["destination"])
    assert bank is not None, "a payout has its destination"
    if call.account == call.platform or bank["country"] != "US":
        message = "Only payouts of connected accounts to US banks can be reversed."
        raise ApiError(400, message, param="payout")
    if row["status"] != "paid" or row["amount"] < 0 or row["reversed_by"]:
        message = f"Payout {row['id']} cannot be reversed: it is {row['status']}"
        raise ApiError(400, f"{message}, or was reversed.", param="payout")
    agenda.drop(call.store, row["id"])
    id, arrival = ids.new("po"), call.now + states.ARRIVES_AFTER_SECONDS
    entries = ledger.move(
        call.store,
        debit=states.BANKS,
        credit=ledger.Side(call.account, "payout", id),
        amount=row["amount"],
        currency=row["currency"],
        kind="payout_reversal",
        source=id,
        now=call.now,
        available_on=arrival,
    )
    kept = ("account", "currency", "destination", "method", "source_type")
    call.store.insert(
        "payouts",
        **{name: row[name] for name in kept},
        id=id,
        amount=-row["amount"],
        status="pending",
        arrival_date=arrival,
        metadata=dump(fresh(call.params.get("metadata"))),
        balance_transaction=entries[0],
        original_payout=row["id"],
        created=call.now,
    )
    call.store.run("UPDATE payouts SET reversed_by = ? WHERE id = ?", id, row["id"])
    agenda.put(call.store, call.now + states.SUBMITTED_AFTER_SECONDS, "payout", id)
    body = states.shape(states.row_of(call.store, id))
    call.emit("payout.created", body)
    return body


def index(call: Call) -> Json:
    """List payouts, newest first."""
    where: list[tuple[str, Any]] = [
        ("account = ?", call.account),
        *equals(call, "destination", "status"),
        *conditions("arrival_date", call.params.get("arrival_date")),
        *conditions("created", call.params.get("created")),
    ]
    return page(call, "payouts", states.shape, where, url="/v1/payouts", kind="payout")


_CREATE = {
    "amount": Amount().must(),
    "currency": Currency().must(),
    "description": Text(),
    "destination": Text(),
    "expand": EXPAND,
    "metadata": Metadata(),
    "method": choice("instant", "standard"),
    "payout_method": refused("it pays out to external accounts; send `destination`"),
    "source_type": choice("bank_account", "card", "fpx"),
    "statement_descriptor": Text(limit=22),
}
_INDEX = {
    **LIST,
    "arrival_date": Range(),
    "created": Range(),
    "destination": Text(),
    "status": choice("canceled", "failed", "in_transit", "paid", "pending"),
}
_UPDATE = {"expand": EXPAND, "metadata": Metadata()}
_ONE = "/v1/payouts/{payout}"

ROUTES = (
    Route("POST", "/v1/payouts", _CREATE, create, "payout", check=_check_new),
    Route("GET", "/v1/payouts", _INDEX, index, "payout", lists=True),
    Route("GET", _ONE, {"expand": EXPAND}, retrieve, "payout"),
    Route("POST", _ONE, _UPDATE, update, "payout"),
    Route("POST", f"{_ONE}/cancel", {"expand": EXPAND}, cancel, "payout"),
    Route("POST", f"{_ONE}/reverse", _UPDATE, reverse, "payout"),
)
