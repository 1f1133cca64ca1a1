"""Wise: a payout is a transfer from the balance of the merchant's profile to a recipient that Wise knows.

Every answer becomes a value; no exception leaves this module. The recipient's bank data is with Wise and,
encrypted, in our database; what is stored of an attempt names the recipient by Wise's number alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from time import sleep
from typing import Any, Final

from domain.merchants.rules import Mode, check_wise_token
from domain.payouts.gateway import Deadline, Found, Order, PayeeCheck, Progress
from domain.payouts.rules import GatewayOutcome
from domain.payouts.rules.attempts import CONNECT_SECONDS, READ_SECONDS
from domain.payouts.rules.breaker import Balance
from domain.payouts.rules.progress import Stage
from workers.gateways.errors import KeyRefused
from workers.gateways.wise_http import WiseHttp
from workers.gateways.wise_objects import (
    CANCELED,
    WAITING,
    NotATransfer,
    WiseTransfer,
    read_transfer,
    reference_of,
    to_decimal,
    to_minor,
)
from workers.gateways.wise_returns import WiseReturns
from workers.gateways.wise_sending import Sending

API_VERSION: Final = "quotes-v3.transfers-v1.payments-v3"
"""The versions of the calls by which an attempt is sent; Wise has one for each call, in its path."""

FIND_PAGE: Final = 100
FIND_PAGES: Final = 50
"""Pages of a look-up: Wise lists transfers by time only. More than these, and it was not looked up."""

BEFORE: Final = timedelta(days=1)
"""How long before an attempt was begun a look-up starts: clocks disagree, and Wise has its own time zone."""


class WiseGateway:
    """The gateway protocol over one profile of one user; safe across threads."""

    method: Final = "wise"
    api_version: Final = API_VERSION

    def __init__(
        self,
        http: WiseHttp,
        account: str,
        *,
        pause: Callable[[float], None] = sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http, self.account = http, account
        self._profile = profile_of(account)
        self._pause, self._now = pause, now

    def params(self, order: Order) -> dict[str, Any]:
        """What a sending asks for, and how it is found again. No personal data.

        The balance that pays is the one in the payout's own currency: nothing is converted, and the
        payee gets exactly what is owed. Wise's fee comes on top of it, out of the same balance.
        """
        return {
            "profile": self._profile,
            "sourceCurrency": order.currency.upper(),
            "targetCurrency": order.currency.upper(),
            "targetAmount": to_decimal(order.amount, order.currency),
            "targetAccount": _recipient_id(order.destination),
            "customerTransactionId": reference_of(order.key),
            "reference": f"PO{order.payout_id}",
            "attempt": order.key,
            "since": f"{self._now() - BEFORE:%Y-%m-%d}",
        }

    def send(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        """Quote, make and pay for the transfer of an attempt, or go on where an earlier sending ended."""
        assert api_version == API_VERSION, f"no sending was ever stored under {api_version}"
        assert params["customerTransactionId"] == reference_of(key), "a transfer has its key's name"
        return Sending(self._http, params, deadline, self._pause).run()

    def find(self, params: Mapping[str, Any]) -> Sequence[Found] | None:
        """The transfers under the attempt's name; None if Wise could not be asked."""
        found: list[Found] = []
        for page in range(FIND_PAGES):
            query = {
                "profile": str(params["profile"]),
                "createdDateStart": str(params["since"]),
                "limit": str(FIND_PAGE),
                "offset": str(page * FIND_PAGE),
            }
            reply = self._http.call("GET", "/v1/transfers", query=query)
            if not reply.ok or not isinstance(reply.body, list):
                return None
            try:
                for entry in reply.body:
                    if _named(entry) == params["customerTransactionId"]:
                        one = self._found(read_transfer(entry), params)
                        if one is None:
                            return None
                        found.append(one)
            except NotATransfer:
                return None
            if len(reply.body) < FIND_PAGE:
                return found
        return None

    def check_payee(self, destination: str) -> PayeeCheck | None:
        """Whether Wise knows a recipient and pays it; None if Wise did not say."""
        if not _is_id(destination):
            return PayeeCheck(False, "it is no number of a recipient at Wise")
        reply = self._http.call("GET", f"/v1/accounts/{destination}")
        if reply.made_nothing or (reply.said and reply.outcome.http_status == 403):
            return PayeeCheck(False, reply.outcome.message or "Wise does not know the recipient")
        if not reply.ok or not isinstance(reply.body, dict):
            return None
        if str(reply.body.get("id")) != destination or "active" not in reply.body:
            return None
        if str(reply.body.get("profile")) != self._profile:
            return PayeeCheck(False, "the recipient is another profile's")
        if reply.body["active"] is not True:
            return PayeeCheck(False, "the recipient was deleted at Wise")
        return PayeeCheck(True)

    def balance(self) -> Balance:
        """See ``domain.payouts.gateway.TellsBalance``. What it tells still has to bear Wise's fees."""
        reply = self._http.call(
            "GET", f"/v4/profiles/{self._profile}/balances", query={"types": "STANDARD"}
        )
        why = (reply.outcome.message or f"status {reply.outcome.http_status}")[:500]
        if reply.outcome.kind == "response" and reply.outcome.http_status == 401:
            return Balance("refused", why=why)
        if reply.outcome.kind == "response" and reply.outcome.http_status == 403:
            return Balance("forbidden", why=why)
        if not reply.ok:
            return Balance("silent", why=why)
        try:
            held: dict[str, int] = {}
            for one in reply.body:
                currency = str(one["amount"]["currency"]).lower()
                amount = to_minor(one["amount"]["value"], currency)
                held[currency] = held.get(currency, 0) + amount
            return Balance("told", held)
        except (KeyError, TypeError, NotATransfer) as error:
            return Balance("silent", why=f"the answer is no list of balances ({error})"[:500])

    def progress(self, external_id: str) -> Progress | None:
        """See ``domain.payouts.gateway.TellsProgress``."""
        reply = self._http.call("GET", f"/v1/transfers/{external_id}")
        try:
            transfer = read_transfer(reply.body) if reply.ok else None
        except NotATransfer:
            return None
        if transfer is None or transfer.stage is None:
            return None
        stage: Stage = transfer.stage
        if transfer.status in (WAITING, CANCELED):
            paid = self._paid_for(transfer)
            if paid is None:
                return None
            if not paid:
                stage = "unpaid" if transfer.status == WAITING else "void"
            elif transfer.status == WAITING:
                stage = "moving"
        return Progress(str(transfer.id), transfer.reference, self.account, stage, transfer.status)

    @property
    def returns(self) -> WiseReturns:
        """See ``domain.payouts.gateway.TellsReturns``."""
        return WiseReturns(self._http, self.account, self._profile)

    def _found(self, transfer: WiseTransfer, params: Mapping[str, Any]) -> Found | None:
        paid: bool | None = transfer.stage is not None
        if transfer.status in (WAITING, CANCELED):
            paid = self._paid_for(transfer)
        if paid is None:
            return None
        return Found(
            external_id=str(transfer.id),
            amount=transfer.amount,
            # What came back is found when its progress is looked at.
            reversed_amount=0,
            currency=transfer.currency,
            destination=str(transfer.recipient),
            key=str(params["attempt"]),
            paid=paid,
            arrived=False,
            standing=transfer.status,
        )

    def _paid_for(self, transfer: WiseTransfer) -> bool | None:
        listed = self._http.call("GET", f"/v1/transfers/{transfer.id}/payments")
        return bool(listed.body) if listed.ok and isinstance(listed.body, list) else None


def wise_gateway(
    token: str,
    base_url: str,
    *,
    mode: Mode,
    account: str,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
) -> WiseGateway:
    """The gateway of a merchant's profile at Wise; one pool of connections for each token and address.

    ``account`` names the profile that pays, and the user whose token it is (``paying_profile``).
    Raises KeyRefused if the token must not be used by a merchant of this mode, or at this address.
    """
    problem = check_wise_token(token, base_url, mode)
    if problem is not None:
        raise KeyRefused(f"{problem}.")
    key = (token, base_url.rstrip("/"), account, connect_seconds, read_seconds)
    with _LOCK:
        if key not in _GATEWAYS:
            http = WiseHttp(token, base_url, connect_seconds, read_seconds)
            _GATEWAYS[key] = WiseGateway(http, account), http
        return _GATEWAYS[key][0]


def close_wise_gateways() -> None:
    """Close every connection; a gateway that is asked for later opens new ones."""
    with _LOCK:
        opened = list(_GATEWAYS.values())
        _GATEWAYS.clear()
    for _, http in opened:
        http.close()


_LOCK = Lock()
_GATEWAYS: dict[tuple[str, str, str, float, float], tuple[WiseGateway, WiseHttp]] = {}
"""One for each token and address in use: as many as the installation has profiles at Wise."""


def profile_of(account: str) -> str:
    """The profile that pays, of a gateway account.

    >>> profile_of("16000002/5000001")
    '16000002'
    """
    return account.partition("/")[0]


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and text[0] != "0"


def _recipient_id(destination: str) -> int | str:
    """Wise's number; a destination that is none is sent as it is, for Wise to refuse."""
    return int(destination) if _is_id(destination) else destination


def _named(entry: Any) -> str | None:
    named = entry.get("customerTransactionId") if isinstance(entry, dict) else None
    return named.lower() if isinstance(named, str) else None
