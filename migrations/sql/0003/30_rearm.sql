-- Which server a database is on, and since when: system identifier, timeline and the database's own
-- number, behind the installation's code. A copy, a restored backup and a promoted standby differ in one of them.
-- (The timeline is that of the log which is written now: the control file names the one of the last checkpoint,
-- which a fast promotion leaves behind for minutes.)
CREATE FUNCTION payout_server() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT i.code || '/' || c.system_identifier || '/'
           || ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int || '/' || d.oid
    FROM installation i, pg_control_system() c, pg_database d WHERE d.datname = current_database()
$$;

CREATE TABLE payout_watermark (
    id SMALLINT NOT NULL,
    server TEXT NOT NULL,
    learned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_payout_watermark PRIMARY KEY (id),
    CONSTRAINT ck_payout_watermark_one_row CHECK (id = 1)
);
CREATE TRIGGER no_delete BEFORE DELETE ON payout_watermark FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON payout_watermark FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT, UPDATE ON payout_watermark TO payspool_runtime;

-- From when on the gateways' books have to be matched before a stop after a failover may be lifted: what the
-- database knew when it was stopped. (Later its newest attempt tells nothing: others send again meanwhile.)
ALTER TABLE payout_stops ADD COLUMN compare_from TIMESTAMP WITH TIME ZONE;
ALTER TABLE payout_stops ADD CONSTRAINT ck_payout_stops_failover_compares
    CHECK (kind = 'failover' OR compare_from IS NULL);
