"""What the webhook actors do: ask the gateway how things are now, then apply that; never in one transaction.

A notice is only a hint. It may come twice, late, before another that is older, or from a time that is
over: so none of what it tells is believed but which object to ask about.
"""

from __future__ import annotations

from collections.abc import Mapping

from domain.db import transaction
from domain.payouts import service
from domain.payouts.gateway import (
    BankLeg,
    Gateway,
    Hidden,
    News,
    PaysBanks,
    TellsBalance,
    TellsNews,
    TellsProgress,
)
from domain.payouts.rules.notices import (
    Topic,
    account_of,
    currencies_of,
    id_of,
    resource_of,
    topic_of,
)
from domain.payouts.service import Booked, Notice
from domain.payouts.service.progress import Applied
from workers.payouts import Runtime

WAITS = "waits"
"""The gateway could not be asked: the notice stays as it is, and the sweep asks again."""


def apply(runtime: Runtime, notice_id: int) -> str:
    """Apply a notice; returns its state, or WAITS. Repeating it changes nothing."""
    with transaction(runtime.engine) as tx:
        notice = service.open_notice(tx, notice_id)
    if notice is None:
        return "left"
    topic = topic_of(notice.type)
    if topic is None:
        return _settle(runtime, notice, "ignored", f"{notice.type} means nothing to us")
    gateway = runtime.gateways(notice.merchant_id, notice.method)
    if topic is Topic.ACCOUNT:
        return _apply_account(runtime, notice, gateway)
    if topic is Topic.PROGRESS:
        return _apply_progress(runtime, notice, gateway)
    if topic is Topic.TRANSFER:
        return _apply_transfer(runtime, notice, gateway)
    if topic is Topic.BANK:
        return _apply_bank(runtime, notice, gateway)
    return _apply_money(runtime, notice, gateway)


def sweep(runtime: Runtime, *, paused: bool = False) -> int:
    """Ask again for notices that nothing was made of; returns how many. Not while the queue is paused."""
    if paused:
        return 0
    with transaction(runtime.engine) as tx:
        return service.sweep_notices(tx)


def _apply_account(runtime: Runtime, notice: Notice, gateway: Gateway) -> str:
    account = account_of(notice.payload, notice.account)
    if account is None:
        return _settle(runtime, notice, "failed", "it does not say which account it is about")
    check = gateway.check_payee(account)
    if check is None:
        return WAITS
    banks: Mapping[str, str] | None = None
    if check.ready and _waits_there(runtime, notice, account):
        seen = _bank(gateway).account(account)
        if seen is None:
            return WAITS
        banks = seen.banks if seen.hindrance is None else None
    with transaction(runtime.engine) as tx:
        if service.settle_notice(tx, notice, "applied"):
            service.apply_account(tx, notice, account, check)
            if banks is not None:
                service.resume_bank_account(tx, notice.merchant_id, account, banks)
    return "applied"


def _apply_money(runtime: Runtime, notice: Notice, gateway: Gateway) -> str:
    if notice.account is not None:
        return _apply_money_there(runtime, notice, gateway, notice.account)
    available = _currencies_available(gateway)
    if available is None:
        return WAITS
    told = currencies_of(notice.payload)
    with transaction(runtime.engine) as tx:
        if service.settle_notice(tx, notice, "applied"):
            service.apply_money(tx, notice, told & available)
    return "applied"


def _apply_money_there(runtime: Runtime, notice: Notice, gateway: Gateway, account: str) -> str:
    """Money of a connected account: it lets what waits there go on to the bank, and nothing else."""
    if not _waits_there(runtime, notice, account):
        return _settle(runtime, notice, "ignored", "it is about a connected account's money")
    available = _bank(gateway).available(account)
    if available is None:
        return WAITS
    with transaction(runtime.engine) as tx:
        if service.settle_notice(tx, notice, "applied"):
            service.resume_bank_funds(
                tx, notice.merchant_id, account, available & currencies_of(notice.payload)
            )
    return "applied"


def _apply_bank(runtime: Runtime, notice: Notice, gateway: Gateway) -> str:
    payout = id_of(notice.payload)
    if notice.account is None:
        return _settle(runtime, notice, "ignored", "it is about the merchant's own bank account")
    if payout is None:
        return _settle(runtime, notice, "failed", "it does not say which payout it is about")
    if not isinstance(gateway, PaysBanks):
        return _settle(runtime, notice, "ignored", f"{gateway.method} pays no banks for us")
    seen = gateway.bank.payout(notice.account, payout)
    if seen is None:
        return WAITS
    if isinstance(seen, Hidden):
        return _settle(runtime, notice, "failed", f"{payout} is not shown to us: {seen.why}")
    with transaction(runtime.engine) as tx:
        booked = service.apply_bank_payout(tx, notice.merchant_id, gateway.account, seen)
        if booked is Booked.TOO_EARLY:
            return WAITS
        why = None if booked is Booked.BOOKED else f"{payout}: {booked.value}"
        service.settle_notice(tx, notice, _AFTER_BOOKING[booked], why)
    return _AFTER_BOOKING[booked]


def _waits_there(runtime: Runtime, notice: Notice, account: str) -> bool:
    with transaction(runtime.engine) as tx:
        return service.bank_waits(tx, notice.merchant_id, account)


def _bank(gateway: Gateway) -> BankLeg:
    assert isinstance(gateway, PaysBanks), f"{gateway.method} has no second leg"
    return gateway.bank


def _apply_transfer(runtime: Runtime, notice: Notice, gateway: Gateway) -> str:
    transfer = id_of(notice.payload)
    if transfer is None:
        return _settle(runtime, notice, "failed", "it does not say which transfer it is about")
    seen = _news(gateway).transfer(transfer)
    if seen is None:
        return WAITS
    with transaction(runtime.engine) as tx:
        booked = service.book_reversals(tx, notice.merchant_id, seen)
        if booked is Booked.TOO_EARLY:
            return WAITS
        state = _AFTER_BOOKING[booked]
        why = None if booked is Booked.BOOKED else f"{transfer}: {booked.value}"
        service.settle_notice(tx, notice, state, why)
    return state


def _apply_progress(runtime: Runtime, notice: Notice, gateway: Gateway) -> str:
    transfer = resource_of(notice.payload)
    if transfer is None:
        return _settle(runtime, notice, "failed", "it does not say which transfer it is about")
    assert isinstance(gateway, TellsProgress), f"{gateway.method} sends no such notices"
    seen = gateway.progress(transfer)
    if seen is None:
        return WAITS
    with transaction(runtime.engine) as tx:
        applied = service.apply_progress(tx, notice.merchant_id, seen, notice.asked_at)
        if applied is Applied.TOO_EARLY:
            return WAITS
        state = _AFTER_PROGRESS[applied]
        why = None if applied is Applied.APPLIED else f"{transfer}: {applied.value}"
        service.settle_notice(tx, notice, state, why)
    return state


_AFTER_PROGRESS = {
    Applied.APPLIED: "applied",
    Applied.NOT_OURS: "ignored",
    Applied.STOPPED: "failed",
}

_AFTER_BOOKING = {
    Booked.BOOKED: "applied",
    Booked.NOT_OURS: "ignored",
    Booked.CONTRADICTS: "failed",
}


def _currencies_available(gateway: Gateway) -> frozenset[str] | None:
    """The currencies of which there is something to send; None: the gateway could not be asked."""
    if isinstance(gateway, TellsNews):
        return gateway.news.currencies_available()
    assert isinstance(gateway, TellsBalance), f"{gateway.method} tells nothing of its money"
    balance = gateway.balance()
    if balance.answer != "told":
        return None
    return frozenset(currency for currency, amount in balance.available.items() if amount > 0)


def _news(gateway: Gateway) -> News:
    assert isinstance(gateway, TellsNews), f"{gateway.method} sends no notices"
    return gateway.news


def _settle(runtime: Runtime, notice: Notice, state: str, why: str) -> str:
    with transaction(runtime.engine) as tx:
        service.settle_notice(tx, notice, state, why)
    return state
