CREATE TABLE payments (
    id              text        PRIMARY KEY,
    idempotency_key text        NOT NULL UNIQUE,       -- what makes a second request the same payment
    fingerprint     text        NOT NULL,              -- of the first request's body
    order_id        text        NOT NULL,
    amount          bigint      NOT NULL CHECK (amount > 0),
    currency        text        NOT NULL,
    status          text        NOT NULL CHECK (status IN ('pending', 'captured', 'declined', 'voided')),
    reason          text,
    valid_until     timestamptz NOT NULL,              -- nothing is captured later
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payments_of_order ON payments (order_id);

-- The fault that is switched on, for all replicas.
CREATE TABLE fault (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    mode     text NOT NULL DEFAULT 'none' CHECK (mode IN ('none', 'down', 'slow', 'error'))
);
INSERT INTO fault DEFAULT VALUES;
