-- A reward of cash is an earning of the redemption that bought it: the cardholder's, of the amount that the
-- redemption says, once (sources are unique). A void takes back no more than that, over all its voids.
CREATE FUNCTION check_cash_redemption() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = 'cash_redemption' AND NOT EXISTS (
        SELECT FROM loyalty_transactions t JOIN cards c ON c.id = t.card_id
        WHERE NEW.source_kind = 'loyalty_transaction' AND t.id = NEW.source_id AND t.type = 'points_redeemed'
          AND t.merchant_id = NEW.merchant_id
          -- A batch may redeem and then forget the customer, before its earnings are written.
          AND (c.customer_id = NEW.user_id OR c.anonymized_at IS NOT NULL)
          AND CAST(t.explanation ->> 'cash' AS bigint) = NEW.amount AND t.explanation ->> 'currency' = NEW.currency
    ) THEN
        RAISE EXCEPTION 'earning %: no redemption % gives its cardholder so much', NEW.id, NEW.source_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.kind = 'clawback' AND NEW.source_kind = 'loyalty_transaction' AND NOT EXISTS (
        SELECT FROM earnings e JOIN loyalty_transactions v ON v.id = NEW.source_id
        WHERE e.id = NEW.reverses_id AND e.kind = 'cash_redemption' AND v.related_transaction_id = e.source_id
          AND (e.merchant_id, e.account_id) = (NEW.merchant_id, NEW.account_id)
          AND e.amount + (SELECT sum(r.amount) FROM earnings r WHERE r.reverses_id = e.id) >= 0
    ) THEN
        RAISE EXCEPTION 'earning %: void % takes back more cash than its redemption gave', NEW.id, NEW.source_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER cash_has_its_redemption AFTER INSERT ON earnings FOR EACH ROW
WHEN (NEW.kind = 'cash_redemption' OR NEW.source_kind = 'loyalty_transaction')
EXECUTE FUNCTION check_cash_redemption();
