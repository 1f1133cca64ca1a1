"""Probes: gateways behind an open breaker, or without money, are asked for their balance; payouts that
waited for the answer go on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog

from domain.db import transaction
from domain.errors import DomainError
from domain.payouts.errors import BreakerNotOpen
from domain.payouts.gateway import TellsBalance
from domain.payouts.rules.breaker import Balance, closes
from domain.payouts.service import breakers, shortfalls
from domain.payouts.service.breakers import OpenBreaker
from domain.payouts.service.shortfalls import Shortfall
from workers.payouts import Runtime

log = structlog.get_logger(__name__)

PROBES_AT_ONCE: Final = 8
"""Gateways that are asked at a time: one that is silent takes all of its time-out."""


def probe(runtime: Runtime) -> dict[str, int]:
    """Ask every gateway whose probe is due; returns how many times one was asked, how many breakers closed,
    and how many payouts have money now."""
    with transaction(runtime.engine) as tx:
        down, short = breakers.to_probe(tx), shortfalls.to_probe(tx)
    with ThreadPoolExecutor(PROBES_AT_ONCE) as pool:
        closed = sum(pool.map(partial(_probe, runtime), down))
        funded = sum(pool.map(partial(_look_for_money, runtime), short))
    return {"probed": len(down) + len(short), "closed": closed, "funded": funded}


def _look_for_money(runtime: Runtime, where: Shortfall) -> int:
    balance = ask(runtime, where.merchant_id, where.method)
    with transaction(runtime.engine) as tx:
        return shortfalls.apply_balance(tx, where, balance)


def _probe(runtime: Runtime, breaker: OpenBreaker) -> bool:
    balance = ask(runtime, breaker.merchant_id, breaker.method)
    if not closes(balance, key_refused=breaker.key_refused):
        log.info(
            "breaker.stays_open",
            merchant_id=breaker.merchant_id,
            method=breaker.method,
            answer=balance.answer,
            why=balance.why,
        )
        return False
    try:
        with transaction(runtime.engine) as tx:
            waited = breakers.close_breaker(
                tx, breaker.merchant_id, breaker.method, actor=breakers.PROBE
            )
    except BreakerNotOpen:
        return False  # a person was faster
    log.warning(
        "breaker.closed", merchant_id=breaker.merchant_id, method=breaker.method, waited=waited
    )
    return True


def ask(runtime: Runtime, merchant_id: int, method: str) -> Balance:
    """What a gateway could pay out now; outside of any transaction."""
    try:
        gateway = runtime.gateways(merchant_id, method)
    except DomainError as error:
        return Balance("silent", why=str(error))
    if not isinstance(gateway, TellsBalance):
        return Balance("forbidden", why=f"{method} tells no balance")
    return gateway.balance()
