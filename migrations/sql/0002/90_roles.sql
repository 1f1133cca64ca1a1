-- A decision is written into the row; the row itself stays.
GRANT SELECT, INSERT, UPDATE ON dead_letters TO payspool_runtime;
GRANT USAGE, SELECT ON SEQUENCE dead_letters_id_seq TO payspool_runtime;
