"""What a run would do now, in sums and examples; and whether there is money for it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from domain.db import Tx
from domain.payouts.rules import Pay
from domain.payouts.rules.breaker import Balance
from domain.payouts.service.claiming import Preview, PreviewLine, RunSpec, preview_shards
from domain.payouts.store import limits as store

SHARDS_LOOKED_AT: Final = 50
"""Shards of payable accounts (claiming.SHARD) that a preview of a request looks at."""
PAY: Final = "pay"
"""What is said of a payee who would be paid, beside the reasons of those who would not."""
BY_BANK_FILE: Final = "manual"
"""The method without a gateway that could be asked for its balance."""


@dataclass(slots=True)
class Foreseen:
    """What a run would do: totals, the first lines of each reason (``pay``: of those who are paid), and
    what is needed by method and currency, in minor units.

    ``complete``: whether everybody was looked at.
    """

    totals: Preview = field(default_factory=Preview)
    lines: dict[str, list[PreviewLine]] = field(default_factory=dict)
    needed: dict[tuple[str, str], int] = field(default_factory=dict)
    complete: bool = True

    def add(self, line: PreviewLine, shown: int) -> None:
        """Count a line, and keep it if it is among the first ``shown`` of its reason."""
        self.totals.add(line)
        reason = PAY
        if isinstance(line.decision, Pay):
            pair = (line.decision.method, line.currency)
            self.needed[pair] = self.needed.get(pair, 0) + line.decision.amount
        else:
            reason = line.decision.reason
        kept = self.lines.setdefault(reason, [])
        if len(kept) < shown:
            kept.append(line)


@dataclass(frozen=True, slots=True)
class Funds:
    """What a run needs of a gateway's balance, in minor units.

    ``waiting`` is what payouts need that are made and not sent yet. ``available`` and ``shortfall`` are
    None where the gateway cannot be asked, or did not tell; ``why`` says which.
    """

    method: str
    currency: str
    needed: int
    waiting: int
    available: int | None = None
    shortfall: int | None = None
    why: str | None = None


def foresee(tx: Tx, spec: RunSpec, *, shown: int) -> Foreseen:
    """What the run of ``spec`` would do now, as far as SHARDS_LOOKED_AT reach. Writes and locks nothing."""
    foreseen = Foreseen()
    shards = preview_shards(tx, spec)
    for shard in islice(shards, SHARDS_LOOKED_AT):
        for line in shard:
            foreseen.add(line, shown)
    foreseen.complete = next(shards, None) is None
    return foreseen


def unsent(tx: Tx, merchant_id: int) -> dict[tuple[str, str], int]:
    """What payouts need that are made and not sent yet, by method and currency, in minor units."""
    return store.unsent(tx, merchant_id)


def funds(
    needed: dict[tuple[str, str], int],
    waits: dict[tuple[str, str], int],
    balance: Callable[[str], Balance],
) -> list[Funds]:
    """Compare what is needed with what gateways have. ``balance`` asks the gateway of a method, over the
    network: outside of any transaction. Each is asked once."""
    asked = {method: balance(method) for method in _methods(needed) if method != BY_BANK_FILE}
    return [
        _compared(method, currency, amount, waits.get((method, currency), 0), asked.get(method))
        for (method, currency), amount in sorted(needed.items())
    ]


def _methods(needed: Iterable[tuple[str, str]]) -> list[str]:
    return sorted({method for method, _ in needed})


def _compared(
    method: str, currency: str, needed: int, waits: int, balance: Balance | None
) -> Funds:
    if balance is None:
        why = f"no balance is known of {method}: its payouts are paid elsewhere"
        return Funds(method, currency, needed, waits, why=why)
    if balance.answer != "told":
        why = f"the gateway did not tell its balance ({balance.answer}): {balance.why}"
        return Funds(method, currency, needed, waits, why=why)
    available = balance.available.get(currency, 0)
    short = max(needed + waits - available, 0)
    return Funds(method, currency, needed, waits, available, short)
