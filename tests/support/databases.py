"""Databases to test on: SQLite always, PostgreSQL and MariaDB where their servers run."""

from __future__ import annotations

import os
import uuid
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

import histio
from histio.models import Base
from tests.support.bakery import stock
from tests.support.tools import give_up

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


LATIN1 = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
"""The options of a database of PostgreSQL in another character set than Unicode."""

DIALECTS = ["sqlite", *SERVERS]


class Databases:
    """Empty databases with the bundled tables, made once and emptied for every test."""

    def __init__(self, directory: os.PathLike[str]) -> None:
        self._directory = directory
        self._engines: dict[tuple[str, int], Engine] = {}
        self._created: list[tuple[Engine, str]] = []
        self._tables = Tables()

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
            self._tables.have_empty(engine, metadata)
            with Session(engine) as session:
                session.add_all(rows)
                session.commit()
            return engine

        return create

    def empty(self, dialect: str, options: str = "", **query: str) -> Engine:
        """A database without tables that no other test uses.

        *options* are those of CREATE DATABASE, *query* those of the URL.
        """
        place = (dialect, _EMPTY + len(self._engines))
        engine = self._engines[place] = self._create(*place, options, query)
        return engine

    def _create(
        self, dialect: str, number: int, options: str = "", query: Mapping[str, str] | None = None
    ) -> Engine:
        if dialect == "sqlite":
            engine = histio.create_engine(f"sqlite:///{self._directory}/{number}.db")
            sa.event.listen(engine, "connect", _do_not_wait_for_the_disk)
            return engine
        server = histio.create_engine(SERVERS[dialect], isolation_level="AUTOCOMMIT")
        name = f"histio_{uuid.uuid4().hex}"
        try:
            with server.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name} {options}")
                if dialect == "postgresql":
                    connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
                elif os.environ.get("CI"):  # holds for the whole server, which may have other databases
                    connection.exec_driver_sql("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
        except sa.exc.OperationalError as error:
            give_up(f"no {dialect} server at {sa.make_url(SERVERS[dialect])!r}: {error.orig}")
        self._created.append((server, name))
        url = sa.make_url(SERVERS[dialect]).set(database=name)
        return histio.create_engine(url.update_query_dict(query or {}))

    def drop(self) -> None:
        self._tables.stop()
        for engine in self._engines.values():
            engine.dispose()
        for server, name in self._created:
            with server.connect() as connection:
                force = " WITH (FORCE)" if server.dialect.name == "postgresql" else ""
                connection.exec_driver_sql(f"DROP DATABASE {name}{force}")
            server.dispose()


class Tables:
    """Tables of hosts' models: made anew only where others are asked for, or something has changed them."""

    def __init__(self) -> None:
        self._made: dict[str | None, tuple[sa.MetaData, object]] = {}
        sa.event.listen(Engine, "before_cursor_execute", self._note_change)

    def stop(self) -> None:
        """Listen no longer."""
        sa.event.remove(Engine, "before_cursor_execute", self._note_change)

    def have_empty(self, engine: Engine, metadata: sa.MetaData) -> None:
        """Make sure that a database has the tables of *metadata*, without rows, and nothing else."""
        made, shape = self._made.pop(engine.url.database, (None, None))
        if made is metadata and shape == _shape_of(metadata, engine):
            _empty(engine, metadata)
        else:
            _drop_everything(engine)
            metadata.create_all(engine, checkfirst=False)
        self._made[engine.url.database] = metadata, _shape_of(metadata, engine)

    def _note_change(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip()[:6].upper().startswith(("CREATE", "ALTER", "DROP")):
            self._made.pop(connection.engine.url.database, None)


def _shape_of(metadata: sa.MetaData, engine: Engine) -> object:
    """Something that is another value when the tables have changed."""
    columns = [(table, len(table.columns)) for table in metadata.tables.values()]
    if engine.dialect.name != "sqlite":
        return columns
    with engine.connect() as connection:
        return columns, connection.exec_driver_sql("PRAGMA schema_version").scalar()


_POSTGRESQL = (
    ("VIEW", "viewname", "pg_views", "schemaname", "true"),
    ("TABLE", "tablename", "pg_tables", "schemaname", "true"),
    ("TYPE", "typname", "pg_type", "typnamespace::regnamespace::text", "typtype = 'e'"),
)
"""What to drop, and where PostgreSQL lists it. Collations and functions stay: tests make them once."""


def _drop_everything(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        engine.dispose()
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{engine.url.database}{suffix}").unlink(missing_ok=True)
        return
    quote = engine.dialect.identifier_preparer.quote_identifier  # percent signs too
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            for kind, name, catalog, namespace, condition in _POSTGRESQL:
                found = f"SELECT {name} FROM {catalog} WHERE {namespace} = current_schema() AND {condition}"
                names = [quote(each) for each in connection.exec_driver_sql(found).scalars()]
                if names:
                    connection.exec_driver_sql(f"DROP {kind} IF EXISTS {', '.join(names)} CASCADE")
            return
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        found = connection.exec_driver_sql("SHOW FULL TABLES").all()
        for kind in ("VIEW", "TABLE"):
            names = [quote(name) for name, of in found if of.endswith(kind)]
            connection.exec_driver_sql(f"DROP {kind} IF EXISTS {', '.join([*names, 'no_such_name'])}")
        connection.exec_driver_sql("SET foreign_key_checks = 1")


_EMPTY_TABLES = {
    "sqlite": ["PRAGMA defer_foreign_keys = ON", ...],
    "postgresql": [
        "SET session_replication_role = replica",
        ...,
        "SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'",
        "RESET session_replication_role",
    ],
    "mariadb": ["SET foreign_key_checks = 0", ..., "SET foreign_key_checks = 1"],
}
"""The statements that delete all rows, in whatever order, and number the next ones from 1 again."""


def _empty(engine: Engine, metadata: sa.MetaData) -> None:
    names = [engine.dialect.identifier_preparer.format_table(table) for table in metadata.tables.values()]
    with engine.begin() as connection:
        if engine.dialect.name == "mariadb":
            names = _used(connection, names)
        for statement in _EMPTY_TABLES[engine.dialect.name]:
            if statement is not ...:
                connection.exec_driver_sql(statement)
                continue
            verb = "TRUNCATE" if engine.dialect.name == "mariadb" else "DELETE FROM"
            for name in names:
                connection.exec_driver_sql(f"{verb} {name}")


def _used(connection: Connection, names: list[str]) -> list[str]:
    """Which tables of MariaDB have rows, or count from another number than 1: only TRUNCATE mends that."""
    counting = (
        "SELECT concat('`', table_name, '`') FROM information_schema.tables"
        " WHERE table_schema = database() AND auto_increment > 1"
    )
    having = [f"(SELECT {name!r} FROM {name} LIMIT 1)" for name in names]
    used = set(connection.exec_driver_sql(" UNION ".join([counting, *having])).scalars())
    plain = {name: name.replace("%%", "%") for name in names}
    return [name for name in names if plain[name] in used or f"`{plain[name]}`" in used]


def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    """Let SQLite write as fast as it can: these databases need not outlive the machine."""
    connection.execute("PRAGMA synchronous = OFF")


def _drop_all_of(connection: Connection, kind: str) -> None:
    """Drop all views, tables or triggers of a SQLite database; others drop theirs by themselves."""
    if connection.dialect.name == "sqlite":
        named = "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite%'"
        for (name,) in connection.exec_driver_sql(named, (kind,)).all():
            connection.exec_driver_sql(f'DROP {kind.upper()} "{name}"')


def stocked(engine: Engine) -> Engine:
    """A database without rows, with the catalog now; it has the row ids that it had the first time."""
    if engine not in _CATALOGS:
        with Session(engine) as session:
            session.add_all(stock())
            session.commit()
        with engine.connect() as connection:
            found = {table: connection.execute(table.select()).all() for table in Base.metadata.sorted_tables}
        _CATALOGS[engine] = {table: [row._asdict() for row in rows] for table, rows in found.items() if rows}
        return engine
    with engine.begin() as connection:
        for table, rows in _CATALOGS[engine].items():
            connection.execute(table.insert(), rows)
    return engine


_CATALOGS: weakref.WeakKeyDictionary[Engine, dict[sa.Table, list[dict[str, Any]]]] = (
    weakref.WeakKeyDictionary()
)
"""The rows of the catalog by database: the unit of work takes five times as long as these rows do."""


class Statements:
    """The statements an engine executes, savepoints and transactions aside."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def clear(self) -> None:
        self.all.clear()

    def matching(self, text: str) -> list[str]:
        return [statement for statement in self.all if text in statement]
