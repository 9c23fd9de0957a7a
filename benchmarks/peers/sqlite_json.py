"""JSON functions of SQLite, which make and take apart whole runs in SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from data import batches, run_lines, seal

DATABASES = ("sqlite",)

_BATCH = 500


def _time(name: str) -> str:
    return f"replace(replace({name}, ' ', 'T') || 'Z', '.000000Z', 'Z')"


_EXPORT = f"""
SELECT json_object('production_run', json_object(
    'uuid', run.uuid,
    'recipe_slug', recipe.slug,
    'finished_unit_slug', unit.slug,
    'num_batches', run.num_batches,
    'expected_yield', run.expected_yield,
    'actual_yield', run.actual_yield,
    'produced_at', {_time("run.produced_at")},
    'notes', run.notes,
    'total_ingredient_cost', printf('%.4f', run.total_ingredient_cost),
    'per_unit_cost', printf('%.4f', run.per_unit_cost),
    'created_at', {_time("run.created_at")},
    'updated_at', {_time("run.updated_at")},
    'consumptions', (
        SELECT json_group_array(json_object(
            'uuid', entry.uuid,
            'ingredient_slug', entry.ingredient_slug,
            'quantity_consumed', printf('%.3f', entry.quantity_consumed),
            'unit', entry.unit,
            'total_cost', printf('%.4f', entry.total_cost),
            'created_at', {_time("entry.created_at")},
            'updated_at', {_time("entry.updated_at")}
        ))
        FROM (SELECT * FROM production_consumptions WHERE production_run_id = run.id ORDER BY id) AS entry
    )
))
FROM production_runs AS run
JOIN recipes AS recipe ON recipe.id = run.recipe_id
JOIN finished_units AS unit ON unit.id = run.finished_unit_id
ORDER BY run.produced_at, run.uuid
"""  # noqa: S608


def _stored(name: str) -> str:
    return f"substr(replace(replace({name}, 'T', ' '), 'Z', '.000000'), 1, 26)"


_RUNS = f"""
INSERT INTO production_runs (
    uuid, recipe_id, finished_unit_id, num_batches, expected_yield, actual_yield, produced_at, notes,
    total_ingredient_cost, per_unit_cost, created_at, updated_at
)
SELECT
    run ->> 'uuid',
    (SELECT id FROM recipes WHERE slug = run ->> 'recipe_slug'),
    (SELECT id FROM finished_units WHERE slug = run ->> 'finished_unit_slug'),
    run ->> 'num_batches',
    run ->> 'expected_yield',
    run ->> 'actual_yield',
    {_stored("run ->> 'produced_at'")},
    run ->> 'notes',
    run ->> 'total_ingredient_cost',
    run ->> 'per_unit_cost',
    {_stored("run ->> 'created_at'")},
    {_stored("run ->> 'updated_at'")}
FROM (SELECT value -> 'production_run' AS run FROM json_each(?))
"""  # noqa: S608

_ENTRIES = f"""
INSERT INTO production_consumptions (
    production_run_id, uuid, ingredient_slug, quantity_consumed, unit, total_cost, created_at, updated_at
)
SELECT
    (SELECT id FROM production_runs WHERE uuid = line.value ->> '$.production_run.uuid'),
    entry.value ->> 'uuid',
    entry.value ->> 'ingredient_slug',
    entry.value ->> 'quantity_consumed',
    entry.value ->> 'unit',
    entry.value ->> 'total_cost',
    {_stored("entry.value ->> 'created_at'")},
    {_stored("entry.value ->> 'updated_at'")}
FROM json_each(?) AS line, json_each(line.value, '$.production_run.consumptions') AS entry
"""  # noqa: S608


def _connect(url: str) -> sqlite3.Connection:
    connection = sqlite3.connect(urlsplit(url).path[1:])
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def warm(url: str) -> None:
    _connect(url).close()


def export(url: str, path: Path) -> None:
    with closing(_connect(url)) as connection:
        seal(path, (f"{text}\n".encode() for (text,) in connection.execute(_EXPORT)))


def load(url: str, path: Path) -> None:
    with closing(_connect(url)) as connection, connection:
        for batch in batches(run_lines(path), _BATCH):
            document = f"[{b','.join(batch).decode()}]"
            connection.execute(_RUNS, (document,))
            connection.execute(_ENTRIES, (document,))
