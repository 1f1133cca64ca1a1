-- Sums that pages show: of all rows up to an id below which none can appear any more. The rest is added when asked.
CREATE TABLE rollup_marks (
    source TEXT NOT NULL,
    upto BIGINT NOT NULL,
    CONSTRAINT pk_rollup_marks PRIMARY KEY (source),
    CONSTRAINT ck_rollup_marks_source CHECK (source IN ('ledger_transfers', 'ledger_accounts', 'cards'))
);
INSERT INTO rollup_marks (source, upto) VALUES ('ledger_transfers', 0), ('ledger_accounts', 0), ('cards', 0);
CREATE FUNCTION mark_advances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.source <> OLD.source OR NEW.upto < OLD.upto THEN
        RAISE EXCEPTION 'the mark of % goes forward only', OLD.source USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER mark_advances BEFORE UPDATE ON rollup_marks FOR EACH ROW EXECUTE FUNCTION mark_advances();

CREATE TABLE ledger_rollups (
    merchant_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    currency TEXT NOT NULL,
    accounts BIGINT DEFAULT 0 NOT NULL,
    balance BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_ledger_rollups PRIMARY KEY (merchant_id, kind, currency),
    CONSTRAINT fk_ledger_rollups_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
);
CREATE TABLE loyalty_rollups (
    program_id BIGINT NOT NULL,
    cards BIGINT NOT NULL,
    CONSTRAINT pk_loyalty_rollups PRIMARY KEY (program_id),
    CONSTRAINT fk_loyalty_rollups_program_id FOREIGN KEY(program_id) REFERENCES loyalty_programs (id)
);
GRANT SELECT, UPDATE ON rollup_marks TO payspool_runtime;
GRANT SELECT, INSERT, UPDATE ON ledger_rollups, loyalty_rollups TO payspool_runtime;
