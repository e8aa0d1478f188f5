-- Messages by day (UTC), channel and outcome.
-- test: not_null day channel outcome messages
-- test: unique day channel outcome
SELECT happened_at::DATE AS day, channel, outcome, count(DISTINCT notification_id) AS messages
FROM staging.notification_events
GROUP BY ALL
