"""How large the benches are."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes of a call; the defaults give a whole run of about fifteen minutes on two cores.

    ``peer_events`` are what the slower peers get (Celery half of them); ``warm_events`` go first,
    untimed, on every road. ``earnings`` of ``payees`` are what a run is built from, ``payouts`` are sent, ``limited_payouts`` under a limit.
    ``lots`` of points are due. Among ``codes`` the API is asked about ``check_rate`` a second.
    ``cards`` are in a file that is imported. ``pages`` of the dashboard are open. ``say`` tells progress.
    """

    say: Callable[[str], None]
    rounds: int = 3
    events: int = 30_000
    peer_events: int = 3_000
    warm_events: int = 2_000
    processes: int = 2
    rate: int = 1_000
    seconds: int = 10
    publishes: int = 5_000
    earnings: int = 1_000_000
    payees: int = 100_000
    payouts: int = 2_000
    limited_payouts: int = 500
    lots: int = 1_000_000
    codes: int = 1_000_000
    check_rate: int = 200
    cards: int = 100_000
    pages: int = 20
