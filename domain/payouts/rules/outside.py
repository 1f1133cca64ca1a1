"""Payouts that were paid elsewhere: what may be said to have been, and what waits while it is said."""

from typing import Final

SAID: Final = "a person says that it was paid outside, and another one has to agree"
"""What such a payout waits for (`parked_reason`): nothing sends, retries or cancels it meanwhile."""

PLATFORM: Final = "outside"
"""The account that its attempt is of: none of a gateway's, so that no gateway is asked about it. Its money
is booked to a clearing account of this name, which no gateway's books have to show."""


def problem(
    state: str, frozen_reason: str | None, live: str | None, named: str | None
) -> str | None:
    """Why a payout cannot have been paid outside, or None: ``live`` is the state of its live attempt,
    ``named`` the transaction that it names already."""
    if frozen_reason is not None:
        return f"it is stopped ({frozen_reason})"
    if state not in ("approved", "failed"):
        return f"it is {state}; only an approved or a failed payout can have been paid outside"
    if live is not None:
        return f"an attempt of it is {live}: that one may pay it"
    if named is not None:
        return f"it names a transaction already ({named})"
    return None
