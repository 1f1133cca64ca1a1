"""Tables of payouts: payees, runs, payouts, exclusions, attempts, and what gateways told us.

What the database keeps: one live attempt for each payout and leg, legal states, a frozen amount and
destination, and earnings that leave a payout only while it is canceled or reversed (triggers in the
migration).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.db import at_column, created_at, id_column, metadata

payees = Table(
    "payees",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("name", String(255), nullable=True),
    Column("method", Text, nullable=False),
    # The gateway's name for the destination, as `acct_…`. Bank data is never here in plain text.
    Column("account", String(255), nullable=True),
    # Business time: since when method and account are what they are; a cooling-off counts from it.
    at_column("destination_since", nullable=True),
    Column("onboarding_url", Text, nullable=True),
    # Set by an operator or by the gateway's word (restricted, deauthorized); NULL: may be paid.
    Column("blocked_reason", Text, nullable=True),
    # Time of the newest `payee.updated` applied: an older one that arrives late changes nothing.
    at_column("as_of"),
    created_at(),
    at_column("updated_at", nullable=True),
    # Who set `blocked_reason`: what the gateway blocked, only its own word lifts again.
    Column("blocked_by", Text, nullable=True),
    # Real time at which the gateway was asked whose answer holds: an older answer changes nothing.
    at_column("gateway_asked_at", nullable=True),
    UniqueConstraint("merchant_id", "user_id"),
    CheckConstraint("method IN ('stripe', 'wise', 'manual')", name="method"),
    CheckConstraint("blocked_by IN ('operator', 'gateway')", name="blocked_by"),
    Index("ix_payees_account", "account", postgresql_where=text("account IS NOT NULL")),
)

payout_runs = Table(
    "payout_runs",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    # The fire that asked for it, as `payouts.run/acme`, or `manual`; with `as_of`, its key.
    Column("name", String(255), nullable=False),
    at_column("as_of"),
    Column("state", Text, nullable=False, server_default=text("'building'")),
    # {"usd": 1000}: the smallest payout, by currency, as it was when the run was built.
    Column("minimums", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # ["stripe"]: the methods that it pays by; payees of other methods are left for another run.
    Column("methods", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    # {"created": 3, "skipped": 2, "errors": [...], "reasons": {"below_minimum": 2}, "by_currency": {...}}
    Column("result", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # SHA-256 chained over its payouts (id and members hash) by ascending id, while they are made.
    Column("members_hash", LargeBinary, nullable=False),
    # Where the build stands: the last payable account that was looked at. It resumes from there.
    Column("cursor_account_id", BigInteger, nullable=False, server_default=text("0")),
    created_at(),
    at_column("frozen_at", nullable=True),
    at_column("approved_at", nullable=True),
    Column("approved_by", Text, nullable=True),
    at_column("settled_at", nullable=True),
    # Who asked for it: a person, or the schedule. They cannot approve it.
    Column("prepared_by", String(255), nullable=True),
    # The merchant's policy as it was when the run was opened (rules/approving.py).
    Column("policy", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("needs_approval", Boolean, nullable=False, server_default=text("false")),
    # Real time: the last moment of its approval.
    at_column("approval_expires_at", nullable=True),
    # What was approved: `members_hash`, as whoever approved it saw it.
    Column("approved_hash", LargeBinary, nullable=True),
    at_column("rejected_at", nullable=True),
    Column("rejected_by", String(255), nullable=True),
    Column("reject_reason", String(500), nullable=True),
    # Business time, UTC: the day on which it was opened, for whose limits its payouts count.
    Column(
        "limit_day",
        Date,
        nullable=False,
        server_default=text("((statement_timestamp() AT TIME ZONE 'UTC'))::date"),
    ),
    # Real time: when the sweep has it taken further if nobody did until then.
    at_column("look_at", nullable=True),
    UniqueConstraint("merchant_id", "name", "as_of"),
    CheckConstraint(
        "state IN ('building', 'frozen', 'pending_approval', 'approved', 'rejected', 'sending', 'settled')",
        name="state",
    ),
    CheckConstraint("state = 'building' OR frozen_at IS NOT NULL", name="frozen_when"),
    CheckConstraint(
        "state IN ('building', 'frozen', 'pending_approval', 'rejected')"
        " OR (approved_by IS NOT NULL AND approved_hash = members_hash) IS TRUE",
        name="approved_by_whom",
    ),
    CheckConstraint(
        "state <> 'rejected' OR (rejected_by IS NOT NULL AND reject_reason IS NOT NULL)",
        name="rejected_by_whom",
    ),
    Index("ix_payout_runs_open", "id", postgresql_where=text("state <> 'settled'")),
)

payouts = Table(
    "payouts",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("run_id", BigInteger, ForeignKey("payout_runs.id"), nullable=False),
    Column("payee_id", BigInteger, ForeignKey("payees.id"), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("account_id", BigInteger, ForeignKey("ledger_accounts.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("destination", String(255), nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("members", Integer, nullable=False),
    # SHA-256 over the member earnings (id and amount, ascending), amount, currency and destination.
    Column("members_hash", LargeBinary, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'draft'")),
    # Stops every further send and asks for a person; the sentence says why.
    Column("frozen_reason", Text, nullable=True),
    # Real time; set by the database.
    at_column("frozen_at", nullable=True),
    Column("parked_reason", Text, nullable=True),
    # Real time: a failed or waiting payout may be sent again from then on; NULL: not by itself.
    at_column("next_try_at", nullable=True),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    # Real time: when the sweep asks again if nothing happened until then, when it last did, how often.
    at_column("look_at", nullable=True),
    at_column("emitted_at", nullable=True),
    Column("emit_count", Integer, nullable=False, server_default=text("0")),
    at_column("processed_at", nullable=True),
    at_column("failed_at", nullable=True),
    Column("external_transaction_id", String(255), nullable=True),
    Column("reversed_amount", BigInteger, nullable=False, server_default=text("0")),
    # The operator who let the earnings of a fully reversed payout be paid again.
    Column("release_confirmed_by", Text, nullable=True),
    Column("error_code", Text, nullable=True),
    Column("error_message", String(500), nullable=True),
    created_at(),
    at_column("updated_at", nullable=True),
    # Whether it goes on from the connected account to the bank: kept from when it was frozen.
    Column("bank_leg", Boolean, nullable=False, server_default=text("false")),
    # Real time at which the gateway was asked whose answer it shows on its way: an older one changes nothing.
    at_column("progress_asked_at", nullable=True),
    # One payout of a run for each payee and currency.
    UniqueConstraint("run_id", "account_id"),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("members > 0", name="has_members"),
    CheckConstraint("reversed_amount BETWEEN 0 AND amount", name="reversed_at_most_paid"),
    CheckConstraint("NOT bank_leg OR method = 'stripe'", name="bank_leg"),
    CheckConstraint(
        "state IN ('draft', 'pending_approval', 'approved', 'sending', 'in_transit', 'paid',"
        " 'unknown', 'failed', 'canceled', 'reversed', 'returned')",
        name="state",
    ),
    Index("ix_payouts_state", "merchant_id", "state", "id"),
    Index("ix_payouts_user", "merchant_id", "user_id", "id"),
    Index(
        "ix_payouts_frozen",
        "merchant_id",
        "id",
        postgresql_where=text("frozen_reason IS NOT NULL"),
    ),
    Index("ix_payouts_look_at", "look_at", postgresql_where=text("look_at IS NOT NULL")),
    # What waits for money.
    Index(
        "ix_payouts_short",
        "merchant_id",
        "method",
        "currency",
        "id",
        postgresql_where=text("parked_reason = 'balance_insufficient'"),
    ),
    # What waits on a connected account for its way to the bank.
    Index(
        "ix_payouts_bank_waits",
        "merchant_id",
        "destination",
        postgresql_where=text("bank_leg AND state IN ('in_transit', 'returned')"),
    ),
    # What keeps a run from being settled.
    Index(
        "ix_payouts_unsettled",
        "run_id",
        "id",
        postgresql_where=text("state NOT IN ('paid', 'canceled', 'reversed')"),
    ),
)

payout_exclusions = Table(
    "payout_exclusions",
    metadata,
    Column("run_id", BigInteger, ForeignKey("payout_runs.id"), nullable=False),
    Column("account_id", BigInteger, ForeignKey("ledger_accounts.id"), nullable=False),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("user_id", String(100), nullable=False),
    Column("currency", Text, nullable=False),
    # What would have been paid, in minor units; 0 where it was not computed (`busy`).
    Column("amount", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", String(500), nullable=False, server_default=text("''")),
    created_at(),
    # One payee and currency of a run: paid, or here with the reason.
    PrimaryKeyConstraint("run_id", "account_id"),
    Index("ix_payout_exclusions_user", "merchant_id", "user_id", "run_id"),
    Index("ix_payout_exclusions_busy", "run_id", postgresql_where=text("reason = 'busy'")),
)

payout_attempts = Table(
    "payout_attempts",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("payout_id", BigInteger, ForeignKey("payouts.id"), nullable=False),
    Column("leg", Text, nullable=False, server_default=text("'transfer'")),
    Column("n", Integer, nullable=False),
    # `payspool/<installation>/<payout>/<leg>/<n>`
    Column("idempotency_key", String(255), nullable=False, unique=True),
    # Exactly what is sent, and its hash: a replay sends this, it is never rebuilt.
    Column("params", JSONB, nullable=False),
    Column("params_hash", LargeBinary, nullable=False),
    Column("api_version", Text, nullable=False),
    # The account at the gateway that it is paid from: only a key of this account can replay or find it.
    Column("platform_account", String(255), nullable=False),
    Column("state", Text, nullable=False, server_default=text("'created'")),
    # Real time, by PostgreSQL's clock.
    at_column("lease_until", nullable=True),
    at_column("sent_at", nullable=True),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    at_column("resolved_at", nullable=True),
    Column("external_id", String(255), nullable=True),
    Column("outcome", Text, nullable=True),
    Column("http_status", Integer, nullable=True),
    Column("error_code", Text, nullable=True),
    Column("error_message", String(500), nullable=True),
    Column("replayed", Boolean, nullable=True),
    # `unknown → abandoned` takes two people and evidence.
    Column("abandon_proposed_by", String(255), nullable=True),
    Column("abandon_evidence", String(500), nullable=True),
    Column("abandon_agreed_by", String(255), nullable=True),
    # What was seen, try by try: [{"at", "status", "code", "request_id"}], newest last, bounded.
    Column("history", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    created_at(),
    UniqueConstraint("payout_id", "leg", "n"),
    # At most one attempt that has paid, or may have.
    Index(
        "uq_payout_attempts_live",
        "payout_id",
        "leg",
        unique=True,
        postgresql_where=text("state NOT IN ('failed', 'abandoned', 'reversed')"),
    ),
    Index(
        "ix_payout_attempts_open",
        "lease_until",
        postgresql_where=text("state IN ('created', 'sending', 'unknown')"),
    ),
    # By what the gateway calls it: how reconciliation finds ours in the gateway's books.
    Index(
        "ix_payout_attempts_external",
        "platform_account",
        "external_id",
        postgresql_where=text("external_id IS NOT NULL"),
    ),
    # By the name that an attempt has at Wise: how a notice finds it.
    Index(
        "ix_payout_attempts_named",
        text("(params ->> 'customerTransactionId')"),
        postgresql_where=text("(params ->> 'customerTransactionId') IS NOT NULL"),
    ),
    CheckConstraint(
        "state <> 'abandoned' OR (abandon_evidence <> '' AND abandon_proposed_by <> abandon_agreed_by) IS TRUE",
        name="abandoned_by_two",
    ),
    CheckConstraint("leg IN ('transfer', 'bank')", name="leg"),
    CheckConstraint("n > 0", name="n_positive"),
    CheckConstraint(
        "state IN ('created', 'sending', 'succeeded', 'failed', 'unknown', 'abandoned', 'reversed')",
        name="state",
    ),
    CheckConstraint(
        "state NOT IN ('succeeded', 'reversed') OR external_id IS NOT NULL",
        name="success_is_named",
    ),
)

gateway_events = Table(
    "gateway_events",
    metadata,
    id_column(),
    Column("merchant_id", BigInteger, ForeignKey("merchants.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("event_id", String(255), nullable=False),
    Column("type", Text, nullable=False),
    Column("account", String(255), nullable=True),
    Column("payload", JSONB, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'received'")),
    Column("error", String(500), nullable=True),
    created_at(),
    at_column("applied_at", nullable=True),
    # Real time: when the sweep asks again if nothing happened until then, and how often it did.
    at_column("look_at", nullable=True),
    Column("emit_count", Integer, nullable=False, server_default=text("0")),
    # By which road it came first; the other one finds it here.
    Column("brought_by", Text, nullable=False, server_default=text("'webhook'")),
    UniqueConstraint("merchant_id", "method", "event_id", "live"),
    CheckConstraint("brought_by IN ('webhook', 'poll')", name="brought_by"),
    CheckConstraint("state IN ('received', 'applied', 'ignored', 'failed')", name="state"),
    Index("ix_gateway_events_open", "id", postgresql_where=text("state = 'received'")),
)
