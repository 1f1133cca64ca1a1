"""Stripe Connect: a payout is a transfer to the payee's connected account.

Every answer becomes a ``GatewayOutcome``; no Stripe object or exception leaves this module. The SDK's own
retries are off: only tries that surely executed nothing are repeated here, with the same key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Lock
from time import sleep
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import stripe

from domain.merchants.rules import Mode
from domain.payouts.books import BooksPage
from domain.payouts.gateway import Deadline, Found, Order, PayeeCheck
from domain.payouts.rules import GatewayOutcome, transfer_group
from domain.payouts.rules.attempts import CONNECT_SECONDS, READ_SECONDS
from domain.payouts.rules.breaker import Balance
from workers.gateways.stripe_answers import is_about_our_key, ordered, read, success
from workers.gateways.stripe_balance import ask_balance
from workers.gateways.stripe_bank import StripeBankLeg
from workers.gateways.stripe_events import StripeEvents
from workers.gateways.stripe_keys import check_key
from workers.gateways.stripe_polling import StripeEventLog
from workers.gateways.stripe_reversals import StripeReversals
from workers.gateways.stripe_transactions import books_page
from workers.gateways.tries import with_tries

API_VERSION: Final = "2026-10-28.endive"
"""The version that new attempts are sent under; a test compares it with the installed SDK's."""

MAX_CONNECTIONS: Final = 50
"""Connections of one client: more than the threads of a worker process."""

FIND_PAGES: Final = 10
"""Pages of 100 transfers that a look-up reads; one payout has one transfer, or a bug."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class HttpxTransport(stripe.HTTPClient):
    """Stripe's HTTP client over one pool of ``httpx`` connections, shared by all threads."""

    name = "httpx"

    def __init__(self, timeout: httpx.Timeout, *, use_proxy: bool) -> None:
        super().__init__()
        self._pool = httpx.Client(
            timeout=timeout,
            trust_env=use_proxy,
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS
            ),
        )

    def request(  # type: ignore[override]  # bytes, as the SDK's own clients return
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send one request. Raises APIConnectionError, whose cause tells what was sent."""
        try:
            answer = self._pool.request(method, url, headers=dict(headers or {}), content=post_data)
        except httpx.HTTPError as error:
            message = f"{type(error).__name__}: {error}"
            raise stripe.APIConnectionError(message) from error  # type: ignore[no-untyped-call]
        return answer.content, answer.status_code, answer.headers

    def close(self) -> None:
        """Close the pool."""
        self._pool.close()


class StripeGateway:
    """The gateway protocol over one Stripe client; safe across threads."""

    method: Final = "stripe"
    api_version: Final = API_VERSION

    def __init__(
        self,
        client: stripe.StripeClient,
        account: str,
        *,
        pause: Callable[[float], None] = sleep,
    ) -> None:
        self._client, self.account = client, account
        self._pause = pause
        self.news: Final = StripeEvents(client)
        self.bank: Final = StripeBankLeg(client, pause)
        self.events: Final = StripeEventLog(client)
        self.reversals: Final = StripeReversals(client, pause=pause)

    def params(self, order: Order) -> dict[str, Any]:
        """The parameters of ``POST /v1/transfers``."""
        return {
            "amount": order.amount,
            "currency": order.currency,
            "destination": order.destination,
            "transfer_group": transfer_group(order.installation, order.payout_id),
            "metadata": {
                "installation": order.installation,
                "payout": str(order.payout_id),
                "attempt": order.key,
                "merchant": str(order.merchant_id),
            },
        }

    def send(
        self, params: Mapping[str, Any], *, key: str, api_version: str, deadline: Deadline
    ) -> GatewayOutcome:
        """Make a transfer under ``key``, with at most MAX_TRIES tries that were turned away."""
        return with_tries(
            lambda: read(lambda: self._transfer(params, key, api_version)), deadline, self._pause
        )

    def _transfer(self, params: Mapping[str, Any], key: str, api_version: str) -> GatewayOutcome:
        made = self._client.v1.transfers.create(
            ordered(params), {"idempotency_key": key, "stripe_version": api_version}
        )
        asked = tuple(params[name] for name in ("amount", "currency", "destination"))
        right = (made.amount, made.currency, made.destination) == asked
        return success(made, right=made.object == "transfer" and right, what="transfer")

    def find(self, params: Mapping[str, Any]) -> Sequence[Found] | None:
        """The transfers of the group and to the destination that were sent; None if Stripe could not be
        asked. A transfer to another destination in this group would be none of ours.
        """
        found: list[Found] = []
        try:
            page = self._client.v1.transfers.list(
                {
                    "transfer_group": params["transfer_group"],
                    "destination": params["destination"],
                    "limit": 100,
                }
            )
            for _ in range(FIND_PAGES):
                found += [_found(transfer) for transfer in page.data]
                if not page.has_more:
                    return found
                page = page.next_page()
        except (stripe.StripeError, TypeError, ValueError, AttributeError, KeyError):
            return None
        return None

    def balance(self) -> Balance:
        """See ``domain.payouts.gateway.TellsBalance``."""
        return ask_balance(self._client)

    def books(
        self, *, created_from: datetime, created_before: datetime, after: str | None
    ) -> BooksPage:
        """See ``domain.payouts.books.KeepsBooks``."""
        return books_page(
            self._client, created_from=created_from, created_before=created_before, after=after
        )

    def check_payee(self, destination: str) -> PayeeCheck | None:
        """Whether a connected account may receive transfers and pay out; None if Stripe was not reached, or does not
        let our key ask."""
        try:
            account = self._client.v1.accounts.retrieve(destination)
        except (stripe.InvalidRequestError, stripe.PermissionError) as error:
            if is_about_our_key(error):
                return None
            return PayeeCheck(False, str(error.user_message or error.code or "unknown account"))
        except stripe.StripeError:
            return None
        requirements = account.requirements
        if requirements is not None and requirements.disabled_reason:
            return PayeeCheck(False, requirements.disabled_reason)
        capabilities = account.capabilities
        transfers = getattr(capabilities, "transfers", None) or "not requested"
        if transfers != "active":
            return PayeeCheck(False, f"transfers are {transfers}")
        return (
            PayeeCheck(True)
            if account.payouts_enabled
            else PayeeCheck(False, "payouts are disabled")
        )


def stripe_gateway(
    api_key: str,
    base_url: str,
    *,
    mode: Mode,
    account: str,
    connect_seconds: float = CONNECT_SECONDS,
    read_seconds: float = READ_SECONDS,
) -> StripeGateway:
    """The gateway of a merchant's Stripe account; one client for each key and address.

    ``account`` is the platform account that the key belongs to (``platform_account``).
    Raises KeyRefused if the key does not belong to a merchant of this mode, or to this address.
    """
    check_key(api_key, base_url, mode)
    key = (api_key, base_url.rstrip("/"), account, connect_seconds, read_seconds)
    with _LOCK:
        if key not in _GATEWAYS:
            client, transport = open_client(api_key, base_url, connect_seconds, read_seconds)
            _GATEWAYS[key] = StripeGateway(client, account), transport
        return _GATEWAYS[key][0]


def close_gateways() -> None:
    """Close every connection; a gateway that is asked for later opens new ones."""
    with _LOCK:
        opened = list(_GATEWAYS.values())
        _GATEWAYS.clear()
    for _, transport in opened:
        transport.close()


_LOCK = Lock()
_GATEWAYS: dict[tuple[str, str, str, float, float], tuple[StripeGateway, HttpxTransport]] = {}
"""One for each key and address in use: as many as the installation has Stripe accounts."""


def open_client(
    api_key: str, base_url: str, connect_seconds: float, read_seconds: float
) -> tuple[stripe.StripeClient, HttpxTransport]:
    """A client with its connections; whoever opens one closes the transport."""
    transport = HttpxTransport(
        httpx.Timeout(read_seconds, connect=connect_seconds, pool=connect_seconds),
        use_proxy=urlsplit(base_url).hostname not in LOOPBACK,
    )
    client = stripe.StripeClient(
        api_key,
        base_addresses={"api": base_url},
        http_client=transport,
        max_network_retries=0,
        stripe_version=API_VERSION,
    )
    return client, transport


def _found(transfer: stripe.Transfer) -> Found:
    return Found(
        external_id=transfer.id,
        amount=transfer.amount,
        reversed_amount=transfer.amount_reversed,
        currency=transfer.currency,
        destination=str(transfer.destination),
        key=getattr(transfer.metadata, "attempt", None),
    )
