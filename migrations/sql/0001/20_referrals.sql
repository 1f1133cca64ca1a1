-- What a tracking was computed from and what it earned never changes; only refunds move it.
CREATE FUNCTION keep_tracking() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'tracking %: only refunded and reversed amounts may change, and only upwards', OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER keep_tracking BEFORE UPDATE ON trackings FOR EACH ROW
WHEN (
    (OLD.id, OLD.created_at, OLD.merchant_id, OLD.inbox_id, OLD.referrer_user_id, OLD.referred_user_id,
     OLD.code_id, OLD.program_id, OLD.program_version, OLD.transaction_id, OLD.transaction_amount,
     OLD.amount_earned, OLD.referee_amount_earned, OLD.currency, OLD.converted_at, OLD.seq, OLD.explanation)
    IS DISTINCT FROM
    (NEW.id, NEW.created_at, NEW.merchant_id, NEW.inbox_id, NEW.referrer_user_id, NEW.referred_user_id,
     NEW.code_id, NEW.program_id, NEW.program_version, NEW.transaction_id, NEW.transaction_amount,
     NEW.amount_earned, NEW.referee_amount_earned, NEW.currency, NEW.converted_at, NEW.seq, NEW.explanation)
    OR NEW.fully_refunded < OLD.fully_refunded
    OR NEW.refunded_amount < OLD.refunded_amount
    OR NEW.reversed_amount < OLD.reversed_amount
    OR NEW.referee_reversed_amount < OLD.referee_reversed_amount
)
EXECUTE FUNCTION keep_tracking();

CREATE TRIGGER no_delete BEFORE DELETE ON trackings FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON trackings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A tracking with where its money stands. The status is the earning's and its payout's, read, never copied:
-- a copy would have to be written again for every tracking at every step of a payout.
CREATE VIEW tracking_details AS
SELECT t.*, e.id AS earning_id, e.available_at, e.payout_id,
       CASE
           WHEN e.id IS NULL AND t.amount_earned > 0 THEN 'pending'
           WHEN t.amount_earned > 0 AND t.reversed_amount = t.amount_earned THEN 'reversed'
           WHEN e.held_at IS NOT NULL THEN 'held'
           WHEN p.state = 'paid' THEN 'paid'
           WHEN p.state = 'failed' THEN 'failed'
           WHEN p.state IN ('reversed', 'returned') THEN 'reversed'
           WHEN p.id IS NOT NULL THEN 'processing'
           ELSE 'pending'
       END AS payout_status
FROM trackings t
LEFT JOIN earnings e ON e.source_kind = 'tracking' AND e.source_id = t.id AND e.kind = 'reward'
LEFT JOIN payouts p ON p.id = e.payout_id;
