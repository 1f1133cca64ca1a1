-- One number a minute of each thing that charts show: they have a history that outlives every process.
CREATE TABLE metric_minutes (
    name TEXT NOT NULL,
    label TEXT DEFAULT '' NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    value BIGINT NOT NULL,
    CONSTRAINT pk_metric_minutes PRIMARY KEY (name, label, at),
    CONSTRAINT ck_metric_minutes_whole_minute CHECK (at = date_trunc('minute', at, 'UTC'))
);
CREATE INDEX ix_metric_minutes_at ON metric_minutes (at);
GRANT SELECT, INSERT, UPDATE, DELETE ON metric_minutes TO payspool_runtime;
