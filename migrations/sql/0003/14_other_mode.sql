-- A notice of the other mode is kept and ignored. It must not stand in the way of the gateway's own event, which
-- has the same id: what only that one tells would never be applied.
ALTER TABLE gateway_events ADD COLUMN live BOOLEAN;
UPDATE gateway_events g SET live = (m.mode = 'live') <> (g.state = 'ignored' AND g.error LIKE 'it is a % event, and the merchant is in % mode')
FROM merchants m WHERE m.id = g.merchant_id;
ALTER TABLE gateway_events ALTER COLUMN live SET NOT NULL;
ALTER TABLE gateway_events DROP CONSTRAINT uq_gateway_events_merchant_id_method_event_id;
ALTER TABLE gateway_events ADD CONSTRAINT uq_gateway_events_merchant_id_method_event_id_live
    UNIQUE (merchant_id, method, event_id, live);
