"""Imports every actor module, so that ``workers.registry.ACTORS`` is complete."""

from workers import ingest, notice_actors, payout_actors, sweeps

__all__ = ["ingest", "notice_actors", "payout_actors", "sweeps"]
