-- What one person adjusts alone is a sum: several small adjustments are as much as one large one. A merchant sets
-- the limit by currency; without one the rules' own holds.
ALTER TABLE payout_limits ADD COLUMN adjust_alone BIGINT;
ALTER TABLE payout_limits ADD CONSTRAINT ck_payout_limits_adjust_alone CHECK (adjust_alone >= 0);

CREATE INDEX ix_adjustments_alone ON adjustments (merchant_id, proposed_by, currency, decided_at)
    WHERE state = 'booked' AND agreed_by IS NULL;

-- What a person has adjusted alone in the last 7 days (real time): minor units of a currency, whatever the sign.
CREATE FUNCTION adjusted_alone(merchant BIGINT, person TEXT, code TEXT) RETURNS numeric LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(sum(abs(amount)), 0) FROM adjustments
    WHERE merchant_id = merchant AND proposed_by = person AND currency = code
          AND state = 'booked' AND agreed_by IS NULL AND decided_at > clock_timestamp() - interval '7 days'
$$;

-- The merchant is locked, so that of two adjustments at once the later one counts the earlier.
CREATE FUNCTION guard_adjusted_alone() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    used numeric;
BEGIN
    PERFORM FROM merchants WHERE id = NEW.merchant_id FOR NO KEY UPDATE;
    used := adjusted_alone(NEW.merchant_id, NEW.proposed_by, NEW.currency);
    IF used + abs(NEW.amount) > NEW.adjustment_limit THEN
        RAISE EXCEPTION 'adjustment %: % has adjusted % % alone within a week; % more takes a second person',
            NEW.id, NEW.proposed_by, used, NEW.currency, abs(NEW.amount) USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_adjusted_alone BEFORE UPDATE OF state ON adjustments FOR EACH ROW
WHEN (NEW.state = 'booked' AND OLD.state <> 'booked' AND NEW.agreed_by IS NULL)
EXECUTE FUNCTION guard_adjusted_alone();
CREATE TRIGGER legal_begin BEFORE INSERT ON adjustments FOR EACH ROW
WHEN (NEW.state <> 'proposed') EXECUTE FUNCTION refuse_transition();
