-- What was loaded, as it came. Times are UTC.
CREATE SCHEMA IF NOT EXISTS raw;
CREATE SEQUENCE IF NOT EXISTS raw.load_ids;
CREATE TABLE IF NOT EXISTS raw.events (
    id        VARCHAR PRIMARY KEY,                   -- of the CloudEvent: the same event twice is one row
    load_id   BIGINT NOT NULL DEFAULT nextval('raw.load_ids'),
    stream    VARCHAR NOT NULL,
    type      VARCHAR NOT NULL,
    time      TIMESTAMP NOT NULL,
    data      JSON NOT NULL,
    loaded_at TIMESTAMP NOT NULL
);
-- Of a test account: in no report but those that ask for tests, and deleted when newer ones come a day later.
ALTER TABLE raw.events ADD COLUMN IF NOT EXISTS test BOOLEAN DEFAULT false;

-- What broke the contract, and why.
CREATE TABLE IF NOT EXISTS raw.quarantine (
    stream    VARCHAR,
    created   VARCHAR,                               -- when the stream was made: a new one counts from 1 again
    sequence  BIGINT,
    subject   VARCHAR NOT NULL,
    reason    VARCHAR NOT NULL,
    payload   VARCHAR NOT NULL,                      -- the beginning of it
    loaded_at TIMESTAMP NOT NULL,
    PRIMARY KEY (stream, created, sequence)
);

-- How far each stream is read: written in the transaction that writes the rows.
CREATE TABLE IF NOT EXISTS raw.positions (
    stream     VARCHAR PRIMARY KEY,
    created    VARCHAR NOT NULL,
    sequence   BIGINT NOT NULL,
    rows       BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    rejects    BIGINT NOT NULL,
    loaded_at  TIMESTAMP NOT NULL
);

-- What the models were built from and how far the reports are: written in the transaction that builds them.
CREATE SCHEMA IF NOT EXISTS meta;
CREATE TABLE IF NOT EXISTS meta.watermark (load_id BIGINT NOT NULL, models VARCHAR NOT NULL, refreshed_at TIMESTAMP);
INSERT INTO meta.watermark SELECT 0, '', NULL WHERE NOT EXISTS (FROM meta.watermark);
CREATE TABLE IF NOT EXISTS meta.published (stream VARCHAR PRIMARY KEY, created VARCHAR NOT NULL, sequence BIGINT NOT NULL);

CREATE OR REPLACE VIEW raw.new_events AS SELECT * FROM raw.events WHERE load_id > (SELECT load_id FROM meta.watermark);

CREATE SCHEMA IF NOT EXISTS staging;
CREATE SCHEMA IF NOT EXISTS marts;
