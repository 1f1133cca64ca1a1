"""Transfer reversals: money back from the destination, partly and repeatedly, never over the whole.

Stripe: `/v1/transfers/{id}/reversals`. The destination's payment is refunded in the same movement.
"""

from typing import Any

from sandbox import ids, ledger
from sandbox.call import Call, Json, Route
from sandbox.errors import ApiError, BalanceInsufficient, InvalidParameter, ResourceMissing
from sandbox.pagination import page
from sandbox.params import EXPAND, LIST, Amount, Boolean, Metadata, Text, check_amount
from sandbox.resources import transfer_objects as objects
from sandbox.resources.metadata import changed, fresh, merged
from sandbox.store import Row, dump

EXPANDABLE = {
    "balance_transaction": ("balance_transaction",),
    "destination_payment_refund": ("refund",),
    "source_refund": ("refund",),
    "transfer": ("transfer",),
}


def _check_new(params: Json) -> None:
    if params.get("refund_application_fee"):
        raise InvalidParameter(
            "The transfer has no application fee to refund.", "refund_application_fee"
        )


def _amount(call: Call, transfer: Row) -> int:
    left = transfer["amount"] - transfer["amount_reversed"]
    amount = int(call.params.get("amount", left))
    check_amount(amount, transfer["currency"])
    if not left:
        message = f"Transfer {transfer['id']} is already fully reversed."
        raise ApiError(400, message, param="transfer")
    if amount > left:
        message = f"The reversal of {amount} is more than the {left} left on {transfer['id']}."
        raise ApiError(400, message, param="amount")
    held = ledger.available(call.store, transfer["destination"], transfer["currency"])
    if held < amount:
        raise BalanceInsufficient(transfer["destination"], held, amount, transfer["currency"])
    return amount


def create(call: Call) -> Json:
    """Take money back; without an amount, all that is left."""
    transfer = call.find("transfers", call.path["id"], "transfer", "id")
    amount = _amount(call, transfer)
    id, refund = ids.new("trr"), ids.new("pyr")
    description = call.params.get("description")
    entries = ledger.move(
        call.store,
        debit=ledger.Side(transfer["destination"], "payment_refund", refund),
        credit=ledger.Side(call.account, "transfer_refund", id, description),
        amount=amount,
        currency=transfer["currency"],
        kind="reversal",
        source=id,
        now=call.now,
    )
    call.store.insert(
        "refunds",
        id=refund,
        account=transfer["destination"],
        charge=transfer["destination_payment"],
        amount=amount,
        currency=transfer["currency"],
        balance_transaction=entries[0],
        source_transfer_reversal=id,
        created=call.now,
    )
    call.store.insert(
        "reversals",
        id=id,
        account=call.account,
        transfer=transfer["id"],
        amount=amount,
        currency=transfer["currency"],
        metadata=dump(fresh(call.params.get("metadata"))),
        balance_transaction=entries[1],
        destination_payment_refund=refund,
        created=call.now,
    )
    call.store.run(
        "UPDATE transfers SET amount_reversed = amount_reversed + ? WHERE id = ?",
        amount,
        transfer["id"],
    )
    call.store.run(
        "UPDATE charges SET amount_refunded = amount_refunded + ? WHERE id = ?",
        amount,
        transfer["destination_payment"],
    )
    body = objects.load_transfer(call, transfer["id"])
    assert body is not None, "the transfer was found above"
    call.emit("transfer.reversed", body)
    return objects.reversal(call.find("reversals", id, "transfer_reversal", "id"))


def _find(call: Call) -> Row:
    transfer = call.find("transfers", call.path["transfer"], "transfer", "transfer")
    row = call.find("reversals", call.path["id"], "transfer_reversal", "id")
    if row["transfer"] != transfer["id"]:
        raise ResourceMissing("transfer_reversal", row["id"], "id")
    return row


def retrieve(call: Call) -> Json:
    """Return one reversal of a transfer."""
    return objects.reversal(_find(call))


def update(call: Call) -> Json:
    """Change the metadata of a reversal."""
    row = _find(call)
    before = objects.reversal(row)
    after = {**before, "metadata": merged(before["metadata"], call.params)}
    call.store.run(
        "UPDATE reversals SET metadata = ? WHERE id = ?", dump(after["metadata"]), row["id"]
    )
    if changed(before, after):
        transfer = objects.load_transfer(call, row["transfer"])
        assert transfer is not None, "a reversal has its transfer"
        call.emit("transfer.updated", transfer, {"reversals": {"data": [before]}})
    return after


def index(call: Call) -> Json:
    """List the reversals of a transfer, newest first."""
    transfer = call.find("transfers", call.path["id"], "transfer", "id")
    where: list[tuple[str, Any]] = [("transfer = ?", transfer["id"])]
    url = f"/v1/transfers/{transfer['id']}/reversals"
    return page(call, "reversals", objects.reversal, where, url=url, kind="transfer_reversal")


_CREATE = {
    "amount": Amount(),
    "description": Text(unsets=True),
    "expand": EXPAND,
    "metadata": Metadata(),
    "refund_application_fee": Boolean(),
}
_ONE = "/v1/transfers/{transfer}/reversals/{id}"
_ALL = "/v1/transfers/{id}/reversals"
_UPDATE = {"expand": EXPAND, "metadata": Metadata()}

ROUTES = (
    Route("POST", _ALL, _CREATE, create, "transfer_reversal", check=_check_new),
    Route("GET", _ALL, LIST, index, "transfer_reversal", lists=True),
    Route("GET", _ONE, {"expand": EXPAND}, retrieve, "transfer_reversal"),
    Route("POST", _ONE, _UPDATE, update, "transfer_reversal"),
)
