"""What may happen to the shop of ``stage``: terms, policies, and batches of events that know what was sold.

A batch is drawn by one number: what comes of it is likely to count, to be taken back and to be told twice,
and sometimes is none of these. (To draw each field by itself takes longer than to apply the batch.)
"""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any, Final

from tests.domain.inbox.shop import DAY, JUNE, SECOND
from tests.domain.referrals import stage
from tests.oracles.merchant.conversions import Event
from tests.oracles.merchant.payouts import FOREVER, Merchant

RATES: Final[tuple[dict[str, int], ...]] = (
    {"amount": 500},
    {"amount": 1},
    {"basis_points": 1000},
    {"basis_points": 333, "cap": 90},
    {"basis_points": 10_000},
)
TIERS: Final[tuple[dict[str, Any], ...]] = (
    {"by": "count", "tiers": [{"from": 2, "amount": 100}, {"from": 3, "basis_points": 900}]},
    {"by": "count", "tiers": [{"from": 1, "amount": 5}, {"from": 2, "amount": 300}]},
    {"by": "volume", "tiers": [{"from": 0, "basis_points": 100}, {"from": 5_000, "amount": 777}]},
    {"by": "volume", "tiers": [{"from": 334, "basis_points": 501, "cap": 40}]},
)
RULES: Final[tuple[dict[str, Any], ...]] = (
    *({"kind": "one_time"} | rate for rate in RATES[:3]),
    *({"kind": "percentage"} | rate for rate in RATES[2:]),
    *(
        {"kind": "recurring"} | rate | ends
        for rate, ends in zip(
            RATES,
            [
                {"max_payments": 2},
                {"duration_days": 5},
                {"max_payments": 3, "duration_days": 12},
                {"max_payments": 1},
                {"duration_days": 12},
            ],
            strict=True,
        )
    ),
    *({"kind": "tiered"} | tiers for tiers in TIERS),
    *({"kind": "tiered", "period": "month"} | tiers for tiers in TIERS),
    {"kind": "tiered", "period": "lifetime"} | TIERS[1],
)
EXTRAS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {},
    {},
    {"referee_rule": {"amount": 51}},
    {"referee_rule": {"basis_points": 333, "cap": 90}},
    {"hold_days": 7},
    {"window_days": 5},
    {"max_rewards_per_referrer": 1},
    {"max_rewards_per_referrer": 3, "referee_rule": {"amount": 7}},
    {"min_amount": 500},
    {"starts_at": JUNE + SECOND},
    {"ends_at": JUNE + 5 * DAY, "hold_days": 30},
    {"payout_method": "wise"},
)
POLICIES: Final[tuple[dict[str, Any], ...]] = (
    {"code_per_hour": 1},
    {"code_per_hour": 3, "referrer_per_day": 4},
    {"referrer_per_hour": 2, "same_email": False},
    {"code_per_day": 3, "shared_destination": True},
    {"shared_destination": True},
)


def any_terms(rng: Random) -> dict[str, Any]:
    """Terms of a program: a rule, and at most two things beside it."""
    return {"rule": rng.choice(RULES)} | rng.choice(EXTRAS) | rng.choice(EXTRAS)


AS_OF: Final = (JUNE + DAY, JUNE + 8 * DAY, JUNE + 60 * DAY, JUNE + 90 * DAY, FOREVER)
TIMES: Final = (
    *(JUNE + n * SECOND for n in (0, 0, 1, 1, 2)),
    JUNE + timedelta(minutes=59, seconds=59),
    JUNE + timedelta(hours=1),
    JUNE + 5 * DAY,
    JUNE + 5 * DAY + SECOND,
    JUNE + 12 * DAY,
    JUNE + 20 * DAY,
    JUNE + 35 * DAY,
)
USERS: Final = (*("u0", "u0", "u1", "u1", "u2", "u3") * 2, "bob", "bob", "ada")
ACCOUNTS: Final = ("acct_1", "acct_1", "acct_2", "acct_3")
AMOUNTS: Final = (333, 1000, 1000, 5000, 5000, 12_345, 12_345, 7_001, 1, 0, None)


class Story:
    """What is told of a merchant: orders and events, numbered; some programs are used more than others."""

    def __init__(self) -> None:
        self.liked: set[str] = set()
        self.sent: list[Event] = []
        self.orders = 0

    def batch(self, rng: Random, size: int, model: Merchant, *, free: bool = True) -> list[Event]:
        """New events and copies of old ones, shuffled more often than not.

        Unless ``free``, none depends on when somebody came, or told an address: all name a code, none only attributes.
        """
        new = [self._event(rng, model, free) for _ in range(size)]
        old = self.sent if free else [e for e in self.sent if e.kind != "came" and not e.guesses]
        batch = [*new, *rng.choices(old, k=rng.choice((0, 0, 1, 3)))]
        if rng.random() < 0.7:
            rng.shuffle(batch)
        return batch

    def _event(self, rng: Random, model: Merchant, free: bool) -> Event:
        kind = rng.choices(
            ("bought", "refunded", "disputed", "came"), (10, 5, 3, 1 if free else 0)
        )[0]
        at, id_ = rng.choice(TIMES), f"e{len(self.sent):03}"
        if kind == "came":
            event = Event(id_, kind, at, code=self._code(rng), user=rng.choice(USERS))
        elif kind == "bought":
            event = self._bought(rng, id_, free)
        elif kind == "disputed":
            outcome = rng.choice(("opened", "opened", "won", "lost"))
            order, name = self._order(rng), rng.choice(("d0", "d1"))
            event = Event(id_, kind, at, order, name=name, outcome=outcome)
        else:
            event = self._refund(rng, model, id_)
        self.sent.append(event)
        return event

    def _code(self, rng: Random) -> str:
        names = [code.name for code in stage.CODES]
        liked = [code.name for code in stage.CODES if code.program in self.liked]
        return rng.choice(liked if liked and rng.random() < 0.85 else names)

    def _order(self, rng: Random) -> str:
        """One of the last orders, or of those to come."""
        return f"o{max(0, self.orders + rng.choice((-4, -3, -2, -2, -1, -1, -1, 0, 1))):02}"

    def _bought(self, rng: Random, id_: str, free: bool) -> Event:
        order = f"o{self.orders:02}"
        if rng.random() < 0.1:
            order = self._order(rng)
        else:
            self.orders += 1
        named: str | None = self._code(rng)
        if free and rng.random() < 0.1:
            named = rng.choice((None, None, "NOBODY"))
        return Event(
            id_,
            "bought",
            rng.choice(TIMES),
            order,
            named,
            rng.choice(USERS),
            rng.choice(AMOUNTS),
            rng.choice((None,) * 9 + ("usd",)),
            rng.random() < 0.15 and free,
        )

    def _refund(self, rng: Random, model: Merchant, id_: str) -> Event:
        order = self._order(rng)
        sold = [e for e in self.sent if e.kind == "bought" and e.order == order]
        total = (sold[0].amount if sold else None) or 1000
        amount = rng.choice((1, total // 3 + 1, total // 2 + 1, total, total + 1, None, None))
        known = model.kept.get(order)
        currency = known.currency if known else "usd"
        if rng.random() < 0.05:
            currency = {"usd": "eur", "eur": "usd"}[currency]
        name = rng.choice(("r0", "r1", "r2"))
        return Event(
            id_,
            "refunded",
            rng.choice(TIMES),
            order,
            amount=amount,
            currency=None if amount is None else currency,
            name=name,
        )
