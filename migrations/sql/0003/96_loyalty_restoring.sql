-- Points that expired are restored by an operator, once for each name that a request gives.
CREATE TABLE point_restores (
    merchant_id BIGINT NOT NULL,
    request_id VARCHAR(255) NOT NULL,
    card_id BIGINT NOT NULL,
    asked BIGINT,
    points BIGINT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason VARCHAR(500) NOT NULL,
    restored_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT pk_point_restores PRIMARY KEY (merchant_id, request_id),
    CONSTRAINT ck_point_restores_points CHECK (points > 0 AND (asked IS NULL OR asked = points)),
    CONSTRAINT ck_point_restores_ahead CHECK (restored_at < expires_at)
);
SELECT make_append_only('point_restores');
GRANT SELECT, INSERT ON point_restores TO payspool_runtime;
