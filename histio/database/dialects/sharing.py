"""Find out whether two connections lead to the same tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, Engine

from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import quote_name

Tables: TypeAlias = Collection[sa.Table]


def is_one_file(one: Engine, other: Engine) -> bool:
    """Whether two engines have the same connections to SQLite, which cannot begin two transactions."""
    return one.pool is other.pool and one.dialect.name == "sqlite"


def share_tables(one: Connection, tables: Tables, other: Connection, other_tables: Tables) -> bool:
    """Whether one of *tables* is one of *other_tables*, however the two connections were made.

    In SQLite, all tables of a file count as one, because it is locked as a whole.
    """
    identify = _IDENTIFY.get(one.dialect.name)
    if identify is None or _IDENTIFY.get(other.dialect.name) is not identify:
        return False
    may_share = _is_one_connection(one, other) or _is_one_server(one, other)
    return may_share and not identify(one, tables).isdisjoint(identify(other, other_tables))


def _is_one_connection(one: Connection, other: Connection) -> bool:
    return one.connection.dbapi_connection is other.connection.dbapi_connection


def _is_one_server(one: Connection, other: Connection) -> bool:
    """Whether a lock that *one* takes is in the way of *other*.

    Addresses would not tell: a server can have several, and a copy of a server can have the same names and
    numbers elsewhere.
    """
    if one.dialect.name == "sqlite":  # its files are the same or not, wherever they are opened
        return True
    lock, unlock = (sa.text(f"SELECT {each}") for each in _LOCKS[one.dialect.name])
    key = {"key": uuid4().int % 2**62}
    one.execute(lock, key)
    try:
        is_free = other.execute(lock, key).scalar()
        if is_free:
            other.execute(unlock, key)
    finally:
        one.execute(unlock, key)
    return not is_free


_LOCKS = {
    "postgresql": ("pg_try_advisory_lock(:key)", "pg_advisory_unlock(:key)"),
    **dict.fromkeys(MYSQL, ("GET_LOCK(CONCAT('histio ', :key), 0)", "RELEASE_LOCK(CONCAT('histio ', :key))")),
}


def _identify_files(connection: Connection, tables: Tables) -> set[Hashable]:
    files = {name: file for _, name, file in connection.exec_driver_sql("PRAGMA database_list")}
    schemas = {connection.schema_for_object(table) or "main" for table in tables}
    return {_identify_file(connection, files.get(schema)) for schema in schemas}


def _identify_file(connection: Connection, file: str | None) -> Hashable:
    """What is the same for all names of a *file*; None or empty: the database is in memory."""
    if file and Path(file).exists():
        found = Path(file).stat()
        return found.st_dev, found.st_ino
    url = connection.engine.url
    is_shared = file or (url.database or "").startswith("file:")
    return str(url) if is_shared else id(connection.connection.dbapi_connection)


_OIDS = sa.text(
    "SELECT to_regclass(name)::oid FROM unnest(:names) AS name WHERE to_regclass(name) IS NOT NULL"
).bindparams(sa.bindparam("names", type_=postgresql.ARRAY(sa.Text)))


def _identify_by_oid(connection: Connection, tables: Tables) -> set[Hashable]:
    names = sorted({quote_name(connection, table) for table in tables})
    return set(connection.scalars(_OIDS, {"names": names}))


def _identify_by_name(connection: Connection, tables: Tables) -> set[Hashable]:
    default = connection.scalar(sa.select(sa.func.database()))
    names = ((connection.schema_for_object(table) or default, table.name) for table in tables)
    return {(str(schema).lower(), name.lower()) for schema, name in names}


_IDENTIFY: dict[str, Callable[[Connection, Tables], set[Hashable]]] = {
    "sqlite": _identify_files,
    "postgresql": _identify_by_oid,
    **dict.fromkeys(MYSQL, _identify_by_name),
}
