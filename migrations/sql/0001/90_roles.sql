-- The runtime role reads and writes rows; it owns nothing, truncates nothing, touches no trigger.
GRANT USAGE ON SCHEMA public TO payspool_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO payspool_runtime;
REVOKE ALL ON alembic_version FROM payspool_runtime;
GRANT SELECT ON alembic_version TO payspool_runtime;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO payspool_runtime;
-- Nothing cascades and nothing is deleted where money or history lives.
REVOKE DELETE ON merchants, gateway_accounts, api_keys, ledger_accounts, ledger_transfers, earnings,
    inbox_events, inbox_conflicts, inbox_revisions, rejected_messages, programs, program_versions, codes, attributions,
    referrer_states, trackings, tracking_reversals, audit_entries, payees, payout_runs, payouts,
    payout_attempts, gateway_events, dead_letters FROM payspool_runtime;
REVOKE INSERT, UPDATE, DELETE ON installation FROM payspool_runtime;
