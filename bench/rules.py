"""A program with every rule on, its codes and events, and what must be there after them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, text

from bench.events import MERCHANT, OWNERS, conversions
from domain.audit.service import Actor
from domain.db import snapshot, transaction
from domain.merchants import service as merchants
from domain.referrals import admin, holds
from domain.referrals.rules.holds import HoldPolicy
from payspool_client import email_hash
from workers.sweeps import broken_invariants

PROGRAM: Final = "everything"
LARGE: Final = 1_000_000_000
"""A limit that is looked at for each event, and never reached."""
HASHES: Final = 1_000
_CLERK: Final = Actor("command", "bench")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run must leave: so many of its events counted, and the rest refused, as the code was used up."""

    events: int
    counted: int


def furnish(engine: Engine, which: str, events: int) -> tuple[Sequence[str], Expected]:
    """Make the program and the codes of a case; returns the codes, and what becomes of ``events``.

    Tiers of each month, a reward for both sides, a window, a minimum, a cap of rewards, all that is looked at
    for fraud; and every code has a `max_uses`: that of the capped case is reached half-way.
    """
    terms = admin.Terms(
        {
            "kind": "tiered",
            "by": "volume",
            "period": "month",
            "tiers": [{"from": 0, "basis_points": 400}, {"from": 1_000_000, "basis_points": 700}],
        },
        "usd",
        referee_rule={"amount": 50},
        window_days=90,
        max_rewards_per_referrer=LARGE,
        min_amount=1_000,
    )
    number = OWNERS if which == "uniform" else 1
    counted = events // 2 if which == "capped" else events
    uses = counted if which == "capped" else LARGE
    with transaction(engine) as tx:
        merchant = merchants.get(tx, MERCHANT).id
        admin.create_program(tx, merchant, PROGRAM, "Everything", terms, actor=_CLERK)
        limits = dict.fromkeys(
            ("code_per_hour", "code_per_day", "referrer_per_hour", "referrer_per_day"), LARGE
        )
        policy = HoldPolicy(same_email=True, shared_destination=True, **limits)
        holds.set_policy(tx, merchant, PROGRAM, policy, actor=_CLERK)
        owners = [
            admin.NewCode(
                f"rules-owner-{i}", max_uses=uses, email_hash=email_hash(f"o{i}@example.com")
            )
            for i in range(number)
        ]
        codes = admin.create_codes(tx, merchant, PROGRAM, owners, actor=_CLERK)
    return codes, Expected(events, counted)


def events(codes: Sequence[str], count: int, *, first: int = 0) -> Iterator[str]:
    """The conversions of ``bench.events``, with the hash of the referred user's address."""
    hashes = [email_hash(f"u{n}@example.com") for n in range(HASHES)]
    for n, one in enumerate(conversions(codes, count, first=first), start=first):
        event = json.loads(one)
        event["data"]["referred_email_hash"] = hashes[n % HASHES]
        yield json.dumps(event, separators=(",", ":"))


_ROWS = text(
    """
    SELECT (SELECT count(*) FROM inbox_events) AS events,
           (SELECT count(*) FROM inbox_events WHERE status = 'applied') AS applied,
           (SELECT count(*) FROM inbox_events WHERE reason = 'code_exhausted') AS refused,
           (SELECT count(*) FROM trackings) AS trackings,
           (SELECT count(*) FROM earnings WHERE kind = 'reward') AS rewards,
           (SELECT count(*) FROM earnings WHERE kind = 'referee_reward') AS referee_rewards,
           (SELECT count(*) FROM ledger_transfers) AS transfers,
           (SELECT sum(uses) FROM codes) AS uses,
           (SELECT sum(conversions) FROM referrer_states) AS counted,
           (SELECT sum(rewards) FROM referrer_states) AS rewarded,
           (SELECT sum(conversions) FROM referrer_periods) AS counted_in_periods,
           (SELECT sum(conversions) FROM velocity_counts) AS counted_for_limits,
           (SELECT count(*) FROM tracking_holds) AS holds,
           (SELECT count(*) FROM (SELECT FROM trackings GROUP BY referrer_user_id
                                  HAVING max(seq) <> count(*)) t) AS gaps
    """
)


def faults(engine: Engine, expected: Expected) -> list[str]:
    """Sentences, one for each thing that is not as the events must leave it."""
    with snapshot(engine) as tx:
        rows = tx.execute(_ROWS).one()._asdict()
        broken = broken_invariants(tx)
    n = expected.counted
    wanted = dict.fromkeys(rows, n) | {
        "events": expected.events,
        "refused": expected.events - n,
        "transfers": 2 * n,
        "counted_for_limits": 2 * n,
        "holds": 0,
        "gaps": 0,
    }
    return broken + [
        f"{count} {name}, not {wanted[name]}"
        for name, count in rows.items()
        if int(count or 0) != wanted[name]
    ]
