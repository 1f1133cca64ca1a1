#!/bin/sh
# Two roles, so that the running system cannot change its own guards. Run once by PostgreSQL's image, when the
# data directory is made; running it again changes the passwords.
set -eu
psql --set ON_ERROR_STOP=1 --quiet --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set owner="$POSTGRES_OWNER_PASSWORD" --set runtime="$POSTGRES_RUNTIME_PASSWORD" --set db="$POSTGRES_DB" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY['payspool_owner', 'payspool_runtime']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE payspool_owner PASSWORD :'owner';
ALTER ROLE payspool_runtime PASSWORD :'runtime';
ALTER DATABASE :"db" OWNER TO payspool_owner;
ALTER SCHEMA public OWNER TO payspool_owner;
SQL
