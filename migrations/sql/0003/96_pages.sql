-- Pages that stay as fast behind ten million rows as behind a thousand.
-- A filter of the audit trail that hardly anything matches does not walk through all of it.
CREATE INDEX ix_audit_entries_actor ON audit_entries (actor_id, id);
CREATE INDEX ix_audit_entries_action ON audit_entries (action, id);
-- One merchant's refused events among those of all, and a rare reason among frequent ones.
CREATE INDEX ix_inbox_events_attention_of ON inbox_events (merchant_id, status, reason, id) WHERE status <> 'applied';
-- Holds that ended, among those that are open: a page of them does not walk through the rest.
CREATE INDEX ix_tracking_holds_ended ON tracking_holds (merchant_id, id) WHERE outcome IS NOT NULL;
-- What was voided of a user's earnings is asked for by itself: the rest is found by its payout or by not having one.
CREATE INDEX ix_earnings_voided ON earnings (merchant_id, user_id) WHERE voided_at IS NOT NULL;
-- A page of somebody who was referred very often is read in its order.
DROP INDEX ix_trackings_referred;
CREATE INDEX ix_trackings_referred ON trackings (merchant_id, referred_user_id, id);
