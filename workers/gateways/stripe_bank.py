"""Stripe Connect's second leg: a payout on the connected account, from its balance to its bank.

Each call acts for the connected account (`Stripe-Account`); a key is remembered there, for as long as
those of transfers are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import stripe

from domain.payouts.gateway import BankAccount, Deadline, Found, Hidden, Order
from domain.payouts.rules import GatewayOutcome
from domain.payouts.rules.bank_leg import SeenBankPayout
from workers.gateways.stripe_answers import is_about_our_key, ordered, read, success
from workers.gateways.tries import with_tries

FIND_PAGES: Final = 10
"""Pages of 100 payouts of one account that a look-up reads; with more, it knows nothing for sure."""

UNREADABLE: Final = (stripe.StripeError, TypeError, ValueError, AttributeError, KeyError)


class StripeBankLeg:
    """See ``domain.payouts.gateway.BankLeg``; by the client of the platform."""

    def __init__(self, client: stripe.StripeClient, pause: Callable[[float], None]) -> None:
        self._client, self._pause = client, pause

    def params(self, order: Order) -> dict[str, Any]:
        """The parameters of ``POST /v1/payouts``, and the account that it acts for."""
        return {
            "account": order.destination,
            "amount": order.amount,
            "currency": order.currency,
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
        """Make a payout under ``key``, with at most MAX_TRIES tries that were turned away."""
        return with_tries(
            lambda: read(lambda: self._pay_out(params, key, api_version)), deadline, self._pause
        )

    def _pay_out(self, params: Mapping[str, Any], key: str, api_version: str) -> GatewayOutcome:
        asked = {name: value for name, value in params.items() if name != "account"}
        made = self._client.v1.payouts.create(
            ordered(asked),
            {
                "idempotency_key": key,
                "stripe_version": api_version,
                "stripe_account": params["account"],
            },
        )
        right = (made.object, made.amount, made.currency, _key_of(made)) == (
            "payout",
            params["amount"],
            params["currency"],
            params["metadata"]["attempt"],
        )
        return success(made, right=right, what="payout")

    def find(self, params: Mapping[str, Any]) -> Sequence[Found] | None:
        """The payouts of the account; None if Stripe could not be asked, or holds too many of them."""
        found: list[Found] = []
        account = params["account"]
        try:
            page = self._client.v1.payouts.list({"limit": 100}, _acting_for(account))
            for _ in range(FIND_PAGES):
                found += [_found(payout, account) for payout in page.data]
                if not page.has_more:
                    return found
                page = page.next_page()
        except UNREADABLE:
            return None
        return None

    def payout(self, account: str, external_id: str) -> SeenBankPayout | Hidden | None:
        """``GET /v1/payouts/{id}`` of a connected account."""
        try:
            made = self._client.v1.payouts.retrieve(external_id, {}, _acting_for(account))
            return SeenBankPayout(
                external_id=made.id,
                account=account,
                key=_key_of(made),
                amount=made.amount,
                currency=made.currency,
                status="reversed" if made.reversed_by else made.status,
                bank=_id_of(made.destination),
                why=str(made.failure_message or made.failure_code or ""),
            )
        except (stripe.InvalidRequestError, stripe.PermissionError) as error:
            if is_about_our_key(error):
                return None
            return Hidden(str(error.user_message or error.code or error)[:200])
        except UNREADABLE:
            return None

    def account(self, account: str) -> BankAccount | None:
        """``GET /v1/accounts/{id}``: its payout schedule, and where payouts in each currency go."""
        try:
            told = self._client.v1.accounts.retrieve(account)
            listed = told.external_accounts.data if told.external_accounts else []
            banks = {
                one.currency: one.id for one in listed if one.default_for_currency and one.currency
            }
            return BankAccount(_hindrance(told), banks)
        except (stripe.InvalidRequestError, stripe.PermissionError) as error:
            if is_about_our_key(error):
                return None
            return BankAccount(str(error.user_message or error.code or "unknown account"), {})
        except UNREADABLE:
            return None

    def available(self, account: str) -> frozenset[str] | None:
        """``GET /v1/balance`` of a connected account: currencies with something available."""
        try:
            balance = self._client.v1.balance.retrieve({}, _acting_for(account))
            return frozenset(held.currency for held in balance.available if held.amount > 0)
        except UNREADABLE:
            return None


def _hindrance(account: stripe.Account) -> str | None:
    if account.requirements is not None and account.requirements.disabled_reason:
        return str(account.requirements.disabled_reason)
    if not account.payouts_enabled:
        return "payouts are disabled"
    payouts = account.settings.payouts if account.settings else None
    interval = payouts.schedule.interval if payouts is not None else None
    if interval != "manual":
        return (
            f"Stripe pays its balance out by itself ({interval or 'no schedule is shown'}): set the account's"
            " payout schedule to manual (settings[payouts][schedule][interval]=manual)"
        )
    return None


def _acting_for(account: str) -> Any:
    return {"stripe_account": account}


def _key_of(payout: stripe.Payout) -> str | None:
    key = getattr(payout.metadata, "attempt", None)
    return key if isinstance(key, str) else None


def _id_of(named: Any) -> str | None:
    return named if isinstance(named, str) or named is None else str(named.id)


def _found(payout: stripe.Payout, account: str) -> Found:
    return Found(
        external_id=payout.id,
        amount=payout.amount,
        reversed_amount=0,
        currency=payout.currency,
        destination=account,
        key=_key_of(payout),
    )
