"""Use cases of referrals: apply a batch of conversion events (load, decide in order, flush)."""

from domain.referrals.service.batch import TYPES, Applied, apply
from domain.referrals.service.flushing import REVERSAL_SOURCE
from domain.referrals.service.importing import PAID_BEFORE, Imported, apply_past
from domain.referrals.service.looking_again import forget_counts, hold_shared

__all__ = [
    "PAID_BEFORE",
    "REVERSAL_SOURCE",
    "TYPES",
    "Applied",
    "Imported",
    "apply",
    "apply_past",
    "forget_counts",
    "hold_shared",
]
