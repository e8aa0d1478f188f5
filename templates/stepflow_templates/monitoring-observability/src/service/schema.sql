-- Times are nanoseconds since the epoch; `minute` and `time_s` are seconds.
CREATE TABLE IF NOT EXISTS spans (
  trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent TEXT NOT NULL, service TEXT NOT NULL, instance TEXT NOT NULL,
  name TEXT NOT NULL, kind TEXT NOT NULL, start_ns INTEGER NOT NULL, duration_ns INTEGER NOT NULL,
  error INTEGER NOT NULL, message TEXT NOT NULL, attributes TEXT NOT NULL, events TEXT NOT NULL,
  PRIMARY KEY (trace_id, span_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spans_by_time ON spans (start_ns);

-- Requests taken by a service, by how long they took: bucket b ends at 2^(b/4) microseconds.
CREATE TABLE IF NOT EXISTS requests (
  minute INTEGER NOT NULL, service TEXT NOT NULL, operation TEXT NOT NULL, error INTEGER NOT NULL,
  bucket INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (minute, service, operation, error, bucket)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS logs (
  id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, service TEXT NOT NULL, instance TEXT NOT NULL,
  severity INTEGER NOT NULL, level TEXT NOT NULL, body TEXT NOT NULL, trace_id TEXT NOT NULL, span_id TEXT NOT NULL,
  attributes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS logs_by_time ON logs (time_ns, id);
CREATE INDEX IF NOT EXISTS logs_by_trace ON logs (trace_id) WHERE trace_id <> '';
CREATE VIRTUAL TABLE IF NOT EXISTS logs_text USING fts5 (body, attributes, content='logs', content_rowid='id');
CREATE TRIGGER IF NOT EXISTS logs_added AFTER INSERT ON logs BEGIN
  INSERT INTO logs_text (rowid, body, attributes) VALUES (new.id, new.body, new.attributes);
END;
CREATE TRIGGER IF NOT EXISTS logs_removed AFTER DELETE ON logs BEGIN
  INSERT INTO logs_text (logs_text, rowid, body, attributes) VALUES ('delete', old.id, old.body, old.attributes);
END;

CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, service TEXT NOT NULL, instance TEXT NOT NULL, kind TEXT NOT NULL,
  unit TEXT NOT NULL, description TEXT NOT NULL, attributes TEXT NOT NULL, bounds TEXT NOT NULL,
  UNIQUE (name, service, instance, attributes, bounds)
);
-- As they came, for the last hour; then the last of each minute, which says all of a cumulative value.
CREATE TABLE IF NOT EXISTS points (
  series INTEGER NOT NULL, time_s INTEGER NOT NULL, value REAL NOT NULL, count INTEGER NOT NULL, buckets TEXT NOT NULL,
  PRIMARY KEY (series, time_s)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS minutes (
  series INTEGER NOT NULL, time_s INTEGER NOT NULL, value REAL NOT NULL, count INTEGER NOT NULL, buckets TEXT NOT NULL,
  PRIMARY KEY (series, time_s)
) WITHOUT ROWID;
