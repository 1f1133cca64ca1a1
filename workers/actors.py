"""Imports every actor module, so that ``workers.registry.ACTORS`` is complete."""

from workers import (
    charting,
    ingest,
    looking_again,
    notice_actors,
    payout_actors,
    pruning,
    retaining,
    sweeps,
)

__all__ = [
    "charting",
    "ingest",
    "looking_again",
    "notice_actors",
    "payout_actors",
    "pruning",
    "retaining",
    "sweeps",
]
