"""The states of payouts, attempts and runs: one table each, kept by the database as well.

>>> can(PAYOUT, "approved", "sending"), can(PAYOUT, "paid", "canceled")
(True, False)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Table:
    """The states of one thing: where it may begin, and where each state may go.

    A state that is no key of ``moves`` is final.
    """

    name: str
    begins: tuple[str, ...]
    moves: Mapping[str, tuple[str, ...]]

    @property
    def states(self) -> tuple[str, ...]:
        """Every state, in the order of the table, final ones last."""
        named = [*self.begins, *self.moves, *(to for tos in self.moves.values() for to in tos)]
        return tuple(dict.fromkeys(named))


PAYOUT: Final = Table(
    "payout",
    begins=("draft",),
    moves={
        # To `approved` without `pending_approval` where no person has to approve.
        "draft": ("pending_approval", "approved", "canceled"),
        "pending_approval": ("approved", "canceled"),
        "approved": ("sending", "canceled"),
        # To `paid` at once where the transfer is the last leg; with a bank leg, through `in_transit`.
        "sending": ("in_transit", "paid", "unknown", "failed", "returned"),
        "unknown": ("in_transit", "paid", "failed", "returned"),
        "in_transit": ("paid", "unknown", "failed", "returned", "reversed"),
        # Back to `sending` under a new attempt. `canceled` only without a live attempt (a trigger).
        "failed": ("sending", "canceled", "reversed"),
        # A bank may still refuse what it took, for about five business days.
        "paid": ("failed", "returned", "reversed"),
        # Money is on the connected account: only another bank attempt, or a reversal.
        "returned": ("sending", "reversed"),
    },
)

ATTEMPT: Final = Table(
    "attempt",
    # `created` is an attempt whose key is fixed before it is due to be sent.
    begins=("created", "sending"),
    moves={
        "created": ("sending", "failed"),
        "sending": ("succeeded", "failed", "unknown"),
        # To `abandoned` only by two people and with evidence.
        "unknown": ("succeeded", "failed", "abandoned"),
        "succeeded": ("reversed",),
    },
)

RUN: Final = Table(
    "run",
    begins=("building",),
    moves={
        "building": ("frozen",),
        # To `approved` without `pending_approval` where no person has to approve.
        "frozen": ("pending_approval", "approved", "rejected"),
        "pending_approval": ("approved", "rejected"),
        "approved": ("sending",),
        "sending": ("settled",),
    },
)


def can(table: Table, old: str, new: str) -> bool:
    """Whether a thing in state ``old`` may move to ``new``; staying is no move."""
    return new in table.moves.get(old, ())


def mermaid(table: Table) -> str:
    """The table as a Mermaid state diagram.

    >>> print(mermaid(RUN))
    stateDiagram-v2
        [*] --> building
        building --> frozen
        frozen --> pending_approval
        frozen --> approved
        frozen --> rejected
        pending_approval --> approved
        pending_approval --> rejected
        approved --> sending
        sending --> settled
        rejected --> [*]
        settled --> [*]
    """
    lines = ["stateDiagram-v2", *(f"    [*] --> {state}" for state in table.begins)]
    lines += [f"    {old} --> {new}" for old, news in table.moves.items() for new in news]
    lines += [f"    {state} --> [*]" for state in table.states if state not in table.moves]
    return "\n".join(lines)
