-- A card of another system is taken over once: under the number that it had there, for ever, whatever becomes
-- of the card. The same file again finds it; another content under the number is refused.
CREATE TABLE imported_cards (
    merchant_id BIGINT NOT NULL,
    number VARCHAR(50) NOT NULL,
    card_id BIGINT NOT NULL,
    content_hash BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT pk_imported_cards PRIMARY KEY (merchant_id, number),
    CONSTRAINT uq_imported_cards_card_id UNIQUE (card_id),
    CONSTRAINT ck_imported_cards_content_hash CHECK (length(content_hash) = 32)
);
SELECT make_append_only('imported_cards');

CREATE FUNCTION check_imported_cards() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT a.card_id, a.number INTO broken
    FROM added a
    LEFT JOIN LATERAL (SELECT c.merchant_id, c.number FROM cards c WHERE c.id = a.card_id OFFSET 0) card ON true
    WHERE (card.merchant_id, card.number) IS DISTINCT FROM (a.merchant_id, a.number)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'card %: it is not the card % of its merchant', broken.card_id, broken.number
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER imported_card_is_there AFTER INSERT ON imported_cards
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_imported_cards();
REVOKE UPDATE, DELETE ON imported_cards FROM payspool_runtime;
GRANT SELECT, INSERT ON imported_cards TO payspool_runtime;
