"""Find the foreign keys that the database has, also those of tables that no model knows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import group_by_schema, quote_name


@dataclass(frozen=True, slots=True)
class StoredForeignKey:
    """A foreign key in the database.

    Attributes:
        schema: The schema of the table that has it; None: the default one.
        table: The name of that table.
        columns: The names of its columns …
        target: … the table that they refer to …
        target_columns: … and the names of the columns there.
    """

    schema: str | None
    table: str
    columns: tuple[str, ...]
    target: sa.Table
    target_columns: tuple[str, ...]


_Column = tuple[Any, str | None, str, str, sa.Table, str | None]
"""Which key it is, the schema and the name of the table, the column, the table that it refers to, and the
column there; None: the primary key."""


def foreign_keys_to(connection: Connection, tables: Collection[sa.Table]) -> list[StoredForeignKey]:
    """The foreign keys of all tables of the database that refer to *tables*, in one statement for a schema.

    Keys of tables that the user may not see are missing.
    """
    name, default = connection.dialect.name, connection.dialect.default_schema_name
    read = _of_mysql if name in MYSQL else {"postgresql": _of_postgresql, "sqlite": _of_sqlite}.get(name)
    return [] if read is None else list(_join(read(connection, tables), default))


def _join(columns: Iterable[_Column], default: str | None) -> Iterator[StoredForeignKey]:
    for _, group in groupby(columns, key=lambda each: (*each[:3], each[4].fullname)):
        parts = list(group)
        _, schema, table, _, target, _ = parts[0]
        keys = [column.name for column in target.primary_key]
        targets = (keys[place] if other is None else other for place, (*_, other) in enumerate(parts))
        own = tuple(part[3] for part in parts)
        yield StoredForeignKey(None if schema == default else schema, table, own, target, tuple(targets))


_POSTGRESQL = sa.text(
    "SELECT k.oid, n.nspname, c.relname, own.attname, k.confrelid, other.attname "
    "FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace "
    "CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS pair(own, other, place) "
    "JOIN pg_attribute own ON own.attrelid = k.conrelid AND own.attnum = pair.own "
    "JOIN pg_attribute other ON other.attrelid = k.confrelid AND other.attnum = pair.other "
    "WHERE k.contype = 'f' AND k.confrelid IN :targets ORDER BY k.oid, pair.place"
).bindparams(sa.bindparam("targets", expanding=True))


def _of_postgresql(connection: Connection, tables: Collection[sa.Table]) -> Iterator[_Column]:
    known = sa.select(
        *(sa.func.to_regclass(quote_name(connection, table)).cast(sa.BigInteger) for table in tables)
    )
    targets = {oid: table for oid, table in zip(connection.execute(known).one(), tables, strict=True) if oid}
    for key, schema, name, column, target, other in connection.execute(
        _POSTGRESQL, {"targets": list(targets)}
    ):
        yield key, schema, name, column, targets[target], other


def _find_in_schema(
    connection: Connection, tables: Collection[sa.Table], schema: str | None
) -> dict[str, sa.Table]:
    """Those of *tables* that are in a *schema*, by their names in lower case."""
    return {table.name.lower(): table for table in tables if connection.schema_for_object(table) == schema}


_MYSQL = sa.text(
    "SELECT constraint_name, table_schema, table_name, column_name, referenced_table_name, "
    "referenced_column_name FROM information_schema.key_column_usage "
    "WHERE referenced_table_schema = COALESCE(:schema, DATABASE()) AND referenced_table_name IN :names "
    "ORDER BY table_schema, table_name, constraint_name, ordinal_position"
).bindparams(sa.bindparam("names", expanding=True))


def _of_mysql(connection: Connection, tables: Collection[sa.Table]) -> Iterator[_Column]:
    for schema, names in group_by_schema(connection, tables).items():
        of_schema = _find_in_schema(connection, tables, schema)
        for key, of, name, column, target, other in connection.execute(
            _MYSQL, {"schema": schema, "names": names}
        ):
            yield key, of, name, column, of_schema[target.lower()], other


def _of_sqlite(connection: Connection, tables: Collection[sa.Table]) -> Iterator[_Column]:
    quote = connection.dialect.identifier_preparer.quote
    for schema, names in group_by_schema(connection, tables).items():
        of_schema = _find_in_schema(connection, tables, schema)
        master = f"{quote(schema or 'main')}.sqlite_master"
        statement = sa.text(
            'SELECT m.name, k.id, k."table", k."from", k."to" '  # noqa: S608 - quoted
            f"FROM {master} m JOIN pragma_foreign_key_list(m.name, :schema) k "
            "WHERE m.type = 'table' AND lower(k.\"table\") IN :names ORDER BY m.name, k.id, k.seq"
        ).bindparams(sa.bindparam("names", expanding=True))
        given = {"schema": schema or "main", "names": [name.lower() for name in names]}
        for name, key, target, column, other in connection.execute(statement, given):
            yield key, schema, name, column, of_schema[target.lower()], other
