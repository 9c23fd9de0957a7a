-- The production runs of a stream, and the entries of their ledgers, as tables:
--
--     SET VARIABLE history = 'history.jsonl.gz';

-- A timestamp without offset is UTC. DuckDB heeds an offset for TIMESTAMPTZ only: for TIMESTAMP, it drops it.
CREATE MACRO instant(text) AS make_timestamp(epoch_us(CAST(
    CASE WHEN regexp_matches(text, '(Z|[+-]..:..)$') THEN text ELSE text || 'Z' END AS TIMESTAMPTZ
)));

CREATE TABLE runs AS
SELECT * REPLACE (instant(produced_at) AS produced_at)
FROM (
    SELECT unnest(production_run)
    FROM read_ndjson(getvariable('history'), columns = {production_run: 'STRUCT(
        recipe_slug VARCHAR,
        expected_yield INTEGER,
        actual_yield INTEGER,
        produced_at VARCHAR,
        total_ingredient_cost DECIMAL(10, 4),
        consumptions STRUCT(
            ingredient_slug VARCHAR,
            quantity_consumed DECIMAL(10, 3),
            unit VARCHAR,
            total_cost DECIMAL(10, 4)
        )[]
    )'})
    WHERE production_run IS NOT NULL
);

CREATE TABLE entries AS
SELECT produced_at, unnest(consumptions, recursive := true)
FROM runs;
