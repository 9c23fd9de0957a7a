"""Drivers as the limit uses them: rows out of a SELECT, rows into a table, one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
from psycopg.types.string import TextLoader

Columns = Mapping[str, str]
"""Names and types: int, text, time, quantity or money."""

Rows = Sequence[tuple[Any, ...]]


class Driver:
    """One connection.

    Attributes:
        placeholder: Of a parameter.
        shapes: By type, what is selected of a column where the driver does not give what JSON needs.
    """

    placeholder = "%s"
    shapes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def select(self, columns: Columns, rest: str, parameters: Sequence[Any] = ()) -> Rows:
        """Rows, ready for orjson; *rest* is the statement from FROM on."""
        shaped = ", ".join(self.shapes.get(type_, "{}").format(name) for name, type_ in columns.items())
        return self.rows(f"SELECT {shaped} {rest}".replace("?", self.placeholder), parameters, columns)

    def rows(self, statement: str, parameters: Sequence[Any], _columns: Columns) -> Rows:
        cursor = self.connection.cursor()
        cursor.execute(statement, parameters)
        return cursor.fetchall()  # type: ignore[no-any-return]

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
    """Times are text there and decimals floats; making text of both in SQL is as fast as in Python."""

    placeholder = "?"
    shapes: ClassVar = {
        "time": "replace(replace({}, ' ', 'T') || 'Z', '.000000Z', 'Z')",
        "quantity": "printf('%.3f', {})",
        "money": "printf('%.4f', {})",
    }

    def __init__(self, url: str) -> None:
        super().__init__(sqlite3.connect(urlsplit(url).path[1:]))
        self.connection.execute("PRAGMA foreign_keys = ON")

    def stamp(self, text: str) -> str:
        return f"{text[:10]} {text[11:-1]}".ljust(20, ".").ljust(26, "0")


class PostgreSQL(Driver):
    """Returns datetimes, which orjson writes as the format requires, and decimals as text."""

    def __init__(self, url: str) -> None:
        super().__init__(psycopg.connect(url.replace("+psycopg", "")))
        self.connection.adapters.register_loader("numeric", TextLoader)

    def insert(self, table: str, columns: Iterable[str], rows: Rows) -> None:
        names = ", ".join(columns)
        with self.connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def commit(self) -> None:
        self.connection.execute("SELECT setval('production_runs_id_seq', max(id)) FROM production_runs")
        super().commit()


class Copying(PostgreSQL):
    """Reads by COPY TO."""

    _types: ClassVar = {"int": "int4", "time": "timestamp", "quantity": "numeric", "money": "numeric"}

    def rows(self, statement: str, parameters: Sequence[Any], columns: Columns) -> Rows:
        with self.connection.cursor().copy(f"COPY ({statement}) TO STDOUT", parameters) as copy:
            copy.set_types([self._types.get(type_, type_) for type_ in columns.values()])
            return list(copy.rows())


class MariaDB(Driver):
    """Decimals stay the text that the server sends, and so do times."""

    shapes: ClassVar = {"time": "replace(concat(replace({}, ' ', 'T'), 'Z'), '.000000Z', 'Z')"}

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        connection = pymysql.connect(
            host=at.hostname,
            port=at.port or 3306,
            user=unquote(at.username or ""),
            password=unquote(at.password or ""),
            database=at.path[1:],
        )
        super().__init__(connection)
        numbers = (pymysql.constants.FIELD_TYPE.LONG, pymysql.constants.FIELD_TYPE.LONGLONG)
        self.connection.decoders = dict.fromkeys(numbers, int)


_DRIVERS = {"sqlite": SQLite, "postgresql": PostgreSQL, "mariadb": MariaDB}


def connect(url: str) -> Driver:
    """The driver for *url*."""
    name, _, _ = urlsplit(url).scheme.partition("+")
    return _DRIVERS[name](url)
