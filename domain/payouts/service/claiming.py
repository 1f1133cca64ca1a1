"""Claiming: what a run would pay, decided from what is due, and taken in one transaction a shard."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from domain.clock import business_now
from domain.db import Tx
from domain.earnings import service as earnings
from domain.earnings.rules import NewEarning
from domain.earnings.store import Due, Payable
from domain.payouts.errors import ShardChanged
from domain.payouts.rules import (
    Decision,
    Group,
    Pay,
    Skip,
    decide,
    extend_run_hash,
    members_hash,
)
from domain.payouts.rules.approving import Policy, policy_from
from domain.payouts.rules.limits import Room
from domain.payouts.service import booking
from domain.payouts.store import destinations, limits, policies
from domain.payouts.store import runs as store
from domain.payouts.store.runs import Exclusion, NewPayout

SHARD: Final = 2_000
"""Payable accounts of one transaction: bounds its memory and how long their writers wait."""

STALLED: Final = timedelta(minutes=10)
"""How long nobody takes a run further that is being built before the sweep has it done: far longer than
a shard, or the last pass, takes."""

NEXT_RUN: Final = timedelta(microseconds=1)
"""How long after a run's time what it carries over is due: not in this run, and in any later one."""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What to build. Merchant, name and ``as_of`` (business time, UTC) name the run for ever.

    ``minimums`` are the smallest payouts in minor units by currency, where the merchant's policy does not
    ask for more; ``methods`` the ways to pay;
    ``prepared_by`` is the person who asked for it (None: the fire that names it did).
    """

    merchant_id: int
    name: str
    as_of: datetime
    minimums: Mapping[str, int] = field(default_factory=dict)
    methods: tuple[str, ...] = ("stripe",)
    prepared_by: str | None = None


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """One payee and currency, and what a run would do with it."""

    account_id: int
    user_id: str
    currency: str
    amount: int
    decision: Decision


@dataclass(slots=True)
class Preview:
    """Totals of a preview."""

    created: int = 0
    skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    by_currency: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, line: PreviewLine) -> None:
        """Count a line."""
        if isinstance(line.decision, Skip):
            self.skipped += 1
            reason = line.decision.reason
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
            return
        self.created += 1
        made = self.by_currency.setdefault(line.currency, {"payouts": 0, "amount": 0})
        made["payouts"] += 1
        made["amount"] += line.decision.amount
        if line.decision.carried:
            made["carried"] = made.get("carried", 0) + line.decision.carried


def preview(tx: Tx, spec: RunSpec) -> Iterator[PreviewLine]:
    """What a run would do, payee by payee, without writing or locking anything; memory stays flat.

    What other runs claim of the day's limits in the meantime is not seen: it is as of its beginning.
    """
    for shard in preview_shards(tx, spec):
        yield from shard


def preview_shards(tx: Tx, spec: RunSpec) -> Iterator[list[PreviewLine]]:
    """A preview, shard by shard of payable accounts; a shard in which nobody is due anything is empty."""
    after = 0
    policy = policies.of(tx, spec.merchant_id)
    day = limit_day(tx)
    room = Room(policy.limits, day, {}, limits.used(tx, spec.merchant_id, day, None)[1])
    while ids := earnings.accounts_with_unclaimed(tx, spec.merchant_id, after=after, limit=SHARD):
        accounts = earnings.payables(tx, ids)
        room.of_payees = _used_by_payees(tx, spec.merchant_id, policy, day, accounts)
        yield [line for line, _ in _decide(tx, accounts, spec, policy, room)]
        after = ids[-1]


def limit_day(tx: Tx) -> date:
    """The day for whose limits a run counts that is opened now: of business time, in UTC."""
    return business_now(tx).astimezone(UTC).date()


def _decide(
    tx: Tx, accounts: Sequence[Payable], spec: RunSpec, policy: Policy, room: Room
) -> list[tuple[PreviewLine, Due]]:
    """Decide on every account that has anything due or held, by ascending account; the one road of run
    and preview."""
    payees = store.payees_of(tx, spec.merchant_id, [a.user_id for a in accounts])
    unlooked = destinations.unlooked(tx, spec.merchant_id, [a.user_id for a in accounts])
    by_id = {a.account_id: a for a in accounts}
    wanted = [
        (a.account_id, payees[a.user_id].method if a.user_id in payees else None) for a in accounts
    ]
    decided = []
    for due in earnings.due(tx, spec.merchant_id, wanted, spec.as_of):
        account = by_id[due.account_id]
        group = Group(
            due.account_id,
            account.user_id,
            account.currency,
            due.amount,
            due.members,
            due.held,
            due.other_method,
        )
        decision = decide(
            group,
            payees.get(account.user_id),
            minimum=policy.minimum(account.currency, spec.minimums.get(account.currency, 0)),
            methods=spec.methods,
            known_before=policy.known_before(spec.as_of),
            unlooked=account.user_id in unlooked,
        )
        decision = room.admit(due.account_id, account.currency, decision)
        line = PreviewLine(due.account_id, account.user_id, account.currency, due.amount, decision)
        decided.append((line, due))
    return decided


def claim_shard(tx: Tx, run_id: int) -> int:
    """Claim the next shard of a run that is being built; returns how many accounts were looked at.

    0 when there are no more. Accounts that another writer holds are noted as busy. Raises ShardChanged.
    """
    run = store.lock_run(tx, run_id)
    if run.state != "building":
        return 0
    ids = earnings.accounts_with_unclaimed(
        tx, run.merchant_id, after=run.cursor_account_id, limit=SHARD
    )
    if not ids:
        return 0
    locked = earnings.lock_payables(tx, ids)
    run_hash = _claim(tx, run, locked)
    missed = set(ids) - {a.account_id for a in locked}
    store.exclude(
        tx,
        run_id,
        run.merchant_id,
        [
            Exclusion(a.account_id, a.user_id, a.currency, 0, "busy", "another writer held it")
            for a in earnings.payables(tx, sorted(missed))
        ],
    )
    store.advance(tx, run_id, cursor=ids[-1], members_hash=run_hash, look=STALLED)
    return len(ids)


def claim_one(tx: Tx, run_id: int, account_id: int, wait_seconds: float) -> None:
    """Claim one account that was busy, waiting at most ``wait_seconds`` for it. Raises ShardChanged."""
    run = store.lock_run(tx, run_id)
    if run.state != "building" or not store.is_busy(tx, run_id, account_id):
        return  # another builder of this run was faster
    tx.execute(
        text("SELECT set_config('lock_timeout', :ms, true)"),
        {"ms": f"{max(int(wait_seconds * 1000), 1)}ms"},
    )
    locked = earnings.lock_payables(tx, [account_id], wait=True)
    run_hash = _claim(tx, run, locked)
    store.include(tx, run_id, account_id)
    store.advance(tx, run_id, cursor=run.cursor_account_id, members_hash=run_hash, look=STALLED)


def _claim(tx: Tx, run: Any, locked: Sequence[Payable]) -> bytes:
    """Claim what the locked accounts are due, and book it; returns the run's hash so far.

    Raises ShardChanged if the claim took other rows than those that were decided on: a hold or a
    release may come in between, for it needs no account's lock.
    """
    spec = RunSpec(run.merchant_id, run.name, run.as_of, run.minimums, tuple(run.methods))
    policy = policy_from(run.policy)
    decided = _decide(tx, locked, spec, policy, _room(tx, run, policy, locked))
    ids_of = _number(tx, decided)
    carried = _carry_over(tx, run, decided, ids_of)
    if carried:
        # What is carried over is written, so that what is due now is what can be paid.
        decided = _decide(tx, locked, spec, policy, _room(tx, run, policy, locked))
    paid = [(line, line.decision, due) for line, due in decided if isinstance(line.decision, Pay)]
    other = [
        line.account_id for line, pay, _ in paid if pay.carried or line.account_id not in ids_of
    ]
    # What is carried over out of a payout that is not made would be carried over again by every run.
    other += sorted(carried - {line.account_id for line, _, _ in paid})
    if other:
        raise ShardChanged(other)
    new = [_new_payout(run, line, pay, due, bank_leg=policy.bank_leg) for line, pay, due in paid]
    ids = [ids_of[p.account_id] for p in new]
    store.insert_payouts(tx, ids, new)
    claimed = earnings.claim(
        tx,
        run.merchant_id,
        [(p.account_id, p.method, i) for p, i in zip(new, ids, strict=True)],
        run.as_of,
    )
    taken = [claimed.get(payout_id) for payout_id in ids]
    changed = [
        line.account_id
        for (line, _, due), got in zip(paid, taken, strict=True)
        if got is None
        or (got.amount, got.members, got.digest) != (due.amount, due.members, due.digest)
    ]
    if changed:
        raise ShardChanged(changed)
    _exclude(tx, run, decided)
    booking.reserve(tx, zip(ids, new, strict=True), run.as_of)
    return extend_run_hash(
        run.members_hash, ((i, p.members_hash) for p, i in zip(new, ids, strict=True))
    )


def _exclude(tx: Tx, run: Any, decided: Sequence[tuple[PreviewLine, Due]]) -> None:
    store.exclude(
        tx,
        run.id,
        run.merchant_id,
        [
            Exclusion(
                line.account_id,
                line.user_id,
                line.currency,
                line.amount,
                line.decision.reason,
                line.decision.detail,
            )
            for line, _ in decided
            if isinstance(line.decision, Skip)
        ],
    )


def _room(tx: Tx, run: Any, policy: Policy, locked: Sequence[Payable]) -> Room:
    """What a run may still claim. The accounts and the run are locked by the caller; with limits of the
    day these are locked too, so that of two runs that are built at once the later one sees what the
    earlier one claimed."""
    room = Room(policy.limits, run.limit_day)
    currencies = sorted({a.currency for a in locked} & policy.limits.keys())
    daily = [c for c in currencies if policy.limits[c].max_day is not None]
    if daily:
        limits.lock(tx, run.merchant_id, daily)
    if daily or any(policy.limits[c].max_run is not None for c in currencies):
        room.of_run, room.of_day = limits.used(tx, run.merchant_id, run.limit_day, run.id)
    room.of_payees = _used_by_payees(tx, run.merchant_id, policy, run.limit_day, locked)
    return room


def _used_by_payees(
    tx: Tx, merchant_id: int, policy: Policy, day: date, accounts: Sequence[Payable]
) -> dict[int, int]:
    """What payees were paid on a day, where a limit asks for it."""
    limited = {c for c, each in policy.limits.items() if each.max_payee_day is not None}
    asked = {a.account_id: a.currency for a in accounts if a.currency in limited}
    return limits.used_by_payees(tx, merchant_id, day, asked) if asked else {}


def _number(tx: Tx, decided: Sequence[tuple[PreviewLine, Due]]) -> dict[int, int]:
    """Ids for the payouts to be made, by account."""
    paid = [line.account_id for line, _ in decided if isinstance(line.decision, Pay)]
    return dict(zip(paid, store.payout_ids(tx, len(paid)), strict=True))


def _carry_over(
    tx: Tx, run: Any, decided: Sequence[tuple[PreviewLine, Due]], ids_of: Mapping[int, int]
) -> set[int]:
    """Write what payouts cannot carry as two earnings of sum 0 each: one that joins the payout, and one
    that is due just after this run. Returns the accounts that have a pair now."""
    pairs, carried = [], set()
    for line, _ in decided:
        if isinstance(line.decision, Pay) and line.decision.carried:
            carried.add(line.account_id)
            for source_kind, amount, due in (
                (store.CARRIED_OUT, -line.decision.carried, run.as_of),
                (store.CARRIED_IN, line.decision.carried, run.as_of + NEXT_RUN),
            ):
                pairs.append(
                    NewEarning(
                        merchant_id=run.merchant_id,
                        user_id=line.user_id,
                        currency=line.currency,
                        amount=amount,
                        kind="carry_over",
                        source_kind=source_kind,
                        source_id=ids_of[line.account_id],
                        available_at=due,
                        occurred_at=run.as_of,
                    )
                )
    if pairs:
        earnings.record(tx, pairs)
    return carried


def _new_payout(run: Any, line: PreviewLine, pay: Pay, due: Due, *, bank_leg: bool) -> NewPayout:
    assert due.digest is not None, "what is paid has members"
    assert 0 < pay.amount == due.amount, "exactly what is due, and never nothing"
    return NewPayout(
        merchant_id=run.merchant_id,
        run_id=run.id,
        payee_id=pay.payee_id,
        user_id=line.user_id,
        account_id=line.account_id,
        method=pay.method,
        destination=pay.destination,
        currency=line.currency,
        amount=pay.amount,
        members=due.members,
        members_hash=members_hash(
            due.digest, amount=pay.amount, currency=line.currency, destination=pay.destination
        ),
        bank_leg=bank_leg and pay.method == "stripe",
    )
