-- Each order as it stands: one row an order. An order that was cancelled after it was confirmed is cancelled.
-- test: not_null order_id status
-- test: unique order_id
-- test: accepted_values status pending confirmed cancelled
SELECT
    order_id,
    any_value(user_id) AS user_id,
    CASE
        WHEN count(*) FILTER (stage = 'cancelled') > 0 THEN 'cancelled'
        WHEN count(*) FILTER (stage = 'confirmed') > 0 THEN 'confirmed'
        ELSE 'pending'
    END AS status,
    coalesce(max(total) FILTER (stage = 'confirmed'), max(total)) AS total,
    coalesce(max(currency) FILTER (stage = 'confirmed'), max(currency)) AS currency,
    min(happened_at) FILTER (stage = 'placed') AS placed_at,
    min(happened_at) FILTER (stage = 'confirmed') AS confirmed_at,
    min(happened_at) FILTER (stage = 'cancelled') AS cancelled_at,
    any_value(reason) FILTER (stage = 'cancelled') AS reason,
    bool_or(test) AS test
FROM staging.order_events
GROUP BY order_id
