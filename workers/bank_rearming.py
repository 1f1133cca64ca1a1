"""Rearming of second legs: the connected accounts are read, outside of any transaction, and matched."""

from __future__ import annotations

from itertools import groupby

from domain.audit.service import Actor
from domain.db import transaction
from domain.payouts.gateway import Gateway, PaysBanks
from domain.payouts.service import bank_rearming as service
from domain.payouts.service.rearming import Account, Matched
from workers.payouts import Runtime


def compare(
    runtime: Runtime, way: Account, gateway: Gateway, actor: Actor | None
) -> tuple[list[Matched], str | None]:
    """Match what the connected accounts of payouts show; with an ``actor``, do what is to be done.

    Returns what was matched, and why an account could not be compared (None: all were). Its payouts are
    left as they are: the way to pay stays stopped.
    """
    if not isinstance(gateway, PaysBanks):
        return [], None
    with transaction(runtime.engine) as tx:
        payouts = service.to_compare(tx, way)
    matched: list[Matched] = []
    unread: list[str] = []
    for account, of_account in groupby(payouts, key=lambda one: one.account):
        shown = gateway.bank.find({"account": account})
        if shown is None:
            unread.append(account)
            continue
        for one in of_account:
            with transaction(runtime.engine) as tx:
                matched += (
                    service.match(tx, one.payout_id, shown)
                    if actor is None
                    else service.apply(tx, way, one.payout_id, shown, gateway, actor=actor)
                )
    problem = (
        f"the payouts to banks of {unread[0]} ({len(unread)} such accounts) could not be read: rearm again, or"
        f" compare by hand, then say `--compared {way.name} --evidence '…'`"
        if unread
        else None
    )
    return matched, problem
