"""Find out whether the database keeps the rows and values that it is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects.faults import RowFaultError
from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import Stored, group_by_schema
from histio.kinds.column_types import AnyInterval, declared
from histio.kinds.table import Kind


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


def find_kept(
    connection: Connection,
    kind: Kind,
    tables: Collection[sa.Table],
    stored: Mapping[sa.Column[Any], Stored],
) -> Kept:
    """Find out what the *tables* of *kind* keep. Triggers, rules, views and *stored* types can change rows.

    MariaDB and MySQL show triggers only to users with the TRIGGER privilege.
    """
    truly = counts_truly(connection, tables)
    if not truly or _convert_values(kind, stored, connection.dialect):
        return Kept(truly, values=False)
    return Kept(truly, not (connection.dialect.name in MYSQL and _has_triggers(connection, tables)))


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


# --- Columns of another type than their model says ---------------------------------------------------------

_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "citext", "json")
_BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")


def _convert_values(kind: Kind, stored: Mapping[sa.Column[Any], Stored], dialect: sa.Dialect) -> bool:
    """Whether one of the columns of *kind* may keep other values than it is given: 7 for the text 007.

    The database would do so silently, and no limit says which values these are. SQLite's are in `limits`.
    """
    if dialect.name == "sqlite":
        return False
    columns = (column for table in kind.table.all() for column in table.columns.values() if column in stored)
    return any(_converts(declared(each.type, dialect), stored[each].type) for each in columns)


def _converts(model_type: Any, actual: str) -> bool:
    name = actual.split("(", maxsplit=1)[0]
    is_text = name.startswith("character") or name in _TEXTS
    match model_type:
        case sa.Enum():
            return False
        case sa.String():  # an ENUM of MariaDB takes other case, trailing spaces and numbers
            return not is_text and name not in _BYTES
        case sa.Integer() | sa.Boolean():
            return is_text or name in ("bit", "year")
        case AnyInterval():  # such as HOUR TO MINUTE
            return name.startswith("interval ")
        case sa.Date() | sa.Time():
            is_zoned = actual.endswith("with time zone") and not getattr(model_type, "timezone", False)
            return is_zoned or name.startswith(("datetime", "timestamp"))
    return isinstance(model_type, sa.LargeBinary) and is_text
