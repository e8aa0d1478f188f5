-- The lines of confirmed orders.
-- materialized: append
-- test: not_null order_id sku quantity unit_price
-- test: unique event_id line
WITH lines AS (
    SELECT
        id AS event_id,
        data->>'$.order_id' AS order_id,
        unnest(range(json_array_length(data->'$.items')::BIGINT)) AS line,
        unnest(from_json(data->'$.items',
            '[{"sku": "VARCHAR", "name": "VARCHAR", "quantity": "BIGINT", "unit_price": "BIGINT"}]')) AS item
    FROM raw.new_events
    WHERE type = 'orders.v1.confirmed'
)
SELECT event_id, order_id, line, item.sku AS sku, item.name AS name, item.quantity AS quantity, item.unit_price AS unit_price
FROM lines
