-- Messages by day (UTC), channel and outcome, those to test accounts apart.
-- test: not_null test day channel outcome messages
-- test: unique test day channel outcome
SELECT test, happened_at::DATE AS day, channel, outcome, count(DISTINCT notification_id) AS messages
FROM staging.notification_events
GROUP BY ALL
