-- What points are worth in the books: minor units of the program's currency for a thousand of them.
ALTER TABLE loyalty_program_versions ADD COLUMN cost_per_1000_points BIGINT,
    ADD CONSTRAINT ck_loyalty_program_versions_cost_per_1000_points CHECK (cost_per_1000_points >= 0);
