"""Rearming: sending goes on after a failover, once what the gateways paid is matched with the database.

Nobody sends meanwhile: the mark outside is set to one that no database has, so that a sender of before,
even one on an old server that still runs, cannot use a key; and calls that are on their way are waited
for. Then every gateway's books are read, outside of any transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from domain.audit.service import Actor
from domain.db import transaction
from domain.errors import DomainError, Invalid
from domain.installation import installation_code
from domain.payouts.books import KeepsBooks
from domain.payouts.errors import NoBooks
from domain.payouts.gateway import Gateway
from domain.payouts.rules import LEASE
from domain.payouts.rules.rearming import Fate, MadeTransfer
from domain.payouts.service import rearming as service
from domain.payouts.service import watermark
from domain.payouts.service.rearming import Account, Matched
from domain.payouts.service.reconciling import BEGINNING, CLOCKS_APART
from workers import bank_rearming, mirroring
from workers.payouts import Runtime
from workers.reconciling import LATEST, reconcile

log = structlog.get_logger(__name__)

BY_HAND: Final = (
    "it keeps no books that could be read: compare by hand, then say `--compared {} --evidence '…'`"
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A way to pay: how many transfers of ours its books show, and why they could not be compared."""

    account: Account
    transfers: int = 0
    uncompared: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What rearming found and did. ``lifted``: sending goes on, but for what is uncompared."""

    since: datetime
    stop: str | None
    listed: list[Listed] = field(default_factory=list)
    matched: list[tuple[Account, Matched]] = field(default_factory=list)
    blocked: list[tuple[Account, str]] = field(default_factory=list)
    lifted: bool = False
    waited: int = 0


def rearm(
    runtime: Runtime,
    *,
    actor: Actor,
    since: datetime | None = None,
    dry_run: bool = False,
    compared: Collection[str] = (),
    evidence: str | None = None,
    clock_may_move: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    on_wait: Callable[[float], None] = lambda _: None,
) -> Report:
    """Match the gateways' transfers with the attempts, record what was forgotten, and lift the stop.

    ``since`` may widen what is looked through, not narrow it. ``compared`` names ways to pay without
    books (``acme/manual``) that a person has compared, with ``evidence``. ``clock_may_move``: the gateway is
    the sandbox, whose transfers may have been made at any time. Killed anywhere and run again,
    it goes on; while any of it is not done the stop stays. Raises Invalid, ConnectionClosed, and DatabaseMoved
    if the database fails over meanwhile.
    """
    _check_words(compared, evidence)
    with transaction(runtime.engine) as tx:
        # Before anything is compared, so that a failover at any later moment is missed by nothing.
        server = watermark.present(tx).server
    mirroring.check(runtime)
    with transaction(runtime.engine) as tx:
        stop = watermark.in_force(tx)
        ours = installation_code(tx)
        ways, earliest = service.accounts(tx), service.compare_since(tx)
    unknown = set(compared) - {way.name for way in ways}
    if unknown:
        raise Invalid("--compared", f"{sorted(unknown)[0]} is no merchant with that method")
    if earliest is None:
        return Report(since or BEGINNING, None)  # nothing is stopped
    if since is not None and since > earliest:
        raise Invalid(
            "--since",
            f"what the database may have forgotten begins at {earliest:%Y-%m-%d %H:%M} UTC: not later",
        )
    if clock_may_move:
        earliest = BEGINNING
    report = Report(since or earliest, None if stop is None else stop.sentence)
    if stop is not None and not dry_run:
        _fence(runtime, stop.stop_id, sleep, on_wait)
    used = [] if runtime.marks is None else runtime.marks.accounts_since(report.since)
    highest = 0
    for way in ways:
        listed = _compare(runtime, way, report, ours, used, actor if not dry_run else None)
        if listed.transfers and not dry_run:
            _tell_differences(runtime, way, report.since, clock_may_move=clock_may_move)
        if listed.uncompared is not None and way.name in compared:
            listed = Listed(way, listed.transfers)
        report.listed.append(listed)
    for _, one in report.matched:
        highest = max(highest, one.made.payout_id or 0)
    if dry_run:
        return report
    return _lift(runtime, report, server, highest, compared, evidence, actor)


def _check_words(compared: Collection[str], evidence: str | None) -> None:
    if compared and not (evidence or "").strip():
        raise Invalid("--evidence", "say what was compared, and what was seen")


def _fence(
    runtime: Runtime,
    stop_id: int,
    sleep: Callable[[float], None],
    on_wait: Callable[[float], None],
) -> None:
    """Let nobody use a key any more, and wait until a call that began before must have ended."""
    if runtime.marks is None:
        return
    fence = f"rearming/{stop_id}"
    kept = runtime.marks.read()
    if kept is None or kept.server != fence:
        runtime.marks.replace(fence, ())
        kept = runtime.marks.read()
    left = LEASE.total_seconds() - (0.0 if kept is None else kept.age_seconds)
    if left > 0:
        on_wait(left)
        sleep(left)


def _compare(
    runtime: Runtime,
    way: Account,
    report: Report,
    ours: str,
    used: Sequence[str],
    actor: Actor | None,
) -> Listed:
    """Read one account's books and match them; with an ``actor``, do what is to be done."""
    if way.method == "manual":
        return Listed(way, 0, BY_HAND.format(way.name))
    try:
        gateway = runtime.gateways(way.merchant_id, way.method)
        made = _made(gateway, report.since, ours)
    except NoBooks:
        return Listed(way, 0, BY_HAND.format(way.name))
    except DomainError as error:
        return Listed(way, 0, str(error))
    present = mirroring.account_name(way.merchant_id, way.method, gateway.account)
    others = [
        name
        for name in used
        if name != present and name.startswith(present.removesuffix(gateway.account))
    ]
    problem: str | None = (
        f"attempts went through {others[0].rsplit('/', 1)[1]}, and the key is of {gateway.account}:"
        " set the key of the other account, rearm, and set this one again"
        if others
        else None
    )
    if actor is None:
        with transaction(runtime.engine) as tx:
            report.matched.extend((way, one) for one in service.match(tx, way, made))
    else:
        _apply(runtime, way, made, gateway, report, actor)
    # After the transfers: what was recorded again of them may have gone on to a bank.
    banks, unread = bank_rearming.compare(runtime, way, gateway, actor)
    report.matched.extend((way, one) for one in banks)
    problem = problem or unread
    if problem is None:
        problem = _paid_nobody_known(runtime, way, report)
    return Listed(way, len(made), problem)


def _paid_nobody_known(runtime: Runtime, way: Account, report: Report) -> str | None:
    """Why a way to pay has to stay stopped: whom it would pay again cannot be told, and so not be blocked."""
    found = [one.made for of, one in report.matched if of == way and one.keeps_payee]
    with transaction(runtime.engine) as tx:
        for made in found:
            if service.paid_nobody_known(tx, way, made):
                return (
                    f"{made.external_id} paid {made.destination}, which no payee has: find out who it is, adjust"
                    " what they are owed, resolve the difference, and rearm again"
                )
    return None


def _tell_differences(
    runtime: Runtime, way: Account, since: datetime, *, clock_may_move: bool
) -> None:
    """What is left over becomes differences, which people work off."""
    until = None if clock_may_move else datetime.now(UTC) + CLOCKS_APART
    reconcile(
        runtime,
        way.merchant_id,
        way.method,
        from_at=since,
        to_at=until,
        clock_may_move=clock_may_move,
    )


def _apply(
    runtime: Runtime,
    way: Account,
    made: Sequence[MadeTransfer],
    gateway: Gateway,
    report: Report,
    actor: Actor,
) -> None:
    with transaction(runtime.engine) as tx:
        expected = service.match(tx, way, made)
    for one in expected:
        done = one
        if one.keeps_payee:
            with transaction(runtime.engine) as tx:
                users = service.keep_from_paying(tx, way, one.made, one.why, actor=actor)
            report.blocked.extend((way, user) for user in users)
        if one.fate is not Fate.KNOWN:
            with transaction(runtime.engine) as tx:
                applied = service.apply(tx, way, one.made, gateway, actor=actor)
            done = replace(applied, keeps_payee=one.keeps_payee)
        report.matched.append((way, done))


def _made(gateway: Gateway, since: datetime, ours: str) -> list[MadeTransfer]:
    """The transfers of this installation since then, with what was taken back of each.

    The books come newest first, so that what was taken back comes before what it was taken from.
    """
    if not isinstance(gateway, KeepsBooks):
        raise NoBooks(gateway.method)
    back: dict[str, int] = {}
    made: list[MadeTransfer] = []
    after: str | None = None
    while True:
        page = gateway.books(created_from=since, created_before=LATEST, after=after)
        for line in page.lines:
            if line.transfer_id is None:
                continue
            if line.type != "transfer":
                back[line.transfer_id] = back.get(line.transfer_id, 0) + line.amount
            elif line.installation == ours:
                made.append(
                    MadeTransfer(
                        line.transfer_id,
                        line.payout_id,
                        line.attempt_key,
                        -line.amount,
                        back.get(line.transfer_id, 0),
                        line.currency,
                        line.destination,
                    )
                )
        if not page.more or not page.lines:
            return made
        after = page.lines[-1].external_id


def _lift(
    runtime: Runtime,
    report: Report,
    server: str,
    highest: int,
    compared: Collection[str],
    evidence: str | None,
    actor: Actor,
) -> Report:
    with transaction(runtime.engine) as tx:
        service.skip_numbers(tx, highest)
        present = watermark.present(tx)
    if runtime.marks is not None and report.stop is not None:
        # Before the stop is lifted: a sender that looks then finds what agrees. (Where only some ways to pay
        # are stopped others send, and keep their attempts themselves.)
        runtime.marks.replace(server, present.attempts)
    with transaction(runtime.engine) as tx:
        waited = service.lift(
            tx,
            server=server,
            since=report.since,
            uncompared=[(one.account, one.uncompared) for one in report.listed if one.uncompared],
            compared_by_hand=compared,
            evidence=evidence,
            actor=actor,
        )
    log.warning("payouts.rearmed", server=present.server, waited=waited)
    return Report(
        report.since,
        report.stop,
        report.listed,
        report.matched,
        report.blocked,
        lifted=True,
        waited=waited,
    )
