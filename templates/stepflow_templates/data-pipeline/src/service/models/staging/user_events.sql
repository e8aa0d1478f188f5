-- Users who came and went: one row an event.
-- materialized: append
-- test: not_null event_id user_id action happened_at
-- test: unique event_id
-- test: accepted_values action registered updated deleted
SELECT
    id AS event_id,
    data->>'$.user_id' AS user_id,
    replace(type, 'users.v1.', '') AS action,
    coalesce((data->>'$.registered_at')::TIMESTAMPTZ AT TIME ZONE 'UTC', time) AS happened_at,
    test
FROM raw.new_events
WHERE stream = 'users'
