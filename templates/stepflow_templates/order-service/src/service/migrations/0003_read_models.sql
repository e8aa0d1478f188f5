-- The query side: made of events only, and made again of them whenever wanted.
CREATE TABLE projections (
    name     text   PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0                 -- of the last event that the read model contains
);
INSERT INTO projections (name) VALUES ('orders'), ('products');

CREATE TABLE order_view (
    order_id        text        PRIMARY KEY,
    user_id         text        NOT NULL,
    status          text        NOT NULL,
    reason          text,
    version         integer     NOT NULL,
    items           jsonb       NOT NULL,
    total           bigint      NOT NULL,
    currency        text        NOT NULL,
    payment_id      text,
    placed_at       timestamptz NOT NULL,
    placed_position bigint      NOT NULL UNIQUE         -- newest first, and a cursor that never moves
);
CREATE INDEX order_view_of_user ON order_view (user_id, placed_position DESC);

CREATE TABLE product_view (
    sku         text    PRIMARY KEY,
    name        text    NOT NULL,
    description text    NOT NULL,
    price       bigint  NOT NULL,
    currency    text    NOT NULL,
    stock       integer NOT NULL
);
