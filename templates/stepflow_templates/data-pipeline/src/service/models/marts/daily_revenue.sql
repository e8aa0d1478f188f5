-- Confirmed orders by day (UTC) and currency, those of test accounts apart; revenue in minor units.
-- test: not_null test day currency orders revenue
-- test: unique test day currency
SELECT test, confirmed_at::DATE AS day, currency, count(*) AS orders, sum(total)::BIGINT AS revenue
FROM marts.orders
WHERE status = 'confirmed'
GROUP BY ALL
