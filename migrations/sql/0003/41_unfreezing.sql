-- When a payout was stopped (real time): what was looked up before says nothing about why.
ALTER TABLE payouts ADD COLUMN frozen_at TIMESTAMP WITH TIME ZONE;
CREATE FUNCTION note_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.frozen_at := CASE WHEN NEW.frozen_reason IS NOT NULL THEN clock_timestamp() END;
    RETURN NEW;
END $$;
CREATE TRIGGER note_frozen BEFORE UPDATE OF frozen_reason ON payouts FOR EACH ROW
WHEN (OLD.frozen_reason IS DISTINCT FROM NEW.frozen_reason) EXECUTE FUNCTION note_frozen();

-- A transfer in the gateway's books, not all taken back, that names a payout of this installation, that no attempt
-- of it made or may have made, and that no person has explained; NULL if there is none.
CREATE FUNCTION unexplained_payment(payout BIGINT) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT t.transfer_id
    FROM payouts p
    JOIN gateway_transactions t ON t.merchant_id = p.merchant_id AND t.payout_id = p.id AND t.method = p.method
         AND t.type = 'transfer' AND t.installation = (SELECT code FROM installation)
    WHERE p.id = payout
      AND t.amount + coalesce((SELECT sum(r.amount) FROM gateway_transactions r
                               WHERE r.merchant_id = t.merchant_id AND r.transfer_id = t.transfer_id
                                 AND r.method = t.method AND r.platform_account = t.platform_account
                                 AND r.type <> 'transfer'), 0) < 0
      AND NOT EXISTS (SELECT FROM payout_attempts a WHERE a.payout_id = p.id AND a.leg = 'transfer'
                      AND ((a.external_id = t.transfer_id AND a.state IN ('succeeded', 'reversed'))
                           OR (a.idempotency_key = t.attempt_key AND a.state IN ('created', 'sending', 'unknown'))))
      AND NOT EXISTS (SELECT FROM payout_differences d WHERE d.merchant_id = p.merchant_id
                      AND d.method = p.method AND d.external_id = t.transfer_id
                      AND d.kind IN ('missing_here', 'paid_after_all')
                      AND d.state = 'resolved' AND d.resolved_by <> 'reconciliation')
    ORDER BY t.created LIMIT 1
$$;
-- How an explanation is found by its transfer.
CREATE INDEX ix_payout_differences_external ON payout_differences (merchant_id, external_id)
    WHERE external_id IS NOT NULL;

-- Why a payout that is stopped may not go on yet, whoever agrees, because it would be sent; NULL if it may. One
-- that was stopped after a failover is one that the database may have forgotten to have paid.
CREATE FUNCTION unfreeze_hindrance(payout BIGINT) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    p payouts;
    transfer TEXT;
BEGIN
    SELECT * INTO STRICT p FROM payouts WHERE id = payout;
    IF p.state NOT IN ('draft', 'pending_approval', 'approved', 'sending', 'unknown', 'failed') THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM outside_payments o WHERE o.payout_id = p.id AND o.used_at IS NULL
               AND o.withdrawn_by IS NULL) THEN
        RETURN NULL;
    END IF;
    transfer := unexplained_payment(p.id);
    IF transfer IS NOT NULL THEN
        RETURN 'the gateway''s books show ' || transfer || ' for it, which no attempt of it made: say that it was'
            || ' paid outside, or resolve that difference with what explains it';
    END IF;
    IF starts_with(p.frozen_reason, 'after a failover: ')
       AND NOT EXISTS (SELECT FROM reconciliations r WHERE r.merchant_id = p.merchant_id AND r.method = p.method
                       AND r.state = 'done' AND r.created_at > coalesce(p.frozen_at, '-infinity')) THEN
        RETURN 'the gateway''s books were not read since it was stopped after a failover:'
            || ' `payspool payouts reconcile` reads them';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION guard_unfreeze() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    hindrance TEXT;
BEGIN
    UPDATE payout_unfreezes SET used_at = clock_timestamp()
    WHERE payout_id = OLD.id AND frozen_reason = OLD.frozen_reason AND agreed_by IS NOT NULL AND used_at IS NULL;
    IF NEW.frozen_reason IS NOT NULL OR NOT FOUND THEN
        RAISE EXCEPTION 'payout %: it is stopped (%) until two people have agreed to let it go on',
            OLD.id, OLD.frozen_reason USING ERRCODE = 'restrict_violation';
    END IF;
    hindrance := unfreeze_hindrance(OLD.id);
    IF hindrance IS NOT NULL THEN
        RAISE EXCEPTION 'payout % is not let go on: %', OLD.id, hindrance USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
