"""What is read as another value is exported as read, with a warning; what cannot be read is named."""

from __future__ import annotations

import datetime as dt
import io
import logging

import pytest
import sqlalchemy as sa
from marshmallow import fields
from sqlalchemy import orm
from sqlalchemy.dialects import mysql, postgresql

import histio
from histio import ExportError, History
from histio.models import ProductionRun
from histio.tuning import tuned
from tests.support.bakery import consumption, document, number, production_run
from tests.support.columns import AwareDateTime, host
from tests.support.databases import stocked

POSTGRESQL, MARIADB, SQLITE = "postgresql", "mariadb", "sqlite"
BY_PATH = pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])


def store(engine, ddl, *literals, more=""):
    """Make the table anew with a column of any type, and store *literals* in it as any client could."""
    with engine.begin() as connection:
        if engine.dialect.name == MARIADB:
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
        connection.exec_driver_sql("DROP TABLE things")
        connection.exec_driver_sql(
            f"CREATE TABLE things (id int, uuid varchar(36) UNIQUE, value {ddl} NULL{more})"
        )
        for place, literal in enumerate(literals):
            insert = f"INSERT INTO things (id, uuid, value) VALUES ({place}, '{number(place)}', {literal})"
            connection.execute(sa.text(insert.replace(":", r"\:")))
    engine.dispose()  # with the mode of its session


def summarize(problems):
    return [(problem.code, problem.pointer, problem.uuid) for problem in problems]


TIME = histio.Time(allow_none=True)
MOMENT = histio.UtcTimestamp(allow_none=True)
DAY = histio.Date(allow_none=True)
LENGTH = histio.Duration(allow_none=True)
NUMBER = histio.Number(allow_none=True)
TRUTH = histio.Boolean(allow_none=True)
ZONED = fields.Time(allow_none=True)
TIMES = fields.List(TIME, allow_none=True)
LOSSY = sa.Numeric(40, 30, asdecimal=False)

# The database, the type of its column and of the model's, the field, two values, the second as it is
# stored and as it is read.
ALTERED = [
    (MARIADB, "time", sa.Time(), TIME, "'10:00:00'", "'25:00:00'", "25:00:00", "01:00:00"),
    (MARIADB, "time", sa.Time(), TIME, "'10:00:00'", "'-01:00:00'", "-01:00:00", "23:00:00"),
    (MARIADB, "time", sa.Time(), TIME, "'10:00:00'", "'24:00:00'", "24:00:00", "00:00:00"),
    (MARIADB, "time(6)", mysql.TIME(fsp=6), TIME, "'10:00'", "'838:59:59'", "838:59:59.000000", "22:59:59"),
    (MARIADB, "tinyint(1)", sa.Boolean(), TRUTH, "1", "2", "2", True),
    (MARIADB, "tinyint(1)", sa.Boolean(), TRUTH, "0", "-1", "-1", True),
    (MARIADB, "bit(1)", sa.Boolean(), TRUTH, "b'1'", "b'0'", "\x00", True),
    (MARIADB, "float", sa.Float(), NUMBER, "0.1", "1234567.875", "1234570", 1234570.0),
    (MARIADB, "decimal(40,30)", LOSSY, NUMBER, "0.1", "0.1000000000000000055", "0.1000000000000000055", 0.1),
    (POSTGRESQL, "numeric", LOSSY, NUMBER, "0.1", "0.1000000000000000055", "0.1000000000000000055", 0.1),
    (POSTGRESQL, "numeric", LOSSY, NUMBER, "0.3", "1e-320", "0.000", 1e-320),
    (POSTGRESQL, "interval", sa.Interval(), LENGTH, "'1 day'", "'1 mon'", "1 mon", "P30D"),
    (POSTGRESQL, "interval", postgresql.INTERVAL(), LENGTH, "'1 day'", "'-1 year'", "-1 years", "-P365D"),
    (SQLITE, "boolean", sa.Boolean(), TRUTH, "1", "2", "2", True),
    (SQLITE, "boolean", sa.Boolean(), TRUTH, "0", "'no'", "no", True),
    (SQLITE, "time", sa.Time(), TIME, "'10:00'", "'10:00:00.1234567'", "10:00:00.1234567", "10:00:00.123456"),
    (
        *(SQLITE, "datetime", sa.DateTime(), MOMENT, "'2025-12-08 10:00:00'"),
        *("'2025-12-08 10:00:00.1234567'", "2025-12-08 10:00:00.1234567", "2025-12-08T10:00:00.123456Z"),
    ),
]


@pytest.mark.cells(8)
@BY_PATH
@pytest.mark.parametrize(("dialect", "ddl", "column_type", "field", "fine", "odd", "stored", "read"), ALTERED)
def test_what_is_read_as_another_value_is_exported_as_read_and_counted(
    create, full, ddl, column_type, field, fine, odd, stored, read
):
    metadata, kind = host(column_type, field, nullable=True)
    engine = create(metadata)
    store(engine, ddl, fine, odd, "NULL")
    history, file = History(engine, kind), io.BytesIO()
    with tuned(full_path_only=full):
        report = history.export_file(file)
        exact = history.export_file(io.BytesIO(), exact=True, on_unreadable="skip")
    assert [each["value"] for each in history.export_document()["things"]][1:] == [read, None]
    assert summarize(report.warnings) == [("precision", "/value", number(1))]
    assert f"value of {number(1)} is stored as {stored}" in report.warnings[0].message
    assert (report.warning_count, report.exported, report.problems) == (1, 3, ())
    assert summarize(exact.problems) == [("precision", "/value", number(1))]
    assert (exact.exported, exact.skipped, exact.warning_count) == (2, 1, 0)


UNREADABLE = [
    (POSTGRESQL, "time", sa.Time(), TIME, "'10:00'", "'24:00'"),
    (POSTGRESQL, "timetz", postgresql.TIME(timezone=True), ZONED, "'10:00'", "'24:00+02'"),
    (POSTGRESQL, "time[]", postgresql.ARRAY(sa.Time()), TIMES, "'{10:00}'", "'{24:00}'"),
    (POSTGRESQL, "date", sa.Date(), DAY, "'2025-12-08'", "'infinity'"),
    (POSTGRESQL, "date", sa.Date(), DAY, "'2025-12-08'", "'0044-03-15 BC'"),
    (POSTGRESQL, "timestamp", sa.DateTime(), MOMENT, "'2025-12-08'", "'-infinity'"),
    (POSTGRESQL, "timestamp", AwareDateTime(), MOMENT, "'2025-12-08'", "'infinity'"),
    (POSTGRESQL, "timestamptz", sa.DateTime(timezone=True), MOMENT, "'2025-12-08'", "'12025-12-08'"),
    (POSTGRESQL, "interval", sa.Interval(), LENGTH, "'1 day'", "'170000000 years'"),
    (POSTGRESQL, "numeric", sa.Numeric(10, 2), histio.FixedDecimal(allow_none=True), "1.5", "'NaN'"),
    (POSTGRESQL, "numeric", sa.Numeric(10, 2), histio.FixedDecimal(allow_none=True), "1.5", "'Infinity'"),
    (POSTGRESQL, "numeric", LOSSY, NUMBER, "1.5", "1e400"),
    (POSTGRESQL, "float8", sa.Double(), NUMBER, "1.5", "'NaN'"),
    (POSTGRESQL, "float8", sa.Double(), NUMBER, "1.5", "'-Infinity'"),
    (MARIADB, "date", sa.Date(), DAY, "'2025-12-08'", "'0000-00-00'"),
    (MARIADB, "date", sa.Date(), DAY, "'2025-12-08'", "'2025-00-00'"),
    (MARIADB, "datetime", sa.DateTime(), MOMENT, "'2025-12-08'", "'2025-02-00 10:00:00'"),
    (MARIADB, "datetime(6)", AwareDateTime(), MOMENT, "'2025-12-08'", "'0000-00-00 00:00:00'"),
    (MARIADB, "datetime", sa.Interval(), LENGTH, "'1970-01-02'", "'0000-00-00 00:00:00'"),
    (MARIADB, "enum('a', 'b')", sa.Enum("a", "b"), histio.Choice(allow_none=True), "'a'", "''"),
    (SQLITE, "date", sa.Date(), DAY, "'2025-12-08'", "'2025-02-30'"),
    (SQLITE, "datetime", AwareDateTime(), MOMENT, "'2025-12-08 10:00:00'", "'2025-02-30 10:00:00'"),
    (SQLITE, "time", sa.Time(), TIME, "'10:00:00'", "'24:00:00'"),
    (SQLITE, "float", sa.Double(), NUMBER, "1.5", "9e999"),
]


@pytest.mark.cells(8)
@BY_PATH
@pytest.mark.parametrize(("dialect", "ddl", "column_type", "field", "fine", "odd"), UNREADABLE)
def test_what_cannot_be_read_is_named_and_left_out_on_request(
    create, full, ddl, column_type, field, fine, odd
):
    metadata, kind = host(column_type, field, nullable=True)
    engine = create(metadata)
    store(engine, ddl, fine, odd, "NULL")
    history = History(engine, kind)
    with tuned(full_path_only=full):
        with pytest.raises(ExportError) as caught:
            history.export_document()
        report = history.export_file(io.BytesIO(), on_unreadable="skip")
    assert {problem.uuid for problem in caught.value.problems} == {number(1)}
    assert {problem.uuid for problem in report.problems} == {number(1)}
    assert (report.exported, report.skipped, report.warning_count) == (2, 1, 0)


# --- in every place ---------------------------------------------------------------------------------------

MOMENTS = {
    SQLITE: ["2025-02-30 10:00:00.000000", "yesterday", "2025-12-08 25:00:00"],
    POSTGRESQL: ["-infinity", "0044-03-15 BC", "infinity"],
    MARIADB: ["0000-00-00", "2025-00-08", "2025-02-00"],
}
BOUNDS = [
    {},
    {"since": dt.date(2020, 1, 1)},
    {"until": dt.date(2030, 1, 1)},
    {"where": {"production_run": ProductionRun.num_batches > 0}},
]
ONE_DAY = {"since": dt.date(2025, 12, 8), "until": dt.date(2025, 12, 8)}


def store_moment(engine, uuid, moment, *, table="production_runs", column="produced_at"):
    with engine.connect() as connection:
        if connection.dialect.name == MARIADB:
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
        update = sa.text(f"UPDATE {table} SET {column} = :moment WHERE uuid = :uuid")
        connection.execute(update, {"moment": moment, "uuid": uuid})
        connection.commit()
    engine.dispose()  # with the mode of its session


def make_odd(engine, table, column, first):
    """Store odd moments in rows of *table*: that with the UUID of the number *first*, and the next two."""
    for n, moment in enumerate(MOMENTS[engine.dialect.name], first):
        store_moment(engine, number(n), moment, table=table, column=column)


def refused(history, **options):
    with pytest.raises(ExportError) as caught:
        history.export_document(kinds="production_run", **options)
    report = history.export_file(io.BytesIO(), kinds="production_run", on_unreadable="skip", **options)
    named = sorted((problem.uuid, problem.pointer) for problem in report.problems)
    assert sorted((problem.uuid, problem.pointer) for problem in caught.value.problems) == named
    return named, report.exported, report.skipped


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
def test_a_run_whose_time_cannot_be_read_is_named_whatever_times_are_asked_for(engine, history, full):
    history.import_document(document(*(production_run(n) for n in range(1, 8))))
    make_odd(engine, "production_runs", "produced_at", 2)
    named = [(number(n), "/produced_at") for n in (2, 3, 4)]
    with tuned(full_path_only=full, page=2):  # some pages end with such a run
        found = [refused(history, **bounds) for bounds in BOUNDS]
    assert found == [(named, 4, 3)] * len(BOUNDS)
    with pytest.raises(ExportError, match=r"cannot be exported \(3\)"):
        list(histio.diff(history, history))


# By database: texts of times that cannot be read, and whether an export of the eighth of December names them.
PLACED = [
    (SQLITE, "", True),
    (SQLITE, "0000-12-08 10:00:00.000000", True),
    (SQLITE, "yesterday", True),
    (SQLITE, "2025-12-08", False),  # can be read
    (SQLITE, "2025-12-08 -1:00", True),
    (SQLITE, "2025-12-08 25:00", True),
    (SQLITE, "2025-12-08x", True),
    (SQLITE, "2025-12-07 25:00", False),
    (SQLITE, "2025-12-09 25:00", False),
    (SQLITE, "2025-02-30 10:00", False),
    (SQLITE, 1733652000, True),
    (SQLITE, b"2025-12-08 10:00", True),
    (POSTGRESQL, "-infinity", True),
    (POSTGRESQL, "infinity", True),
    (POSTGRESQL, "0044-12-08 BC", True),
    (MARIADB, "0000-00-00", True),
    (MARIADB, "0000-12-08", True),
    (MARIADB, "2025-00-08", True),
    (MARIADB, "2025-12-00", True),
    (MARIADB, "2025-00-00", True),
    (MARIADB, "2025-11-00", False),
    (MARIADB, "2024-00-08", False),
]


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
@pytest.mark.parametrize(("dialect", "moment", "is_named"), PLACED)
def test_an_export_of_one_day_names_a_time_that_cannot_be_read_unless_it_sorts_among_other_days(
    engine, history, full, moment, is_named
):
    history.import_document(document(*(production_run(n) for n in range(1, 4))))
    store_moment(engine, number(2), moment)
    with tuned(full_path_only=full, page=2):
        report = history.export_file(io.BytesIO(), on_unreadable="skip", **ONE_DAY)
    assert [problem.uuid for problem in report.problems] == [number(2)] * is_named


DayBase = orm.declarative_base()


class DayOff(DayBase):
    __tablename__ = "days_off"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), unique=True, nullable=False)
    day = sa.Column(sa.Date, nullable=False, index=True)


class DayOffSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = DayOff, "day_off", "days_off", "day"

    uuid = histio.RunUUID(required=True)
    day = histio.Date(required=True)


PLACED_DAYS = [
    (SQLITE, "2025-12-08 10:00", True),
    (SQLITE, "2025-12-07 10:00", False),
    (SQLITE, "yesterday", True),
    (SQLITE, "0000-12-08", True),
    (POSTGRESQL, "infinity", True),
    (MARIADB, "2025-12-00", True),
    (MARIADB, "2025-11-00", False),
]


@pytest.mark.parametrize(("dialect", "day", "is_named"), PLACED_DAYS)
def test_an_export_of_one_day_of_days_names_what_is_none(create, day, is_named):
    days = [dt.date(2025, 12, n) for n in (7, 8, 8, 9)]
    engine = create(DayBase.metadata, *(DayOff(uuid=number(n), day=each) for n, each in enumerate(days)))
    store_moment(engine, number(2), day, table="days_off", column="day")
    report = History(engine, DayOffSchema).export_file(io.BytesIO(), on_unreadable="skip", **ONE_DAY)
    assert [problem.uuid for problem in report.problems] == [number(2)] * is_named
    assert (report.exported, report.skipped) == (1, is_named)


TEN = dt.datetime(2025, 12, 8, 10, tzinfo=dt.UTC)
TICK = dt.timedelta(microseconds=1)


@pytest.mark.parametrize("spelling", ["2025-12-08 10:00:00", "2025-12-08T10:00", "2025-12-08 10:00:00.0"])
@pytest.mark.parametrize(
    ("bounds", "count"),
    [
        ({"since": TEN}, 3),
        ({"until": TEN}, 3),
        ({"since": TEN, "until": TEN}, 3),
        ({"since": TEN + TICK}, 0),
        ({"until": TEN - TICK}, 0),
        ({"since": TEN.date(), "until": TEN.date()}, 3),
        ({"changed_since": dt.date(2025, 12, 1), "since": TEN}, 3),
    ],
)
def test_bounds_compare_instants_in_every_spelling_of_sqlite(sqlite, spelling, bounds, count):
    history = History(sqlite)
    history.import_document(document(*(production_run(n, consumptions=[]) for n in range(1, 4))))
    store_moment(sqlite, number(2), spelling)
    found = history.export_document(kinds="production_run", **bounds)["production_runs"]
    assert [run["uuid"] for run in found] == [number(n) for n in range(1, count + 1)]


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
def test_an_entry_that_cannot_be_read_is_named_with_its_run(engine, history, full):
    history.import_document(document(*(production_run(n) for n in range(1, 8))))
    make_odd(engine, "production_consumptions", "created_at", 10**6 + 2)
    with tuned(full_path_only=full, page=2):
        found = [refused(history, **bounds) for bounds in BOUNDS]
    named = [(number(n), "/consumptions/created_at") for n in (2, 3, 4)]
    assert found == [(named, 4, 3)] * len(BOUNDS)


POSSIBLY_CHANGED = [
    (SQLITE, dt.date(2030, 1, 1), [3]),
    (SQLITE, dt.date(2025, 12, 8), [3, 4]),
    (POSTGRESQL, dt.date(2030, 1, 1), [2, 3, 4]),
    (POSTGRESQL, dt.date(2025, 12, 8), [2, 3, 4]),
    (MARIADB, dt.date(2030, 1, 1), [2]),
    (MARIADB, dt.date(2025, 12, 8), [2, 3]),
]


@pytest.mark.parametrize("place", ["production_runs", "production_consumptions"])
@pytest.mark.parametrize(("dialect", "moment", "numbers"), POSSIBLY_CHANGED)
def test_a_run_that_may_have_changed_is_named_by_an_increment(engine, history, place, moment, numbers):
    old = {"updated_at": "2025-11-07T10:00:00Z"}
    runs = (production_run(n, consumptions=[consumption(10**6 + n, **old)], **old) for n in range(1, 8))
    history.import_document(document(*runs))
    make_odd(engine, place, "updated_at", {"production_runs": 2}.get(place, 10**6 + 2))
    named, exported, skipped = refused(history, changed_since=moment)
    assert [uuid for uuid, _ in named] == [number(n) for n in numbers]
    assert (exported, skipped) == (0, len(numbers))


IDENTITIES = [
    (POSTGRESQL, "time", sa.Time(), histio.Time(required=True), "'10:00'", "'24:00'"),
    (POSTGRESQL, "date", sa.Date(), histio.Date(required=True), "'2025-12-08'", "'infinity'"),
    (MARIADB, "time", sa.Time(), histio.Time(required=True), "'10:00:00'", "'25:00:00'"),
    (MARIADB, "tinyint(1)", sa.Boolean(), histio.Boolean(required=True), "'1'", "'2'"),
    (MARIADB, "date", sa.Date(), histio.Date(required=True), "'2025-12-08'", "'0000-00-00'"),
    (SQLITE, "time", sa.Time(), histio.Time(required=True), "'10:00:00'", "'10:00:00.1234567'"),
]


@BY_PATH
@pytest.mark.parametrize(("dialect", "ddl", "column_type", "field", "fine", "odd"), IDENTITIES)
def test_an_identity_that_is_read_as_another_one_is_refused(create, full, ddl, column_type, field, fine, odd):
    metadata, kind = host(column_type, field, {"identity": ("uuid", "value")})
    engine = create(metadata)
    store(engine, ddl, fine, odd, fine)
    with tuned(full_path_only=full):
        report = History(engine, kind).export_file(io.BytesIO(), on_unreadable="skip")
    assert (report.exported, report.skipped, report.warning_count) == (2, 1, 0)
    assert [problem.pointer for problem in report.problems] == ["/value"]


class Base(orm.DeclarativeBase):
    pass


class Shift(Base):
    __tablename__ = "shifts"
    id = sa.Column(sa.Integer, primary_key=True)
    starts = sa.Column(sa.Time, nullable=False)
    day = sa.Column(sa.Date, nullable=False)


class Visit(Base):
    __tablename__ = "visits"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), unique=True, nullable=False)
    shift_id = sa.Column(sa.ForeignKey(Shift.id), nullable=False)
    other_id = sa.Column(sa.ForeignKey(Shift.id), nullable=False)
    shift = orm.relationship(Shift, foreign_keys=shift_id)
    other = orm.relationship(Shift, foreign_keys=other_id)


class VisitSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Visit, "visit", "visits", None

    uuid = histio.RunUUID(required=True)
    shift = histio.Slug("shift", key="starts", required=True)
    other = histio.Slug("other", key="day", required=True)


@pytest.mark.parametrize(
    ("dialect", "odd", "exported", "warned", "refused"),
    [
        (MARIADB, {"starts": "25:00:00"}, 2, ["/shift"], []),
        (MARIADB, {"day": "0000-00-00"}, 1, [], ["/other"]),
        (POSTGRESQL, {"starts": "24:00"}, 1, [], [""]),
        (POSTGRESQL, {"day": "infinity"}, 1, [], [""]),
        (SQLITE, {"starts": "10:30:00.1234567"}, 2, ["/shift"], []),
        (SQLITE, {"day": "2025-02-30"}, 1, [], [""]),
    ],
)
def test_a_key_of_a_reference_that_is_not_read_as_stored_is_named(
    create, dialect, odd, exported, warned, refused
):
    engine = create(Base.metadata)
    keys = {"id": 1, "starts": "10:00:00", "day": "2025-12-08"}
    with engine.connect() as connection:
        connection.exec_driver_sql({MARIADB: "SET SESSION sql_mode = ''"}.get(dialect, "SELECT 1"))
        insert = sa.text("INSERT INTO shifts (id, starts, day) VALUES (:id, :starts, :day)")
        connection.execute(insert, [keys, keys | {"id": 2} | odd])
        visits = [{"uuid": number(n), "shift_id": n, "other_id": n} for n in (1, 2)]
        connection.execute(sa.insert(Visit), visits)
        connection.commit()
    engine.dispose()
    report = History(engine, VisitSchema).export_file(io.BytesIO(), on_unreadable="skip")
    assert (report.exported, report.skipped) == (exported, 2 - exported)
    assert [problem.pointer for problem in report.warnings] == warned
    assert [problem.pointer for problem in report.problems] == refused
    assert {problem.uuid for problem in (*report.warnings, *report.problems)} == {number(2)}


@pytest.mark.parametrize("moment", ["-infinity", "infinity"])
def test_a_time_that_cannot_be_read_leaves_the_other_runs_on_the_fast_path(databases, moment, caplog):
    engine = stocked(databases("postgresql"))
    history = History(engine)
    history.import_document(document(*(production_run(n) for n in range(1, 8))))
    with engine.begin() as connection:
        odd = sa.text("UPDATE production_runs SET produced_at = :moment WHERE uuid = :uuid")
        connection.execute(odd, {"moment": moment, "uuid": number(3)})
    with caplog.at_level(logging.DEBUG, "histio"), tuned(page=2):
        report = history.export_file(io.BytesIO(), on_unreadable="skip")
    assert (report.exported, report.skipped) == (6, 1)
    assert summarize(report.problems) == [("schema", "/produced_at", number(3))]
    assert "full path" not in caplog.text.replace("the full path goes on", "")
