-- A welcome bonus is given once, at enrolment: it is the row behind the first, and a card has one of that number.
ALTER TABLE loyalty_transactions ADD CONSTRAINT ck_loyalty_transactions_welcome_once CHECK (type <> 'welcome_bonus' OR seq = 2);
