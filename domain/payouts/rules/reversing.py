"""Taking a paid payout back: its states, its keys, and what is refused before the gateway is asked.

>>> reversal_key("3f2a91c04be7", payout_id=12, n=1)
'payspool/3f2a91c04be7/12/reverse/1'

Of 10.00 that were paid, 3.00 came back. Without an amount it is the rest; more than that is refused:

>>> paid = Reversible("paid", "stripe", 1_000, 300, transfer="tr_1")
>>> to_take_back(paid, None), to_take_back(paid, 700)
(700, 700)
>>> to_take_back(paid, 701).code
'too_large'
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from domain.payouts.rules.attempts import transfer_group
from domain.payouts.rules.states import Table

REVERSAL: Final = Table(
    "reversal request",
    begins=("created",),
    moves={
        # To `failed` without being sent where the payout has changed meanwhile.
        "created": ("sending", "failed"),
        "sending": ("succeeded", "failed", "unknown"),
        # To `failed` by the gateway's first answer, or by two people and with evidence.
        "unknown": ("succeeded", "failed"),
    },
)

LIVE: Final = ("created", "sending", "unknown")
"""States in which a request is on its way: at most one of a payout is."""

REVERSIBLE_STATES: Final = frozenset({"paid", "failed", "returned"})
"""States of a payout whose transfer may have been made and is not moving; that it was made is asked too.
Beside them: `in_transit` while its money waits on the connected account, which may never pay a bank."""

REVERSIBLE_METHODS: Final = frozenset({"stripe"})
"""Methods whose gateway can take back what it paid; money in a bank comes back by the payee alone."""

GIVEN_UP: Final = "abandoned"
"""The error code of a request that two people gave up."""

FIRST_LOOK: Final = timedelta(minutes=1)
"""How long after it was asked for a request whose message was lost is asked for again."""


def reversal_key(installation: str, *, payout_id: int, n: int) -> str:
    """The idempotency key of request ``n`` of a payout: computed, so that it cannot be minted twice."""
    return f"{transfer_group(installation, payout_id)}/reverse/{n}"


@dataclass(frozen=True, slots=True)
class Reversible:
    """A payout as far as it decides what can be taken back; amounts in minor units.

    ``transfer`` is the gateway's name of what paid it, if it was paid; ``live`` says that a request is on
    its way already; ``waits_there``, that its money is on the connected account and no bank attempt has it.
    """

    state: str
    method: str
    amount: int
    reversed_amount: int
    transfer: str | None
    frozen: str | None = None
    live: bool = False
    waits_there: bool = False


@dataclass(frozen=True, slots=True)
class Irreversible:
    """Nothing can be taken back now: a code for programs, and a sentence for people."""

    code: str
    why: str


def to_take_back(payout: Reversible, amount: int | None) -> int | Irreversible:
    """How much is to be taken back (minor units; ``amount`` None: all that is left), or why nothing is."""
    if payout.method not in REVERSIBLE_METHODS:
        return Irreversible(
            "not_supported",
            f"{payout.method} cannot take back what it paid; ask the payee to send it back",
        )
    if payout.state == "reversed":
        return Irreversible("already_reversed", "all of it came back already")
    waits_there = payout.state == "in_transit" and payout.waits_there
    if payout.state == "in_transit" and not waits_there:
        return Irreversible("in_transit", "it is on its way to the bank; wait until it arrived")
    movable = payout.state in REVERSIBLE_STATES or waits_there
    if not movable or payout.transfer is None:
        return Irreversible("not_paid", f"it is {payout.state}: only what was paid is taken back")
    if payout.frozen is not None:
        return Irreversible(
            "stopped", f"it is stopped ({payout.frozen}); two people let it go on first"
        )
    if payout.live:
        return Irreversible("in_progress", "a reversal of it is on its way; wait for its outcome")
    left = payout.amount - payout.reversed_amount
    wanted = left if amount is None else amount
    if wanted > left:
        return Irreversible("too_large", f"of {payout.amount} only {left} is left to take back")
    return wanted
