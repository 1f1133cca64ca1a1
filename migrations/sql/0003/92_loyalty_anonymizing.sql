-- A customer is anonymized: personal data leaves the card and all that is kept of it; amounts, types, times and
-- hashes stay. The append-only tables allow exactly that: the named columns may be emptied, or lose keys, and
-- nothing else may change.
ALTER TABLE cards ADD COLUMN anonymized_at TIMESTAMP WITH TIME ZONE;

CREATE FUNCTION refuse_all_but_emptying() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := to_jsonb(OLD);
    after jsonb := to_jsonb(NEW);
    name text;
BEGIN
    IF before = after OR before - TG_ARGV::text[] IS DISTINCT FROM after - TG_ARGV::text[] THEN
        RAISE EXCEPTION '% on %: rows are append-only; write a correcting row instead', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    FOREACH name IN ARRAY TG_ARGV LOOP
        IF after -> name <> 'null' AND NOT (before -> name) @> (after -> name) THEN
            RAISE EXCEPTION '% on %: rows are append-only; % can only be emptied', TG_OP, TG_TABLE_NAME, name
                USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;

CREATE FUNCTION make_append_only_but(target regclass, VARIADIC emptied text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TRIGGER append_only_rows ON %s', target);
    EXECUTE format('CREATE TRIGGER append_only_rows BEFORE DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION refuse_change()', target);
    EXECUTE format('CREATE TRIGGER append_only_values BEFORE UPDATE ON %s FOR EACH ROW
                    EXECUTE FUNCTION refuse_all_but_emptying(%s)',
                   target, (SELECT string_agg(quote_literal(e), ', ') FROM unnest(emptied) e));
END $$;

SELECT make_append_only_but('loyalty_transactions', 'ip_address', 'user_agent', 'notes');
SELECT make_append_only_but('inbox_revisions', 'data', 'raw');
SELECT make_append_only_but('inbox_conflicts', 'data', 'raw');
SELECT make_append_only_but('audit_entries', 'before', 'after');

-- History is emptied for a card without a customer alone.
CREATE FUNCTION check_anonymized() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM cards WHERE id = OLD.card_id AND anonymized_at IS NOT NULL) THEN
        RAISE EXCEPTION 'card %: rows are append-only while its customer is known', OLD.card_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER emptied_when_anonymized BEFORE UPDATE ON loyalty_transactions
FOR EACH ROW EXECUTE FUNCTION check_anonymized();

-- A card's customer stays, but to be forgotten; who is forgotten is not found again.
CREATE FUNCTION keep_customer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'card %: its customer stays, or is anonymized for ever', OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keep_customer BEFORE UPDATE OF customer_id, anonymized_at ON cards FOR EACH ROW
WHEN (
    (OLD.customer_id <> NEW.customer_id OR OLD.anonymized_at IS DISTINCT FROM NEW.anonymized_at)
    AND (OLD.anonymized_at IS NOT NULL OR NEW.anonymized_at IS NULL
         OR NEW.customer_id <> 'anonymized-' || NEW.id)
)
EXECUTE FUNCTION keep_customer();

-- Whoever holds the customer's data elsewhere is told that the card has none any more.
CREATE TRIGGER announce_forgotten AFTER UPDATE OF anonymized_at ON cards FOR EACH ROW
WHEN (OLD.anonymized_at IS NULL AND NEW.anonymized_at IS NOT NULL) EXECUTE FUNCTION announce_forgotten();
