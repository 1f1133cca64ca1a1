"""Indexes by which people page through runs and payouts, newest first."""

from sqlalchemy import Index

from domain.payouts.models.payouts import payout_runs, payouts

ix_payout_runs_page = Index("ix_payout_runs_page", payout_runs.c.merchant_id, payout_runs.c.id)
ix_payouts_page = Index("ix_payouts_page", payouts.c.merchant_id, payouts.c.id)
ix_payouts_run = Index("ix_payouts_run", payouts.c.run_id, payouts.c.id)
# By currency, by method, or by both: one look for each pair.
ix_payouts_pair = Index(
    "ix_payouts_pair",
    payouts.c.merchant_id,
    payouts.c.currency,
    payouts.c.method,
    payouts.c.id,
)
