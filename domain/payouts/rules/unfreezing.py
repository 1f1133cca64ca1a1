"""What becomes of a payout that two people let go on: its attempt stands as it stood."""

from typing import Final

LOOKED_FOR: Final = (
    "an earlier attempt was given up, and may have paid: the key of this one is not sent any more, and it is"
    " looked for once the gateway may have forgotten it"
)
"""What an unknown payout waits for (`parked_reason`) that was let go on though an attempt was given up."""


def what_follows(
    state: str, attempt: str | None, *, given_up: bool, said_outside: bool = False
) -> str:
    """The sentence that both people read before they decide.

    ``attempt`` is the state of the attempt that has paid or may have, if there is one; ``given_up``: an
    earlier attempt was abandoned, and what stopped the payout may be that it has paid. ``said_outside``: a
    person says that it was paid outside, which holds on.

    >>> what_follows("unknown", "unknown", given_up=False)[:45]
    'The gateway is asked again under the same key'
    """
    if state in ("paid", "canceled", "reversed"):
        return f"It stays {state}; nothing is sent."
    if said_outside:
        return f"It stays {state}, and nothing is sent: another person agrees that it was paid outside."
    if given_up and attempt == "unknown":
        return (
            "It stays unknown, and its key is not sent any more: an earlier attempt was given up, and may have paid."
            " Once the gateway may have forgotten the key (23 hours after it was sent) the attempt is looked for;"
            " if it is not found, two people decide about it."
        )
    if given_up and attempt == "succeeded" and state == "in_transit":
        return "It stays in_transit: the gateway is asked what the bank did with it, and nothing is sent."
    if given_up:
        return (
            f"It stays {state}, and nothing asks for it by itself: an attempt was given up, and may have"
            " paid. A person retries or cancels it, and does not retry what was paid."
        )
    if state == "draft":
        return (
            "It goes the way of its run: it is sent if that is approved, and canceled if it is rejected; then the"
            " next run pays its earnings again. What the gateway paid already has to be adjusted before."
        )
    if attempt == "unknown":
        return (
            "The gateway is asked again under the same key, or looked through once the key is too old;"
            " a transfer that it holds for that key counts as this payout's."
        )
    if attempt == "succeeded" and state == "in_transit":
        return "It stays in_transit: the gateway is asked what the bank did with it."
    if state == "in_transit" or state == "returned":
        return f"It stays {state}: its money goes on to the bank when what it waits for has come."
    if state in ("approved", "sending"):
        return "It is sent, under the key of its attempt if it has one."
    return f"It stays {state}: a person retries or cancels it, if it does not heal by itself."
