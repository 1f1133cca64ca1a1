-- A payout to a bank that a connected account shows for one of our payouts, and that no bank attempt of it made, is a
-- difference as a transfer is in the platform's books: until a person has explained it, its payout may have been paid.
-- It is found on a connected account, not by reading the platform's books: by no reconciliation, and none resolves it.
ALTER TABLE payout_differences ALTER COLUMN last_run_id DROP NOT NULL;
ALTER TABLE payout_differences DROP CONSTRAINT ck_payout_differences_kind;
ALTER TABLE payout_differences ADD CONSTRAINT ck_payout_differences_kind CHECK (kind IN ('missing_there', 'missing_here', 'amount', 'currency', 'destination', 'fee', 'day_sum', 'paid_twice', 'paid_after_all', 'bank_missing_here'));
ALTER TABLE payout_differences ADD CONSTRAINT ck_payout_differences_found_by CHECK ((last_run_id IS NULL) = (kind = 'bank_missing_here'));

-- Why a payout that is stopped may not go on yet, whoever agrees: what would be sent to the bank may be there. NULL if
-- it may. (In whatever state: one that is `paid` is sent again once the bank has given it back.)
CREATE FUNCTION bank_hindrance(payout BIGINT) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    shown TEXT;
BEGIN
    SELECT d.external_id INTO shown
    FROM payouts p JOIN payout_differences d ON d.merchant_id = p.merchant_id AND d.payout_id = p.id
    WHERE p.id = payout AND p.state NOT IN ('canceled', 'reversed')
          AND d.kind = 'bank_missing_here' AND d.state = 'open'
    ORDER BY d.id LIMIT 1;
    IF shown IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN 'its connected account shows ' || shown || ' for it, which no bank attempt of it made: find out there whether'
        || ' the bank has it, then resolve that difference with what explains it';
END $$;

CREATE FUNCTION guard_bank_unfreeze() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    hindrance TEXT := bank_hindrance(OLD.id);
BEGIN
    IF hindrance IS NOT NULL THEN
        RAISE EXCEPTION 'payout % is not let go on: %', OLD.id, hindrance USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_bank_unfreeze BEFORE UPDATE OF frozen_reason ON payouts FOR EACH ROW
WHEN (OLD.frozen_reason IS NOT NULL AND NEW.frozen_reason IS DISTINCT FROM OLD.frozen_reason)
EXECUTE FUNCTION guard_bank_unfreeze();
