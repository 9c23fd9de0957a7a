"""Tables of Arrow through ADBC, for the peers that work on whole columns."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi

DATABASES = ("sqlite", "postgresql")
"""ADBC has no driver for MariaDB that pip can install."""

MEMBERS = (
    "uuid",
    "recipe_slug",
    "finished_unit_slug",
    "num_batches",
    "expected_yield",
    "actual_yield",
    "produced_at",
    "notes",
    "total_ingredient_cost",
    "per_unit_cost",
    "created_at",
    "updated_at",
)
ENTRY_MEMBERS = (
    "uuid",
    "ingredient_slug",
    "quantity_consumed",
    "unit",
    "total_cost",
    "created_at",
    "updated_at",
)
TIMES = ("produced_at", "created_at", "updated_at")
SCALES = {"quantity_consumed": 3, "total_cost": 4, "total_ingredient_cost": 4, "per_unit_cost": 4}
"""The digits after the point of decimals."""

_SLUGS = {"recipe_slug": "recipes.slug", "finished_unit_slug": "finished_units.slug"}


def _connect(url: str) -> Any:
    at = urlsplit(url)
    if at.scheme == "sqlite":
        return adbc_driver_sqlite.dbapi.connect(at.path[1:])
    return adbc_driver_postgresql.dbapi.connect(url.replace("+psycopg", ""))


def warm(url: str) -> None:
    _connect(url).close()


def tables(url: str) -> tuple[Any, Any]:
    """The runs in their order, and the ledger entries, as tables of Arrow.

    Decimals are text in PostgreSQL, where the driver has no other form for them.
    """
    is_exact = not url.startswith("sqlite")

    def column(table: str, name: str) -> str:
        source = _SLUGS.get(name, f"{table}.{name}")
        return f"CAST({source} AS TEXT) AS {name}" if is_exact and name in SCALES else f"{source} AS {name}"

    runs = ", ".join(column("production_runs", name) for name in ("id", *MEMBERS))
    entries = ", ".join(
        column("production_consumptions", name) for name in ("id", "production_run_id", *ENTRY_MEMBERS)
    )
    joins = (
        "JOIN recipes ON recipes.id = production_runs.recipe_id "
        "JOIN finished_units ON finished_units.id = production_runs.finished_unit_id"
    )
    order = "ORDER BY production_runs.produced_at, production_runs.uuid"
    with closing(_connect(url)) as connection, closing(connection.cursor()) as cursor:
        found = []
        for statement in (
            f"SELECT {runs} FROM production_runs {joins} {order}",  # noqa: S608
            f"SELECT {entries} FROM production_consumptions ORDER BY production_run_id, 1",  # noqa: S608
        ):
            cursor.execute(statement)
            found.append(cursor.fetch_arrow_table())
    return found[0], found[1]
