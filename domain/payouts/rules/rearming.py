"""What a transfer at the gateway means for a database that may have forgotten it.

A transfer names the payout and the attempt that made it. Where the database believes that this payout is
still to be paid, and everything else is as it was sent, it is recorded as paid. Anything else is left to
a person: never is a doubtful payout sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from domain.payouts.rules.attempts import attempt_key

AFTER_FAILOVER: Final = "after a failover: "
"""How the reason begins of a payout that rearming stops: the database knows it, and lets such a one go on only
once the gateway's books were read again."""


class Fate(Enum):
    """What is done about a transfer."""

    KNOWN = "the database knows it"
    SETTLE = "its attempt was in flight, and has paid"
    RECORD = "its attempt was forgotten, and is recorded again as paid"
    FREEZE = "its payout is stopped until two people have looked"
    BLOCK = "its payout was forgotten: its payee is not paid until a person has looked"


@dataclass(frozen=True, slots=True)
class MadeTransfer:
    """A transfer of this installation in a gateway's books. ``back``: what was taken back of ``amount``,
    both positive, in minor units. ``payout_id`` and ``key`` are what its metadata say."""

    external_id: str
    payout_id: int | None
    key: str | None
    amount: int
    back: int
    currency: str
    destination: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the database holds for the payout that a transfer names, and for the attempt of its key.

    ``same_merchant``: it is of the merchant whose books are looked at; merchants may share an account.
    ``attempt`` is that attempt's state (None: there is none), ``external_id`` what it says it made;
    ``last_n`` the number of the payout's last attempt, and ``live`` the state of the one that has paid or
    may have.
    """

    installation: str
    same_merchant: bool
    payout_id: int
    state: str
    frozen: bool
    amount: int
    currency: str
    destination: str
    attempt: str | None
    external_id: str | None
    last_n: int
    live: str | None


def fate_of(made: MadeTransfer, standing: Standing | None) -> tuple[Fate, str]:
    """What becomes of a transfer, and why.

    >>> made = MadeTransfer("tr_1", 7, "payspool/3f2a91c04be7/7/transfer/1", 1_000, 0, "usd", "acct_a")
    >>> approved = Standing(
    ...     "3f2a91c04be7", True, 7, "approved", False, 1_000, "usd", "acct_a", None, None, 0, None)
    >>> fate_of(made, approved)[0].name
    'RECORD'
    >>> from dataclasses import replace
    >>> fate_of(replace(made, amount=900), approved)
    (<Fate.FREEZE: 'its payout is stopped until two people have looked'>, 'it made tr_1, which is not the payment that was asked for')
    """
    if standing is None:
        return Fate.BLOCK, f"{made.external_id} paid payout {made.payout_id}, which was forgotten"
    if standing.attempt in ("succeeded", "reversed") and standing.external_id == made.external_id:
        return Fate.KNOWN, "its attempt says so"
    right = (standing.amount, standing.currency, standing.destination)
    as_asked = (made.amount, made.currency, made.destination) == right
    if not standing.same_merchant:
        # Its number may have been given out again, to another merchant's.
        if as_asked:
            return Fate.KNOWN, "it is another merchant's, of the same account"
        return Fate.BLOCK, f"{made.external_id} paid payout {made.payout_id}, which was forgotten"
    if standing.state == "canceled":
        # Its earnings were let go, and would be paid by the next run.
        return Fate.BLOCK, f"{made.external_id} paid payout {made.payout_id}, which is canceled"
    if not as_asked:
        return (
            Fate.FREEZE,
            f"it made {made.external_id}, which is not the payment that was asked for",
        )
    if made.back:
        return Fate.FREEZE, f"it made {made.external_id}, of which {made.back} was taken back"
    if standing.attempt in ("sending", "unknown") and not standing.frozen:
        return Fate.SETTLE, f"it made {made.external_id}"
    if standing.attempt is not None:
        return Fate.FREEZE, f"its attempt is {standing.attempt}, yet made {made.external_id}"
    return _forgotten(made, standing)


def pays_beside(made: MadeTransfer, standing: Standing | None, fate: Fate) -> bool:
    """Whether what a transfer paid for is not kept by the payout that it names.

    That payout was forgotten, or its number was given out again to another one: what was earned is owed
    again, or is in a payout of another number, and would be paid again.
    """
    if standing is None or fate is Fate.BLOCK:
        return fate is Fate.BLOCK
    right = (standing.amount, standing.currency, standing.destination)
    return fate is Fate.FREEZE and (made.amount, made.currency, made.destination) != right


def _forgotten(made: MadeTransfer, standing: Standing) -> tuple[Fate, str]:
    follows = attempt_key(
        standing.installation,
        payout_id=standing.payout_id,
        leg="transfer",
        n=standing.last_n + 1,
    )
    plain = standing.state in ("approved", "failed") and standing.live is None
    if made.key == follows and plain and not standing.frozen:
        return Fate.RECORD, f"it made {made.external_id}"
    return Fate.FREEZE, f"a forgotten attempt ({made.key}) made {made.external_id} for it"


@dataclass(frozen=True, slots=True)
class BankStanding:
    """What the database holds for a payout whose money went on to a bank.

    ``left``: its amount without what came back, in minor units. ``known``: the state of each of its bank
    attempts by key; ``last_n`` the number of the last one, ``live`` the state of the one that has paid or
    may have.
    """

    installation: str
    payout_id: int
    state: str
    frozen: bool
    left: int
    currency: str
    destination: str
    known: Mapping[str, str]
    last_n: int
    live: str | None

    def number(self, key: str | None) -> int | None:
        """The number of the bank attempt of this payout that a key names; None if it names none."""
        begins = attempt_key(self.installation, payout_id=self.payout_id, leg="bank", n=0)[:-1]
        number = (key or "").removeprefix(begins)
        return int(number) if number != key and number.isascii() and number.isdigit() else None


def bank_fate_of(made: MadeTransfer, standing: BankStanding) -> tuple[Fate, str]:
    """What becomes of a payout to a bank that one of the payout's attempts made, and why.

    >>> made = MadeTransfer("po_1", 7, "payspool/3f2a91c04be7/7/bank/1", 1_000, 0, "usd", "acct_a")
    >>> waits = BankStanding("3f2a91c04be7", 7, "in_transit", False, 1_000, "usd", "acct_a", {}, 0, None)
    >>> bank_fate_of(made, waits)[0].name
    'RECORD'
    >>> from dataclasses import replace
    >>> bank_fate_of(replace(made, key="payspool/3f2a91c04be7/7/bank/2"), waits)[0].name
    'FREEZE'
    """
    if made.key in standing.known:
        return Fate.KNOWN, "its attempt is known, and is asked about under its key"
    right = (standing.left, standing.currency, standing.destination)
    follows = standing.number(made.key) == standing.last_n + 1
    plain = standing.state in ("in_transit", "returned") and standing.live is None
    if follows and plain and not standing.frozen:
        if (made.amount, made.currency, made.destination) == right:
            return Fate.RECORD, f"it made {made.external_id} on the connected account"
        return (
            Fate.FREEZE,
            f"it made {made.external_id} on the connected account, which is not what is left to pay out",
        )
    return (
        Fate.FREEZE,
        f"a forgotten attempt ({made.key}) made {made.external_id} on the connected account for it",
    )
