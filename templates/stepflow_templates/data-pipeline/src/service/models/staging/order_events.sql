-- What happened to orders: one row an event.
-- materialized: append
-- test: not_null event_id order_id stage happened_at
-- test: unique event_id
-- test: accepted_values stage placed stock-reserved stock-rejected payment-authorized payment-declined confirmed cancelled
SELECT
    id AS event_id,
    data->>'$.order_id' AS order_id,
    data->>'$.user_id' AS user_id,
    replace(type, 'orders.v1.', '') AS stage,
    coalesce(
        (coalesce(data->>'$.placed_at', data->>'$.confirmed_at', data->>'$.cancelled_at'))::TIMESTAMPTZ AT TIME ZONE 'UTC',
        time
    ) AS happened_at,
    (data->>'$.total')::BIGINT AS total,
    data->>'$.currency' AS currency,
    data->>'$.reason' AS reason,
    test
FROM raw.new_events
WHERE stream = 'orders'
