-- One saga an order, and at the same time the queue of the work to be done: due, not leased, not done.
CREATE TABLE sagas (
    order_id      text        PRIMARY KEY,
    step          text        NOT NULL,
    to_undo       text[]      NOT NULL DEFAULT '{}',
    cancel_reason text,
    payment_token text,                                -- forgotten when the payment is settled
    pay_until     timestamptz,                         -- after this the provider takes no money for it
    may_be_charged boolean    NOT NULL DEFAULT false,  -- an attempt to pay began, and did not certainly end in a no
    attempts      integer     NOT NULL DEFAULT 0,      -- of the current step
    due_at        timestamptz NOT NULL,
    lease         uuid,                                -- whose turn it is; a worker without it may not write
    lease_until   timestamptz,
    traceparent   text                                 -- of the request that placed the order
);
CREATE INDEX sagas_due ON sagas (due_at) WHERE step <> 'done';
