"""Random histories of many shops at once: who does what when, and in which order and how often it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.domain.inbox.shop import event
from tests.oracles.loyalty_pages import Terms

START = datetime(2026, 1, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
REWARDS = {"mug": (5, 0), "cash": (7, 130)}
# Days of backdating, inactivity, life, pending and restored points, whether cards may owe, the smallest redemption.
SHOPS = (
    Terms(12, 8, 6, 0, 2, True, 2, 30, REWARDS),
    Terms(12, 8, 6, 1, 2, False, 1, 70, REWARDS),
    Terms(3, 5, None, 0, 3, True, 1, 6, REWARDS),
    Terms(30, None, 4, 2, 1, True, 3, 160, REWARDS),
    Terms(2, 20, 9, 0, 5, False, 1, 48, REWARDS),
    Terms(30, None, None, 1, 4, True, 1, 24, REWARDS),
)
_TYPES = {
    "earn": "points_earned",
    "redeem": "points_redeemed",
    "void": "points_voided",
    "adjust": "points_adjusted",
    "refund": "purchase_refunded",
    "hold": "points_held",
    "capture": "hold_captured",
    "release": "hold_released",
    "stamp": "stamp_earned",
    "full": "stamp_redeemed",
    "unstamp": "stamp_voided",
    "restamp": "stamp_adjusted",
}
_KINDS = (
    ["earn"] * 7 + ["redeem"] * 3 + ["void"] * 4 + ["refund"] * 3 + ["hold"] * 3 + ["capture"] * 3
    + ["release", "adjust", "use", "stamp", "stamp", "full", "unstamp", "restamp"]
)  # fmt: skip
_NAMES = {
    "void": ("earn", "redeem", "capture"),
    "unstamp": ("stamp",),
    "capture": ("hold",),
    "release": ("hold",),
}
_GAPS = (0, 1, 2, 5, 12, 30, 70, 130)
_LATE = (0, 0, 0, 0, 0, 1, 30, 100, 270, 400, -0.1)


@dataclass
class History:
    """What happens to two cards of one shop, step by step as it arrives."""

    name: str
    shop: int
    steps: list[list[dict[str, Any]]]

    @property
    def cards(self) -> tuple[str, str]:
        return f"{self.name}.A", f"{self.name}.B"


@dataclass
class Wave:
    """Histories that are played together on one clock; ``road`` says how each step is played."""

    times: list[datetime]
    histories: list[History] = field(default_factory=list)


def wave(seed: int, size: int, steps: int = 9) -> Wave:
    """``size`` histories on a clock of their own; the same seed gives the same."""
    rng = Random(seed)
    times = [START]
    for _ in range(steps - 1):
        times.append(times[-1] + rng.choice(_GAPS) * HOUR)
    return Wave(times, [_history(rng, f"w{seed}h{n}", times) for n in range(size)])


def _history(rng: Random, name: str, times: Sequence[datetime]) -> History:
    history = History(name, rng.randrange(len(SHOPS)), [[] for _ in times])
    bases = sorted(rng.randrange(len(times)) for _ in range(rng.randint(7, 15)))
    kinds = [rng.choice(_KINDS) for _ in bases]
    for n, (base, kind) in enumerate(zip(bases, kinds, strict=True)):
        made = _drawn(rng, history, n, kind, kinds)
        made["at"] = times[base] - rng.choice(_LATE) * HOUR
        arrives = min(base + rng.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 4)), len(times) - 1)
        history.steps[arrives].append(made)
        if rng.random() < 0.25:  # and once more: at once, or later
            history.steps[rng.randrange(arrives, len(times))].append(made)
    for step in history.steps:
        rng.shuffle(step)
    return history


def _drawn(
    rng: Random, history: History, n: int, kind: str, kinds: Sequence[str]
) -> dict[str, Any]:
    card = history.cards[rng.random() < 0.15]
    made: dict[str, Any] = {"id": f"{history.name}-{n:02}", "kind": kind, "card": card}
    order = f"{history.name}/o{rng.randrange(2)}"
    if kind == "earn":
        made |= {"amount": rng.randrange(41) * 50, "order": order}
    elif kind in ("redeem", "hold"):
        made |= {"points": rng.randint(1, 11), "reward": None}
        if rng.random() < 0.35:
            made |= {"points": None, "reward": rng.choice(("mug", "cash", "cash", "none"))}
    elif kind in _NAMES:
        fit = [i for i, one in enumerate(kinds) if one in _NAMES[kind]]
        named = rng.choice(fit) if fit and rng.random() < 0.9 else rng.randrange(len(kinds))
        made |= {"of": f"{history.name}-{named:02}", "points": rng.choice((None, None, 1, 3, 6))}
    elif kind == "adjust":
        made |= {"points": rng.randint(-20, 20) or 1}
    elif kind == "refund":
        refund, named = f"{history.name}/r{rng.randrange(7)}", rng.random() < 0.7
        made |= {"order": order, "refund": refund, "amount": rng.randrange(41) * 11 + 1}
        made |= {"card": card if named else None}
    elif kind == "use":
        made |= {"active": rng.random() < 0.5}
    elif kind == "stamp":
        made |= {"stamps": rng.randint(1, 4)}
    elif kind == "restamp":
        made |= {"stamps": rng.choice((-2, -1, 1, 2))}
    return made


def text_of(shop: str, e: dict[str, Any]) -> str:
    """The event as a producer sends it to the merchant ``shop``."""
    kind, data = e["kind"], {"card": e["card"]}
    if kind == "use":
        type_ = "card_reactivated" if e["active"] else "card_deactivated"
    else:
        type_ = _TYPES[kind]
    if kind == "earn":
        data |= {"purchase_amount": e["amount"], "order_reference": e["order"]}
    elif kind == "refund":
        data |= {"order_reference": e["order"], "refund_id": e["refund"], "amount": e["amount"]}
    elif kind in ("void", "capture"):
        data |= {"related_event": e["of"], "points": e["points"]}
    elif kind in ("unstamp", "release"):
        data |= {"related_event": e["of"]}
    elif kind in ("redeem", "hold"):
        data |= {"points": e["points"], "reward_id": e["reward"]}
    elif kind == "adjust":
        data |= {"points": e["points"], "reason": "so"}
    elif kind in ("stamp", "restamp"):
        data |= {"stamps": e["stamps"]} | ({"reason": "so"} if kind == "restamp" else {})
    return event(f"loyalty.{type_}", e["id"], e["at"], to=shop, **data)
