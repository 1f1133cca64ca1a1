-- A recipient at Wise: its number there, and the profile that it was made for. It names where money goes,
-- and never changes.
ALTER TABLE payee_recipients ADD COLUMN external_id VARCHAR(255);
ALTER TABLE payee_recipients ADD COLUMN platform_account VARCHAR(255);
ALTER TABLE payee_recipients ADD CONSTRAINT ck_payee_recipients_wise_is_named
    CHECK (method <> 'wise' OR (external_id IS NOT NULL AND platform_account IS NOT NULL));
CREATE TRIGGER keep_external BEFORE UPDATE ON payee_recipients FOR EACH ROW
WHEN (OLD.external_id IS DISTINCT FROM NEW.external_id OR OLD.platform_account IS DISTINCT FROM NEW.platform_account)
EXECUTE FUNCTION keep_frozen();

-- By the name that an attempt has at Wise: how a notice finds it.
CREATE INDEX ix_payout_attempts_named ON payout_attempts ((params ->> 'customerTransactionId'))
    WHERE (params ->> 'customerTransactionId') IS NOT NULL;

-- When the gateway was asked whose answer a payout on its way shows: an older answer changes nothing.
ALTER TABLE payouts ADD COLUMN progress_asked_at TIMESTAMP WITH TIME ZONE;
CREATE FUNCTION guard_progress() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payout %: the gateway was asked at %, a later answer holds', NEW.id, NEW.progress_asked_at
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER guard_progress BEFORE UPDATE OF progress_asked_at ON payouts FOR EACH ROW
WHEN (NEW.progress_asked_at < OLD.progress_asked_at OR (OLD.progress_asked_at IS NOT NULL AND NEW.progress_asked_at IS NULL))
EXECUTE FUNCTION guard_progress();
