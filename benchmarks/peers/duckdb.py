"""DuckDB with ADBC: whole tables in memory, joined and made JSON of in SQL.

DuckDB would download its own extensions for SQLite and PostgreSQL, so ADBC reads the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
from data import seal

from peers.frames import DATABASES, ENTRY_MEMBERS, MEMBERS, SCALES, TIMES, tables, warm

__all__ = ["DATABASES", "export", "warm"]


def export(url: str, path: Path) -> None:
    runs, entries = tables(url)
    with duckdb.connect() as connection:
        connection.register("runs", runs)
        connection.register("entries", entries)
        statement = f"""
            WITH ledgers AS (
                SELECT production_run_id, list({_struct(ENTRY_MEMBERS, url)} ORDER BY id) AS ledger
                FROM entries GROUP BY production_run_id
            )
            SELECT to_json({{'production_run': {_struct(MEMBERS, url, "'consumptions': ledger")}}}) || chr(10)
            FROM runs LEFT JOIN ledgers ON production_run_id = id
            ORDER BY runs.produced_at, runs.uuid
        """  # noqa: S608
        seal(path, _texts(connection.execute(statement)))


def _struct(members: Iterable[str], url: str, *further: str) -> str:
    return "{" + ", ".join([*(f"'{name}': {_shaped(name, url)}" for name in members), *further]) + "}"


def _shaped(name: str, url: str) -> str:
    """A member in the form of the format."""
    is_sqlite = url.startswith("sqlite")
    if name in TIMES:
        text = f"replace({name}, ' ', 'T')" if is_sqlite else f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%f')"
        return f"replace({text} || 'Z', '.000000Z', 'Z')"
    return f"{name}::DECIMAL(10, {SCALES[name]})::VARCHAR" if is_sqlite and name in SCALES else name


def _texts(result: duckdb.DuckDBPyConnection) -> Iterator[bytes]:
    while rows := result.fetchmany(10_000):
        yield from (text.encode() for (text,) in rows)
