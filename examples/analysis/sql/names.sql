SELECT recipe.slug, recipe.name
FROM read_ndjson(getvariable('history'), columns = {recipe: 'STRUCT(slug VARCHAR, name VARCHAR)'})
WHERE recipe IS NOT NULL
ORDER BY recipe.slug
