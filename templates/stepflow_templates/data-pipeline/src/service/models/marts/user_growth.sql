-- Users who registered and left by day (UTC), and how many there were at its end.
-- test: not_null day registered deleted total
-- test: unique day
WITH changes AS (
    SELECT user_id, action, min(happened_at)::DATE AS day
    FROM staging.user_events
    WHERE action IN ('registered', 'deleted')
    GROUP BY user_id, action
), days AS (
    SELECT
        day,
        count(*) FILTER (action = 'registered') AS registered,
        count(*) FILTER (action = 'deleted') AS deleted
    FROM changes
    GROUP BY day
)
SELECT day, registered, deleted, (sum(registered - deleted) OVER (ORDER BY day))::BIGINT AS total
FROM days
