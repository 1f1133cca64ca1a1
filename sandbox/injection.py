"""Faults put into effect: refusals in front of the API, and changes of state before it executes."""

from sandbox import ids, ledger
from sandbox.call import Call
from sandbox.errors import ApiError, SandboxError, Unauthorized
from sandbox.faults import Fault
from sandbox.idempotency import KeyInUse
from sandbox.resources import accounts


def refuse_in_front(fault: Fault, key: str | None) -> None:
    """Raise the refusal of a fault that lies in front of the API: nothing executes or is stored.

    Raises:
        ApiError: the fault is such a refusal.
    """
    name, options = fault.name, fault.options
    if name == "rate_limit":
        seconds = options["retry_after"]
        headers = {} if seconds is None else {"Retry-After": str(seconds)}
        message = "Too many requests hit the API too quickly; slow down and retry with backoff."
        raise ApiError(429, message, code="rate_limit", headers=headers)
    if name == "lock_timeout":
        raise ApiError(
            options["status"],
            "The object is held by another request or process; retry, or send fewer at once.",
            code="lock_timeout",
        )
    if name == "key_in_use":
        raise KeyInUse(key or "")
    if name == "unauthorized":
        raise Unauthorized("Invalid API Key provided: the fault plan refuses it.")
    if name == "forbidden":
        message = "The API key may not do this: the fault plan refuses it."
        raise ApiError(403, message, code="secret_key_required")


def change_state(fault: Fault, call: Call) -> None:
    """Change the world just before the request executes, as the fault says; it stays changed."""
    if fault.name in ("account_deauthorized", "account_restricted"):
        account = _account_of(call)
        if account is not None:
            accounts.set_state(call, account, fault.name.removeprefix("account_"))
    elif fault.name == "balance_dry":
        currency = fault.options["currency"] or call.params.get("currency")
        if currency is not None:
            drain(call, str(currency).lower())
    elif fault.name == "payout_fails":
        call.destiny = {"payout": fault.options["code"], "after": fault.options["after"]}
    elif fault.name == "topup_fails":
        call.destiny = {"topup": fault.options["code"]}


def _account_of(call: Call) -> str | None:
    named = call.params.get("destination") or call.path.get("account")
    id = call.path.get("transfer") or call.path.get("id")
    if named is None and id is not None:
        row = call.store.one("SELECT destination FROM transfers WHERE id = ?", id)
        named = row["destination"] if row else None
    if named is None and call.account != call.platform:
        named = call.account
    known = call.store.one(
        "SELECT 1 FROM accounts WHERE id = ? AND platform = ? AND deleted = 0",
        named,
        call.platform,
    )
    return named if known else None


class NothingToDrain(SandboxError):
    """More was to be taken from a balance than it holds."""

    def __init__(self, account: str, held: int, amount: int, currency: str) -> None:
        super().__init__(f"{account} holds {held} {currency} in minor units, {amount} asked.")
        self.account = account
        self.held = held
        self.amount = amount


def drain(call: Call, currency: str, amount: int | None = None) -> int:
    """Take `amount` (minor units), or all that is available, out of the account's balance.

    Returns what was taken.

    Raises:
        NothingToDrain: the balance holds less than `amount`.
    """
    held = ledger.available(call.store, call.account, currency)
    taken = held if amount is None else amount
    if taken > held:
        raise NothingToDrain(call.account, held, taken, currency)
    if not taken:
        return 0
    id = ids.new("adj")
    ledger.move(
        call.store,
        debit=ledger.Side(call.account, "adjustment", id, "Drained by the sandbox's operator"),
        credit="drained",
        amount=taken,
        currency=currency,
        kind="drain",
        source=id,
        now=call.now,
    )
    return taken
