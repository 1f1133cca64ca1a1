-- While a worker asks the gateway about an attempt, its key may be on its way, and may pay: it is not given up before
-- the lease has ended, or another attempt could be sent beside it. The same of what is taken back.
CREATE FUNCTION refuse_giving_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% %: the gateway is being asked about it until %; it is not given up before', TG_TABLE_NAME, OLD.id,
        OLD.lease_until USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER guard_giving_up BEFORE UPDATE OF state ON payout_attempts FOR EACH ROW
WHEN (NEW.state = 'abandoned' AND OLD.state <> 'abandoned' AND OLD.lease_until > clock_timestamp())
EXECUTE FUNCTION refuse_giving_up();

CREATE TRIGGER guard_giving_up BEFORE UPDATE OF state ON reversal_requests FOR EACH ROW
WHEN (NEW.error_code = 'abandoned' AND OLD.state = 'unknown' AND OLD.lease_until > clock_timestamp())
EXECUTE FUNCTION refuse_giving_up();
