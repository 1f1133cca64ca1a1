-- Rows of these tables are never changed or removed, by nobody; a correction is a new row.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %: rows are append-only; write a correcting row instead', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION make_append_only(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION refuse_change()', target);
    EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', target);
END $$;

SELECT make_append_only('ledger_transfers');
SELECT make_append_only('audit_entries');
SELECT make_append_only('program_versions');
SELECT make_append_only('tracking_reversals');
SELECT make_append_only('inbox_conflicts');
SELECT make_append_only('inbox_revisions');
SELECT make_append_only('rejected_messages');
