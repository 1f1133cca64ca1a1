-- When a program runs (the conversion's own time counts), and how many codes of it one user may have.
ALTER TABLE program_versions
    ADD COLUMN starts_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN ends_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN codes_per_user INTEGER,
    ADD CONSTRAINT ck_program_versions_schedule CHECK (starts_at < ends_at),
    ADD CONSTRAINT ck_program_versions_codes_per_user CHECK (codes_per_user > 0);

-- A referrer's counts in one period of a program, where its tiers begin anew with each. Locked by the referrer's state.
CREATE TABLE referrer_periods (
    state_id BIGINT NOT NULL,
    period TEXT NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    conversions BIGINT DEFAULT 0 NOT NULL,
    volume BIGINT DEFAULT 0 NOT NULL,
    counted_version INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT pk_referrer_periods PRIMARY KEY (state_id, period, starts_at),
    CONSTRAINT ck_referrer_periods_period CHECK (period IN ('month', 'quarter', 'year')),
    CONSTRAINT ck_referrer_periods_not_negative CHECK (conversions >= 0 AND volume >= 0),
    CONSTRAINT fk_referrer_periods_state_id FOREIGN KEY(state_id) REFERENCES referrer_states (id)
) WITH (fillfactor = 60);
GRANT SELECT, INSERT, UPDATE ON referrer_periods TO payspool_runtime;
