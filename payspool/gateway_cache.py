"""Keeps the gateway of a merchant for a few seconds: it is asked for before every send."""

import time
from collections.abc import Callable
from typing import Final

from domain.payouts.gateway import Gateway

KEPT_SECONDS: Final = 5.0
"""How long a gateway is used before its account is read again: so long a rotated key may still be used.
That is safe, for an attempt belongs to the account that it goes through, whichever key is set later."""
MOST: Final = 1_000
"""Gateways kept at once; beyond that all are read anew."""


def kept(
    find: Callable[[int, str], Gateway], clock: Callable[[], float] = time.monotonic
) -> Callable[[int, str], Gateway]:
    """``find`` with a memory of KEPT_SECONDS; what it raises is not remembered. Safe across threads."""
    known: dict[tuple[int, str], tuple[float, Gateway]] = {}

    def gateway(merchant_id: int, method: str) -> Gateway:
        key, now = (merchant_id, method), clock()
        remembered = known.get(key)
        if remembered is not None and now < remembered[0]:
            return remembered[1]
        found = find(merchant_id, method)
        if len(known) >= MOST:
            known.clear()
        known[key] = (now + KEPT_SECONDS, found)
        return found

    return gateway
