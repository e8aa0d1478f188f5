-- Messages and what became of them: one row an event.
-- materialized: append
-- test: not_null event_id notification_id channel outcome happened_at
-- test: unique event_id
-- test: accepted_values outcome sent failed
SELECT
    id AS event_id,
    data->>'$.notification_id' AS notification_id,
    data->>'$.channel' AS channel,
    data->>'$.template' AS template,
    replace(type, 'notifications.v1.', '') AS outcome,
    time AS happened_at,
    test
FROM raw.new_events
WHERE stream = 'notifications'
