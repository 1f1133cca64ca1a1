-- How long each actor took for its messages, minute by minute, as a histogram: pages show percentiles of it.
CREATE TABLE actor_minutes (
    actor TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    counts BIGINT[] NOT NULL,
    failed BIGINT NOT NULL,
    busy_ms BIGINT NOT NULL,
    CONSTRAINT pk_actor_minutes PRIMARY KEY (actor, at),
    CONSTRAINT ck_actor_minutes_whole_minute CHECK (at = date_trunc('minute', at, 'UTC')),
    CONSTRAINT ck_actor_minutes_buckets CHECK (cardinality(counts) = 41)
);
CREATE INDEX ix_actor_minutes_at ON actor_minutes (at);
GRANT SELECT, INSERT, UPDATE, DELETE ON actor_minutes TO payspool_runtime;
