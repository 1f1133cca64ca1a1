-- Who stopped a payee: what the gateway stopped, only its own word starts again.
ALTER TABLE payees ADD COLUMN blocked_by TEXT;
ALTER TABLE payees ADD COLUMN gateway_asked_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE payees ADD CONSTRAINT ck_payees_blocked_by CHECK (blocked_by IN ('operator', 'gateway'));
UPDATE payees SET blocked_by = 'operator' WHERE blocked_reason IS NOT NULL;

-- When the sweep asks again for a notice that nothing was made of, and how often it did.
ALTER TABLE gateway_events ADD COLUMN look_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE gateway_events ADD COLUMN emit_count INTEGER DEFAULT 0 NOT NULL;

-- A notice is what was signed, and is settled once: only one that failed can be tried again.
CREATE FUNCTION keep_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'gateway event %: what was received never changes, and % is final', OLD.id, OLD.state
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER keep_notice BEFORE UPDATE ON gateway_events FOR EACH ROW
WHEN (
    OLD.merchant_id <> NEW.merchant_id OR OLD.method <> NEW.method OR OLD.event_id <> NEW.event_id
    OR OLD.type <> NEW.type OR OLD.account IS DISTINCT FROM NEW.account OR OLD.payload <> NEW.payload
    OR (OLD.state <> NEW.state AND OLD.state IN ('applied', 'ignored'))
    OR (OLD.state = 'failed' AND NEW.state = 'received')
)
EXECUTE FUNCTION keep_notice();
