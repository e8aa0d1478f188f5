-- The event store: one row per fact, in one global order. Rows are never changed.
CREATE TABLE events (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream      text        NOT NULL,
    version     integer     NOT NULL CHECK (version > 0),
    type        text        NOT NULL,
    schema      smallint    NOT NULL CHECK (schema > 0),
    data        jsonb       NOT NULL,
    traceparent text,
    recorded_at timestamptz NOT NULL,
    UNIQUE (stream, version)  -- two writers with one expected version: the second one loses
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are facts: they are never changed or deleted';
END $$;
CREATE TRIGGER events_are_facts BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Snapshots save replaying long streams. They may be deleted at any time.
CREATE TABLE snapshots (
    stream  text     PRIMARY KEY,
    version integer  NOT NULL,
    schema  smallint NOT NULL,
    state   jsonb    NOT NULL
);
