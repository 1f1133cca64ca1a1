-- Payees whose destination changed, until it was looked at who else is paid there. Forgotten when that is done.
CREATE TABLE destination_looks (
    payee_id BIGINT NOT NULL,
    merchant_id BIGINT NOT NULL,
    changes INTEGER DEFAULT 1 NOT NULL,
    settles_at BIGINT,
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT pk_destination_looks PRIMARY KEY (payee_id),
    CONSTRAINT fk_destination_looks_payee_id FOREIGN KEY(payee_id) REFERENCES payees (id),
    CONSTRAINT fk_destination_looks_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
);
CREATE INDEX ix_destination_looks_merchant ON destination_looks (merchant_id, payee_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON destination_looks TO payspool_runtime;

-- Who else gets bank payments at a destination.
CREATE INDEX ix_payee_recipients_fingerprint ON payee_recipients (fingerprint);

-- What is counted for limits of an hour or a day is forgotten when no conversion comes that late.
CREATE INDEX ix_velocity_counts_day ON velocity_counts (day);
GRANT DELETE ON velocity_counts TO payspool_runtime;
