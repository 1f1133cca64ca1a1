-- An earning is what it was written as; only its hold, its due time, its void and its claim move.
CREATE FUNCTION keep_earning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'earning %: amount, payee, account, kind and source never change, and a void is final', OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER keep_earning BEFORE UPDATE ON earnings FOR EACH ROW
WHEN (
    OLD.amount <> NEW.amount OR OLD.account_id <> NEW.account_id OR OLD.merchant_id <> NEW.merchant_id
    OR OLD.user_id <> NEW.user_id OR OLD.currency <> NEW.currency OR OLD.kind <> NEW.kind
    OR OLD.source_kind <> NEW.source_kind OR OLD.source_id <> NEW.source_id OR OLD.id <> NEW.id
    OR OLD.reverses_id IS DISTINCT FROM NEW.reverses_id
    OR (OLD.voided_at IS NOT NULL AND NEW.voided_at IS DISTINCT FROM OLD.voided_at)
)
EXECUTE FUNCTION keep_earning();

-- A claim (NULL to a payout) calls no function, so that a run may claim a million rows. Leaving a payout
-- is allowed only while that payout can never be sent again, and never straight into another one.
CREATE FUNCTION keep_claim() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    released boolean;
BEGIN
    SELECT state = 'canceled'
           OR (state = 'reversed' AND reversed_amount = amount AND release_confirmed_by IS NOT NULL)
    INTO released FROM payouts WHERE id = OLD.payout_id;
    IF NEW.payout_id IS NOT NULL OR NOT coalesce(released, false) THEN
        RAISE EXCEPTION 'earning %: it leaves payout % only once that is canceled, or reversed in full and confirmed by an operator',
            OLD.id, OLD.payout_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER keep_claim BEFORE UPDATE OF payout_id ON earnings FOR EACH ROW
WHEN (OLD.payout_id IS NOT NULL AND NEW.payout_id IS DISTINCT FROM OLD.payout_id)
EXECUTE FUNCTION keep_claim();

-- AFTER, because beside a BEFORE trigger COPY inserts row by row.
CREATE TRIGGER born_unclaimed AFTER INSERT ON earnings FOR EACH ROW
WHEN (NEW.payout_id IS NOT NULL) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER no_delete BEFORE DELETE ON earnings FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON earnings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
