-- Order events of users whose registration has not been seen yet: streams promise no order between each other.
CREATE TABLE waiting (
    event_id    text PRIMARY KEY,
    user_id     text NOT NULL,
    event       bytea NOT NULL,
    since       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX waiting_of_user ON waiting (user_id);
