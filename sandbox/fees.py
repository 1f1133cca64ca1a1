"""What Stripe takes of a charge. Nothing, until the admin API sets a platform's fee.

Of transfers, payouts and top-ups the sandbox takes no fee.
"""

import json
from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.store import Store, dump

MAX_BASIS_POINTS = 5000
MAX_FIXED = 100_000


class FeeRefused(SandboxError):
    """A fee was asked for that is out of bounds."""

    def __init__(self) -> None:
        super().__init__(
            f"A fee has `basis_points` from 0 to {MAX_BASIS_POINTS} and `fixed` from 0 to "
            f"{MAX_FIXED} minor units."
        )


@dataclass(frozen=True)
class Fee:
    """A share of the amount, in hundredths of a percent, and a fixed part in minor units."""

    basis_points: int = 0
    fixed: int = 0

    def of(self, amount: int) -> int:
        """Return the fee on an amount, rounded half up; at least one minor unit is left of it."""
        return min((amount * self.basis_points + 5000) // 10_000 + self.fixed, amount - 1)


def of_charges(store: Store, platform: str) -> Fee:
    """Return the fee on a platform's charges."""
    return Fee(**json.loads(store.meta(f"fee/{platform}", "{}")))


def set_for_charges(store: Store, platform: str, basis_points: int, fixed: int) -> None:
    """Set the fee on a platform's charges from now on.

    Raises:
        FeeRefused: it is out of bounds.
    """
    if not (0 <= basis_points <= MAX_BASIS_POINTS and 0 <= fixed <= MAX_FIXED):
        raise FeeRefused
    store.set_meta(f"fee/{platform}", dump({"basis_points": basis_points, "fixed": fixed}))
