-- Confirmed orders by day (UTC) and currency; revenue in minor units.
-- test: not_null day currency orders revenue
-- test: unique day currency
SELECT confirmed_at::DATE AS day, currency, count(*) AS orders, sum(total)::BIGINT AS revenue
FROM marts.orders
WHERE status = 'confirmed'
GROUP BY ALL
