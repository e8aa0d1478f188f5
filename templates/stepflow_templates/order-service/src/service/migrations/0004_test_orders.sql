-- Orders of test accounts are marked, left out of lists, and the only events that may be deleted.
ALTER TABLE events ADD COLUMN test boolean NOT NULL DEFAULT false;
CREATE INDEX events_of_tests ON events (position) WHERE test;
ALTER TABLE order_view ADD COLUMN test boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.test THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'events are facts: they are never changed or deleted';
END $$;
