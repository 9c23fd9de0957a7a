SELECT
    strftime(produced_at, '%Y-%m') AS month,
    recipe_slug AS recipe,
    count(*) AS runs,
    sum(total_ingredient_cost) AS cost
FROM runs
GROUP BY month, recipe
ORDER BY month, recipe
