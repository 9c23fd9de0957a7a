SELECT
    ingredient_slug AS ingredient,
    unit,
    sum(total_cost) AS cost,
    CAST(sum(total_cost) FILTER (half = 1) / sum(quantity_consumed) FILTER (half = 1) AS DECIMAL(18, 4))
        AS price_to_june,
    CAST(sum(total_cost) FILTER (half = 2) / sum(quantity_consumed) FILTER (half = 2) AS DECIMAL(18, 4))
        AS price_from_july
FROM (SELECT *, if(month(produced_at) <= 6, 1, 2) AS half FROM entries)
GROUP BY ingredient, unit
ORDER BY cost DESC, ingredient
