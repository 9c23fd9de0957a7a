"""Read the types of columns from a database, because they may keep less than those of the models."""

from __future__ import annotations

import contextlib
import itertools
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from histio.database.dialects.charsets import select_lacking
from histio.database.dialects.names import MYSQL

MICRO = 6
"""The largest number of digits of a second's fraction."""

_MOST_SINGLE = Decimal("3.40282E+38")
SINGLE: Mapping[str, Any] = {"significant": 6, "least": -_MOST_SINGLE, "most": _MOST_SINGLE}
"""The limits of a float of single precision."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a column of a database keeps.

    Attributes:
        type: The type, as the database names it.
        seconds: Digits of a second's fraction; None: not a time.
        day: Whether it keeps only the day of a time.
        scale: Digits after the point; if negative, the number of zeros before the point. None: no limit.
        least: The smallest number; None: no limit.
        most: The largest number; None: no limit.
        significant: Significant digits of a number; None: no limit.
        characters: The longest text, in characters; None: no limit.
        octets: The longest text in *charset*, or binary value, in bytes; None: no limit.
        charset: The database's name of the character set; None: it has all characters.
        filled: The length in bytes to which shorter binary values are filled with zeros; None: they are not.
        stripped: Whether trailing spaces of a text are lost.
        padded: Whether a shorter text is returned with spaces at its end.
        misread: Whether values of the model's type are returned as others, because the column keeps text.
        numeric: Whether a text that reads as a number becomes this number.
        collation: The collation of a text; None: not a text.
        null_is_now: Whether a null is stored as the present time.
    """

    type: str
    seconds: int | None = None
    day: bool = False
    scale: int | None = None
    least: Decimal | None = None
    most: Decimal | None = None
    significant: int | None = None
    characters: int | None = None
    octets: int | None = None
    charset: str | None = None
    filled: int | None = None
    stripped: bool = False
    padded: bool = False
    misread: bool = False
    numeric: bool = False
    collation: str | None = None
    null_is_now: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether some values of this type are not kept."""
        whole = None if self.seconds is None else MICRO
        as_null, collation = self.null_is_now, self.collation
        return self != Stored(self.type, seconds=whole, collation=collation, null_is_now=as_null)


def stored_columns(
    connection: Connection, columns: Collection[sa.Column[Any]]
) -> dict[sa.Column[Any], Stored]:
    """What each of *columns* keeps, read in one statement.

    Columns that the database does not list are absent, such as those of MariaDB's temporary tables. SQLite
    enforces neither lengths nor precisions, but may turn texts into numbers, and numbers into texts.
    """
    read = _READERS.get(connection.dialect.name)
    selectables: set[Any] = {column.table for column in columns}
    tables = sorted((each for each in selectables if isinstance(each, sa.Table)), key=str)
    if read is None or not tables:
        return {}
    found = {(table, name.lower()): stored for table, name, stored in read(connection, tables)}
    keys: dict[sa.Column[Any], Any] = {column: (column.table, column.name.lower()) for column in columns}
    return {column: found[key] for column, key in keys.items() if key in found}


def _integers(bits: int, *, unsigned: bool = False) -> dict[str, Any]:
    """The limits of an integer type with *bits* bits."""
    least, most = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return {"scale": 0, "least": Decimal(least), "most": Decimal(most)}


def decimals(precision: int, scale: int, *, unsigned: bool = False) -> dict[str, Any]:
    """The limits of a decimal type of this *precision* and *scale*."""
    most = Decimal(10**precision - 1).scaleb(-scale)
    return {"scale": scale, "least": Decimal(0) if unsigned else -most, "most": most}


# The recursion goes from a domain to its base type.
_POSTGRESQL = sa.text("""
WITH RECURSIVE found AS (
  SELECT wanted.place, a.attname AS name, a.atttypid AS type, a.atttypmod AS modifier,
    a.attcollation AS collated
  FROM unnest(:names) WITH ORDINALITY AS wanted (name, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = to_regclass(wanted.name)
  WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
  SELECT found.place, found.name, t.typbasetype, t.typtypmod, found.collated
  FROM found JOIN pg_catalog.pg_type t ON t.oid = found.type WHERE t.typtype = 'd'
)
SELECT found.place, found.name, t.typname, found.modifier, pg_catalog.format_type(found.type, found.modifier),
  pg_catalog.current_setting('server_encoding'), c.collname
FROM found JOIN pg_catalog.pg_type t ON t.oid = found.type
LEFT JOIN pg_catalog.pg_collation c ON c.oid = found.collated
WHERE t.typtype <> 'd'
""").bindparams(sa.bindparam("names", type_=postgresql.ARRAY(sa.Text)))  # fmt: skip

_HEADER = 4
"""The number that PostgreSQL adds to the modifiers of texts and decimals."""

_TIMES = ("timestamp", "timestamptz", "time", "timetz")


def _of_postgresql(connection: Connection, tables: list[sa.Table]) -> Iterable[tuple[sa.Table, str, Stored]]:
    names = [quote_name(connection, table) for table in tables]
    for place, name, kind, modifier, words, encoding, collation in connection.execute(
        _POSTGRESQL, {"names": names}
    ):
        kept = _kept_by_postgresql(kind, modifier)
        if kind in ("text", "varchar", "bpchar"):
            kept |= {"charset": None if encoding in ("UTF8", "SQL_ASCII") else encoding}
        yield tables[place - 1], name, Stored(words, collation=collation, **kept)


def _kept_by_postgresql(kind: str, modifier: int) -> dict[str, Any]:  # noqa: PLR0911 - one for each type
    """The limits of a type, by its name in the catalog and its modifier; -1: it has no modifier."""
    bits = {"int2": 16, "int4": 32, "int8": 64}
    if kind in bits:
        return _integers(bits[kind])
    if kind == "date":
        return {"seconds": 0, "day": True}
    if kind == "float4":
        return dict(SINGLE)
    if kind == "money":  # it is returned with the sign of a currency
        return {"misread": True}
    if modifier < 0:
        return {"seconds": MICRO} if kind in _TIMES else {}
    if kind in _TIMES:
        return {"seconds": modifier}
    if kind == "interval":
        return {"seconds": min(modifier & 0xFFFF, MICRO)}
    if kind == "numeric":
        digits, scale = divmod(modifier - _HEADER, 2**16)
        return decimals(digits, ((scale & 0x7FF) ^ 0x400) - 0x400)  # eleven bits, one of them the sign
    if kind in ("varchar", "bpchar"):
        return {"characters": modifier - _HEADER, **dict.fromkeys(("stripped", "padded"), kind == "bpchar")}
    return {}


_MYSQL_COLUMNS = (
    "column_name",
    "data_type",
    "column_type",
    "character_maximum_length",
    "character_octet_length",
    "numeric_precision",
    "numeric_scale",
    "datetime_precision",
    "character_set_name",
    "collation_name",
    "is_nullable",
)
_COLUMNS = sa.table(
    "columns",
    sa.column("table_schema"),
    sa.column("table_name"),
    *map(sa.column, _MYSQL_COLUMNS),
    schema="information_schema",
)
_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_LONGEST = 2**32 - 1


def _of_mysql(connection: Connection, tables: list[sa.Table]) -> Iterable[tuple[sa.Table, str, Stored]]:
    # One SELECT for each table: for several tables at once, the server opens all tables of the schema.
    parts = [
        sa.select(sa.literal_column(str(place)), *(_COLUMNS.c[name] for name in _MYSQL_COLUMNS)).where(
            _COLUMNS.c.table_schema == (connection.schema_for_object(table) or sa.func.database()),
            _COLUMNS.c.table_name == table.name,
        )
        for place, table in enumerate(tables)
    ]
    for place, *row in connection.execute(sa.union_all(*parts)):
        column = dict(zip(_MYSQL_COLUMNS, row, strict=True))
        stored = Stored(column["column_type"], collation=column["collation_name"], **_kept_by_mysql(column))
        yield tables[place], column["column_name"], stored


def _kept_by_mysql(column: Mapping[str, Any]) -> dict[str, Any]:  # noqa: PLR0911 - one for each type
    """The limits of a *column*, from its row in the information schema."""
    kind, unsigned = column["data_type"], "unsigned" in column["column_type"]
    precision, scale = column["numeric_precision"], column["numeric_scale"]
    if kind in _BITS:
        return _integers(_BITS[kind], unsigned=unsigned)
    if kind == "decimal":
        return decimals(precision, scale, unsigned=unsigned)
    if kind in ("float", "double"):
        bounds = {} if scale is None else decimals(precision, scale, unsigned=unsigned)
        return {**bounds, **(SINGLE if kind == "float" else {})}
    if kind == "date":
        return {"seconds": 0, "day": True}
    if kind in ("datetime", "timestamp", "time"):
        renews = kind == "timestamp" and column["is_nullable"] == "NO"
        return {"seconds": column["datetime_precision"] or 0, "null_is_now": renews}
    charset = column["character_set_name"]
    kept = {} if charset in ("utf8mb4", None) else {"charset": charset}
    if kind in ("char", "varchar"):
        return kept | {"characters": column["character_maximum_length"], "stripped": kind == "char"}
    octets = column["character_octet_length"]
    if kind.endswith(("text", "blob", "binary")) and octets is not None and octets < _LONGEST:
        return kept | {"octets": octets, "filled": octets if kind == "binary" else None}
    return kept


_AFFINITIES: tuple[tuple[re.Pattern[str], dict[str, Any]], ...] = (
    (re.compile("INT"), {"numeric": True}),
    (re.compile("CHAR|CLOB|TEXT"), {"misread": True}),
    (re.compile("BLOB|^$"), {}),
    (re.compile("REAL|FLOAT|DOUBLE"), {"numeric": True, "significant": 15}),
    (re.compile(""), {"numeric": True}),
)
"""By a part of its declared type, what a column of SQLite does to values of other types; the first counts."""


def _of_sqlite(connection: Connection, tables: list[sa.Table]) -> Iterable[tuple[sa.Table, str, Stored]]:
    query = " UNION ALL ".join(["SELECT ?, name, type FROM pragma_table_xinfo(?, ?)"] * len(tables))
    given = ((place, table.name, connection.schema_for_object(table)) for place, table in enumerate(tables))
    for place, name, kind in connection.exec_driver_sql(query, tuple(itertools.chain(*given))):
        kept = next(kept for part, kept in _AFFINITIES if part.search(kind.upper()))
        yield tables[place], name, Stored(kind, **kept)


_Reader = Callable[[Connection, list[sa.Table]], Iterable[tuple[sa.Table, str, Stored]]]
_READERS: Mapping[str, _Reader] = {
    "postgresql": _of_postgresql,
    "sqlite": _of_sqlite,
    **dict.fromkeys(MYSQL, _of_mysql),
}


def stored_keys(connection: Connection, table: sa.Table) -> list[tuple[str | None, list[sa.Column[Any]]]]:
    """The name and the columns of each unique constraint and index that *table* has in the database.

    Some of them may be missing in the model. Indexes over expressions are left out.
    """
    inspector, columns = sa.inspect(connection), {column.name: column for column in table.columns}
    schema = connection.schema_for_object(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)  # about what SQLAlchemy cannot reflect
        try:
            rules: list[Any] = [*inspector.get_unique_constraints(table.name, schema)]
            rules += [each for each in inspector.get_indexes(table.name, schema) if each["unique"]]
        except sa.exc.InvalidRequestError:  # a view, or a table that cannot be reflected
            return []
    known = (each for each in rules if each["column_names"] and columns.keys() >= set(each["column_names"]))
    return [(each["name"], [columns[name] for name in each["column_names"]]) for each in known]


def stored_indexes(connection: Connection, table: sa.Table) -> list[list[str]] | None:
    """The names of the columns of each index that *table* has in the database; None: it is a view.

    An index ends before an expression. Partial indexes are left out.
    """
    inspector, schema = sa.inspect(connection), connection.schema_for_object(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)  # about what SQLAlchemy cannot reflect
        try:
            found: list[Any] = [inspector.get_pk_constraint(table.name, schema)["constrained_columns"]]
            found += [each["column_names"] for each in inspector.get_unique_constraints(table.name, schema)]
            for each in inspector.get_indexes(table.name, schema):
                is_partial = any(name.endswith("_where") for name in each.get("dialect_options", {}))
                begun = itertools.takewhile(lambda name: name is not None, each["column_names"])
                found += [] if is_partial else [list(begun)]
            is_view = not any(found) and table.name in inspector.get_view_names(schema)
        except sa.exc.InvalidRequestError:  # a table that cannot be reflected
            return None
    return None if is_view else found


def create_index(connection: Connection, columns: Sequence[sa.Column[Any]]) -> str:
    """The statement that creates an index over *columns* of one table."""
    quote, table = connection.dialect.identifier_preparer.quote, columns[0].table
    names = [column.name for column in columns]
    name = "_".join(["ix", table.name, *names])
    return f"CREATE INDEX {quote(name)} ON {quote_name(connection, table)} ({', '.join(map(quote, names))})"


def quote_name(connection: Connection, table: sa.Table) -> str:
    """The name of *table* with its schema, as a statement spells it."""
    quote = connection.dialect.identifier_preparer.quote
    return ".".join(quote(part) for part in (connection.schema_for_object(table), table.name) if part)


def group_by_schema(connection: Connection, tables: Iterable[sa.Table]) -> dict[str | None, list[str]]:
    """The names of *tables* by their schema; None: the default one."""
    names: dict[str | None, list[str]] = {}
    for table in tables:
        names.setdefault(connection.schema_for_object(table), []).append(table.name)
    return names


class CharacterSets:
    """Finds keys that no row can have, because the character set of their column lacks a character.

    The database would refuse the whole look-up of which such a key is a part. It is asked for the character
    sets of columns only once, and only about keys that are not ASCII.

    Args:
        connect: Returns the connection.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._charsets: dict[sa.Column[Any], str | None] = {}

    def select_possible(
        self, keys: Iterable[Any], find_columns: Callable[[], Sequence[sa.Column[Any]]]
    ) -> list[Any]:
        """Those of *keys* that rows may have.

        Args:
            keys: Values of one column, or tuples of the values of several.
            find_columns: Returns these columns.
        """
        some = list(keys)
        if all(map(_is_ascii, some)):
            return some
        for place, column in enumerate(find_columns()):
            lacking = self._find_lacking(column, {_parts(key)[place] for key in some})
            some = [key for key in some if _parts(key)[place] not in lacking]
        return some

    def _find_lacking(self, column: sa.Column[Any], values: Iterable[Any]) -> set[Any]:
        """Those of *values* with a character that the character set of *column* lacks."""
        connection = self._connect()
        if column not in self._charsets:
            found = stored_columns(connection, [column]).get(column)
            self._charsets[column] = None if found is None else found.charset
        charset = self._charsets[column]
        if charset is None:
            return set()
        texts = _as_stored(connection, column, values)
        lacking = select_lacking(connection, charset, {*texts.values()})
        return {value for value, text in texts.items() if text in lacking}


def _is_ascii(key: Any) -> bool:
    if isinstance(key, tuple):
        return all(map(_is_ascii, key))
    return not isinstance(key, str) or key.isascii()


def _parts(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _as_stored(connection: Connection, column: sa.Column[Any], values: Iterable[Any]) -> dict[Any, str]:
    """The texts that are sent for *values* of *column*, by value."""
    bind = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    texts: dict[Any, str] = {}
    for value in values:
        # A host's type may refuse the value; then its look-up raises the error.
        with contextlib.suppress(Exception):
            text = value if bind is None else bind(value)
            texts |= {value: text} if isinstance(text, str) else {}
    return texts
