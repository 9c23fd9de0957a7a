"""Scratch databases: create them, fill them with the catalog and runs, read them back, and drop them."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from data import LEDGER, RECIPE, UNIT, batches, format_time, runs

from histio.models import Base, FinishedUnit, Ingredient, ProductionConsumption, ProductionRun, Recipe

SERVERS = {
    "postgresql": os.environ.get(
        "HISTIO_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
    ),
    "mariadb": os.environ.get("HISTIO_TEST_MARIADB_URL", "mariadb+pymysql://root@127.0.0.1:3306/test"),
}
DATABASES = ("sqlite", *SERVERS)

_BATCH = 1_000
_RUNS: Any = ProductionRun.__table__
_ENTRIES: Any = ProductionConsumption.__table__

# What the members of a record are read from.
_SAMPLE = next(runs(1))
_ENTRY = {name: _ENTRIES.c[name] for name in _SAMPLE.pop("consumptions")[0]}
_SLUGS = {"recipe_slug": Recipe.slug, "finished_unit_slug": FinishedUnit.slug}
_RUN = {name: _SLUGS[name] if name in _SLUGS else _RUNS.c[name] for name in _SAMPLE}


class Scratch:
    """Databases on one server; for SQLite, in a temporary directory.

    Attributes:
        database: Which server.
        version: Its own.

    Raises:
        sqlalchemy.exc.OperationalError: It does not answer.
    """

    def __init__(self, database: str) -> None:
        self.database = database
        self._directory = tempfile.TemporaryDirectory(prefix="histio-")
        self._prefix = f"histio_speed_{uuid.uuid4().hex[:8]}"
        self._made: set[str] = set()
        self._server = sa.create_engine(SERVERS.get(database, "sqlite://"), isolation_level="AUTOCOMMIT")
        with self._server.connect() as connection:
            self.version = ".".join(map(str, connection.dialect.server_version_info or ()))

    def fresh(self, name: str) -> str:
        """The URL of an empty database of this *name*; a previous one is dropped."""
        name = f"{self._prefix}_{name}"
        self._drop(name)
        self._made.add(name)
        if self.database == "sqlite":
            return f"sqlite:///{Path(self._directory.name, name)}"
        self._run(f"CREATE DATABASE {name}{' CHARACTER SET utf8mb4' * (self.database == 'mariadb')}")
        if self.database == "postgresql":
            self._run(f"ALTER DATABASE {name} SET timezone TO 'UTC'")  # Django's times have zones there
        return self._server.url.set(database=name).render_as_string(hide_password=False)

    def close(self) -> None:
        """Drop the database that was created."""
        for name in self._made:
            self._drop(name)
        self._server.dispose()
        self._directory.cleanup()

    def _drop(self, name: str) -> None:
        if self.database == "sqlite":
            Path(self._directory.name, name).unlink(missing_ok=True)
        else:
            # A peer that was stopped may still be connected.
            self._run(f"DROP DATABASE IF EXISTS {name}{' WITH (FORCE)' * (self.database == 'postgresql')}")

    def _run(self, statement: str) -> None:
        with self._server.connect() as connection:
            connection.exec_driver_sql(statement)


def create(url: str) -> None:
    """Make the bundled tables."""
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()


def fill(url: str, records: Iterable[dict[str, Any]] = ()) -> None:
    """Put the catalog and runs into empty tables."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.insert(Recipe), {"id": 1, "name": RECIPE, "slug": RECIPE})
        unit = {"id": 1, "display_name": UNIT, "slug": UNIT, "recipe_id": 1}
        connection.execute(sa.insert(FinishedUnit), unit)
        connection.execute(sa.insert(Ingredient), [{"display_name": slug, "slug": slug} for slug in LEDGER])
        for batch in batches(enumerate(records, start=1), _BATCH):
            keys = {"recipe_id": 1, "finished_unit_id": 1}
            rows = [{"id": key, **keys, **_row(_RUNS, run)} for key, run in batch]
            connection.execute(sa.insert(_RUNS), rows)
            entries = [
                {"production_run_id": key, **_row(_ENTRIES, entry)}
                for key, run in batch
                for entry in run["consumptions"]
            ]
            connection.execute(sa.insert(_ENTRIES), entries)
    engine.dispose()


def settle(url: str) -> None:
    """Let PostgreSQL do now what it would do by itself sooner or later."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()


def _row(table: Any, record: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(table.c[name], value) for name, value in record.items() if name in table.c}


def _value(column: Any, value: Any) -> Any:
    if column.type.python_type is dt.datetime:
        return dt.datetime.fromisoformat(value).replace(tzinfo=None)
    return Decimal(value) if column.type.python_type is Decimal else value


def stored(url: str) -> Iterator[dict[str, Any]]:
    """The runs as records, in the order of an export, for every peer."""
    engine = sa.create_engine(url)
    statement = (
        sa.select(*_RUN.values(), *_ENTRY.values())
        .select_from(_RUNS)
        .join(Recipe, Recipe.id == _RUNS.c.recipe_id)
        .join(FinishedUnit, FinishedUnit.id == _RUNS.c.finished_unit_id)
        .join(_ENTRIES, _ENTRIES.c.production_run_id == _RUNS.c.id)
        .order_by(_RUNS.c.produced_at, _RUNS.c.uuid, _ENTRIES.c.id)
    )
    with engine.connect() as connection:
        rows = connection.execution_options(yield_per=_BATCH).execute(statement)
        for run, entries in itertools.groupby(rows, key=lambda row: tuple(row[: len(_RUN)])):
            ledger = [_record(_ENTRY, row[len(_RUN) :]) for row in entries]
            yield {**_record(_RUN, run), "consumptions": ledger}
    engine.dispose()


def _record(names: Iterable[str], row: Iterable[Any]) -> dict[str, Any]:
    return {name: _as_told(value) for name, value in zip(names, row, strict=True)}


def _as_told(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return format_time(value.replace(tzinfo=None))
    return str(value) if isinstance(value, Decimal) else value
