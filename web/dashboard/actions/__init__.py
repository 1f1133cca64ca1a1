"""Everything that can be done from the dashboard, a module for each subject."""

from web.dashboard.actions import (
    bank,
    dead,
    events,
    holds,
    payees,
    payouts,
    programs,
    queues,
    runs,
    schedules,
    stops,
    users,
    velocity,
    webhooks,
)
from web.dashboard.actions.registry import ACTIONS, NotAllowed, perform

__all__ = [
    "ACTIONS",
    "NotAllowed",
    "bank",
    "dead",
    "events",
    "holds",
    "payees",
    "payouts",
    "perform",
    "programs",
    "queues",
    "runs",
    "schedules",
    "stops",
    "users",
    "velocity",
    "webhooks",
]
