-- History, allocations and versions are never changed or removed; a correction is a new row.
SELECT make_append_only('loyalty_program_versions');
SELECT make_append_only('loyalty_transactions');
SELECT make_append_only('lot_allocations');
SELECT make_append_only('debt_repayments');
SELECT make_append_only('lot_restorations');
SELECT make_append_only('loyalty_refunds');

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

-- A correction refers to an earlier row of its own card: a void to an earn or a redemption, against its sign
-- and never beyond it over all its voids. Only batches with corrections pay for it.
CREATE FUNCTION check_corrections() RETURNS trigger LANGUAGE plpgsql
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
      AND (original.card_id IS DISTINCT FROM a.card_id
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
            WHERE type IN ('points_voided', 'stamp_voided')
        ) a
        CROSS JOIN LATERAL (
            SELECT t.type, t.points_delta AS points, t.stamps_delta AS stamps
            FROM loyalty_transactions t WHERE t.id = a.related_transaction_id OFFSET 0
        ) original
        CROSS JOIN LATERAL (
            SELECT sum(v.points_delta - coalesce(v.points_not_taken, 0)) AS points, sum(v.stamps_delta) AS stamps
            FROM loyalty_transactions v
            WHERE v.related_transaction_id = a.related_transaction_id
              AND v.type IN ('points_voided', 'stamp_voided')
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

CREATE TRIGGER correction_has_its_original AFTER INSERT ON loyalty_transactions
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_corrections();

-- A debt is what a debit of its card took beyond the lots.
CREATE FUNCTION check_debts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken bigint;
BEGIN
    SELECT a.transaction_id INTO broken FROM added a
    LEFT JOIN loyalty_transactions t ON t.id = a.transaction_id
    WHERE (t.merchant_id, t.card_id) IS DISTINCT FROM (a.merchant_id, a.card_id) OR a.points > -t.points_delta
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'debt of transaction %: it is of another card, or debits less', broken
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER debt_is_a_debit AFTER INSERT ON point_debts
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_debts();

-- What is paid of a debt, or given back to a lot, stays on one card and within what was owed or taken.
CREATE FUNCTION check_repayments() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken record;
BEGIN
    SELECT a.debit_transaction_id, a.lot_id INTO broken FROM added a
    LEFT JOIN loyalty_transactions credit ON credit.id = a.credit_transaction_id AND credit.points_delta > 0
    LEFT JOIN point_debts debt ON debt.transaction_id = a.debit_transaction_id
    LEFT JOIN point_lots lot ON lot.id = a.lot_id
    WHERE credit.card_id IS DISTINCT FROM debt.card_id OR lot.card_id IS DISTINCT FROM debt.card_id
       OR debt.card_id IS NULL OR a.merchant_id <> debt.merchant_id
       OR (SELECT sum(r.points) FROM debt_repayments r WHERE r.debit_transaction_id = a.debit_transaction_id)
          > debt.points
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'debt %: repaid from lot % of another card, or beyond what it was',
            broken.debit_transaction_id, broken.lot_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER repayment_fits_its_debt AFTER INSERT ON debt_repayments
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_repayments();

CREATE FUNCTION check_restorations() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken record;
BEGIN
    SELECT a.debit_transaction_id, a.lot_id INTO broken FROM added a
    LEFT JOIN loyalty_transactions credit ON credit.id = a.credit_transaction_id
         AND credit.related_transaction_id = a.debit_transaction_id AND credit.points_delta > 0
    LEFT JOIN lot_allocations taken
         ON taken.debit_transaction_id = a.debit_transaction_id AND taken.lot_id = a.lot_id
    WHERE credit.id IS NULL OR taken.points IS NULL OR a.merchant_id <> taken.merchant_id
       OR (SELECT sum(r.points) FROM lot_restorations r
           WHERE r.debit_transaction_id = a.debit_transaction_id AND r.lot_id = a.lot_id) > taken.points
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'lot %: debit % did not take from it what is given back',
            broken.lot_id, broken.debit_transaction_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER restoration_fits_its_debit AFTER INSERT ON lot_restorations
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_restorations();

-- Only what is left of a debt moves.
CREATE FUNCTION keep_debt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'debt of transaction %: only remaining may change, and only down', OLD.transaction_id
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER keep_debt BEFORE UPDATE ON point_debts FOR EACH ROW
WHEN (
    (OLD.transaction_id, OLD.merchant_id, OLD.card_id, OLD.points)
    IS DISTINCT FROM (NEW.transaction_id, NEW.merchant_id, NEW.card_id, NEW.points)
    OR NEW.remaining > OLD.remaining
)
EXECUTE FUNCTION keep_debt();

CREATE TRIGGER no_delete BEFORE DELETE ON point_debts FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON point_debts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A card owes what is left of its debts. Debts are written first.
CREATE FUNCTION check_card_debt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.points_debt <> coalesce(
        (SELECT sum(remaining) FROM point_debts WHERE card_id = NEW.id AND remaining > 0), 0) THEN
        RAISE EXCEPTION 'card %: % points owed are not what is left of its debts', NEW.id, NEW.points_debt
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER debt_follows_debts AFTER UPDATE ON cards FOR EACH ROW
WHEN (OLD.points_debt IS DISTINCT FROM NEW.points_debt) EXECUTE FUNCTION check_card_debt();
