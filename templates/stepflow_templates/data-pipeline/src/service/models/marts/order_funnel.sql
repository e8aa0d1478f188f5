-- How many of the orders placed on a day (UTC) reached each stage.
-- test: not_null day stage orders
-- test: unique day stage
SELECT orders.placed_at::DATE AS day, events.stage, count(DISTINCT order_id) AS orders
FROM staging.order_events AS events JOIN marts.orders AS orders USING (order_id)
WHERE orders.placed_at IS NOT NULL
GROUP BY ALL
