-- History, allocations and versions are never changed or removed; a correction is a new row.
SELECT make_append_only('loyalty_program_versions');
SELECT make_append_only('loyalty_transactions');
SELECT make_append_only('lot_allocations');

-- A card's history is a chain: each row follows the one before it in sequence and in balances. Checked
-- once a statement over all its rows, so that COPY of hundreds pays one call, together with the merchant
-- and program that a row shares with its card. Whoever writes holds the
-- card's lock; if somebody does not, the predecessor is not visible or the sequence number is taken.
-- Only index scans: the plan is kept for the life of a connection and must stay good as the table grows.
CREATE FUNCTION check_card_history() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT a.card_id, a.seq, a.points_delta, a.points_balance_after INTO broken
    FROM added a
    LEFT JOIN LATERAL (
        SELECT t.points_balance_after AS points, t.stamps_balance_after AS stamps
        FROM loyalty_transactions t
        WHERE t.card_id = a.card_id AND t.seq = a.seq - 1
        OFFSET 0
    ) before ON true
    LEFT JOIN LATERAL (
        SELECT c.merchant_id, c.program_id FROM cards c WHERE c.id = a.card_id OFFSET 0
    ) card ON true
    WHERE card.merchant_id IS DISTINCT FROM a.merchant_id OR card.program_id IS DISTINCT FROM a.program_id
    OR CASE
        WHEN a.seq = 1 THEN a.points_balance_after <> a.points_delta OR a.stamps_balance_after <> a.stamps_delta
        ELSE before.points IS NULL
             OR a.points_balance_after <> before.points + a.points_delta
             OR a.stamps_balance_after <> before.stamps + a.stamps_delta
    END
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'card %: row % (% points, balance after %) does not follow from row %, or is not of its card',
            broken.card_id, broken.seq, broken.points_delta, broken.points_balance_after, broken.seq - 1
            USING ERRCODE = 'integrity_constraint_violation',
                  HINT = 'Lock the card, then write the next sequence number and balance.';
    END IF;
    SELECT a.program_id, a.program_version INTO broken
    FROM (SELECT DISTINCT program_id, program_version FROM added) a
    WHERE NOT EXISTS (
        SELECT FROM loyalty_program_versions v
        WHERE v.program_id = a.program_id AND v.version = a.program_version
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'program %: there is no version %', broken.program_id, broken.program_version
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER history_is_a_chain AFTER INSERT ON loyalty_transactions
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_card_history();

-- A card's balances are those of its last row: nobody moves points without writing history.
CREATE FUNCTION check_card_balances() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT c.id, c.last_seq, c.points_balance, c.stamps_balance INTO broken
    FROM changed c
    LEFT JOIN LATERAL (
        SELECT t.points_balance_after AS points, t.stamps_balance_after AS stamps
        FROM loyalty_transactions t
        WHERE t.card_id = c.id AND t.seq = c.last_seq
        OFFSET 0
    ) last ON true
    WHERE CASE
        WHEN c.last_seq = 0 THEN c.points_balance <> 0 OR c.stamps_balance <> 0
        ELSE last.points IS NULL OR c.points_balance <> last.points OR c.stamps_balance <> last.stamps
    END
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'card %: balances (% points, % stamps) are not those of its row %',
            broken.id, broken.points_balance, broken.stamps_balance, broken.last_seq
            USING ERRCODE = 'integrity_constraint_violation',
                  HINT = 'Write the transaction first, then the card.';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION keep_card() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'card %: it stays with its merchant and program, and its history only grows', OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER keep_card BEFORE UPDATE ON cards FOR EACH ROW
WHEN (
    NEW.last_seq < OLD.last_seq
    OR (OLD.id, OLD.merchant_id, OLD.program_id) IS DISTINCT FROM (NEW.id, NEW.merchant_id, NEW.program_id)
)
EXECUTE FUNCTION keep_card();

CREATE TRIGGER balances_follow_history AFTER UPDATE ON cards
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION check_card_balances();
CREATE TRIGGER new_card_is_empty AFTER INSERT ON cards
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION check_card_balances();

-- A lot is of the card of the transaction that made it, and of no more points.
CREATE FUNCTION check_lots() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT a.id, a.transaction_id INTO broken
    FROM added a
    LEFT JOIN LATERAL (
        SELECT t.merchant_id, t.card_id, t.program_id, t.points_delta
        FROM loyalty_transactions t WHERE t.id = a.transaction_id
        OFFSET 0
    ) credit ON true
    WHERE (credit.merchant_id, credit.card_id, credit.program_id)
          IS DISTINCT FROM (a.merchant_id, a.card_id, a.program_id)
       OR a.points > credit.points_delta
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'lot %: transaction % is of another card, or credits less', broken.id, broken.transaction_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER lot_is_a_credit AFTER INSERT ON point_lots
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_lots();

-- A debit takes from lots of its own card.
CREATE FUNCTION check_allocations() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    broken record;
BEGIN
    SELECT a.debit_transaction_id, a.lot_id INTO broken
    FROM added a
    LEFT JOIN LATERAL (
        SELECT t.merchant_id, t.card_id FROM loyalty_transactions t
        WHERE t.id = a.debit_transaction_id AND t.points_delta < 0
        OFFSET 0
    ) debit ON true
    LEFT JOIN LATERAL (
        SELECT l.merchant_id, l.card_id FROM point_lots l WHERE l.id = a.lot_id OFFSET 0
    ) lot ON true
    WHERE debit.card_id IS NULL
       OR (debit.merchant_id, debit.card_id) IS DISTINCT FROM (lot.merchant_id, lot.card_id)
       OR lot.merchant_id <> a.merchant_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'debit %: lot % is of another card, or it is no debit',
            broken.debit_transaction_id, broken.lot_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER debit_and_lot_share_a_card AFTER INSERT ON lot_allocations
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_allocations();

-- What a lot was credited with, when and on which terms stays; only what is left of it moves.
CREATE FUNCTION keep_lot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'lot %: only remaining and held may change', OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER keep_lot BEFORE UPDATE ON point_lots FOR EACH ROW
WHEN (
    (OLD.id, OLD.merchant_id, OLD.card_id, OLD.program_id, OLD.transaction_id, OLD.points,
     OLD.occurred_at, OLD.available_at, OLD.expires_at, OLD.policy)
    IS DISTINCT FROM
    (NEW.id, NEW.merchant_id, NEW.card_id, NEW.program_id, NEW.transaction_id, NEW.points,
     NEW.occurred_at, NEW.available_at, NEW.expires_at, NEW.policy)
)
EXECUTE FUNCTION keep_lot();

CREATE TRIGGER no_delete BEFORE DELETE ON point_lots FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON point_lots FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_delete BEFORE DELETE ON cards FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON cards FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
