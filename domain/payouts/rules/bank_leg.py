"""The second leg of a payout: from the connected account, where its transfer brought it, to the bank.

>>> becomes("in_transit", "succeeded", "paid"), becomes("paid", "succeeded", "in_transit")
(<News.PAID: 'paid'>, <News.NOTHING: 'nothing'>)
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from domain.payouts.rules import carrying
from domain.payouts.rules.attempts import Leave, LiveAttempt, Step, step_of_live
from domain.payouts.rules.told import keepable

TRANSFER: Final = "transfer"
BANK: Final = "bank"

FUNDS: Final = "bank_balance_insufficient"
"""What a payout waits for whose money is on the connected account and not available there yet. It is no
shortfall: the merchant's own balance has nothing to do with it."""

HEALING: Final = {
    "balance_insufficient": FUNDS,
    "payouts_limit_exceeded": "payouts_limit_exceeded",
}
"""Refusals that pass by themselves, and what a payout waits for meanwhile."""

ACCOUNT_CODES: Final = frozenset(
    {"account_invalid", "bank_account_unusable", "payouts_not_allowed"}
)
"""Refusals that pass when the account is mended: its next word lets the payout be tried again."""

RETURNED_BY_BANK: Final = "bank_returned"
"""The code of a payout whose bank did not take the money, or gave it back: another bank account mends it."""

NOT_READY_LOOK: Final = timedelta(hours=1)
"""How long a payout waits whose account could not pay out, before it is asked about again by itself."""

FOLLOW_AFTER: Final = timedelta(hours=6)
"""How long a payout that is on its way to a bank is left without news before the gateway is asked."""

FOLLOW_PAID: Final = timedelta(days=1)
FOLLOW_PAID_FOR: Final = timedelta(days=14)
"""How often, and for how long after it was sent, a payout that the bank has is still asked about: it may
come back for about five business days after it arrived, and the notice of that may be lost."""


@dataclass(frozen=True, slots=True)
class SeenBankPayout:
    """A payout to a bank as it is at the gateway now; ``amount`` in minor units.

    ``account`` is the connected account, ``bank`` the bank account there that it went to, ``key`` the
    attempt that made it, if it says so. ``status`` is `pending`, `in_transit`, `paid`, `failed`,
    `canceled`, or `reversed` for one that was taken back from the bank; ``why`` says why it failed.
    """

    external_id: str
    account: str
    key: str | None
    amount: int
    currency: str
    status: str
    bank: str | None = None
    why: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "why", keepable(self.why))


CAME_BACK: Final = ("failed", "canceled", "reversed")
"""What a payout is at the gateway that the bank does not have, or not for long: final there."""


class News(Enum):
    """What the gateway's word changes."""

    NOTHING = "nothing"
    PAID = "paid"
    RETURNED = "returned"


def becomes(state: str, attempt: str, status: str) -> News:
    """What a payout in ``state``, whose bank attempt is ``attempt``, becomes when the gateway shows it as
    ``status``.

    Monotonic, whatever order answers come in: those of CAME_BACK are the gateway's last words, and one
    that was read before them changes nothing after them.
    """
    if attempt != "succeeded":
        return News.NOTHING
    if status in CAME_BACK:
        return News.RETURNED
    return News.PAID if status == "paid" and state == "in_transit" else News.NOTHING


def next_bank_step(
    state: str,
    live: LiveAttempt | None,
    *,
    frozen: bool,
    next_try_at: datetime | None,
    now: datetime,
) -> Step | Leave:
    """What a sender that holds the payout's lock may do about its second leg; ``now`` is PostgreSQL's
    real clock. Its transfer has succeeded.

    >>> from datetime import UTC, datetime
    >>> noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    >>> next_bank_step("in_transit", None, frozen=False, next_try_at=None, now=noon).name
    'OPEN'
    >>> next_bank_step("in_transit", LiveAttempt("unknown", None), frozen=False, next_try_at=None, now=noon)
    Leave(reason='unknown')
    """
    if frozen:
        return Leave("frozen")
    waits = next_try_at is not None and next_try_at > now
    if live is not None:
        return step_of_live(live, waits=waits, now=now)
    if state == "in_transit" or (state == "returned" and next_try_at is not None):
        return Leave("waiting") if waits else Step.OPEN
    return Leave(state)


def not_payable(currency: str, amount: int) -> str | None:
    """Why a bank cannot be paid ``amount`` (minor units); None if nothing is known against it.

    >>> not_payable("usd", 1_050), not_payable("huf", 1_050)
    (None, 'a bank is paid multiples of 100 of HUF in minor units, not 1050')
    """
    if not carrying.is_carried("stripe", currency):
        return f"{currency.upper()} is not paid out"
    unit = carrying.step("stripe", currency)
    if amount < 1 or amount % unit:
        return (
            f"a bank is paid multiples of {unit} of {currency.upper()} in minor units, not {amount}"
        )
    return None
