"""Imports every actor module, so that ``workers.registry.ACTORS`` is complete."""

from workers import ingest, payout_actors, sweeps

__all__ = ["ingest", "payout_actors", "sweeps"]
