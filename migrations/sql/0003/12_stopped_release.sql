-- A payout that two people have to look at may be with its payee still, although it came back once (it was
-- paid twice): until they let it go on, nothing of it is owed again.
CREATE FUNCTION guard_release_stopped() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payout %: it is stopped (%); nothing of it is let go', NEW.id, NEW.frozen_reason
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER guard_release_stopped BEFORE UPDATE OF release_confirmed_by ON payouts FOR EACH ROW
WHEN (OLD.release_confirmed_by IS DISTINCT FROM NEW.release_confirmed_by AND NEW.frozen_reason IS NOT NULL)
EXECUTE FUNCTION guard_release_stopped();

CREATE FUNCTION guard_decision_stopped() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stopped text;
BEGIN
    SELECT frozen_reason INTO stopped FROM payouts WHERE id = NEW.payout_id FOR NO KEY UPDATE;
    IF stopped IS NOT NULL THEN
        RAISE EXCEPTION 'reversal %: its payout is stopped (%); nothing is decided about it', NEW.external_id, stopped
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_decision_stopped BEFORE UPDATE OF decision ON payout_reversals FOR EACH ROW
WHEN (OLD.decision IS DISTINCT FROM NEW.decision) EXECUTE FUNCTION guard_decision_stopped();
