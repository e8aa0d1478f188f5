-- What was sold by day (UTC), product and currency, to test accounts apart; revenue in minor units.
-- test: not_null test day sku currency quantity revenue
-- test: unique test day sku currency
-- An event that was published twice under two ids is still one order: its lines count once.
WITH lines AS (
    SELECT DISTINCT ON (order_id, line) order_id, sku, name, quantity, unit_price FROM staging.order_items
)
SELECT
    orders.test,
    orders.confirmed_at::DATE AS day,
    lines.sku,
    any_value(lines.name) AS name,
    orders.currency,
    sum(lines.quantity)::BIGINT AS quantity,
    sum(lines.quantity * lines.unit_price)::BIGINT AS revenue
FROM lines JOIN marts.orders AS orders USING (order_id)
WHERE orders.status = 'confirmed'
GROUP BY ALL
