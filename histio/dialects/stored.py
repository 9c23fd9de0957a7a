"""What a database says of its columns, which may keep less than a host's models say."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from histio.dialects.names import MYSQL

MICRO = 6
"""Digits of a second's fraction that times have."""

_MOST_SINGLE = Decimal("3.40282E+38")
SINGLE: Mapping[str, Any] = {"significant": 6, "least": -_MOST_SINGLE, "most": _MOST_SINGLE}
"""What every float of single precision keeps."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a column of a database keeps.

    Attributes:
        type: Its type, in the database's words.
        seconds: Digits of a second's fraction; None: it keeps no times.
        day: Of a time, it keeps only the day.
        scale: Digits after the point, or less than 0: so many before it are zeros; None: any number.
        least: The least number; None: it has no bounds.
        most: The greatest number; None: it has no bounds.
        significant: Significant digits of a number; None: any number.
        characters: Length of a text; None: any.
        octets: Length of a text in *charset*, or of binary data, in bytes; None: any.
        charset: The character set, where it may lack characters, by the database's name for it.
        filled: Binary data with fewer bytes get zeros behind them; None: they do not.
        stripped: Spaces at the end of a text get lost.
        collation: How texts are compared; None: it keeps no texts.
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
    collation: str | None = None

    @property
    def is_limited(self) -> bool:
        """Whether it keeps less than all values of its kind."""
        whole = None if self.seconds is None else MICRO
        return self != Stored(self.type, seconds=whole, collation=self.collation)


def stored_columns(
    connection: Connection, columns: Collection[sa.Column[Any]]
) -> dict[sa.Column[Any], Stored]:
    """What the database keeps in each of *columns*, in one statement.

    Those are absent of which the database says nothing, such as those of MariaDB's temporary tables; and all
    of SQLite's, which enforces neither lengths nor precisions.
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
    """The bounds of an integer type of so many *bits*, and that it keeps no fraction."""
    least, most = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return {"scale": 0, "least": Decimal(least), "most": Decimal(most)}


def decimals(precision: int, scale: int, *, unsigned: bool = False) -> dict[str, Any]:
    """The bounds of a decimal type with so many digits."""
    most = Decimal(10**precision - 1).scaleb(-scale)
    return {"scale": scale, "least": Decimal(0) if unsigned else -most, "most": most}


# Domains are followed down to the type that they are made of.
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
"""What PostgreSQL adds to the modifiers of texts and decimals."""

_TIMES = ("timestamp", "timestamptz", "time", "timetz")


def _of_postgresql(connection: Connection, tables: list[sa.Table]) -> Iterable[tuple[sa.Table, str, Stored]]:
    names = [quoted(connection, table) for table in tables]
    for place, name, kind, modifier, words, encoding, collation in connection.execute(
        _POSTGRESQL, {"names": names}
    ):
        kept = _kept_by_postgresql(kind, modifier)
        if kind in ("text", "varchar", "bpchar"):
            kept |= {"charset": None if encoding in ("UTF8", "SQL_ASCII") else encoding}
        yield tables[place - 1], name, Stored(words, collation=collation, **kept)


def _kept_by_postgresql(kind: str, modifier: int) -> dict[str, Any]:  # noqa: PLR0911 - one for each type
    """What a type keeps, by its name in the catalog and its modifier, of which -1 is none."""
    bits = {"int2": 16, "int4": 32, "int8": 64}
    if kind in bits:
        return _integers(bits[kind])
    if kind == "date":
        return {"seconds": 0, "day": True}
    if kind == "float4":
        return dict(SINGLE)
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
        return {"characters": modifier - _HEADER, "stripped": kind == "bpchar"}
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
    # One SELECT per table, as the server looks into all of a schema's tables where several are asked for.
    parts = [
        sa.select(sa.literal_column(str(place)), *(_COLUMNS.c[name] for name in _MYSQL_COLUMNS)).where(
            _COLUMNS.c.table_schema == (connection.schema_for_object(table) or sa.func.database()),
            _COLUMNS.c.table_name == table.name,
        )
        for place, table in enumerate(tables)
    ]
    for place, *row in connection.execute(sa.union_all(*parts)):
        told = dict(zip(_MYSQL_COLUMNS, row, strict=True))
        stored = Stored(told["column_type"], collation=told["collation_name"], **_kept_by_mysql(told))
        yield tables[place], told["column_name"], stored


def _kept_by_mysql(told: Mapping[str, Any]) -> dict[str, Any]:  # noqa: PLR0911 - one for each type
    """What a column keeps of which the information schema has *told*."""
    kind, unsigned = told["data_type"], "unsigned" in told["column_type"]
    precision, scale = told["numeric_precision"], told["numeric_scale"]
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
        return {"seconds": told["datetime_precision"] or 0}
    charset = told["character_set_name"]
    kept = {} if charset in ("utf8mb4", None) else {"charset": charset}
    if kind in ("char", "varchar"):
        return kept | {"characters": told["character_maximum_length"], "stripped": kind == "char"}
    octets = told["character_octet_length"]
    if kind.endswith(("text", "blob", "binary")) and octets is not None and octets < _LONGEST:
        return kept | {"octets": octets, "filled": octets if kind == "binary" else None}
    return kept


# By the names of PostgreSQL and MariaDB; of others, the databases say what they lack.
_CODECS = {
    "LATIN1": "latin-1",
    "LATIN9": "iso8859-15",
    "WIN1252": "cp1252",
    "latin1": "cp1252",
    "ascii": "ascii",
}
_BASIC = ("utf8", "utf8mb3", "ucs2")
"""Of MariaDB's character sets, those that have the characters of up to three bytes in UTF-8."""

_BEYOND = re.compile("[\U00010000-\U0010ffff]")
_UNASSIGNED = re.compile("[\x81\x8d\x8f\x90\x9d]")
"""Bytes of cp1252 that mean nothing to Python and themselves to MariaDB."""


def encoded_as(text: str, charset: str | None) -> bytes:
    """*text* in a character set of a database's.

    Raises:
        UnicodeEncodeError: It has characters which that lacks.
    """
    if charset in _BASIC:
        beyond = _BEYOND.search(text)
        if beyond:
            raise UnicodeEncodeError("utf-8", text, *beyond.span(), "beyond three bytes")
    elif charset == "latin1":
        text = _UNASSIGNED.sub("?", text)
    return text.encode(_CODECS.get(charset or "", "utf-8"))


_Reader = Callable[[Connection, list[sa.Table]], Iterable[tuple[sa.Table, str, Stored]]]
_READERS: Mapping[str, _Reader] = {"postgresql": _of_postgresql, **dict.fromkeys(MYSQL, _of_mysql)}


def stored_keys(connection: Connection, table: sa.Table) -> list[tuple[str | None, list[sa.Column[Any]]]]:
    """The name and the columns of each rule by which rows of *table* are unique to the database.

    The model may know nothing of them. Rules over expressions are left out.
    """
    inspector, columns = sa.inspect(connection), {column.name: column for column in table.columns}
    schema = connection.schema_for_object(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)  # of what SQLAlchemy cannot reflect
        try:
            rules: list[Any] = [*inspector.get_unique_constraints(table.name, schema)]
            rules += [each for each in inspector.get_indexes(table.name, schema) if each["unique"]]
        except sa.exc.InvalidRequestError:  # a view, or a table that cannot be reflected
            return []
    known = (each for each in rules if each["column_names"] and columns.keys() >= set(each["column_names"]))
    return [(each["name"], [columns[name] for name in each["column_names"]]) for each in known]


def quoted(connection: Connection, table: sa.Table) -> str:
    """The name of *table* with its schema, as a statement spells it."""
    quote = connection.dialect.identifier_preparer.quote
    return ".".join(quote(part) for part in (connection.schema_for_object(table), table.name) if part)
