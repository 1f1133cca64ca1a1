-- Two cards become one: what the merged card holds moves to the survivor, and its number leads there from then on.
ALTER TABLE cards ADD COLUMN merged_into_id BIGINT;
CREATE INDEX ix_cards_merged ON cards (merged_into_id) WHERE merged_into_id IS NOT NULL;

CREATE TABLE card_merges (
    card_id BIGINT NOT NULL,
    merchant_id BIGINT NOT NULL,
    into_card_id BIGINT NOT NULL,
    points BIGINT NOT NULL,
    debt BIGINT NOT NULL,
    stamps BIGINT NOT NULL,
    holds BIGINT NOT NULL,
    debit_transaction_id BIGINT,
    credit_transaction_id BIGINT,
    reason VARCHAR(500) NOT NULL,
    merged_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT pk_card_merges PRIMARY KEY (card_id),
    CONSTRAINT ck_card_merges_amounts CHECK (points >= 0 AND debt >= 0 AND stamps >= 0 AND holds >= 0),
    CONSTRAINT ck_card_merges_other_card CHECK (card_id <> into_card_id),
    CONSTRAINT ck_card_merges_moves CHECK (
        (points > 0) = (debit_transaction_id IS NOT NULL) AND (points > 0) = (credit_transaction_id IS NOT NULL)
    )
);
CREATE INDEX ix_card_merges_into ON card_merges (into_card_id);
SELECT make_append_only('card_merges');
GRANT SELECT, INSERT ON card_merges TO payspool_runtime;

-- What left one card arrived on the other, point by point.
CREATE FUNCTION check_card_merge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM cards c WHERE c.id = NEW.card_id AND c.merchant_id = NEW.merchant_id
          AND c.merged_into_id = NEW.into_card_id
    ) OR (NEW.points > 0 AND NOT EXISTS (
        SELECT FROM loyalty_transactions gone JOIN loyalty_transactions come ON come.id = NEW.credit_transaction_id
        WHERE gone.id = NEW.debit_transaction_id
          AND (gone.card_id, gone.type, gone.points_delta) = (NEW.card_id, 'points_adjustment', -NEW.points)
          AND (come.card_id, come.type, come.points_delta) = (NEW.into_card_id, 'points_adjustment', NEW.points)
    )) THEN
        RAISE EXCEPTION 'card %: the % points of its merge did not go to card %', NEW.card_id, NEW.points, NEW.into_card_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER merge_moves_what_it_says AFTER INSERT ON card_merges FOR EACH ROW EXECUTE FUNCTION check_card_merge();
CREATE TRIGGER announce_merge AFTER INSERT ON card_merges FOR EACH ROW EXECUTE FUNCTION announce_merge();

-- A merged card stays merged: it follows its survivor when that is merged in turn, and goes nowhere else.
CREATE FUNCTION keep_merged() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.merged_into_id IS NULL OR EXISTS (
        SELECT FROM cards c WHERE c.id = OLD.merged_into_id AND c.merged_into_id = NEW.merged_into_id
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'card %: it was merged, for good', OLD.id USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER keep_merged BEFORE UPDATE OF merged_into_id ON cards FOR EACH ROW
WHEN (OLD.merged_into_id IS DISTINCT FROM NEW.merged_into_id) EXECUTE FUNCTION keep_merged();

-- At the end of the transaction a merged card has nothing any more, and its survivor is a card of the same program.
CREATE FUNCTION check_merged() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM cards c LEFT JOIN cards s ON s.id = c.merged_into_id
        WHERE c.id = NEW.id AND c.merged_into_id IS NOT NULL
          AND (c.points_balance <> 0 OR c.points_debt <> 0 OR c.stamps_balance <> 0 OR c.status <> 'inactive'
               OR c.awaits <> '{}' OR s.merged_into_id IS NOT NULL
               OR (s.merchant_id, s.program_id) IS DISTINCT FROM (c.merchant_id, c.program_id)
               OR EXISTS (SELECT FROM point_lots l WHERE l.card_id = c.id AND l.remaining > 0)
               OR EXISTS (SELECT FROM point_holds h WHERE h.card_id = c.id AND h.status = 'open'))
    ) THEN
        RAISE EXCEPTION 'card %: it is merged, so that it can hold nothing any more', NEW.id
            USING ERRCODE = 'integrity_constraint_violation',
                  HINT = 'Book on the card that it was merged into.';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER merged_card_is_empty AFTER UPDATE ON cards DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.merged_into_id IS NOT NULL) EXECUTE FUNCTION check_merged();

-- A lot moves with its card, and never otherwise; so does an open hold (90_loyalty_holds).
CREATE OR REPLACE FUNCTION keep_lot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.id, OLD.merchant_id, OLD.program_id, OLD.transaction_id, OLD.points, OLD.remaining, OLD.held,
        OLD.occurred_at, OLD.available_at, OLD.expires_at, OLD.policy)
       IS NOT DISTINCT FROM
       (NEW.id, NEW.merchant_id, NEW.program_id, NEW.transaction_id, NEW.points, NEW.remaining, NEW.held,
        NEW.occurred_at, NEW.available_at, NEW.expires_at, NEW.policy)
       AND EXISTS (SELECT FROM cards c WHERE c.id = OLD.card_id AND c.merged_into_id = NEW.card_id) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'lot %: only remaining and held may change', OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;

-- As before, but what a merged card did is corrected on its survivor.
CREATE OR REPLACE FUNCTION check_corrections() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    broken record;
BEGIN
    IF NOT EXISTS (SELECT FROM added WHERE related_transaction_id IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    SELECT a.id, a.type, a.related_transaction_id, original.type AS original_type INTO broken
    FROM added a
    LEFT JOIN LATERAL (
        SELECT t.card_id, t.type, t.points_delta AS points, t.id
        FROM loyalty_transactions t WHERE t.id = a.related_transaction_id OFFSET 0
    ) original ON true
    WHERE a.related_transaction_id IS NOT NULL
      AND ((original.card_id IS DISTINCT FROM a.card_id AND NOT EXISTS (
               SELECT FROM cards c WHERE c.id = original.card_id AND c.merged_into_id = a.card_id))
           OR original.id >= a.id
           OR CASE a.type
               WHEN 'points_voided' THEN a.points_delta * sign(original.points) > 0
                   OR original.type NOT IN ('points_earned', 'welcome_bonus', 'points_redeemed')
               WHEN 'stamp_voided' THEN original.type <> 'stamp_earned'
               WHEN 'points_adjustment' THEN original.type <> 'points_expired'
               ELSE true
           END)
    LIMIT 1;
    IF NOT FOUND THEN
        -- Once for each original: one statement may bring many corrections of it.
        SELECT a.id, a.type, a.related_transaction_id, original.type AS original_type INTO broken
        FROM (
            SELECT DISTINCT ON (related_transaction_id) id, type, related_transaction_id FROM added
            WHERE related_transaction_id IS NOT NULL
        ) a
        CROSS JOIN LATERAL (
            SELECT t.type, t.points_delta AS points, t.stamps_delta AS stamps
            FROM loyalty_transactions t WHERE t.id = a.related_transaction_id OFFSET 0
        ) original
        CROSS JOIN LATERAL (
            SELECT sum(v.points_delta - coalesce(v.points_not_taken, 0)) AS points, sum(v.stamps_delta) AS stamps
            FROM loyalty_transactions v
            WHERE v.related_transaction_id = a.related_transaction_id
              AND v.type IN ('points_voided', 'stamp_voided', 'points_adjustment')
            OFFSET 0
        ) voids
        WHERE abs(voids.points) > abs(original.points) OR -voids.stamps > original.stamps
        LIMIT 1;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION '% %: % % cannot be its original, or is exceeded by its corrections',
            broken.type, broken.id, coalesce(broken.original_type, 'transaction'), broken.related_transaction_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
