-- What a program did, by day of UTC: kept in the transaction of each batch, a stripe for each connection that
-- writes, so that no two wait for one row; its sum is read in an instant whatever the number of trackings.
CREATE TABLE program_days (
    program_id BIGINT NOT NULL,
    day DATE NOT NULL,
    stripe SMALLINT NOT NULL,
    conversions BIGINT DEFAULT 0 NOT NULL,
    volume BIGINT DEFAULT 0 NOT NULL,
    earned BIGINT DEFAULT 0 NOT NULL,
    referee_earned BIGINT DEFAULT 0 NOT NULL,
    reversals BIGINT DEFAULT 0 NOT NULL,
    refunded BIGINT DEFAULT 0 NOT NULL,
    reversed BIGINT DEFAULT 0 NOT NULL,
    referee_reversed BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_program_days PRIMARY KEY (program_id, day, stripe),
    CONSTRAINT fk_program_days_program_id FOREIGN KEY(program_id) REFERENCES programs (id)
) WITH (fillfactor = 60);
GRANT SELECT, INSERT, UPDATE ON program_days TO payspool_runtime;

INSERT INTO program_days (program_id, day, stripe, conversions, volume, earned, referee_earned)
SELECT program_id, CAST(converted_at AT TIME ZONE 'UTC' AS date), 0, count(*),
       coalesce(sum(transaction_amount), 0), sum(amount_earned), sum(referee_amount_earned)
FROM trackings GROUP BY 1, 2;
INSERT INTO program_days AS d (program_id, day, stripe, reversals, refunded, reversed, referee_reversed)
SELECT t.program_id, CAST(r.occurred_at AT TIME ZONE 'UTC' AS date), 0, count(*), sum(r.amount),
       sum(r.reversed), sum(r.referee_reversed)
FROM tracking_reversals r JOIN trackings t ON t.id = r.tracking_id GROUP BY 1, 2
ON CONFLICT (program_id, day, stripe) DO UPDATE
SET reversals = excluded.reversals, refunded = excluded.refunded, reversed = excluded.reversed,
    referee_reversed = excluded.referee_reversed;

