-- Pages of runs and payouts, newest first, whatever their state.
CREATE INDEX ix_payout_runs_page ON payout_runs (merchant_id, id);
CREATE INDEX ix_payouts_page ON payouts (merchant_id, id);
CREATE INDEX ix_payouts_run ON payouts (run_id, id);
