"""Every type that SQLAlchemy ships: values come back the same, or the binding refuses it by name.

A release of SQLAlchemy with a new type fails here until somebody has decided which.
"""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from marshmallow_sqlalchemy import auto_field
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.types import TypeEngine

import histio
from histio import BindingError, History
from tests.support.columns import AN_UUID, TIME, exported, host, things
from tests.support.markdown import Page
from tests.support.sqlalchemy_types import full

MODULES = {"sqlalchemy": sa.types, "postgresql": postgresql, "mysql": mysql, "sqlite": sqlite}
EVERYWHERE = ("sqlite", "postgresql", "mariadb")


def shipped() -> set[str]:
    """The names of all types, such as ``postgresql.INET``."""
    found = {
        f"{place}.{name}": getattr(module, name)
        for place, module in MODULES.items()
        for name in getattr(module, "__all__", dir(module))
        if not name.startswith("_")
    }
    return {name for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, TypeEngine)}


# What is no type of a column, but the base of some, or the type of an expression.
NO_COLUMNS = {
    *("sqlalchemy.TypeEngine", "sqlalchemy.TypeDecorator", "sqlalchemy.UserDefinedType"),
    *("sqlalchemy.Variant", "sqlalchemy.MatchType", "sqlalchemy.TupleType", "postgresql.NamedType"),
    *("sqlalchemy.Concatenable", "sqlalchemy.Indexable", "sqlalchemy.ExternalType"),
}


@dataclass(frozen=True)
class Case:
    """A type whose values come back the same: by the field of ``auto_field()``, or by *field*."""

    arguments: tuple[Any, ...]
    values: tuple[Any, ...]
    on: tuple[str, ...] = EVERYWHERE
    options: tuple[tuple[str, Any], ...] = ()
    field: Any = auto_field

    def column_type(self, name: str) -> Any:
        place, _, kind = name.partition(".")
        return getattr(MODULES[place], kind)(*self.arguments, **dict(self.options))


POSTGRESQL, MARIADB, SQLITE = ("postgresql",), ("mariadb",), ("sqlite",)
NOT_POSTGRESQL = ("sqlite", "mariadb")
WORDS = ("crème 🍪", "", " a\n")
UNPADDED = ("crème", "")
DAYS = ("1000-01-01", "2024-02-29", "9998-12-31")
OBJECTS = ({"a": [1, 2.5, None, "é"], "b": {}}, [], "x", True)
SMALL, PLAIN, BIG = ((-(2**bits), 2**bits - 1) for bits in (15, 31, 63))
DECIMALS = ("-12345678.90", "0.00", "5.25")
MEASURED = (0.5, -3.0, 1e10)
DOUBLES = (0.1, 1e-300, -1.7976931348623157e308)
BYTES = ("AP8=", "AAA=")
LENGTHS = ("P1DT2H3M4S", "PT0S")
CLOCK = ("10:30:00", "00:00:00", "23:59:59")
PER_SECOND = ("2025-12-08T10:00:00Z",)

EXACT: dict[str, Case] = {
    "sqlalchemy.ARRAY": Case((sa.Integer,), ([1, None, -2], []), POSTGRESQL),
    "sqlalchemy.BIGINT": Case((), BIG),
    "sqlalchemy.BINARY": Case((2,), BYTES, NOT_POSTGRESQL),
    "sqlalchemy.BLOB": Case((), BYTES, NOT_POSTGRESQL),
    "sqlalchemy.BOOLEAN": Case((), (True, False)),
    "sqlalchemy.BigInteger": Case((), BIG),
    "sqlalchemy.Boolean": Case((), (True, False)),
    "sqlalchemy.CHAR": Case((9,), UNPADDED),
    "sqlalchemy.CLOB": Case((), WORDS, SQLITE),
    "sqlalchemy.DATE": Case((), DAYS),
    "sqlalchemy.DATETIME": Case((), PER_SECOND, NOT_POSTGRESQL),
    "sqlalchemy.DECIMAL": Case((10, 2), DECIMALS),
    "sqlalchemy.DOUBLE": Case((), DOUBLES, NOT_POSTGRESQL),
    "sqlalchemy.DOUBLE_PRECISION": Case((), DOUBLES),
    "sqlalchemy.Date": Case((), DAYS),
    "sqlalchemy.DateTime": Case((), PER_SECOND),
    "sqlalchemy.Double": Case((), DOUBLES),
    "sqlalchemy.Enum": Case(("red", "blue"), ("red", "blue"), options=(("name", "colour"),)),
    "sqlalchemy.FLOAT": Case((), MEASURED),
    "sqlalchemy.Float": Case((), MEASURED),
    "sqlalchemy.INT": Case((), PLAIN),
    "sqlalchemy.INTEGER": Case((), PLAIN),
    "sqlalchemy.Integer": Case((), PLAIN),
    "sqlalchemy.Interval": Case((), LENGTHS),
    "sqlalchemy.JSON": Case((), OBJECTS),
    "sqlalchemy.LargeBinary": Case((), BYTES),
    "sqlalchemy.NCHAR": Case((9,), UNPADDED, NOT_POSTGRESQL),
    "sqlalchemy.NUMERIC": Case((10, 2), DECIMALS),
    "sqlalchemy.NVARCHAR": Case((9,), UNPADDED, NOT_POSTGRESQL),
    "sqlalchemy.Numeric": Case((10, 2), DECIMALS, options=(("asdecimal", False),)),
    "sqlalchemy.REAL": Case((), MEASURED),
    "sqlalchemy.SMALLINT": Case((), SMALL),
    "sqlalchemy.SmallInteger": Case((), SMALL),
    "sqlalchemy.String": Case((9,), WORDS),
    "sqlalchemy.TEXT": Case((), WORDS),
    "sqlalchemy.TIME": Case((), CLOCK),
    "sqlalchemy.TIMESTAMP": Case((), PER_SECOND),
    "sqlalchemy.Text": Case((), WORDS),
    "sqlalchemy.Time": Case((), CLOCK),
    "sqlalchemy.UUID": Case((), (AN_UUID,)),
    "sqlalchemy.Unicode": Case((9,), WORDS),
    "sqlalchemy.UnicodeText": Case((), WORDS),
    "sqlalchemy.Uuid": Case((), (AN_UUID,), options=(("as_uuid", False),)),
    "sqlalchemy.VARBINARY": Case((9,), BYTES, NOT_POSTGRESQL),
    "sqlalchemy.VARCHAR": Case((9,), WORDS),
    "postgresql.ARRAY": Case(
        (sa.Numeric(6, 2), False, 2), ([["1.50", None], ["-2.00", "0.00"]],), POSTGRESQL
    ),
    "postgresql.BIGINT": Case((), BIG, POSTGRESQL),
    "postgresql.BOOLEAN": Case((), (True, False), POSTGRESQL),
    "postgresql.BYTEA": Case((), BYTES, POSTGRESQL),
    "postgresql.CHAR": Case((9,), UNPADDED, POSTGRESQL),
    "postgresql.CITEXT": Case((), ("Aa", "aA"), POSTGRESQL),
    "postgresql.DATE": Case((), DAYS, POSTGRESQL),
    "postgresql.DOUBLE_PRECISION": Case((), DOUBLES, POSTGRESQL),
    "postgresql.ENUM": Case(("red", "blue"), ("red", "blue"), POSTGRESQL, (("name", "colour"),)),
    "postgresql.FLOAT": Case((), MEASURED, POSTGRESQL),
    "postgresql.INTEGER": Case((), PLAIN, POSTGRESQL),
    "postgresql.INTERVAL": Case((), (*LENGTHS, "-PT0.000001S"), POSTGRESQL),
    "postgresql.JSON": Case((), OBJECTS, POSTGRESQL),
    "postgresql.JSONB": Case((), OBJECTS, POSTGRESQL),
    "postgresql.NUMERIC": Case((10, 2), DECIMALS, POSTGRESQL),
    "postgresql.REAL": Case((), MEASURED, POSTGRESQL),
    "postgresql.SMALLINT": Case((), SMALL, POSTGRESQL),
    "postgresql.TEXT": Case((), WORDS, POSTGRESQL),
    "postgresql.TIME": Case((), ("10:30:00.000001",), POSTGRESQL),
    "postgresql.TIMESTAMP": Case((True, 6), (TIME, "2025-12-08T10:00:00.000001Z"), POSTGRESQL),
    "postgresql.UUID": Case((), (AN_UUID,), POSTGRESQL),
    "postgresql.VARCHAR": Case((9,), WORDS, POSTGRESQL),
    "mysql.BIGINT": Case((), (0, 2**64 - 1), MARIADB, (("unsigned", True),)),
    "mysql.BINARY": Case((2,), BYTES, MARIADB),
    "mysql.BLOB": Case((), BYTES, MARIADB),
    "mysql.BOOLEAN": Case((), (True, False), MARIADB),
    "mysql.CHAR": Case((9,), UNPADDED, MARIADB),
    "mysql.DATE": Case((), DAYS, MARIADB),
    "mysql.DATETIME": Case((), ("2025-12-08T10:00:00.001000Z",), MARIADB, (("fsp", 3),)),
    "mysql.DECIMAL": Case((10, 2), DECIMALS, MARIADB),
    "mysql.DOUBLE": Case((), DOUBLES, MARIADB, (("asdecimal", False),)),
    "mysql.ENUM": Case(("red", "blue"), ("red", "blue"), MARIADB),
    "mysql.FLOAT": Case((), MEASURED, MARIADB),
    "mysql.INTEGER": Case((), (0, 2**32 - 1), MARIADB, (("unsigned", True),)),
    "mysql.JSON": Case((), OBJECTS, MARIADB),
    "mysql.LONGBLOB": Case((), BYTES, MARIADB),
    "mysql.LONGTEXT": Case((), WORDS, MARIADB),
    "mysql.MEDIUMBLOB": Case((), BYTES, MARIADB),
    "mysql.MEDIUMINT": Case((), (-(2**23), 2**23 - 1), MARIADB),
    "mysql.MEDIUMTEXT": Case((), WORDS, MARIADB),
    "mysql.NCHAR": Case((9,), UNPADDED, MARIADB),
    "mysql.NUMERIC": Case((10, 2), DECIMALS, MARIADB),
    "mysql.NVARCHAR": Case((9,), UNPADDED, MARIADB),
    "mysql.REAL": Case((), DOUBLES, MARIADB, (("asdecimal", False),)),
    "mysql.SMALLINT": Case((), SMALL, MARIADB),
    "mysql.TEXT": Case((), WORDS, MARIADB),
    "mysql.TIME": Case((), ("10:30:00.000001",), MARIADB, (("fsp", 6),)),
    "mysql.TIMESTAMP": Case((), PER_SECOND, MARIADB),
    "mysql.TINYBLOB": Case((), BYTES, MARIADB),
    "mysql.TINYINT": Case((), (-128, 127), MARIADB),
    "mysql.TINYTEXT": Case((), WORDS, MARIADB),
    "mysql.VARBINARY": Case((9,), BYTES, MARIADB),
    "mysql.VARCHAR": Case((9,), WORDS, MARIADB),
    "sqlite.BLOB": Case((), BYTES, SQLITE),
    "sqlite.BOOLEAN": Case((), (True, False), SQLITE),
    "sqlite.CHAR": Case((9,), UNPADDED, SQLITE),
    "sqlite.DATE": Case((), DAYS, SQLITE),
    "sqlite.DATETIME": Case((), (TIME, "2025-12-08T10:00:00.000001Z"), SQLITE),
    "sqlite.DECIMAL": Case((10, 2), DECIMALS, SQLITE),
    "sqlite.FLOAT": Case((), MEASURED, SQLITE),
    "sqlite.INTEGER": Case((), PLAIN, SQLITE),
    "sqlite.JSON": Case((), OBJECTS, SQLITE),
    "sqlite.JSONB": Case((), OBJECTS, SQLITE),
    "sqlite.NUMERIC": Case((10, 2), DECIMALS, SQLITE),
    "sqlite.REAL": Case((), MEASURED, SQLITE),
    "sqlite.SMALLINT": Case((), SMALL, SQLITE),
    "sqlite.TEXT": Case((), WORDS, SQLITE),
    "sqlite.TIME": Case((), ("10:30:00.000001",), SQLITE),
    "sqlite.TIMESTAMP": Case((), (TIME,), SQLITE),
    "sqlite.VARCHAR": Case((9,), WORDS, SQLITE),
}  # fmt: skip

NO_JSON = ("BIT", "CIDR", "DOMAIN", "HSTORE", "INET", "JSONPATH", "MACADDR", "MACADDR8", "MONEY", "OID")
SEARCH = ("REGCLASS", "REGCONFIG", "TSQUERY", "TSVECTOR")
RANGES = [
    f"{of}{many}RANGE" for of in ("DATE", "INT4", "INT8", "NUM", "TS", "TSTZ") for many in ("", "MULTI")
]

# The arguments of the types that the binding refuses.
REFUSED: dict[str, tuple[Any, ...]] = {
    **{f"sqlalchemy.{name}": () for name in ("NullType", "PickleType")},
    **{f"postgresql.{name}": () for name in (*NO_JSON, *SEARCH, *RANGES)},
    "postgresql.DOMAIN": ("positive", sa.Integer),
    **{f"mysql.{name}": () for name in ("BIT", "INET4", "INET6", "YEAR")},
    "mysql.SET": ("a", "b"),
}

FIELDS = {
    "Boolean": histio.Boolean(required=True),
    "Bytes": histio.Bytes(required=True),
    "Choice": histio.Choice("a", "b", required=True),
    "Date": histio.Date(required=True),
    "Duration": histio.Duration(required=True),
    "Epoch": histio.Epoch(required=True),
    "FixedDecimal": histio.FixedDecimal(precision=9, scale=2, required=True),
    "Integer": histio.Integer(required=True),
    "Json": histio.Json(allow_none=False, required=True),
    "Number": histio.Number(required=True),
    "RunUUID": histio.RunUUID(required=True),
    "Text": histio.Text(required=True),
    "Time": histio.Time(required=True),
    "UtcTimestamp": histio.UtcTimestamp(required=True),
}


def test_every_type_that_sqlalchemy_ships_is_decided():
    assert shipped() - EXACT.keys() - REFUSED.keys() - NO_COLUMNS == set()
    assert EXACT.keys() & REFUSED.keys() == set()


@pytest.mark.slow
def test_the_page_of_options_names_the_field_of_every_type():
    rows = Page("docs/reference/options.md").table("Which field for which column")
    told = {name: field for names, field, _ in rows for name in re.findall(r"`(\w+)`", names)}
    newer = EXACT.keys() - shipped()  # types that this version of SQLAlchemy lacks
    cases = {name: case for name, case in EXACT.items() if name not in newer}
    given = {name: host(case.column_type(name), auto_field())[1] for name, case in cases.items()}
    found = {name.partition(".")[2]: type(kind().fields["value"]).__name__ for name, kind in given.items()}
    left = told.keys() - ({name.partition(".")[2] for name in newer} - found.keys())
    assert {name: told[name].strip("`").partition("`")[0] for name in left} == found


def assert_it_travels(history: History, values: tuple[Any, ...]) -> None:
    report = history.import_document(things(*values))
    assert ([str(problem) for problem in report.problems], report.imported) == ([], len(values))
    assert json.dumps(exported(history)) == json.dumps(things(*values))  # 1 is not True
    again = history.import_document(things(*values), on_duplicate="verify")
    assert (again.skipped, again.problems) == (len(values), ())


def emptied(engine: sa.Engine, metadata: sa.MetaData) -> sa.Engine:
    with engine.begin() as connection:
        connection.execute(metadata.tables["things"].delete())
    return engine


# PostgreSQL has this type of an extension of its own.
CITEXT = sa.DDL("CREATE EXTENSION IF NOT EXISTS citext").execute_if(dialect="postgresql")

# SQLite has the function jsonb since 3.45.
NEEDS = {"sqlite.JSONB": pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 45), reason="no jsonb()")}

CASES = [
    pytest.param(name, on, marks=NEEDS.get(name, ()))
    for name, case in EXACT.items()
    for on in case.on
    if name in shipped()
]


@pytest.mark.parametrize(("name", "on"), CASES)
def test_its_values_leave_and_come_back_the_same_whichever_way_they_go(databases, name, on):
    case = EXACT[name]
    metadata, kind = host(case.column_type(name), case.field())
    sa.event.listen(metadata, "before_create", CITEXT)
    engine = databases.of_host(on)(metadata)
    assert_it_travels(History(engine, kind), case.values)
    assert_it_travels(History(emptied(engine, metadata), full(kind)), case.values)
    sa.event.listen(kind.Meta.model, "before_insert", lambda *_: None)
    assert_it_travels(History(emptied(engine, metadata), kind), case.values)


@pytest.mark.parametrize("name", sorted(REFUSED.keys() & shipped()))
def test_auto_field_refuses_a_type_that_no_field_keeps_and_says_what_to_write(name):
    place, _, kind = name.partition(".")
    column_type = getattr(MODULES[place], kind)(*REFUSED[name])
    told = (
        r"^ThingSchema\.value: auto_field\(\) has no field for .*(marshmallow field|gives the column no type)"
    )
    with pytest.raises(BindingError, match=told):
        host(column_type, auto_field())


@pytest.mark.parametrize("name", sorted(REFUSED.keys() & shipped()))
def test_no_other_field_takes_such_a_column_for_its_own(name):
    place, _, kind = name.partition(".")
    _, thing = host(getattr(MODULES[place], kind)(*REFUSED[name]), FIELDS["Text"])
    for field in FIELDS.values():
        schema = type("ThingSchema", (thing,), {"value": field})
        with pytest.raises(BindingError, match=r"^ThingSchema\.value: an? \w+ cannot be kept in "):
            History(None, schema)
