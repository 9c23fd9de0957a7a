"""Settings of a connection change no value that is exported or stored, and are left as they are.

To try another setting, add a row to SETTINGS.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import json
from io import BytesIO

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.dialects import mysql, postgresql

import histio
from histio import History
from histio.tuning import tuned
from tests.support.bakery import TIME, number
from tests.support.loops import in_a_loop
from tests.support.reports import outcomes
from tests.support.sqlalchemy_types import full

SETTINGS = [
    ("postgresql", "session", "datestyle", "German, DMY"),
    ("postgresql", "session", "datestyle", "SQL, DMY"),
    ("postgresql", "session", "datestyle", "Postgres, MDY"),
    ("postgresql", "session", "intervalstyle", "sql_standard"),
    ("postgresql", "session", "intervalstyle", "postgres_verbose"),
    ("postgresql", "session", "intervalstyle", "iso_8601"),
    ("postgresql", "session", "extra_float_digits", "0"),
    ("postgresql", "session", "extra_float_digits", "-15"),
    ("postgresql", "session", "bytea_output", "escape"),
    ("postgresql", "session", "timezone", "America/New_York"),
    ("postgresql", "session", "timezone", "<+03>-03"),
    ("postgresql", "session", "array_nulls", "off"),
    ("postgresql", "session", "standard_conforming_strings", "off"),
    ("postgresql", "session", "backslash_quote", "off"),
    ("postgresql", "session", "transform_null_equals", "on"),
    ("postgresql", "session", "xmloption", "document"),
    ("postgresql", "session", "lc_numeric", "C"),
    ("mariadb", "session", "time_zone", "+02:00"),
    ("mariadb", "session", "time_zone", "-05:30"),
    ("mariadb", "session", "sql_mode", "PAD_CHAR_TO_FULL_LENGTH"),
    ("mariadb", "session", "sql_mode", "EMPTY_STRING_IS_NULL"),
    ("mariadb", "session", "sql_mode", "NO_BACKSLASH_ESCAPES"),
    ("mariadb", "session", "sql_mode", "ANSI_QUOTES"),
    ("mariadb", "session", "sql_mode", "ANSI"),
    ("mariadb", "session", "sql_mode", "ORACLE"),
    ("mariadb", "session", "sql_mode", "TRADITIONAL,ONLY_FULL_GROUP_BY"),
    ("mariadb", "session", "sql_mode", "HIGH_NOT_PRECEDENCE,REAL_AS_FLOAT,TIME_ROUND_FRACTIONAL"),
    ("mariadb", "session", "sql_select_limit", "1"),
    ("mariadb", "session", "max_sort_length", "64"),
    ("mariadb", "session", "group_concat_max_len", "4"),
    ("mariadb", "session", "sql_auto_is_null", "1"),
    ("mariadb", "session", "collation_connection", "utf8mb4_bin"),
    ("mariadb", "session", "lc_time_names", "de_DE"),
    ("mariadb", "session", "div_precision_increment", "0"),
    ("postgresql", "event", "datestyle", "German, DMY"),
    ("postgresql", "url", "datestyle", "SQL, DMY"),
    ("postgresql", "url", "extra_float_digits", "0"),
    ("postgresql", "event", "intervalstyle", "iso_8601"),
    ("postgresql", "database", "extra_float_digits", "-3"),
    ("mariadb", "event", "time_zone", "+02:00"),
    ("mariadb", "event", "time_zone", "SYSTEM"),
    ("mariadb", "event", "sql_mode", "PAD_CHAR_TO_FULL_LENGTH"),
    ("mariadb", "url", "sql_mode", "EMPTY_STRING_IS_NULL"),
    ("mariadb", "event", "sql_select_limit", "1"),
    ("mariadb", "url", "time_zone", "-12:59"),
]
"""The database, who sets the setting, its name, and its value."""
LATE = "2025-06-15T15:06:40.500000Z"
RUNS = 5


class Base(orm.DeclarativeBase):
    pass


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


INSTANT = sa.DateTime(timezone=True).with_variant(mysql.TIMESTAMP(fsp=6), "mysql", "mariadb")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
NAMES = sa.JSON().with_variant(postgresql.ARRAY(sa.Text), "postgresql")


class Place(Base):
    __tablename__ = "places"
    id = orm.mapped_column(sa.Integer, primary_key=True)
    since = orm.mapped_column(INSTANT, nullable=False, unique=True)


class Entry(Base):
    __tablename__ = "entries"
    id = orm.mapped_column(sa.Integer, primary_key=True)
    uuid = orm.mapped_column(sa.String(36), nullable=False, unique=True)
    visit_id = orm.mapped_column(sa.ForeignKey("visits.id"), nullable=False)
    at = orm.mapped_column(INSTANT, nullable=False)
    weight = orm.mapped_column(sa.Double, nullable=False)


class Visit(Base):
    __tablename__ = "visits"
    id = orm.mapped_column(sa.Integer, primary_key=True)
    uuid = orm.mapped_column(sa.String(36), nullable=False, unique=True)
    at = orm.mapped_column(INSTANT, nullable=False)
    moment = orm.mapped_column(MOMENT, nullable=False)
    changed = orm.mapped_column(INSTANT, nullable=False)
    day = orm.mapped_column(sa.Date, nullable=False)
    clock = orm.mapped_column(sa.Time, nullable=False)
    length = orm.mapped_column(sa.Interval, nullable=False)
    weight = orm.mapped_column(sa.Double, nullable=False)
    price = orm.mapped_column(sa.Numeric(10, 4), nullable=False)
    notes = orm.mapped_column(sa.Text)
    data = orm.mapped_column(sa.LargeBinary, nullable=False)
    extra = orm.mapped_column(sa.JSON, nullable=False)
    size = orm.mapped_column(sa.Enum(Size, name="size"), nullable=False)
    open = orm.mapped_column(sa.Boolean, nullable=False)
    # Only the full path takes these.
    ratio = orm.mapped_column(sa.Double)
    code = orm.mapped_column(sa.CHAR(8))
    names = orm.mapped_column(NAMES)
    place_id = orm.mapped_column(sa.ForeignKey("places.id"))
    # The database fills these.
    entered = orm.mapped_column(sa.DateTime, server_default=sa.func.now())
    marked = orm.mapped_column(sa.DateTime)
    entries = orm.relationship(Entry, order_by=Entry.id)
    place = orm.relationship(Place)


WEIGHT = histio.FixedDecimal(precision=15, scale=4, required=True)


class EntrySchema(histio.RecordSchema):
    class Meta:
        model = Entry

    uuid = histio.RunUUID(required=True)
    at = histio.UtcTimestamp(required=True)
    weight = WEIGHT


class VisitSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, changed = Visit, "visit", "visits", "at", "changed"
        exclude = ("ratio", "code", "names", "place", "place_id", "entered", "marked")

    uuid = histio.RunUUID(required=True)
    at = histio.UtcTimestamp(required=True)
    moment = histio.UtcTimestamp(required=True)
    changed = histio.UtcTimestamp(required=True)
    day = histio.Date(required=True)
    clock = histio.Time(required=True)
    length = histio.Duration(required=True)
    weight = WEIGHT
    price = histio.FixedDecimal(required=True)
    notes = histio.Text(allow_none=True)
    data = histio.Bytes(required=True)
    extra = histio.Json(required=True)
    size = histio.Choice(required=True)
    open = histio.Boolean(required=True)
    entries = Nested(EntrySchema, many=True)


class WholeVisitSchema(VisitSchema):
    """All columns, on the full path."""

    class Meta(VisitSchema.Meta):
        exclude = ("entered", "marked")

    ratio = histio.Number(allow_none=True)
    code = histio.Text(allow_none=True)
    names = auto_field()
    place_since = histio.Slug("place", key="since", allow_none=True)

    def load(self, data, **options):
        return super().load(data, **options)

    def get_attribute(self, obj, attr, default):
        return super().get_attribute(obj, attr, default)


def visit(n, **members):
    return {
        "uuid": number(n),
        "at": f"2025-{n + 3:02}-26T00:30:00.500000Z",
        "moment": "2025-12-08T10:00:00.120000Z",
        "changed": f"2025-10-26T0{n}:30:00Z",
        "day": "2025-12-08",
        "clock": "10:30:00",
        "length": "-P1DT2H3M4S",
        "weight": "12345678901.2345",
        "price": "5.2500",
        "notes": ["", "a\\n'\"%s \\", None][n % 3],
        "data": "AP8=",
        "extra": {"a": [1, "\\", ""]},
        "size": "LARGE",
        "open": True,
        **members,
        "entries": [
            {"uuid": number(10 * n + k), "at": f"2025-07-0{k}T00:00:00Z", "weight": "0.3333"} for k in (1, 2)
        ],
    }


def whole(n):
    return visit(n, ratio=0.1 + 0.2, code="abc", names=["", None, "NULL"], place_since=LATE)


def document(*visits):
    return {"version": "1.0", "exported_at": TIME, "visits": list(visits)}


def text_of(history, **options):
    return json.dumps(history.export_document(exported_at=dt.datetime.fromisoformat(TIME), **options))


CASES = [(VisitSchema, visit), (WholeVisitSchema, whole)]
"""The fast path, and the full path with all columns."""

STATEMENTS = {"postgresql": "SET {name} = '{value}'", "mariadb": "SET SESSION {name} = {value!r}"}
SHOWN = {"postgresql": "SHOW {name}", "mariadb": "SELECT @@SESSION.{name}"}


def set_in_session(engine, _name, _value, statement):
    connection = engine.connect()
    connection.exec_driver_sql(statement)
    return connection


def setting(statement):
    """A listener that executes *statement* on each new connection."""

    def set_up(connection, _record):
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.close()
        connection.commit()

    return set_up


def set_by_event(engine, _name, _value, statement):
    odd = histio.create_engine(engine.url)
    sa.event.listen(odd, "connect", setting(statement))
    return odd


def set_by_url(engine, name, value, statement):
    options = {
        "postgresql": {"options": f"-c {name}={value}".replace(", ", ",")},
        "mariadb": {"init_command": statement},
    }
    return histio.create_engine(engine.url.update_query_dict(options[engine.dialect.name]))


def set_in_database(engine, name, value, _statement):
    execute(engine, f"ALTER DATABASE {engine.url.database} SET {name} = {value}")
    return histio.create_engine(engine.url)


WAYS = {
    "session": set_in_session,
    "event": set_by_event,
    "url": set_by_url,
    "database": set_in_database,
}


def show(bind, name):
    """The value of a setting, on the connection of the session, or of the pool."""
    shown = sa.text(SHOWN[bind.dialect.name].format(name=name))
    if isinstance(bind, sa.Engine):
        with bind.connect() as connection:
            return connection.scalar(shown)
    return bind.scalar(shown)


RESET = {"database": "ALTER DATABASE {database} RESET {name}"}


@pytest.fixture
def make(databases):
    """Makes an empty database, and something bound to it that has a setting."""
    with contextlib.ExitStack() as stack:

        def make_one(dialect, way, name, value):
            place = Place(since=dt.datetime.fromisoformat(LATE))
            engine = databases.of_host(dialect)(Base.metadata, place)
            number = int(value) if value.isdigit() else value
            bind = WAYS[way](engine, name, value, STATEMENTS[dialect].format(name=name, value=number))
            stack.callback(close, bind)
            reset = RESET.get(way, "SELECT 1").format(database=engine.url.database, name=name)
            stack.callback(execute, engine, reset)
            return engine, bind

        yield make_one


def execute(engine, statement):
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def close(bind):
    """Let no other test have a connection of *bind*."""
    if isinstance(bind, sa.Engine):
        bind.dispose()
    else:
        bind.invalidate()
        bind.close()


def commit(bind):
    getattr(bind, "commit", bool)()


@pytest.mark.cells(8)
@pytest.mark.parametrize(("dialect", "way", "name", "value"), SETTINGS)
@pytest.mark.parametrize(("kind", "make_run"), CASES, ids=["fast", "full"])
def test_no_setting_changes_what_is_exported_stored_compared_or_selected(
    make, tune, dialect, way, name, value, kind, make_run
):
    engine, bind = make(dialect, way, name, value)
    plain, history, before = History(engine, kind), History(bind, kind), show(bind, name)
    given = document(*(make_run(n) for n in range(1, RUNS + 1)))
    expected = json.dumps(given)
    assert history.check(given) == []
    assert outcomes(history.import_document(given)) == (RUNS, 0, 0)
    commit(bind)
    assert text_of(plain) == expected
    tune(page=2)
    assert text_of(history) == expected
    at, changed = (dt.datetime.fromisoformat(given["visits"][2][member]) for member in ("at", "changed"))
    for filters in ({"since": at}, {"until": at}, {"since": at, "until": at}, {"changed_since": changed}):
        assert text_of(history, **filters) == text_of(plain, **filters)
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, RUNS, 0)
    again = json.loads(expected.replace("-26T00:30:00.5", "-26T01:30:00.2").replace("0.3333", "0.6666"))
    report = history.import_document(again, on_duplicate="update")
    assert (list(map(str, report.problems)), report.warnings, report.updated) == ([], (), RUNS)
    commit(bind)
    assert text_of(plain) == json.dumps(again)
    seen = [(record, show(bind, name)) for record in history.iter_runs("visit")]
    assert seen == [(run, before) for run in again["visits"]]
    assert show(bind, name) == before


def listened(kind):
    """The same kind, whose rows the unit of work writes."""
    sa.event.listen(kind.Meta.model, "before_insert", lambda *_: None)
    return kind


def plain(kind):
    return kind


def simple_kind(instant, *constraints):
    """Runs with only an instant, a float and a text: the driver aiomysql takes no bytes."""
    base = orm.declarative_base()
    columns = {
        "id": sa.Column(sa.Integer, primary_key=True),
        "uuid": sa.Column(sa.String(36), unique=True),
        "at": sa.Column(instant, nullable=False),
        "weight": sa.Column(sa.Double, nullable=False),
        "notes": sa.Column(sa.Text, nullable=False),
    }
    table = {"__tablename__": "things", "__table_args__": constraints, **columns}
    model = type("Thing", (base,), table)
    meta = type("Meta", (), {"model": model, "kind": "visit", "collection": "visits", "timestamp": "at"})
    fields = {"at": histio.UtcTimestamp(required=True), "notes": histio.Text(required=True)}
    fields = {"uuid": histio.RunUUID(required=True), **fields, "weight": WEIGHT}
    return base.metadata, type("ThingSchema", (histio.RunSchema,), {"Meta": meta, **fields})


def simple_visit(n, **members):
    return {name: (visit(n, notes="") | members)[name] for name in ("uuid", "at", "notes", "weight")}


ZONES = {"mariadb": "SET time_zone = '+02:00'", "postgresql": "SET timezone = 'Europe/Berlin'"}
MARK = """CREATE OR REPLACE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN NEW.marked = now(); RETURN NEW; END'"""
TRIGGERS = {
    "mariadb": [
        "CREATE TRIGGER on_insert BEFORE INSERT ON things FOR EACH ROW SET NEW.marked = NOW(6)",
        "CREATE TRIGGER on_update BEFORE UPDATE ON things FOR EACH ROW SET NEW.marked = NOW(6)",
    ],
    "postgresql": [
        MARK,
        "CREATE TRIGGER on_write BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION mark()",
    ],
}
ALTER = {"mariadb": "ALTER TABLE things MODIFY at {}", "postgresql": "ALTER TABLE things ALTER at TYPE {}"}
STORED = {
    "mariadb": "SELECT UNIX_TIMESTAMP(at), local, marked FROM things ORDER BY uuid",
    "postgresql": "SELECT extract(epoch FROM at), local, marked FROM things ORDER BY uuid",
}
NOW = {"mariadb": "NOW(6)", "postgresql": "localtimestamp"}
STOP_TIME = {"mariadb": "SET timestamp = 1750000000.5", "postgresql": "SELECT 'it stands in a transaction'"}
INSTANTS = ["2025-01-15T12:00:00Z", "2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z"]


@pytest.mark.cells(4)
@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("write", [plain, full, listened])
@pytest.mark.parametrize(
    ("dialect", "declared", "actual"),
    [
        ("mariadb", sa.DateTime(), "TIMESTAMP(6) NOT NULL DEFAULT '2000-01-01'"),
        ("mariadb", sa.TIMESTAMP(timezone=True), "TIMESTAMP(6) NOT NULL DEFAULT '2000-01-01'"),
        ("postgresql", sa.DateTime(), "timestamptz"),
        ("postgresql", sa.DateTime(timezone=True), "timestamp"),
        ("postgresql", sa.DateTime(timezone=True), "timestamptz"),
    ],
)
def test_instants_are_kept_while_now_means_what_it_means_to_the_session(
    databases, dialect, declared, actual, write, count
):
    base = orm.declarative_base()
    columns = {
        "id": sa.Column(sa.Integer, primary_key=True),
        "uuid": sa.Column(sa.String(36), unique=True),
        "at": sa.Column(declared, nullable=False),
        "local": sa.Column(MOMENT, server_default=sa.text(NOW[dialect])),
        "marked": sa.Column(MOMENT),
    }
    model = type("Thing", (base,), {"__tablename__": "things", **columns})
    meta = {"model": model, "kind": "thing", "collection": "things", "timestamp": "at"}
    fields = {"uuid": histio.RunUUID(required=True), "at": histio.UtcTimestamp(required=True)}
    meta["exclude"] = ("local", "marked")
    kind = write(type("ThingSchema", (histio.RunSchema,), {"Meta": type("Meta", (), meta), **fields}))
    engine = databases.of_host(dialect)(base.metadata)
    with engine.begin() as connection:
        for statement in (ALTER[dialect].format(actual), *TRIGGERS[dialect]):
            connection.exec_driver_sql(statement)
    history, times = History(None, kind), INSTANTS * count
    with engine.connect() as connection:
        connection.exec_driver_sql(ZONES[dialect])
        connection.exec_driver_sql(STOP_TIME[dialect])
        now = connection.scalar(sa.text(f"SELECT {NOW[dialect]}"))
        for at, on_duplicate in ((times, "skip"), (times[::-1], "update")):
            things = [{"uuid": number(n), "at": each} for n, each in enumerate(at)]
            given = {"version": "1.0", "things": things}
            report = history.import_document(given, on_duplicate=on_duplicate, session=connection)
            assert (list(map(str, report.problems)), report.rejected) == ([], 0)
            seconds = [dt.datetime.fromisoformat(each).timestamp() for each in at]
            stored = connection.execute(sa.text(STORED[dialect])).all()
            assert stored == [(each, now, now) for each in seconds]
            found = {run["uuid"]: run["at"] for run in history.iter_runs("thing", session=connection)}
            assert [found[each["uuid"]] for each in things] == at
            since = dt.datetime.fromisoformat(INSTANTS[1])
            late = history.iter_runs("thing", since=since, until=since, session=connection)
            assert len(list(late)) == count
        connection.invalidate()


@pytest.mark.parametrize("write", [plain, full, listened])
@pytest.mark.parametrize(
    ("dialect", "actual"),
    [("mariadb", "TIMESTAMP NOT NULL DEFAULT '2000-01-01'"), ("postgresql", "timestamptz")],
)
def test_a_run_that_is_refused_does_not_shift_the_others(databases, dialect, actual, write):
    metadata, kind = simple_kind(sa.DateTime(), sa.CheckConstraint("notes <> 'bad'"))
    engine = databases.of_host(dialect)(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql(ALTER[dialect].format(actual))
    visits = [simple_visit(n % 9 + 1, uuid=number(n), notes="bad" * (n % 7 == 3)) for n in range(20)]
    visits = [each | {"at": each["at"].replace(".500000", "")} for each in visits]
    with engine.connect() as connection:
        connection.exec_driver_sql(ZONES[dialect])
        history = History(connection, write(kind))
        assert outcomes(history.import_document(document(*visits))) == (17, 0, 3)
        connection.commit()
        connection.invalidate()
    found = {each["uuid"]: each for each in History(engine, kind).iter_runs("visit")}
    assert found == {each["uuid"]: each for each in visits if not each["notes"]}


@pytest.mark.parametrize(("dialect", "declared"), [("mariadb", INSTANT), ("postgresql", sa.DateTime())])
def test_an_update_finds_rows_by_keys_that_are_instants(databases, dialect, declared):
    base = orm.declarative_base()

    class Run(base):
        __tablename__ = "runs"
        id = sa.Column(sa.Integer, primary_key=True)
        uuid = sa.Column(sa.String(36), unique=True, nullable=False)
        steps = orm.relationship("Step", cascade="all, delete-orphan", order_by="Step.at")

    class Step(base):
        __tablename__ = "steps"
        run_id = sa.Column(sa.ForeignKey("runs.id"), primary_key=True)
        at = sa.Column(declared, primary_key=True)
        note = sa.Column(sa.String(20), nullable=False)

    class StepSchema(histio.RecordSchema):
        class Meta:
            model, identity, order = Step, "at", "at"

        at = histio.UtcTimestamp(required=True)
        note = histio.Text(required=True)

    class StepsSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp = Run, "visit", "visits", None

        uuid = histio.RunUUID(required=True)
        steps = Nested(StepSchema, many=True)

    engine = databases.of_host(dialect)(base.metadata)
    with engine.begin() as connection:
        drift = {"mariadb": "SELECT 1", "postgresql": "ALTER TABLE steps ALTER at TYPE timestamptz"}
        connection.exec_driver_sql(drift[dialect])
    first, second, third = (f"2025-06-15T{hour}:00:00Z" for hour in (10, 12, 14))  # two hours apart
    with engine.connect() as connection:
        connection.exec_driver_sql(ZONES[dialect])
        history = History(connection, StepsSchema)
        for steps in ({first: "x", second: "y"}, {first: "z", second: "y"}, {second: "y", third: "x"}, {}):
            entries = [{"at": at, "note": note} for at, note in steps.items()]
            given = document({"uuid": number(1), "steps": entries})
            assert history.import_document(given, on_duplicate="update").problems == ()
            assert history.export_document()["visits"] == given["visits"]
        connection.invalidate()


@pytest.mark.parametrize(
    ("dialect", "name", "value"),
    [("mariadb", "time_zone", "+02:00"), ("postgresql", "datestyle", "German, DMY")],
)
def test_an_iterator_that_is_left_or_shares_its_connection_leaves_no_settings_behind(
    make, tune, dialect, name, value
):
    _, connection = make(dialect, "session", name, value)
    history = History(None, VisitSchema)
    visits = [visit(n) for n in range(1, RUNS + 1)]
    history.import_document(document(*visits), session=connection)
    tune(page=1)
    runs = history.iter_runs("visit", session=connection)
    assert next(runs) == visits[0]
    connection.exec_driver_sql(STATEMENTS[dialect].format(name=name, value=OTHERWISE[dialect]))
    assert next(runs) == visits[1]
    assert show(connection, name) == OTHERWISE[dialect]
    runs.close()
    with pytest.raises(ZeroDivisionError):
        history.export_file(BytesIO(), session=connection, progress=lambda _: 1 / 0)
    assert show(connection, name) == OTHERWISE[dialect]


OTHERWISE = {"mariadb": "-03:00", "postgresql": "SQL, MDY"}


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_a_connection_with_usual_settings_is_asked_for_them_once(databases, dialect, tune, count_statements):
    engine = databases.of_host(dialect)(Base.metadata)
    history = History(engine, VisitSchema)
    asking = {"postgresql": "extra_float_digits", "mariadb": "sql_select_limit"}[dialect]
    statements = count_statements(engine)
    history.import_document(document(*(visit(n) for n in range(1, RUNS + 1))))
    assert (len(statements.matching(asking)), statements.matching("SET SESSION time_zone")) == (1, [])
    statements.clear()
    tune(page=1)
    assert len(list(history.iter_runs("visit"))) == RUNS
    assert (len(statements.matching(asking)), statements.matching("set_config")) == (1, [])


@pytest.mark.parametrize("kind", [VisitSchema, WholeVisitSchema])
def test_the_kinds_of_this_table_take_both_paths(databases, kind):
    explained = History(databases.of_host("mariadb")(Base.metadata), kind).explain()
    assert explained.count(": fast path") == {VisitSchema: 2, WholeVisitSchema: 0}[kind]


def test_an_offset_that_the_database_does_not_take_is_refused_by_name(make):
    _, connection = make("mariadb", "session", "time_zone", "+13:00")

    def take_none(_connection, _cursor, statement, parameters, *_):
        return statement.replace("SET time_zone = '+13:00'", "SET time_zone = '+14:00'"), parameters

    sa.event.listen(connection, "before_cursor_execute", take_none, retval=True)
    history = History(connection, VisitSchema)
    refused = r"does not take \+13:00, .* no TIMESTAMP can be written: SET time_zone = '\+00:00'"
    with pytest.raises(histio.BindingError, match=refused):
        history.import_document(document(visit(1)))
    assert history.export_document()["visits"] == []
    assert show(connection, "time_zone") == "+13:00"


@pytest.mark.parametrize(
    ("driver", "name", "value", "declared"),
    [
        ("postgresql+asyncpg", "extra_float_digits", "-15", INSTANT),
        ("postgresql+asyncpg", "datestyle", "German, DMY", INSTANT),
        ("postgresql+asyncpg", "timezone", "Europe/Berlin", sa.DateTime()),
        ("postgresql+psycopg", "extra_float_digits", "-15", INSTANT),
        ("postgresql+psycopg", "datestyle", "German, DMY", INSTANT),
        ("postgresql+psycopg", "timezone", "Europe/Berlin", sa.DateTime()),
        ("mariadb+aiomysql", "time_zone", "+02:00", INSTANT),
        ("mariadb+aiomysql", "sql_mode", "EMPTY_STRING_IS_NULL", INSTANT),
    ],
)
@in_a_loop
async def test_no_setting_changes_values_in_asyncio(databases, driver, name, value, declared):
    metadata, kind = simple_kind(declared)
    dialect = driver.partition("+")[0]
    plain = databases.of_host(dialect)(metadata)
    instant = {"postgresql": "timestamptz", "mariadb": "TIMESTAMP(6) NOT NULL DEFAULT '2000-01-01'"}
    execute(plain, ALTER[dialect].format(instant[dialect]))
    engine = histio.create_async_engine(plain.url.set(drivername=driver))
    sa.event.listen(
        engine.sync_engine, "connect", setting(STATEMENTS[dialect].format(name=name, value=value))
    )
    history = histio.AsyncHistory(engine, kind)
    visits = [simple_visit(n) for n in range(1, RUNS + 1)]
    assert outcomes(await history.import_document(document(*visits))) == (RUNS, 0, 0)
    assert History(plain, kind).export_document()["visits"] == visits
    with tuned(page=2):
        assert (await history.export_document())["visits"] == visits
    async with contextlib.aclosing(history.iter_runs("visit")) as runs:
        assert await anext(runs) == visits[0]
    async with engine.connect() as connection:
        shown = await connection.scalar(sa.text(SHOWN[dialect].format(name=name)))
    await engine.dispose()
    assert shown == value
