"""All tables, imported in one place for migrations and for tests that compare them."""

import domain.access.models
import domain.audit.models
import domain.charts.models
import domain.clock
import domain.dead_letters.models
import domain.earnings.models
import domain.inbox.models
import domain.installation
import domain.ledger.models
import domain.loyalty.models
import domain.merchants.models
import domain.outbox.models
import domain.payouts.models
import domain.referrals.models
import domain.retention.models
import domain.schedules.models
import domain.webhooks.models  # noqa: F401
from domain.db import metadata

__all__ = ["metadata"]
