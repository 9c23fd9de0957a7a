SELECT
    recipe_slug AS recipe,
    sum(expected_yield) AS planned,
    sum(actual_yield) AS actual,
    CAST(100 * actual / planned AS DECIMAL(5, 2)) AS percent
FROM runs
GROUP BY recipe
ORDER BY percent, recipe
