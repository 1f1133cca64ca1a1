"""Use cases of the inbox: claim → load → apply → flush, for one event or five hundred alike.

Everything happens in the caller's one transaction, and the caller acknowledges after its commit. Lock
order: inbox rows, correlation locks, then what the subjects lock, kept balances last.
"""

from domain.inbox.service.applying import (
    RECHECK_BATCH,
    Stored,
    apply,
    keep_unclaimable,
    mark_dead,
    recheck_waiting,
)
from domain.inbox.service.asking import counts, status, unreadable, unreadable_counts
from domain.inbox.service.importing import import_conversions
from domain.inbox.service.repairs import (
    RETRY_BATCH,
    Edited,
    Retried,
    Selection,
    by_number,
    count_selected,
    edit,
    retry,
    selected,
)
from domain.inbox.service.velocity import Settled, reject_case, release_case

__all__ = [
    "RECHECK_BATCH",
    "RETRY_BATCH",
    "Edited",
    "Retried",
    "Selection",
    "Settled",
    "Stored",
    "apply",
    "by_number",
    "count_selected",
    "counts",
    "edit",
    "import_conversions",
    "keep_unclaimable",
    "mark_dead",
    "recheck_waiting",
    "reject_case",
    "release_case",
    "retry",
    "selected",
    "status",
    "unreadable",
    "unreadable_counts",
]
