-- States move only along the tables of domain/payouts/rules/states.py; a test holds these lists to them.
CREATE FUNCTION refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        RAISE EXCEPTION '%: nothing begins as %', TG_TABLE_NAME, NEW.state USING ERRCODE = 'restrict_violation';
    END IF;
    RAISE EXCEPTION '% %: no way from % to %', TG_TABLE_NAME, OLD.id, OLD.state, NEW.state
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER legal_begin BEFORE INSERT ON payouts FOR EACH ROW
WHEN (NEW.state <> 'draft') EXECUTE FUNCTION refuse_transition();
CREATE TRIGGER legal_move BEFORE UPDATE OF state ON payouts FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
    ('draft', 'pending_approval'), ('draft', 'approved'), ('draft', 'canceled'),
    ('pending_approval', 'approved'), ('pending_approval', 'canceled'),
    ('approved', 'sending'), ('approved', 'canceled'),
    ('sending', 'in_transit'), ('sending', 'paid'), ('sending', 'unknown'), ('sending', 'failed'),
    ('unknown', 'in_transit'), ('unknown', 'paid'), ('unknown', 'failed'),
    ('in_transit', 'paid'), ('in_transit', 'unknown'), ('in_transit', 'failed'),
    ('in_transit', 'returned'), ('in_transit', 'reversed'),
    ('failed', 'sending'), ('failed', 'canceled'), ('failed', 'reversed'),
    ('paid', 'failed'), ('paid', 'returned'), ('paid', 'reversed'),
    ('returned', 'sending'), ('returned', 'reversed')
))
EXECUTE FUNCTION refuse_transition();

CREATE TRIGGER legal_begin BEFORE INSERT ON payout_attempts FOR EACH ROW
WHEN (NEW.state NOT IN ('created', 'sending')) EXECUTE FUNCTION refuse_transition();
CREATE TRIGGER legal_move BEFORE UPDATE OF state ON payout_attempts FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
    ('created', 'sending'), ('created', 'failed'),
    ('sending', 'succeeded'), ('sending', 'failed'), ('sending', 'unknown'),
    ('unknown', 'succeeded'), ('unknown', 'failed'), ('unknown', 'abandoned'),
    ('succeeded', 'reversed')
))
EXECUTE FUNCTION refuse_transition();

CREATE TRIGGER legal_begin BEFORE INSERT ON payout_runs FOR EACH ROW
WHEN (NEW.state <> 'building') EXECUTE FUNCTION refuse_transition();
CREATE TRIGGER legal_move BEFORE UPDATE OF state ON payout_runs FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
    ('building', 'frozen'),
    ('frozen', 'pending_approval'), ('frozen', 'approved'),
    ('pending_approval', 'approved'),
    ('approved', 'sending'),
    ('sending', 'settled')
))
EXECUTE FUNCTION refuse_transition();

-- What was frozen stays: who is paid, how much, where to, out of which earnings; and what it was paid as.
CREATE FUNCTION keep_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% %: what was frozen never changes; a change is a new row', TG_TABLE_NAME, OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER keep_frozen BEFORE UPDATE ON payouts FOR EACH ROW
WHEN (
    OLD.id <> NEW.id OR OLD.merchant_id <> NEW.merchant_id OR OLD.run_id <> NEW.run_id
    OR OLD.payee_id <> NEW.payee_id OR OLD.user_id <> NEW.user_id OR OLD.account_id <> NEW.account_id
    OR OLD.method <> NEW.method OR OLD.destination <> NEW.destination OR OLD.currency <> NEW.currency
    OR OLD.amount <> NEW.amount OR OLD.members <> NEW.members OR OLD.members_hash <> NEW.members_hash
    OR (OLD.external_transaction_id IS NOT NULL
        AND NEW.external_transaction_id IS DISTINCT FROM OLD.external_transaction_id)
)
EXECUTE FUNCTION keep_frozen();

CREATE TRIGGER keep_frozen BEFORE UPDATE ON payout_runs FOR EACH ROW
WHEN (
    OLD.id <> NEW.id OR OLD.merchant_id <> NEW.merchant_id OR OLD.name <> NEW.name OR OLD.as_of <> NEW.as_of
    OR OLD.minimums <> NEW.minimums OR OLD.methods <> NEW.methods
    OR (OLD.state <> 'building' AND (OLD.members_hash <> NEW.members_hash OR OLD.frozen_at <> NEW.frozen_at))
)
EXECUTE FUNCTION keep_frozen();

-- A key, and all that is sent under it, is fixed when it is minted. The time from which its age counts
-- moves only while the attempt waits: it was turned away then, and the gateway has not seen the key.
CREATE TRIGGER keep_frozen BEFORE UPDATE ON payout_attempts FOR EACH ROW
WHEN (
    OLD.id <> NEW.id OR OLD.merchant_id <> NEW.merchant_id OR OLD.payout_id <> NEW.payout_id
    OR OLD.leg <> NEW.leg OR OLD.n <> NEW.n OR OLD.idempotency_key <> NEW.idempotency_key
    OR OLD.params <> NEW.params OR OLD.params_hash <> NEW.params_hash OR OLD.api_version <> NEW.api_version
    OR OLD.platform_account <> NEW.platform_account
    OR (OLD.sent_at IS DISTINCT FROM NEW.sent_at
        AND NOT (OLD.state IN ('created', 'sending') AND OLD.lease_until IS NULL AND NEW.state = 'sending'))
    OR (OLD.external_id IS NOT NULL AND NEW.external_id IS DISTINCT FROM OLD.external_id)
)
EXECUTE FUNCTION keep_frozen();

-- Money can only be sent for a payout that is approved or on its way, is not stopped, and was not given
-- up. The payout is locked, so that none of this changes before the attempt is committed.
CREATE FUNCTION guard_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    payout record;
    last integer;
BEGIN
    SELECT state, frozen_reason, merchant_id INTO payout
    FROM payouts WHERE id = NEW.payout_id FOR NO KEY UPDATE;
    IF payout.state NOT IN ('approved', 'sending', 'failed', 'unknown', 'in_transit', 'returned') THEN
        RAISE EXCEPTION 'payout %: no attempt may begin while it is %', NEW.payout_id, payout.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF payout.frozen_reason IS NOT NULL THEN
        RAISE EXCEPTION 'payout %: it is stopped: %', NEW.payout_id, payout.frozen_reason
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.leg = 'transfer' AND payout.state IN ('in_transit', 'returned') THEN
        RAISE EXCEPTION 'payout %: its transfer was made; only a bank attempt may begin', NEW.payout_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT coalesce(max(n), 0) INTO last FROM payout_attempts
    WHERE payout_id = NEW.payout_id AND leg = NEW.leg;
    IF NEW.n <> last + 1 OR NEW.merchant_id <> payout.merchant_id THEN
        RAISE EXCEPTION 'payout %: the next % attempt is % of merchant %',
            NEW.payout_id, NEW.leg, last + 1, payout.merchant_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER guard_attempt BEFORE INSERT ON payout_attempts FOR EACH ROW EXECUTE FUNCTION guard_attempt();

-- A payout is given up only when nothing of it has been paid or may have been.
CREATE FUNCTION guard_cancel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM payout_attempts WHERE payout_id = NEW.id
               AND state NOT IN ('failed', 'abandoned', 'reversed')) THEN
        RAISE EXCEPTION 'payout %: an attempt has paid it or may have; it cannot be canceled', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER guard_cancel BEFORE UPDATE OF state ON payouts FOR EACH ROW
WHEN (NEW.state = 'canceled' AND OLD.state <> 'canceled') EXECUTE FUNCTION guard_cancel();

DO $$
DECLARE
    target text;
BEGIN
    FOREACH target IN ARRAY ARRAY['payout_runs', 'payouts', 'payout_attempts'] LOOP
        EXECUTE format('CREATE TRIGGER no_delete BEFORE DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', target);
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', target);
    END LOOP;
END $$;
