"""Bytes, times of day, durations, Unix times and floats: the same values both ways, on every database."""

from __future__ import annotations

import copy
import functools

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from marshmallow_sqlalchemy import auto_field
from sqlalchemy.dialects import mysql, postgresql, sqlite

import histio
from histio import BindingError, ExportError, History
from histio.testing import documents, near_documents
from histio.tuning import tuned
from tests.support.bakery import number
from tests.support.columns import exported, host, things
from tests.support.effort import examples
from tests.support.reports import codes_of
from tests.support.special_columns import into, required, rows_of, same_by_either_path

QUIETLY = settings(
    max_examples=examples(20),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


BYTES_300 = "/" * 400
CLOCK = sa.Time().with_variant(mysql.TIME(fsp=6), "mysql", "mariadb")
DECIMALS = ["0.1000", "-0.3000", "0.0000", "99999999999.9999", "-12345678901.2345"]
EXACT = [
    (sa.LargeBinary(), required(histio.Bytes), ["", "AA==", "AP8=", "AP+/", BYTES_300]),
    (sa.LargeBinary(4), required(histio.Bytes), ["", "AP+/", "AP+/AA=="]),
    (
        sa.Interval(),
        required(histio.Duration),
        ["PT0S", "P1DT2H3M4S", "-PT1S", "-P36524DT23H59M59S"],
    ),
    (sa.Double(), required(histio.FixedDecimal, precision=15, scale=4, signed=True), DECIMALS),
    (sa.Double(asdecimal=True), required(histio.FixedDecimal, precision=15, scale=4, signed=True), DECIMALS),
    (sa.Float(53), required(histio.FixedDecimal, precision=15, scale=4, signed=True), DECIMALS),
    (CLOCK, required(histio.Time), ["00:00:00", "10:30:00.250000", "23:59:59.999999"]),
]


@pytest.mark.parametrize(("column_type", "field", "values"), EXACT)
def test_a_value_is_the_same_by_either_path(create, column_type, field, values):
    same_by_either_path(create, *host(column_type, field), values)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("column_type", [sa.Interval(), sa.Interval(native=False)])
def test_a_duration_keeps_all_digits_where_the_column_does(databases, dialect, column_type):
    metadata, kind = host(column_type, required(histio.Duration))
    values = [
        "PT0.000001S",
        "P1DT2H3M4.5S",
        "-PT0.25S",
        "PT59.999999S",
        "-P719162D",
        "P2932896DT23H59M59.999999S",
    ]
    same_by_either_path(databases.of_host(dialect), metadata, kind, values)
    assert "full path" not in History(databases.of_host(dialect)(metadata), kind).explain()


@pytest.mark.parametrize("dialect", ["sqlite", "mariadb"])
@pytest.mark.parametrize("value", ["P2932897D", "-P719163D", "-P719162DT1S"])
def test_a_duration_beyond_the_times_since_1970_is_a_problem(databases, dialect, value):
    metadata, kind = host(sa.Interval(), required(histio.Duration))
    report = History(databases.of_host(dialect)(metadata), kind).import_document(things("PT1S", value))
    assert (report.imported, report.rejected) == (1, 1)


def test_intervals_of_postgresql_are_read_as_sqlalchemy_reads_them(databases):
    metadata, kind = host(sa.Interval(), required(histio.Duration))
    engine = databases.of_host("postgresql")(metadata)
    stored = {
        "1 mon 2 days": "P32D",
        "-1 day 23:00": "-PT1H",
        "36:00": "P1DT12H",
        "200000 years": "P73000000D",
    }
    with engine.begin() as connection:
        for n, text in enumerate(stored):
            statement = sa.text("INSERT INTO things (uuid, value) VALUES (:uuid, CAST(:text AS INTERVAL))")
            connection.execute(statement, {"uuid": number(n), "text": text})
    history = History(engine, kind)
    found = exported(history)
    assert found == things(*stored.values())
    with tuned(full_path_only=True):
        assert exported(history) == found


TWO_DIGITS = functools.partial(histio.FixedDecimal, precision=9, scale=2)
FAST = [(kind, field) for kind, field, _ in EXACT if not isinstance(kind, sa.Interval)]


@pytest.mark.turns
@pytest.mark.parametrize(("column_type", "field"), FAST)
def test_such_columns_take_the_fast_path(create, column_type, field):
    metadata, kind = host(column_type, field)
    assert "full path" not in History(create(metadata), kind).explain()


@pytest.mark.parametrize(
    ("column_type", "field", "value", "code"),
    [
        (sa.LargeBinary(), histio.Bytes, "AP8", "schema"),
        (sa.LargeBinary(), histio.Bytes, "AP9=", "schema"),
        (sa.LargeBinary(), histio.Bytes, "AB==", "schema"),
        (sa.LargeBinary(), histio.Bytes, "AP8=\n", "schema"),
        (sa.LargeBinary(), histio.Bytes, "AP\n8=", "schema"),
        (sa.LargeBinary(), histio.Bytes, "AP-_", "schema"),
        (sa.LargeBinary(), histio.Bytes, "AA==AA==", "schema"),
        (sa.LargeBinary(), histio.Bytes, "é===", "schema"),
        (sa.LargeBinary(), histio.Bytes, 5, "schema"),
        (sa.LargeBinary(3), histio.Bytes, "AP+/AA==", "out-of-range"),
        (sa.LargeBinary(4), histio.Bytes, "AP+/AP8=", "out-of-range"),
        (sa.LargeBinary(5), histio.Bytes, "AP+/AP+/", "out-of-range"),
        (sa.Time(), histio.Time, "24:00:00", "schema"),
        (sa.Time(), histio.Time, "10:30", "schema"),
        (sa.Time(), histio.Time, "10:30:00Z", "schema"),
        (sa.Time(), histio.Time, "10:30:60", "schema"),
        (sa.Time(), histio.Time, "10:30:00\n", "schema"),
        (sa.Time(), histio.Time, "10:30:00.", "schema"),
        (sa.Time(), histio.Time, "10:30:00.1234567", "precision"),
        (mysql.TIME(fsp=2), histio.Time, "10:30:00.125", "precision"),
        (sa.Interval(), histio.Duration, "P", "schema"),
        (sa.Interval(), histio.Duration, "PT", "schema"),
        (sa.Interval(), histio.Duration, "P1DT", "schema"),
        (sa.Interval(), histio.Duration, "P1M", "schema"),
        (sa.Interval(), histio.Duration, "P1W", "schema"),
        (sa.Interval(), histio.Duration, "PT1.S", "schema"),
        (sa.Interval(), histio.Duration, "PT1,5S", "schema"),
        (sa.Interval(), histio.Duration, "+PT1S", "schema"),
        (sa.Interval(), histio.Duration, "PT1S\n", "schema"),
        (sa.Interval(), histio.Duration, "pt1s", "schema"),
        (sa.Interval(), histio.Duration, 5, "schema"),
        (sa.Interval(), histio.Duration, "PT0.1234567S", "precision"),
        (sa.Interval(second_precision=3), histio.Duration, "PT0.1234S", "precision"),
        (sa.Interval(), histio.Duration, "P123456789D", "out-of-range"),
        (sa.Interval(), histio.Duration, "PT1234567890S", "out-of-range"),
        (sa.Double(), TWO_DIGITS, "0.125", "precision"),
        (sa.Double(), TWO_DIGITS, "10000000", "out-of-range"),
        (mysql.DOUBLE(9, 2), histio.FixedDecimal, "0.125", "precision"),
        (mysql.TINYBLOB(), histio.Bytes, "AAAA" * 85 + "AA==", "out-of-range"),
    ],
)
def test_any_other_spelling_or_range_is_a_problem_to_every_validator(column_type, field, value, code):
    _, kind = host(column_type, required(field))
    history = History(None, kind)
    engine = histio.create_engine("sqlite://")
    with engine.connect() as connection:
        found = codes_of(history.check(things(value), session=connection))
    engine.dispose()
    assert found == [("/things/0/value", code)]
    assert not Draft202012Validator(history.json_schema()).is_valid(things(value))


@pytest.mark.parametrize(
    ("column_type", "field"),
    [
        (sa.LargeBinary(), histio.Bytes),
        (sa.LargeBinary(5), histio.Bytes),
        (sa.Time(), histio.Time),
        (sa.Interval(), histio.Duration),
        (sa.Double(), TWO_DIGITS),
        (sa.JSON(), histio.Json),
    ],
)
@pytest.mark.parametrize("drawn", [documents, near_documents], ids=["valid", "near"])
def test_documents_of_such_columns_get_the_same_verdict_by_either_path(sqlite_of, column_type, field, drawn):
    metadata, kind = host(column_type, field(allow_none=True), nullable=True)
    engine = sqlite_of(metadata)
    history = History(engine, kind)

    def imported(document):
        with engine.connect() as connection, connection.begin() as transaction:
            report = history.import_document(copy.deepcopy(document), session=connection)
            found = history.export_document(session=connection)["things"]
            transaction.rollback()
        return report.to_dict(), found

    @QUIETLY
    @given(drawn(history, slugs={}))
    def same(document):
        try:
            swift = imported(document)
        except histio.DocumentError:
            return
        with tuned(full_path_only=True):
            assert imported(document) == swift

    same()


@pytest.mark.parametrize(
    ("column_type", "name"),
    [
        (sa.LargeBinary(), "Bytes"),
        (sa.BINARY(16), "Bytes"),
        (mysql.LONGBLOB(), "Bytes"),
        (sa.Time(), "Time"),
        (sa.Interval(), "Duration"),
        (postgresql.INTERVAL(), "Duration"),
    ],
)
def test_auto_field_knows_the_field_of_such_a_column(column_type, name):
    _, kind = host(column_type, auto_field())
    assert type(kind().fields["value"]).__name__ == name


@pytest.mark.parametrize(
    ("column_type", "field", "stored"),
    [
        (sa.LargeBinary(), histio.Bytes, "AP8="),
        (sa.LargeBinary(), histio.Bytes, 4),
        (sa.LargeBinary(2), histio.Bytes, b"123"),
        (sa.Double(), TWO_DIGITS, 0.125),
        (sa.Double(), TWO_DIGITS, 9e999),
        (sa.Double(), TWO_DIGITS, "x"),
        (sa.Time(), histio.Time, "25:00:00"),
        (sa.Interval(), histio.Duration, "1970-01-32 00:00:00"),
        (sa.Time(), histio.Time, "10:30:00+01:00"),
    ],
)
def test_what_sqlite_keeps_of_another_kind_is_named(sqlite_of, column_type, field, stored):
    metadata, kind = host(column_type, required(field))
    engine = sqlite_of(metadata)
    with engine.begin() as connection:
        statement = "INSERT INTO things (id, uuid, value) VALUES (1, ?, ?)"
        connection.exec_driver_sql(statement, (number(1), stored))
    with pytest.raises(ExportError, match=f"thing {number(1)}: "):
        History(engine, kind).export_document()


@pytest.mark.parametrize(("value", "imported"), [("AAAA", 1), ("AAA=", 0), ("", 0)])
def test_bytes_that_mariadb_would_pad_with_zeros_are_a_problem(databases, value, imported):
    binary = sa.LargeBinary(3).with_variant(mysql.BINARY(3), "mysql", "mariadb")
    metadata, kind = host(binary, required(histio.Bytes))
    history = History(databases.of_host("mariadb")(metadata), kind)
    report = history.import_document(things(value))
    assert report.imported == imported
    assert codes_of(report.problems) == [("/things/0/value", "out-of-range")] * (1 - imported)
    assert exported(history) == things(*[value] * imported)


INTERVAL_2 = sa.Interval().with_variant(postgresql.INTERVAL(precision=2), "postgresql")
CENTISECONDS = sa.Time().with_variant(postgresql.TIME(precision=2), "postgresql")


@pytest.mark.parametrize(
    ("dialect", "column_type", "field", "value"),
    [
        ("mariadb", sa.Time(), histio.Time, "10:30:00.5"),
        ("mariadb", sa.Float(), TWO_DIGITS, "12345.67"),
        ("mariadb", sa.Interval(), histio.Duration, "PT0.5S"),
        ("postgresql", INTERVAL_2, histio.Duration, "PT0.125S"),
        ("postgresql", CENTISECONDS, histio.Time, "10:30:00.125"),
    ],
)
def test_digits_that_the_column_would_drop_are_a_problem(databases, dialect, column_type, field, value):
    metadata, kind = host(column_type, required(field))
    history = History(databases.of_host(dialect)(metadata), kind)
    report = history.import_document(things(value))
    assert codes_of(report.problems) == [("/things/0/value", "precision")]


@pytest.mark.parametrize(
    ("column_type", "field", "advice"),
    [
        (sa.Time(timezone=True), histio.Time, "it takes Time without a time zone"),
        (sa.Interval(), histio.Time, "for lengths of time there is Duration"),
        (sa.String(), histio.Bytes, "it takes LargeBinary"),
        (sa.PickleType(), histio.Bytes, "it keeps any Python object"),
        (
            sa.Float(),
            histio.FixedDecimal,
            r"write FixedDecimal\(precision=…, scale=…\)",
        ),
        (sa.Double(asdecimal=True), histio.FixedDecimal, "floats carry 15 digits"),
        (sa.Double(asdecimal=True, decimal_return_scale=1), TWO_DIGITS, "decimal_return_scale=2"),
        (sa.Double(asdecimal=True), histio.Number, "for decimals there is FixedDecimal"),
        (sa.Time(), histio.Duration, "for times of day there is Time"),
        (postgresql.INTERVAL(fields="DAY"), histio.Duration, "leave out fields="),
    ],
)
def test_a_column_of_another_kind_is_refused_with_what_fits(column_type, field, advice):
    _, kind = host(column_type, required(field))
    with pytest.raises(BindingError, match=advice):
        History(None, kind)


SLASHED_DAY = "%(year)04d/%(month)02d/%(day)02d %(hour)02d:%(minute)02d:%(second)02d.%(microsecond)06d"
SLASHED_TIME = "%(hour)02d/%(minute)02d/%(second)02d.%(microsecond)06d"
OWN_DATETIME = sqlite.DATETIME(storage_format=SLASHED_DAY, regexp=r"(\d+)/(\d+)/(\d+) (\d+):(\d+):(\d+)")
OWN_TIME = sqlite.TIME(storage_format=SLASHED_TIME, regexp=r"(\d+)/(\d+)/(\d+)")


@pytest.mark.parametrize(
    ("column_type", "field", "wire", "stored"),
    [
        (OWN_TIME, histio.Time, "10:30:00", "10/30/00.000000"),
        (OWN_DATETIME, histio.UtcTimestamp, "2025-12-08T10:30:00Z", "2025/12/08 10:30:00.000000"),
    ],
)
def test_a_format_of_the_hosts_own_in_sqlite_is_kept(sqlite_of, column_type, field, wire, stored):
    metadata, kind = host(column_type, required(field))
    engine = sqlite_of(metadata)
    assert into(engine, kind, wire).imported == 1
    assert rows_of(engine, kind) == [(1, number(0), stored)]
    assert exported(History(engine, kind)) == things(wire)
