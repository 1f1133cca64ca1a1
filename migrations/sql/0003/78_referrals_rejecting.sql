-- What a person rejected (`trackings.rejected`) takes all that is left of both rewards, like a lost dispute, under the
-- event of the conversion itself.
ALTER TABLE tracking_reversals DROP CONSTRAINT ck_tracking_reversals_kind;
ALTER TABLE tracking_reversals ADD CONSTRAINT ck_tracking_reversals_kind
    CHECK (kind IN ('refund', 'dispute', 'rejection'));
