-- Hard limits: what a payout, a payee in a day, a merchant in a day and a run may be at most.
ALTER TABLE payout_limits
    ADD COLUMN minimum BIGINT,
    ADD COLUMN max_payout BIGINT,
    ADD COLUMN max_payee_day BIGINT,
    ADD COLUMN max_day BIGINT,
    ADD COLUMN max_run BIGINT,
    ADD CONSTRAINT ck_payout_limits_minimum CHECK (minimum >= 0 AND minimum <= max_payout),
    ADD CONSTRAINT ck_payout_limits_hard CHECK (max_payout >= 0 AND max_payee_day >= 0 AND max_day >= 0 AND max_run >= 0);

-- The day of business time (UTC) on which a run was opened: what it pays counts for that day's limits.
ALTER TABLE payout_runs
    ADD COLUMN limit_day DATE DEFAULT ((statement_timestamp() AT TIME ZONE 'UTC'))::date NOT NULL,
    ADD COLUMN look_at TIMESTAMP WITH TIME ZONE;
UPDATE payout_runs SET limit_day = (created_at AT TIME ZONE 'UTC')::date;
CREATE TRIGGER keep_limit_day BEFORE UPDATE OF limit_day ON payout_runs FOR EACH ROW
WHEN (OLD.limit_day <> NEW.limit_day) EXECUTE FUNCTION keep_frozen();

CREATE TABLE payout_run_totals (
    run_id BIGINT NOT NULL,
    currency TEXT NOT NULL,
    merchant_id BIGINT NOT NULL,
    day DATE NOT NULL,
    payouts BIGINT NOT NULL,
    amount NUMERIC(38, 0) NOT NULL,
    CONSTRAINT pk_payout_run_totals PRIMARY KEY (run_id, currency),
    CONSTRAINT ck_payout_run_totals_not_negative CHECK (payouts >= 0 AND amount >= 0),
    CONSTRAINT fk_payout_run_totals_run_id FOREIGN KEY(run_id) REFERENCES payout_runs (id),
    CONSTRAINT fk_payout_run_totals_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
);
CREATE INDEX ix_payout_run_totals_day ON payout_run_totals (merchant_id, day, currency);
GRANT SELECT, INSERT, UPDATE ON payout_run_totals TO payspool_runtime;

INSERT INTO payout_run_totals (run_id, currency, merchant_id, day, payouts, amount)
SELECT p.run_id, p.currency, p.merchant_id, r.limit_day,
       count(*) FILTER (WHERE p.state <> 'canceled'), coalesce(sum(p.amount) FILTER (WHERE p.state <> 'canceled'), 0)
FROM payouts p JOIN payout_runs r ON r.id = p.run_id
GROUP BY p.run_id, p.currency, p.merchant_id, r.limit_day;

-- What a payee was paid, or is to be, on a day: in runs of that day, whatever became of them but canceled.
-- (LATERAL and OFFSET 0 leave one plan: a look at each run of the day by the key (run, account).)
CREATE FUNCTION payee_day_total(merchant bigint, on_day date, in_currency text, account bigint) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(p.amount), 0)
    FROM payout_run_totals t
    CROSS JOIN LATERAL (
        SELECT amount FROM payouts
        WHERE run_id = t.run_id AND account_id = account AND state <> 'canceled' OFFSET 0
    ) p
    WHERE t.merchant_id = merchant AND t.day = on_day AND t.currency = in_currency
$$;

-- Every payout is counted, whoever writes it, and none is written above a limit of its run's policy. The
-- locks are those that a claim holds already: payees' accounts, then the merchant's limit of the currency.
CREATE FUNCTION count_payouts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    made_of record;
    used numeric;
    found_over bigint;
BEGIN
    FOR made_of IN
        SELECT r.id AS run_id, r.merchant_id, r.limit_day, m.currency, count(*) AS payouts,
               sum(m.amount) AS amount, max(m.amount) AS largest,
               r.policy -> 'limits' -> m.currency AS limits
        FROM made m JOIN payout_runs r ON r.id = m.run_id
        GROUP BY r.id, m.currency ORDER BY r.id, m.currency
    LOOP
        INSERT INTO payout_run_totals AS t (run_id, currency, merchant_id, day, payouts, amount)
        VALUES (made_of.run_id, made_of.currency, made_of.merchant_id, made_of.limit_day, made_of.payouts,
                made_of.amount)
        ON CONFLICT (run_id, currency) DO UPDATE
        SET payouts = t.payouts + excluded.payouts, amount = t.amount + excluded.amount
        RETURNING t.amount INTO used;

        IF made_of.largest > (made_of.limits ->> 'max_payout')::bigint THEN
            RAISE EXCEPTION 'run %: a payout of % % is above the limit of a payout', made_of.run_id,
                made_of.largest, made_of.currency USING ERRCODE = 'restrict_violation';
        END IF;
        IF used > (made_of.limits ->> 'max_run')::bigint THEN
            RAISE EXCEPTION 'run %: % % is above the limit of a run', made_of.run_id, used, made_of.currency
                USING ERRCODE = 'restrict_violation';
        END IF;
        IF made_of.limits ->> 'max_payee_day' IS NOT NULL THEN
            PERFORM FROM ledger_accounts
            WHERE id IN (SELECT account_id FROM made WHERE run_id = made_of.run_id AND currency = made_of.currency)
            ORDER BY id FOR NO KEY UPDATE;
            SELECT account_id INTO found_over FROM made
            WHERE run_id = made_of.run_id AND currency = made_of.currency
                  AND payee_day_total(made_of.merchant_id, made_of.limit_day, made_of.currency, account_id)
                      > (made_of.limits ->> 'max_payee_day')::bigint
            LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'run %: account % is above the limit of a payee and day', made_of.run_id,
                    found_over USING ERRCODE = 'restrict_violation';
            END IF;
        END IF;
        IF made_of.limits ->> 'max_day' IS NOT NULL THEN
            PERFORM FROM payout_limits
            WHERE merchant_id = made_of.merchant_id AND currency = made_of.currency FOR NO KEY UPDATE;
            SELECT sum(amount) INTO used FROM payout_run_totals
            WHERE merchant_id = made_of.merchant_id AND day = made_of.limit_day AND currency = made_of.currency;
            IF used > (made_of.limits ->> 'max_day')::bigint THEN
                RAISE EXCEPTION 'run %: % % on % is above the limit of a day', made_of.run_id, used,
                    made_of.currency, made_of.limit_day USING ERRCODE = 'restrict_violation';
            END IF;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER count_payouts AFTER INSERT ON payouts
REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION count_payouts();

-- Pages of payouts narrowed by currency, by method, or by both: one look for each pair.
CREATE INDEX ix_payouts_pair ON payouts (merchant_id, currency, method, id);
