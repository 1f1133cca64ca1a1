-- A part of a payout that comes back is told too; the payout stays what it is then.
CREATE OR REPLACE FUNCTION announce_payout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM announce(NEW.merchant_id, coalesce(TG_ARGV[0], 'payout.' || NEW.state), jsonb_build_object(
        'payout', NEW.id, 'run', NEW.run_id, 'user_id', NEW.user_id, 'method', NEW.method, 'currency', NEW.currency,
        'amount', NEW.amount, 'reversed_amount', NEW.reversed_amount, 'error_code', NEW.error_code,
        'external_transaction_id', NEW.external_transaction_id));
    RETURN NULL;
END $$;
CREATE TRIGGER announce_payout_part AFTER UPDATE OF reversed_amount ON payouts FOR EACH ROW
WHEN (NEW.reversed_amount > OLD.reversed_amount AND NEW.reversed_amount < NEW.amount)
EXECUTE FUNCTION announce_payout('payout.partly_reversed');

-- Two cards that become one, and a customer who is forgotten, are told like all that happens to a card: by number.
-- (Their triggers are where merging and anonymizing are.)
CREATE FUNCTION announce_merge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM announce(NEW.merchant_id, 'card.merged', (
        SELECT jsonb_build_object('card', gone.number, 'into', stays.number, 'points', NEW.points, 'stamps', NEW.stamps,
                                  'at', iso_utc(NEW.merged_at))
        FROM cards gone, cards stays WHERE gone.id = NEW.card_id AND stays.id = NEW.into_card_id));
    RETURN NULL;
END $$;

CREATE FUNCTION announce_forgotten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM announce(NEW.merchant_id, 'card.anonymized',
                     jsonb_build_object('card', NEW.number, 'at', iso_utc(NEW.anonymized_at)));
    RETURN NULL;
END $$;

-- One merchant's refused events of one type among those of all.
CREATE INDEX ix_inbox_events_attention_type ON inbox_events (merchant_id, status, type, id) WHERE status <> 'applied';

-- What is open is found among what was decided on, however much that is; and so is what is open of one actor.
CREATE INDEX ix_dead_letters_open_id ON dead_letters (id) WHERE state = 'open';
CREATE INDEX ix_dead_letters_actor ON dead_letters (actor, id) WHERE state = 'open';
