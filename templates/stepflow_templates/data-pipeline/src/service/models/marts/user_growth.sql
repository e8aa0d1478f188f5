-- Users who registered and left by day (UTC), and how many there were at its end; test accounts apart.
-- test: not_null test day registered deleted total
-- test: unique test day
WITH changes AS (
    SELECT bool_or(test) AS test, user_id, action, min(happened_at)::DATE AS day
    FROM staging.user_events
    WHERE action IN ('registered', 'deleted')
    GROUP BY user_id, action
), days AS (
    SELECT
        test,
        day,
        count(*) FILTER (action = 'registered') AS registered,
        count(*) FILTER (action = 'deleted') AS deleted
    FROM changes
    GROUP BY test, day
)
SELECT test, day, registered, deleted, (sum(registered - deleted) OVER (PARTITION BY test ORDER BY day))::BIGINT AS total
FROM days
