-- A payout that is stopped may have been paid, as the gateway's books say, without an attempt that says so: it
-- is not given up, whoever rejects its run or cancels it, before two people let it go on.
CREATE FUNCTION guard_stopped_cancel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payout %: it is stopped (%); it cannot be canceled', NEW.id, OLD.frozen_reason
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER guard_stopped_cancel BEFORE UPDATE OF state ON payouts FOR EACH ROW
WHEN (NEW.state = 'canceled' AND OLD.state <> 'canceled' AND OLD.frozen_reason IS NOT NULL)
EXECUTE FUNCTION guard_stopped_cancel();
