"""Find out whether the database keeps the rows and values that it is given."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects.faults import RowFaultError
from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import group_by_schema


def counts_truly(connection: Connection, tables: Collection[sa.Table]) -> bool:
    """Whether the row count of an INSERT into *tables* is the number of rows that were added to them.

    Triggers, rules and views can drop or redirect rows, or write more.
    """
    name = connection.dialect.name
    if name in MYSQL:
        return True  # a trigger can only reject a row: it has no access to the table itself
    if connection.get_execution_options().get("schema_translate_map"):
        return False  # the database knows them by other names
    if name == "sqlite":
        schemas = {table.schema for table in tables}
        return all(_is_plain_in_sqlite(connection, schema, tables) for schema in schemas)
    return name == "postgresql" and _is_plain_in_postgresql(connection, tables)


class Kept(NamedTuple):
    """What tables keep of the rows that they are given.

    Attributes:
        number: Whether the row count of an INSERT is the number of rows that were added.
        values: Whether the stored values are those of the statement.
    """

    number: bool
    values: bool


def find_kept(connection: Connection, tables: Collection[sa.Table]) -> Kept:
    """Find out what *tables* keep. Triggers, rules and views can change rows.

    MariaDB and MySQL show triggers only to users with the TRIGGER privilege.
    """
    truly = counts_truly(connection, tables)
    return Kept(truly, truly and not (connection.dialect.name in MYSQL and _has_triggers(connection, tables)))


def _has_triggers(connection: Connection, tables: Collection[sa.Table]) -> bool:
    """Whether one of *tables* of MariaDB or MySQL is a view, or has triggers that may change values."""
    return any(
        connection.execute(_MYSQL_CHANGES, {"schema": schema, "names": names}).first() is not None
        for schema, names in group_by_schema(connection, tables).items()
    )


_MYSQL_CHANGES = sa.text(
    "SELECT 1 FROM information_schema.triggers WHERE event_object_schema = COALESCE(:schema, DATABASE()) "
    "AND event_object_table IN :names AND event_manipulation <> 'DELETE' "
    "UNION ALL SELECT 1 FROM information_schema.views "
    "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name IN :names"
).bindparams(sa.bindparam("names", expanding=True))


def check_count(connection: Connection, table: sa.Table, reported: int, written: int) -> None:
    """Check that the database *reported* as many rows as were *written*; -1: it does not report a number.

    Raises:
        RowFaultError: It did not keep every row. Not raised where `counts_truly` is false.
    """
    if reported not in (written, -1) and counts_truly(connection, [table]):
        raise RowFaultError("the database did not keep every row")


def _is_plain_in_sqlite(connection: Connection, schema: str | None, tables: Collection[sa.Table]) -> bool:
    names = [table.name.lower() for table in tables if table.schema == schema]
    columns: list[sa.ColumnClause[Any]] = [sa.column("type"), sa.column("tbl_name")]
    here, temporary = (
        sa.select(*columns).select_from(sa.table(master, schema=of))
        for master, of in (("sqlite_master", schema), ("sqlite_temp_master", None))
    )
    found = sa.union_all(here, temporary).subquery()
    odd = sa.select(sa.literal(1)).where(
        found.c.type.in_(["trigger", "view"]), sa.func.lower(found.c.tbl_name).in_(names)
    )
    return connection.execute(odd.limit(1)).first() is None


_CLASSES = sa.table("pg_class", *map(sa.column, ("oid", "relkind", "relhasrules")))
_TRIGGERS = sa.table("pg_trigger", *map(sa.column, ("tgrelid", "tgisinternal")))


def _is_plain_in_postgresql(connection: Connection, tables: Collection[sa.Table]) -> bool:
    quote = connection.dialect.identifier_preparer
    names = [quote.format_table(table).replace("%%", "%") for table in tables]
    among = sa.or_(*(_CLASSES.c.oid == sa.func.to_regclass(name) for name in names))
    triggers = sa.exists().where(_TRIGGERS.c.tgrelid == _CLASSES.c.oid, sa.not_(_TRIGGERS.c.tgisinternal))
    odd = sa.or_(_CLASSES.c.relkind.not_in(["r", "p"]), _CLASSES.c.relhasrules, triggers)
    return connection.execute(sa.select(sa.literal(1)).where(among, odd).limit(1)).first() is None
