-- What was too fast is looked at on a page, and counted for the metrics: neither walks through what it does not show.
CREATE INDEX ix_loyalty_velocity_cases_ended ON loyalty_velocity_cases (merchant_id, id) WHERE outcome IS NOT NULL;
CREATE INDEX ix_loyalty_velocity_cases_waiting ON loyalty_velocity_cases (action, created_at) WHERE outcome IS NULL;
