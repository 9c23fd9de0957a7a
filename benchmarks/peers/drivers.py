"""Drivers as the limit uses them: runs and ledgers in the same order, rows into a table, one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeAlias
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
from psycopg.types.string import TextLoader

Rows: TypeAlias = Sequence[tuple[Any, ...]]

Ledger: TypeAlias = tuple[Any, list[dict[str, Any]]]
"""The key of a run, and its entries as orjson takes them."""

_AT_ONCE = 2_000
"""Rows that are fetched together, where the driver asks the server for them."""

_RUNS = """
SELECT id, uuid, recipe_id, finished_unit_id, num_batches, expected_yield, actual_yield, produced_at, notes,
    total_ingredient_cost, per_unit_cost, created_at, updated_at
FROM production_runs ORDER BY produced_at, uuid
"""
_ENTRIES = """
SELECT production_run_id, e.uuid, ingredient_slug, quantity_consumed, unit, total_cost,
    e.created_at, e.updated_at
FROM production_runs AS r CROSS JOIN production_consumptions AS e
WHERE production_run_id = r.id ORDER BY produced_at, r.uuid, r.id, e.id
"""


class Driver:
    """One connection.

    Attributes:
        placeholder: Of a parameter.
    """

    placeholder = "%s"

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def select(self, statement: str) -> Rows:
        cursor = self.connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall()  # type: ignore[no-any-return]

    def runs(self) -> Iterator[tuple[Any, ...]]:
        """The runs in their order, as orjson takes them."""
        raise NotImplementedError

    def ledgers(self) -> Iterator[Ledger]:
        """The ledgers in the order of the runs; empty ones are left out."""
        raise NotImplementedError

    def insert(self, table: str, columns: Iterable[str], rows: Rows) -> None:
        names = ", ".join(columns)
        places = ", ".join([self.placeholder] * len(rows[0]))
        self.connection.cursor().executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608

    def stamp(self, text: str) -> str:
        """A time of a record, as the driver takes it."""
        return text[:-1]

    def commit(self) -> None:
        self.connection.commit()

    def close(self) -> None:
        self.connection.close()


class SQLite(Driver):
    """Times are text there and decimals floats; orjson writes datetimes as the format requires."""

    placeholder = "?"

    def __init__(self, url: str) -> None:
        super().__init__(sqlite3.connect(urlsplit(url).path[1:]))
        self.connection.execute("PRAGMA foreign_keys = ON")

    def runs(self) -> Iterator[tuple[Any, ...]]:
        time = datetime.fromisoformat
        for *row, at, notes, total, each, made, changed in self.connection.execute(_RUNS):
            yield *row, time(at), notes, f"{total:.4f}", f"{each:.4f}", time(made), time(changed)

    def ledgers(self) -> Iterator[Ledger]:
        time = datetime.fromisoformat
        rows = self.connection.execute(_ENTRIES)
        row = next(rows, None)
        while row is not None:
            owner, ledger = row[0], []
            while row is not None and row[0] == owner:
                _, uuid, ingredient, quantity, unit, cost, made, changed = row
                entry = {
                    "uuid": uuid,
                    "ingredient_slug": ingredient,
                    "quantity_consumed": f"{quantity:.3f}",
                    "unit": unit,
                    "total_cost": f"{cost:.4f}",
                    "created_at": time(made),
                    "updated_at": time(changed),
                }
                ledger.append(entry)
                row = next(rows, None)
            yield owner, ledger

    def stamp(self, text: str) -> str:
        return f"{text[:10]} {text[11:-1]}".ljust(20, ".").ljust(26, "0")


class PostgreSQL(Driver):
    """Returns datetimes, which orjson writes as the format requires, and decimals as text."""

    def __init__(self, url: str) -> None:
        super().__init__(psycopg.connect(url.replace("+psycopg", "")))
        self.connection.adapters.register_loader("numeric", TextLoader)

    def runs(self) -> Iterator[tuple[Any, ...]]:
        return self._stream("runs", _RUNS.replace("uuid\n", 'uuid COLLATE "C"\n'))

    def ledgers(self) -> Iterator[Ledger]:
        rows = self._stream("entries", _ENTRIES.replace("r.uuid,", 'r.uuid COLLATE "C",'))
        row = next(rows, None)
        while row is not None:
            owner, ledger = row[0], []
            while row is not None and row[0] == owner:
                _, uuid, ingredient, quantity, unit, cost, made, changed = row
                entry = {
                    "uuid": uuid,
                    "ingredient_slug": ingredient,
                    "quantity_consumed": quantity,
                    "unit": unit,
                    "total_cost": cost,
                    "created_at": made,
                    "updated_at": changed,
                }
                ledger.append(entry)
                row = next(rows, None)
            yield owner, ledger

    def _stream(self, name: str, statement: str) -> Iterator[tuple[Any, ...]]:
        with self.connection.cursor(name) as cursor:
            cursor.execute(statement)
            while rows := cursor.fetchmany(_AT_ONCE):
                yield from rows

    def insert(self, table: str, columns: Iterable[str], rows: Rows) -> None:
        names = ", ".join(columns)
        with self.connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def commit(self) -> None:
        self.connection.execute("SELECT setval('production_runs_id_seq', max(id)) FROM production_runs")
        super().commit()


class MariaDB(Driver):
    """Decimals stay the text that the server sends, and so do times.

    A connection streams the rows of one statement only, so runs and ledgers have one each.
    """

    _TIME: ClassVar = "replace(concat(replace({}, ' ', 'T'), 'Z'), '.000000Z', 'Z')"
    _NUMBERS: ClassVar = (pymysql.constants.FIELD_TYPE.LONG, pymysql.constants.FIELD_TYPE.LONGLONG)

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self._options: dict[str, Any] = {
            "host": at.hostname,
            "port": at.port or 3306,
            "user": unquote(at.username or ""),
            "password": unquote(at.password or ""),
            "database": at.path[1:],
        }
        super().__init__(self._connect())
        self._second: Any = None

    def _connect(self) -> Any:
        connection = pymysql.connect(**self._options)
        connection.decoders = dict.fromkeys(self._NUMBERS, int)
        connection.begin()
        return connection

    def close(self) -> None:
        super().close()
        if self._second is not None:
            self._second.close()

    def runs(self) -> Iterator[tuple[Any, ...]]:
        times = {name: self._TIME.format(name) for name in ("created_at", "updated_at")}
        shaped = _RUNS.replace("produced_at, notes", f"{self._TIME.format('produced_at')}, notes")
        for name, time in times.items():
            shaped = shaped.replace(name, time)
        return self._stream(self.connection, shaped)

    def ledgers(self) -> Iterator[Ledger]:
        self._second = self._connect()
        self._second.cursor().execute("SET SESSION group_concat_max_len = 4294967295")
        made, changed = map(self._TIME.format, ("e.created_at", "e.updated_at"))
        values = f"e.uuid, ingredient_slug, quantity_consumed, unit, total_cost, {made}, {changed}"
        row = f"concat_ws('\\0', {values})"
        entries = (
            f"SELECT group_concat({row} ORDER BY e.id SEPARATOR '\x01') FROM production_consumptions AS e"  # noqa: S608
        )
        ledger = f"({entries} WHERE production_run_id = r.id)"
        statement = f"SELECT id, {ledger} FROM production_runs AS r ORDER BY produced_at, uuid"  # noqa: S608
        for owner, text in self._stream(self._second, statement):
            if text is not None:
                yield owner, list(map(self._entry, text.split("\x01")))

    @staticmethod
    def _entry(text: str) -> dict[str, Any]:
        uuid, ingredient, quantity, unit, cost, made, changed = text.split("\0")
        return {
            "uuid": uuid,
            "ingredient_slug": ingredient,
            "quantity_consumed": quantity,
            "unit": unit,
            "total_cost": cost,
            "created_at": made,
            "updated_at": changed,
        }

    @staticmethod
    def _stream(connection: Any, statement: str) -> Iterator[tuple[Any, ...]]:
        with connection.cursor(pymysql.cursors.SSCursor) as cursor:
            cursor.execute(statement)
            while rows := cursor.fetchmany(_AT_ONCE):
                yield from rows

    def insert(self, table: str, columns: Iterable[str], rows: Rows) -> None:
        """One statement with all values in it, as executemany converts each of them in Python."""
        places, values = zip(*map(self._literals, zip(*rows, strict=True)), strict=True)
        template = f"({','.join(places)})"
        literals = ",".join([template % row for row in zip(*values, strict=True)])
        self.connection.query(f"INSERT INTO {table} ({', '.join(columns)}) VALUES {literals}")  # noqa: S608

    def _literals(self, column: Sequence[Any]) -> tuple[str, Iterable[Any]]:
        types = set(map(type, column))
        joined = "".join(column) if types == {str} else "'"
        if not any(special in joined for special in "\0\n\r\x1a\"'\\"):
            return "'%s'", column
        return "%s", column if types == {int} else map(self.connection.escape, column)


_DRIVERS = {"sqlite": SQLite, "postgresql": PostgreSQL, "mariadb": MariaDB}


def connect(url: str) -> Driver:
    """The driver for *url*."""
    name, _, _ = urlsplit(url).scheme.partition("+")
    return _DRIVERS[name](url)
