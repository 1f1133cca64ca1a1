"""Use cases of loyalty: apply events, expire for inactivity, keep programs, and check the books."""

from domain.loyalty.service.apply import TYPES, Applied, apply
from domain.loyalty.service.attributing import Act, keep_act
from domain.loyalty.service.batch import refused_under
from domain.loyalty.service.cards import CardView, card, history, transactions_of
from domain.loyalty.service.events import (
    CARD_WAIT,
    Done,
    LoyaltyEvent,
    Outcome,
    Waits,
    correlation_of,
)
from domain.loyalty.service.expiry import (
    ExpiryRange,
    ExpiryResult,
    WouldExpire,
    dry_run,
    expire_range,
    plan_expiry,
)
from domain.loyalty.service.holds import time_out_holds, touched_by
from domain.loyalty.service.loading import cards_awaited
from domain.loyalty.service.merging import Merged, merge_cards
from domain.loyalty.service.notices import announce_expiring, notices
from domain.loyalty.service.numbers import replace_card, would_change
from domain.loyalty.service.offers import Rewards, rewards_of
from domain.loyalty.service.programs import change_program, create_program, set_status, terms_of
from domain.loyalty.service.reports import ProgramSummary, check_invariants, roll_up_cards, summary
from domain.loyalty.service.restoring import Grace, Restored, restore_points
from domain.loyalty.service.tiers import (
    Recounted,
    TierView,
    announce_falls,
    recount_tiers,
    settle_tiers,
    tier,
    tier_changes,
    tier_notices,
)

__all__ = [
    "CARD_WAIT",
    "TYPES",
    "Act",
    "Applied",
    "CardView",
    "Done",
    "ExpiryRange",
    "ExpiryResult",
    "Grace",
    "LoyaltyEvent",
    "Merged",
    "Outcome",
    "ProgramSummary",
    "Recounted",
    "Restored",
    "Rewards",
    "TierView",
    "Waits",
    "WouldExpire",
    "announce_expiring",
    "announce_falls",
    "apply",
    "card",
    "cards_awaited",
    "change_program",
    "check_invariants",
    "correlation_of",
    "create_program",
    "dry_run",
    "expire_range",
    "history",
    "keep_act",
    "merge_cards",
    "notices",
    "plan_expiry",
    "recount_tiers",
    "refused_under",
    "replace_card",
    "restore_points",
    "rewards_of",
    "roll_up_cards",
    "set_status",
    "settle_tiers",
    "summary",
    "terms_of",
    "tier",
    "tier_changes",
    "tier_notices",
    "time_out_holds",
    "touched_by",
    "transactions_of",
    "would_change",
]
