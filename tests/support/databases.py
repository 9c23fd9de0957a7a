"""Databases to test on: SQLite always, PostgreSQL and MariaDB where their servers run."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

import histio
from histio.models import Base
from tests.support.bakery import stock

_HOSTS = 100
"""From this number on, databases are for models other than the bundled ones."""

_EMPTY = 1000
"""From this number on, databases are for one test each."""

SERVERS = {
    "postgresql": os.environ.get(
        "HISTIO_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
    ),
    "mariadb": os.environ.get("HISTIO_TEST_MARIADB_URL", "mariadb+pymysql://root@127.0.0.1:3306/test"),
}


class Databases:
    """Empty databases with the bundled tables, made once and emptied for every test."""

    def __init__(self, directory: os.PathLike[str]) -> None:
        self._directory = directory
        self._engines: dict[tuple[str, int], Engine] = {}
        self._created: list[tuple[Engine, str]] = []

    def __call__(self, dialect: str, number: int = 0) -> Engine:
        if (dialect, number) not in self._engines:
            engine = self._engines[dialect, number] = self._create(dialect, number)
            Base.metadata.create_all(engine)
        engine = self._engines[dialect, number]
        with engine.begin() as connection:
            _drop_all_of(connection, "trigger")  # histio counts rows where one may drop some
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(sa.delete(table))
        return engine

    def of_host(self, dialect: str) -> Callable[..., Engine]:
        """A function that empties a database and makes the tables of *metadata* there, and these rows."""

        def create(metadata: sa.MetaData, *rows: Any, number: int = 0) -> Engine:
            place = _HOSTS + number
            if (dialect, place) not in self._engines:
                self._engines[dialect, place] = self._create(dialect, place)
            engine = self._engines[dialect, place]
            found = sa.MetaData()
            found.reflect(engine)
            _drop(found, engine)
            metadata.create_all(engine)
            with Session(engine) as session:
                session.add_all(rows)
                session.commit()
            return engine

        return create

    def empty(self, dialect: str) -> Engine:
        """A database without tables that no other test uses."""
        place = (dialect, _EMPTY + len(self._engines))
        engine = self._engines[place] = self._create(*place)
        return engine

    def _create(self, dialect: str, number: int) -> Engine:
        if dialect == "sqlite":
            return histio.create_engine(f"sqlite:///{self._directory}/{number}.db")
        server = histio.create_engine(SERVERS[dialect], isolation_level="AUTOCOMMIT")
        name = f"histio_{uuid.uuid4().hex}"
        try:
            with server.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        except sa.exc.OperationalError as error:
            message = f"no {dialect} server at {sa.make_url(SERVERS[dialect])!r}: {error.orig}"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        self._created.append((server, name))
        return histio.create_engine(sa.make_url(SERVERS[dialect]).set(database=name))

    def drop(self) -> None:
        for engine in self._engines.values():
            engine.dispose()
        for server, name in self._created:
            with server.connect() as connection:
                force = " WITH (FORCE)" if server.dialect.name == "postgresql" else ""
                connection.exec_driver_sql(f"DROP DATABASE {name}{force}")
            server.dispose()


def _drop(metadata: sa.MetaData, engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        metadata.drop_all(engine)
        return
    with engine.begin() as connection:  # tables may refer to each other in a circle
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        _drop_all_of(connection, "view")
        _drop_all_of(connection, "table")


def _drop_all_of(connection: Connection, kind: str) -> None:
    """Drop all views, tables or triggers of a SQLite database; others drop theirs by themselves."""
    if connection.dialect.name == "sqlite":
        named = "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite%'"
        for (name,) in connection.exec_driver_sql(named, (kind,)).all():
            connection.exec_driver_sql(f'DROP {kind.upper()} "{name}"')


def stocked(engine: Engine) -> Engine:
    with Session(engine) as session:
        session.add_all(stock())
        session.commit()
    return engine


class Statements:
    """The statements an engine executes, savepoints and transactions aside."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def clear(self) -> None:
        self.all.clear()

    def matching(self, text: str) -> list[str]:
        return [statement for statement in self.all if text in statement]
