-- How many of the orders placed on a day (UTC) reached each stage, those of test accounts apart.
-- test: not_null test day stage orders
-- test: unique test day stage
SELECT orders.test, orders.placed_at::DATE AS day, events.stage, count(DISTINCT order_id) AS orders
FROM staging.order_events AS events JOIN marts.orders AS orders USING (order_id)
WHERE orders.placed_at IS NOT NULL
GROUP BY ALL
