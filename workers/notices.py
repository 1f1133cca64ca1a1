"""What the webhook actors do: ask the gateway how things are now, then apply that; never in one transaction.

A notice is only a hint. It may come twice, late, before another that is older, or from a time that is
over: so none of what it tells is believed but which object to ask about.
"""

from __future__ import annotations

from domain.db import transaction
from domain.payouts import service
from domain.payouts.gateway import Gateway, News, TellsNews
from domain.payouts.rules.notices import Topic, account_of, currencies_of, id_of, topic_of
from domain.payouts.service import Booked, Notice
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
    if topic is Topic.TRANSFER:
        return _apply_transfer(runtime, notice, gateway)
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
    with transaction(runtime.engine) as tx:
        if service.settle_notice(tx, notice, "applied"):
            service.apply_account(tx, notice, account, check)
    return "applied"


def _apply_money(runtime: Runtime, notice: Notice, gateway: Gateway) -> str:
    if notice.account is not None:
        # Only the merchant's own balance pays.
        return _settle(runtime, notice, "ignored", "it is about a connected account's money")
    available = _news(gateway).currencies_available()
    if available is None:
        return WAITS
    told = currencies_of(notice.payload)
    with transaction(runtime.engine) as tx:
        if service.settle_notice(tx, notice, "applied"):
            service.apply_money(tx, notice, told & available)
    return "applied"


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


_AFTER_BOOKING = {
    Booked.BOOKED: "applied",
    Booked.NOT_OURS: "ignored",
    Booked.CONTRADICTS: "failed",
}


def _news(gateway: Gateway) -> News:
    assert isinstance(gateway, TellsNews), f"{gateway.method} sends no notices"
    return gateway.news


def _settle(runtime: Runtime, notice: Notice, state: str, why: str) -> str:
    with transaction(runtime.engine) as tx:
        service.settle_notice(tx, notice, state, why)
    return state
