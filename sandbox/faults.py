"""Faults by plan and seed.

A plan is a list of rules for requests and a list of rules for webhook deliveries. A rule matches by
method, path and idempotency key (or by event type) and fires always, on the nth matching call, on every nth, with
a probability, or on calls beyond a number a second; draws depend only on the seed, the rule and how many calls it
has matched, so the same plan with the same calls injects the same faults (a rate depends on real time as well).
The first rule that fires wins.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from sandbox.errors import SandboxError

MAX_RULES = 100
MAX_COPIES = 20
MAX_DELAY_MS = 600_000
MAX_STALE_SECONDS = 10**9
LOG_LENGTH = 1000

_HOW = ("reset", "close")
_WHEN = ("nth", "every", "probability", "per_second")

# What each fault does, and the options it takes: name -> {option: default}.
REQUEST_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "drop_before": {"how": "reset"},
    "drop_during": {"bytes": None},
    "drop_after": {"how": "reset"},
    "error_500_done": {},
    "error_500_not_done": {"stored": True},
    "rate_limit": {"retry_after": None},
    "lock_timeout": {"status": 429},
    "key_in_use": {},
    "unauthorized": {},
    "forbidden": {},
    "slow": {"ms": 1000, "when": "before"},
    "garbage": {"body": "<html>upstream sent something else</html>"},
    "account_deauthorized": {},
    "account_restricted": {},
    "balance_dry": {"currency": None},
    "payout_fails": {"code": "could_not_process", "after": "in_transit"},
    "topup_fails": {"code": "insufficient_funds"},
    "wise_bounces": {},
}
WEBHOOK_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "duplicate": {"copies": 2, "ms": 0},
    "delay": {"ms": 1000},
    "reorder": {"ms": 1000},
    # These spoil the first `tries` of a delivery, or all of them.
    "lose": {"tries": None},
    "unheard": {"tries": 1},
    "wrong_secret": {"tries": None},
    "stale": {"seconds": 600, "tries": None},
    "wrong_mode": {"tries": None},
    "truncated": {"bytes": None, "tries": None},
}


class PlanInvalid(SandboxError):
    """A plan was refused; the message names the rule and what is wrong with it."""


@dataclass(frozen=True)
class Fault:
    """One fault to inject, with its options."""

    name: str
    options: Mapping[str, Any]
    rule: int


@dataclass(frozen=True)
class Delivery:
    """One copy of an event to send, after `delay` seconds."""

    delay: float = 0.0
    fault: Mapping[str, Any] | None = None


@dataclass
class Rule:
    """One line of a plan, and what became of it."""

    index: int
    fault: str
    options: Mapping[str, Any]
    match: Mapping[str, str]
    nth: frozenset[int]
    every: int | None
    probability: float | None
    per_second: int | None
    times: int | None
    written: Mapping[str, Any]
    clock: Callable[[], float] = time.monotonic
    seen: int = 0
    injected: int = 0
    bucket: tuple[float, float] | None = None

    def fires(self, seed: int) -> bool:
        """Count one matching call and decide whether the fault is injected into it."""
        self.seen += 1
        if self.times is not None and self.injected >= self.times:
            return False
        if self.nth:
            fires = self.seen in self.nth
        elif self.every is not None:
            fires = self.seen % self.every == 0
        elif self.probability is not None:
            fires = self.draw(seed) < self.probability
        elif self.per_second is not None:
            fires = self._is_over(self.per_second)
        else:
            fires = True
        self.injected += fires
        return fires

    def _is_over(self, per_second: int) -> bool:
        """Whether the bucket is empty: it holds a second's worth of calls, and fills at that rate."""
        now = self.clock()
        tokens, since = self.bucket or (float(per_second), now)
        tokens = min(float(per_second), tokens + (now - since) * per_second)
        over = tokens < 1
        self.bucket = (tokens if over else tokens - 1, now)
        return over

    def draw(self, seed: int, purpose: str = "fires") -> float:
        """Return the number in [0, 1) that belongs to this call of this rule."""
        return random.Random(f"{seed}/{self.index}/{self.seen}/{purpose}").random()  # noqa: S311


def _whole(rule: int, name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise PlanInvalid(f"rule {rule}: `{name}` is a whole number from {least} to {most}")
    return value


def _options(rule: int, fault: str, given: Mapping[str, Any]) -> dict[str, Any]:
    known = {**REQUEST_FAULTS, **WEBHOOK_FAULTS}[fault]
    options = {**known, **given}
    checks: dict[str, Any] = {
        "ms": lambda v: _whole(rule, "ms", v, 0, MAX_DELAY_MS),
        "copies": lambda v: _whole(rule, "copies", v, 2, MAX_COPIES),
        "bytes": lambda v: v is None or _whole(rule, "bytes", v, 0, 10**9),
        "seconds": lambda v: _whole(rule, "seconds", v, -MAX_STALE_SECONDS, MAX_STALE_SECONDS),
        "tries": lambda v: v is None or _whole(rule, "tries", v, 1, 1000),
        "retry_after": lambda v: v is None or _whole(rule, "retry_after", v, 0, 86400),
    }
    words: dict[str, tuple[Any, ...]] = {
        "how": _HOW,
        "when": ("before", "after"),
        "status": (400, 429),
        "stored": (True, False),
        "after": ("in_transit", "paid"),
    }
    for name, value in options.items():
        if name in checks:
            checks[name](value)
        elif name in words and value not in words[name]:
            raise PlanInvalid(f"rule {rule}: `{name}` is one of {list(words[name])}")
        elif name in ("body", "currency", "code") and not (value is None or isinstance(value, str)):
            raise PlanInvalid(f"rule {rule}: `{name}` is a text")
    return options


def _rule(index: int, written: Any, faults: Mapping[str, Any], match: tuple[str, ...]) -> Rule:
    if not isinstance(written, dict):
        raise PlanInvalid(f"rule {index}: a rule is an object")
    rest = dict(written)
    fault = rest.pop("fault", None)
    if fault not in faults:
        raise PlanInvalid(f"rule {index}: `fault` is one of {', '.join(faults)}")
    matched = {name: rest.pop(name, "*") for name in match}
    if not all(isinstance(glob, str) and glob for glob in matched.values()):
        raise PlanInvalid(f"rule {index}: {', '.join(match)} are texts")
    when = {name: rest.pop(name, None) for name in _WHEN}
    if sum(value is not None for value in when.values()) > 1:
        raise PlanInvalid(f"rule {index}: give one of {', '.join(_WHEN)}")
    nth = when["nth"] if isinstance(when["nth"], list) else [when["nth"]]
    probability = when["probability"]
    if probability is not None and (
        isinstance(probability, bool)
        or not isinstance(probability, (int, float))
        or not 0 <= probability <= 1
    ):
        raise PlanInvalid(f"rule {index}: `probability` is a number from 0 to 1")
    times = rest.pop("times", None)
    unknown = set(rest) - set(faults[fault])
    if unknown:
        raise PlanInvalid(f"rule {index}: {fault} does not take {', '.join(sorted(unknown))}")
    return Rule(
        index=index,
        fault=fault,
        options=_options(index, fault, rest),
        match=matched,
        nth=frozenset(_whole(index, "nth", n, 1, 10**9) for n in nth if n is not None),
        every=None if when["every"] is None else _whole(index, "every", when["every"], 1, 10**9),
        probability=probability,
        per_second=(
            None
            if when["per_second"] is None
            else _whole(index, "per_second", when["per_second"], 1, 10**6)
        ),
        times=None if times is None else _whole(index, "times", times, 0, 10**9),
        written=dict(written),
    )


@dataclass
class Faults:
    """The plan in force and what it has injected. It lives in memory: a restart clears it."""

    seed: int = 0
    rules: list[Rule] = field(default_factory=list)
    webhooks: list[Rule] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    log: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))

    def replace(self, plan: Any) -> None:
        """Put a plan in force and start counting anew.

        Raises:
            PlanInvalid: nothing was changed.
        """
        if not isinstance(plan, dict) or set(plan) - {"seed", "rules", "webhooks"}:
            raise PlanInvalid("a plan is an object of seed, rules and webhooks")
        seed = _whole(0, "seed", plan.get("seed", 0), 0, 2**63)
        lists = [plan.get("rules", []), plan.get("webhooks", [])]
        if not all(isinstance(rules, list) and len(rules) <= MAX_RULES for rules in lists):
            raise PlanInvalid(f"rules and webhooks are lists of at most {MAX_RULES} rules")
        rules = [
            _rule(i, r, REQUEST_FAULTS, ("method", "path", "key")) for i, r in enumerate(lists[0])
        ]
        webhooks = [_rule(i, r, WEBHOOK_FAULTS, ("type",)) for i, r in enumerate(lists[1])]
        self.clear()
        self.seed, self.rules, self.webhooks = seed, rules, webhooks

    def clear(self) -> None:
        """Inject nothing from now on and forget the counts."""
        self.seed, self.rules, self.webhooks = 0, [], []
        self.counts.clear()
        self.log.clear()

    def draw(self, method: str, path: str, key: str | None = None) -> Fault | None:
        """Return the fault to inject into this request, if any; `key` is its idempotency key."""
        chosen = None
        for rule in self.rules:
            if not fnmatchcase(path, rule.match["path"]):
                continue
            if not fnmatchcase(method, rule.match["method"].upper()):
                continue
            if not fnmatchcase(key or "", rule.match["key"]):
                continue
            # Every matching rule counts the call, so that its nth does not depend on the others.
            if chosen is None:
                if rule.fires(self.seed):
                    chosen = Fault(rule.fault, rule.options, rule.index)
                    self.counts[rule.fault] += 1
            else:
                rule.seen += 1
        return chosen

    def note(self, fault: Fault, **facts: Any) -> None:
        """Keep a line about an injected fault, the last thousand of them."""
        self.log.append({"fault": fault.name, "rule": fault.rule, **facts})

    def deliveries(self, type: str, **facts: Any) -> list[Delivery]:
        """Return the copies of an event to send: one, unless the plan says otherwise.

        `facts` say which event it is, for the log of what was injected.
        """
        for rule in self.webhooks:
            if fnmatchcase(type, rule.match["type"]) and rule.fires(self.seed):
                self.counts[rule.fault] += 1
                self.log.append({"fault": rule.fault, "rule": rule.index, "type": type, **facts})
                return self._copies(rule)
        return [Delivery()]

    def _copies(self, rule: Rule) -> list[Delivery]:
        if rule.fault == "lose" and rule.options["tries"] is None:
            return []
        if rule.fault == "duplicate":
            spread = int(rule.options["ms"]) / 1000
            return [
                Delivery(delay=spread * rule.draw(self.seed, f"copy {n}"))
                for n in range(int(rule.options["copies"]))
            ]
        if rule.fault not in ("delay", "reorder"):
            return [Delivery(fault={"name": rule.fault, **rule.options})]
        seconds = int(rule.options["ms"]) / 1000
        if rule.fault == "reorder":
            seconds *= rule.draw(self.seed, "delay")
        return [Delivery(delay=seconds)]

    def report(self) -> dict[str, Any]:
        """Return the plan, and what it saw and injected, as the admin API shows it."""

        def lines(rules: list[Rule]) -> list[dict[str, Any]]:
            return [{**r.written, "seen": r.seen, "injected": r.injected} for r in rules]

        return {
            "seed": self.seed,
            "rules": lines(self.rules),
            "webhooks": lines(self.webhooks),
            "injected": dict(self.counts),
            "log": list(self.log),
        }
