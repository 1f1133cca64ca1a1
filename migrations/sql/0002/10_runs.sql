-- Approval of runs: by another person than the one who prepared it, of one hash, and in time.
CREATE TABLE payout_policies (
    merchant_id BIGINT NOT NULL,
    approval TEXT NOT NULL,
    approval_hours INTEGER DEFAULT 72 NOT NULL,
    cooling_off_hours INTEGER DEFAULT 0 NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_payout_policies PRIMARY KEY (merchant_id),
    CONSTRAINT ck_payout_policies_approval CHECK (approval IN ('never', 'above_limits', 'always')),
    CONSTRAINT ck_payout_policies_approval_hours CHECK (approval_hours BETWEEN 1 AND 8760),
    CONSTRAINT ck_payout_policies_cooling_off_hours CHECK (cooling_off_hours BETWEEN 0 AND 8760),
    CONSTRAINT fk_payout_policies_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
);
CREATE TABLE payout_limits (
    merchant_id BIGINT NOT NULL,
    currency TEXT NOT NULL,
    auto_payout BIGINT,
    auto_run BIGINT,
    CONSTRAINT pk_payout_limits PRIMARY KEY (merchant_id, currency),
    CONSTRAINT ck_payout_limits_auto_payout CHECK (auto_payout >= 0),
    CONSTRAINT ck_payout_limits_auto_run CHECK (auto_run >= 0),
    CONSTRAINT fk_payout_limits_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
);
GRANT SELECT, INSERT, UPDATE ON payout_policies, payout_limits TO payspool_runtime;

-- Business time: since when a payee is paid where they are.
ALTER TABLE payees ADD COLUMN destination_since TIMESTAMP WITH TIME ZONE;
UPDATE payees SET destination_since = as_of WHERE account IS NOT NULL;

ALTER TABLE payout_runs
    ADD COLUMN prepared_by VARCHAR(255),
    ADD COLUMN policy JSONB DEFAULT '{}'::jsonb NOT NULL,
    ADD COLUMN needs_approval BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN approval_expires_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN approved_hash BYTEA,
    ADD COLUMN rejected_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN rejected_by VARCHAR(255),
    ADD COLUMN reject_reason VARCHAR(500),
    DROP CONSTRAINT ck_payout_runs_state,
    DROP CONSTRAINT ck_payout_runs_approved_by_whom;
-- Runs of before were approved as they were frozen.
UPDATE payout_runs SET approved_hash = members_hash WHERE approved_by IS NOT NULL;
ALTER TABLE payout_runs
    ADD CONSTRAINT ck_payout_runs_state CHECK (state IN ('building', 'frozen', 'pending_approval', 'approved', 'rejected', 'sending', 'settled')),
    ADD CONSTRAINT ck_payout_runs_approved_by_whom CHECK (state IN ('building', 'frozen', 'pending_approval', 'rejected') OR (approved_by IS NOT NULL AND approved_hash = members_hash) IS TRUE),
    ADD CONSTRAINT ck_payout_runs_rejected_by_whom CHECK (state <> 'rejected' OR (rejected_by IS NOT NULL AND reject_reason IS NOT NULL));

DROP TRIGGER legal_move ON payout_runs;
CREATE TRIGGER legal_move BEFORE UPDATE OF state ON payout_runs FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
    ('building', 'frozen'),
    ('frozen', 'pending_approval'), ('frozen', 'approved'), ('frozen', 'rejected'),
    ('pending_approval', 'approved'), ('pending_approval', 'rejected'),
    ('approved', 'sending'),
    ('sending', 'settled')
))
EXECUTE FUNCTION refuse_transition();

DROP TRIGGER keep_frozen ON payout_runs;
CREATE TRIGGER keep_frozen BEFORE UPDATE ON payout_runs FOR EACH ROW
WHEN (
    OLD.id <> NEW.id OR OLD.merchant_id <> NEW.merchant_id OR OLD.name <> NEW.name OR OLD.as_of <> NEW.as_of
    OR OLD.minimums <> NEW.minimums OR OLD.methods <> NEW.methods OR OLD.policy <> NEW.policy
    OR OLD.prepared_by IS DISTINCT FROM NEW.prepared_by
    OR (OLD.state <> 'building' AND (OLD.members_hash <> NEW.members_hash OR OLD.frozen_at <> NEW.frozen_at
        OR OLD.needs_approval <> NEW.needs_approval))
    OR (OLD.approval_expires_at IS NOT NULL AND NEW.approval_expires_at IS DISTINCT FROM OLD.approval_expires_at)
    OR (OLD.approved_by IS NOT NULL AND (NEW.approved_by IS DISTINCT FROM OLD.approved_by
        OR NEW.approved_hash IS DISTINCT FROM OLD.approved_hash))
    OR (OLD.rejected_by IS NOT NULL AND (NEW.rejected_by IS DISTINCT FROM OLD.rejected_by
        OR NEW.reject_reason IS DISTINCT FROM OLD.reject_reason))
)
EXECUTE FUNCTION keep_frozen();

-- Who may approve, until when, and what. `automatic` is nobody: it approves only what needs no person.
CREATE FUNCTION guard_approval() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT NEW.needs_approval THEN
        RETURN NEW;
    END IF;
    IF OLD.state <> 'pending_approval' OR NEW.approved_by IS NULL OR NEW.approved_by = 'automatic' THEN
        RAISE EXCEPTION 'run %: a person has to approve it', NEW.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.prepared_by IS NULL OR NEW.approved_by = NEW.prepared_by THEN
        RAISE EXCEPTION 'run %: % prepared it; another person has to approve it', NEW.id, NEW.prepared_by
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.approval_expires_at IS NULL OR NEW.approval_expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'run %: it could be approved until %', NEW.id, NEW.approval_expires_at
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER guard_approval BEFORE UPDATE OF state ON payout_runs FOR EACH ROW
WHEN (NEW.state = 'approved' AND OLD.state <> 'approved') EXECUTE FUNCTION guard_approval();
