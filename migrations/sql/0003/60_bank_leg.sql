-- The optional second leg of a Stripe payout: from the connected account to its bank. A merchant's choice,
-- which a payout keeps from when it was frozen.
ALTER TABLE gateway_accounts ADD COLUMN bank_leg BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE gateway_accounts ADD CONSTRAINT ck_gateway_accounts_bank_leg CHECK (NOT bank_leg OR method = 'stripe');
ALTER TABLE payouts ADD COLUMN bank_leg BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE payouts ADD CONSTRAINT ck_payouts_bank_leg CHECK (NOT bank_leg OR method = 'stripe');
CREATE TRIGGER keep_bank_leg BEFORE UPDATE OF bank_leg ON payouts FOR EACH ROW
WHEN (OLD.bank_leg <> NEW.bank_leg) EXECUTE FUNCTION keep_frozen();

-- A bank attempt that begins anew (`sending`) or whose outcome was unknown can fail as well: the money is
-- on the connected account then.
DROP TRIGGER legal_move ON payouts;
CREATE TRIGGER legal_move BEFORE UPDATE OF state ON payouts FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
    ('draft', 'pending_approval'), ('draft', 'approved'), ('draft', 'canceled'),
    ('pending_approval', 'approved'), ('pending_approval', 'canceled'),
    ('approved', 'sending'), ('approved', 'canceled'),
    ('sending', 'in_transit'), ('sending', 'paid'), ('sending', 'unknown'), ('sending', 'failed'),
    ('sending', 'returned'),
    ('unknown', 'in_transit'), ('unknown', 'paid'), ('unknown', 'failed'), ('unknown', 'returned'),
    ('in_transit', 'paid'), ('in_transit', 'unknown'), ('in_transit', 'failed'),
    ('in_transit', 'returned'), ('in_transit', 'reversed'),
    ('failed', 'sending'), ('failed', 'canceled'), ('failed', 'reversed'),
    ('paid', 'failed'), ('paid', 'returned'), ('paid', 'reversed'),
    ('returned', 'sending'), ('returned', 'reversed')
))
EXECUTE FUNCTION refuse_transition();

-- A bank attempt pays out what the transfer of its own payout brought: there is one that succeeded, and it
-- was not reversed. The payout is locked by guard_attempt, whose name comes first. (guard_bank_attempt asks
-- whether anything of it is being taken back.)
CREATE FUNCTION guard_bank_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM payouts WHERE id = NEW.payout_id AND bank_leg)
       OR NOT EXISTS (SELECT FROM payout_attempts WHERE payout_id = NEW.payout_id AND leg = 'transfer'
                      AND state = 'succeeded') THEN
        RAISE EXCEPTION 'payout %: a bank attempt follows its transfer, and only where the payout has a second leg',
            NEW.payout_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_bank_follows BEFORE INSERT ON payout_attempts FOR EACH ROW
WHEN (NEW.leg = 'bank') EXECUTE FUNCTION guard_bank_follows();

-- What has a second leg is paid when the bank has it, not before; and what is on the connected account is
-- neither failed nor given up: it goes to the bank, or is reversed.
CREATE FUNCTION guard_bank_leg() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    transferred boolean := EXISTS (SELECT FROM payout_attempts WHERE payout_id = NEW.id
                                   AND leg = 'transfer' AND state = 'succeeded');
BEGIN
    -- Or when two people said that it was paid outside, where no leg of it was.
    IF NEW.state = 'paid' AND NOT (transferred AND EXISTS (
            SELECT FROM payout_attempts WHERE payout_id = NEW.id AND state = 'succeeded'
            AND (leg = 'bank' OR platform_account = 'outside'))) THEN
        RAISE EXCEPTION 'payout %: it is paid when a bank attempt has succeeded', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state IN ('failed', 'canceled') AND transferred THEN
        RAISE EXCEPTION 'payout %: its transfer was made; only a bank attempt or a reversal can follow', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_bank_leg BEFORE UPDATE OF state ON payouts FOR EACH ROW
WHEN (NEW.bank_leg AND OLD.state <> NEW.state AND NEW.state IN ('paid', 'failed', 'canceled'))
EXECUTE FUNCTION guard_bank_leg();

-- Payouts whose money is on a connected account and waits there: found by the account that a notice names.
CREATE INDEX ix_payouts_bank_waits ON payouts (merchant_id, destination)
    WHERE bank_leg AND state IN ('in_transit', 'returned');
