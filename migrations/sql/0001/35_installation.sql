-- Which installation this is, drawn once: 48 random bits, so that two of them on one gateway account
-- mint different keys. Nobody changes it: the keys that a gateway remembers begin with it.
INSERT INTO installation (id, code) VALUES (1, left(replace(gen_random_uuid()::text, '-', ''), 12));
SELECT make_append_only('installation');
