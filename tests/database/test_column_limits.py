"""What a database keeps less of than the models say is a problem of its run, and never cut or rounded."""

from __future__ import annotations

import datetime as dt
import json
import logging

import pytest
import sqlalchemy as sa
from marshmallow import pre_load
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.orm import Session

import histio
from histio import History, check_file, cli
from histio.importing.execute import open_look_ups
from histio.models import Base, ProductionRun
from tests.support.bakery import consumption, document, number, production_run, without
from tests.support.columns import Epoch, Size, host, things
from tests.support.databases import LATIN1, stocked
from tests.support.loops import in_a_loop
from tests.support.reports import codes_of, outcomes

MICROSECONDS = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
NUMBER = histio.Number(required=True)
TEXT = histio.Text(required=True)
SIZE = histio.Choice(required=True)
INSTANT = histio.UtcTimestamp(required=True)
PRICE = histio.FixedDecimal(required=True, signed=True)
WHOLE, MILLI, MICRO = (f"2025-12-08T10:00:00{fraction}Z" for fraction in ("", ".120000", ".123456"))
UMLAUT, COOKIE = "ü", "\U0001f36a"

MARIADB = [
    (MICROSECONDS, "DATETIME", INSTANT, WHOLE, MILLI, "precision"),
    (MICROSECONDS, "DATETIME(2)", INSTANT, MILLI, MICRO, "precision"),
    (MICROSECONDS, "TIMESTAMP NULL", INSTANT, WHOLE, MICRO, "precision"),
    (MICROSECONDS, "DATE", INSTANT, None, WHOLE, "precision"),
    (sa.Numeric(10, 4), "DECIMAL(8,2)", PRICE, "1.5000", "1.5050", "precision"),
    (sa.Numeric(10, 4), "DECIMAL(8,2)", PRICE, "-999999.9900", "-999999.9999", "precision"),
    (sa.Numeric(10, 2), "DECIMAL(8,2)", PRICE, "999999.99", "1000000.00", "out-of-range"),
    (sa.Numeric(10, 2), "DECIMAL(10,2) UNSIGNED", PRICE, "0.00", "-0.01", "out-of-range"),
    (sa.Numeric(10, 2), "INT", PRICE, "5.00", "5.50", "precision"),
    (sa.Numeric(10, 2), "FLOAT", PRICE, "5.50", "1234567.89", "precision"),
    (sa.Double(), "FLOAT", NUMBER, 0.5, 0.123456789, "precision"),
    (sa.Double(), "DOUBLE(10,2)", NUMBER, 0.5, 0.125, "precision"),
    (sa.Double(), "FLOAT", NUMBER, 1e38, 1e39, "out-of-range"),
    (sa.Integer(), "SMALLINT", histio.Integer(required=True), -32768, 32768, "out-of-range"),
    (sa.Integer(), "TINYINT UNSIGNED", histio.Integer(required=True), 255, -1, "out-of-range"),
    (sa.BigInteger(), "INT", histio.Integer(required=True), 2**31 - 1, 2**31, "out-of-range"),
    (sa.String(20), "VARCHAR(10)", TEXT, COOKIE * 10, "x" * 11, "out-of-range"),
    (sa.String(20), "VARCHAR(10)", TEXT, "x" * 10, "x" * 10 + " ", "out-of-range"),
    (sa.String(20), "CHAR(10)", TEXT, "x", "x ", "precision"),
    (sa.Text(), "TINYTEXT", TEXT, "x" * 255, UMLAUT * 128, "out-of-range"),
    (sa.Text(), "TEXT", TEXT, "x" * 65_535, "x" * 65_536, "out-of-range"),
    (sa.String(20), "VARCHAR(20) CHARACTER SET latin1", TEXT, UMLAUT, COOKIE, "out-of-range"),
    (sa.String(20), "VARCHAR(20) CHARACTER SET ascii", TEXT, "u", UMLAUT, "out-of-range"),
    (sa.String(20), "VARCHAR(20) CHARACTER SET utf8mb3", TEXT, UMLAUT, COOKIE, "out-of-range"),
    (sa.Enum(Size, native_enum=False), "VARCHAR(4)", SIZE, None, "SMALL", "out-of-range"),
    (sa.LargeBinary(16), "BINARY(20)", histio.RunUUID(required=True), None, number(9), "out-of-range"),
    (sa.JSON(), "VARCHAR(10)", histio.Json(required=True), [1, 2], "x" * 9, "out-of-range"),
]  # fmt: skip
POSTGRESQL = [
    (sa.DateTime(), "timestamp(0)", INSTANT, WHOLE, MILLI, "precision"),
    (sa.DateTime(timezone=True), "timestamptz(2)", INSTANT, MILLI, MICRO, "precision"),
    (sa.DateTime(), "date USING now()::date", INSTANT, None, WHOLE, "precision"),
    (sa.Numeric(10, 4), "numeric(8,2)", PRICE, "1.5000", "1.5050", "precision"),
    (sa.Numeric(10, 2), "numeric(8,2)", PRICE, "-999999.99", "1000000.00", "out-of-range"),
    (sa.Numeric(10, 2), "int USING 1", PRICE, "5.00", "5.50", "precision"),
    (sa.Numeric(10, 2), "smallint USING 1", PRICE, "32767.00", "32768.00", "out-of-range"),
    (sa.Numeric(10, 2), "numeric(6,-2)", PRICE, "99999900.00", "99.00", "precision"),
    (sa.Numeric(10, 2), "real", PRICE, "5.50", "1234567.89", "precision"),
    (sa.Double(), "real", NUMBER, 1e38, 0.123456789, "precision"),
    (sa.Double(), "numeric(8,2)", NUMBER, 0.5, 0.125, "precision"),
    (sa.Numeric(10, 2), "money USING 1", PRICE, None, "5.50", "precision"),
    (sa.Numeric(10, 2), "text", PRICE, None, "5.50", "precision"),
    (sa.DateTime(), "text", INSTANT, None, WHOLE, "precision"),
    (sa.Date(), "varchar(40)", histio.Date(required=True), None, "2025-12-08", "precision"),
    (sa.Integer(), "smallint", histio.Integer(required=True), -32768, 32768, "out-of-range"),
    (sa.BigInteger(), "integer", histio.Integer(required=True), 2**31 - 1, 2**31, "out-of-range"),
    (sa.String(20), "varchar(10)", TEXT, COOKIE * 10, "x" * 11, "out-of-range"),
    (sa.String(20), "varchar(10)", TEXT, "x" * 10, "x" * 10 + " ", "out-of-range"),
    (sa.String(20), "short_text", TEXT, "x" * 10, "x" * 11, "out-of-range"),
    (sa.Text(), "varchar(10)", TEXT, "x" * 10, "x" * 11, "out-of-range"),
    (sa.Enum(Size, native_enum=False), "varchar(4)", SIZE, None, "SMALL", "out-of-range"),
]  # fmt: skip
SQLITE = [
    (sa.String(20), "STRING", TEXT, "0x10", "007", "precision"),
    (sa.String(20), "INTEGER", TEXT, "1_0", "1e3", "precision"),
    (sa.String(20), "NUMERIC", TEXT, ".", "\t-.5 ", "precision"),
    (sa.Text(), "REAL", TEXT, "1 2", "9007199254740993", "precision"),
    (sa.Uuid(), "NUMERIC", histio.RunUUID(required=True), number(10), number(9), "precision"),
    (sa.Boolean(), "TEXT", histio.Boolean(required=True), None, False, "precision"),
    (sa.Numeric(10, 2), "VARCHAR(20)", PRICE, None, "5.50", "precision"),
    (sa.BigInteger(), "REAL", histio.Integer(required=True), 2**40, 2**53 + 1, "precision"),
]  # fmt: skip
CASES = [
    (dialect, *case)
    for dialect, cases in (("mariadb", MARIADB), ("postgresql", POSTGRESQL), ("sqlite", SQLITE))
    for case in cases
]
ALTER = {
    "mariadb": "ALTER TABLE things MODIFY value {actual}",
    "postgresql": "ALTER TABLE things ALTER value TYPE {actual}",
    "sqlite": "ALTER TABLE things ADD value {actual}",
}
BEFORE = {
    "mariadb": [],
    "sqlite": ["ALTER TABLE things DROP value"],
    "postgresql": [
        "DROP DOMAIN IF EXISTS short_text",
        "DROP DOMAIN IF EXISTS short_base",
        "CREATE DOMAIN short_base AS varchar(10)",
        "CREATE DOMAIN short_text AS short_base",
    ],
}


@pytest.fixture
def alter(databases):
    """Makes the table of a host, and then a column of it what *actual* says."""

    def make(dialect, metadata, actual):
        engine = databases.of_host(dialect)(metadata)
        with engine.begin() as connection:
            for statement in [*BEFORE[dialect], ALTER[dialect].format(actual=actual)]:
                connection.exec_driver_sql(statement)
        engine.dispose()  # statements that were prepared before have the old type
        return engine

    return make


def straight(kind):
    return kind


def hooked(kind):
    """The same kind with a hook: marshmallow loads its records, and rows are written in bulk."""
    return type("HookedSchema", (kind,), {"same": pre_load(lambda _self, data, **_: data)})


def listened(kind):
    """The same kind with a listener: the unit of work writes its rows."""
    sa.event.listen(kind.Meta.model, "before_insert", lambda *_: None)
    return kind


@pytest.mark.parametrize(("dialect", "declared", "actual", "field", "kept", "lost", "code"), CASES)
def test_what_the_actual_column_would_lose_is_a_problem_of_its_run(
    alter, dialect, declared, actual, field, kept, lost, code
):
    metadata, kind = host(declared, field)
    engine = alter(dialect, metadata, actual)
    values = [value for value in (kept, lost, kept) if value is not None]
    for path in (straight, hooked, listened):
        assert_lost(path, History(engine, path(kind)), values, values.index(lost), code)
        with engine.begin() as connection:
            connection.execute(metadata.tables["things"].delete())


def assert_lost(path, history, values, place, code):
    """On this *path*, an import finds the value at *place*, and writes the others."""
    [problem] = history.check(things(*values))
    assert (problem.pointer, problem.code) == (f"/things/{place}/value", code)
    assert problem.message.startswith("things.value is ")
    dry = history.import_document(things(*values), dry_run=True)
    report = history.import_document(things(*values))
    assert (outcomes(report), report.problems) == ((len(values) - 1, 0, 1), (problem,))
    assert outcomes(dry) == outcomes(report)
    assert [each["value"] for each in history.iter_runs("thing")] == values[:place] + values[place + 1 :]


CONVERTED = [
    ("mariadb", sa.String(20), "ENUM('a', 'b')", TEXT, "a", "B"),
    ("mariadb", sa.String(20), "ENUM('a', 'b')", TEXT, "b", "1"),
    ("mariadb", sa.String(20), "SET('a', 'b')", TEXT, "a,b", "b,a"),
    ("mariadb", sa.String(40), "UUID", TEXT, number(9), number(10).upper()),
    ("mariadb", sa.Integer(), "YEAR", histio.Integer(required=True), 1999, 70),
    ("mariadb", sa.Boolean(), "BIT(1)", histio.Boolean(required=True), True, False),
    ("postgresql", sa.Text(), "name", TEXT, "x" * 63, "x" * 64),
    ("postgresql", sa.Interval(), "interval hour to minute", histio.Duration(required=True), "PT1H", "PT9S"),
]  # fmt: skip


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("dialect", "declared", "actual", "field", "kept", "converted"), CONVERTED)
def test_what_the_type_of_a_column_makes_of_a_value_is_a_warning(
    alter, tune, dialect, declared, actual, field, kept, converted, full
):
    metadata, kind = host(declared, field)
    tune(full_path_only=full)
    report = History(alter(dialect, metadata, actual), kind).import_document(things(kept, converted))
    assert outcomes(report) == (2, 0, 0)
    assert [(each.code, each.pointer) for each in report.warnings] == [("conflict", "/things/1/value")]


@pytest.mark.parametrize(
    ("dialect", "actual"),
    [("mariadb", "DATETIME(6)"), ("mariadb", "TIMESTAMP(6) NULL"), ("postgresql", "timestamp(6)")],
)
def test_what_the_actual_column_keeps_is_taken_though_the_model_does_not_say_so(alter, dialect, actual):
    metadata, kind = host(sa.DateTime(), INSTANT)
    history = History(alter(dialect, metadata, actual), kind)
    assert history.import_document(things(MICRO)).problems == ()
    assert [each["value"] for each in history.iter_runs("thing")] == [MICRO]


@pytest.mark.parametrize("path", [straight, hooked, listened])
def test_a_null_that_mariadb_would_store_as_the_present_time_is_a_problem_of_its_run(alter, path):
    metadata, kind = host(MICROSECONDS, histio.UtcTimestamp(allow_none=True), nullable=True)
    engine = alter("mariadb", metadata, "TIMESTAMP(6) NOT NULL")
    assert_lost(path, History(engine, path(kind)), [MICRO, None, MICRO], 1, "constraint")
    kept = History(alter("mariadb", metadata, "TIMESTAMP(6) NULL"), kind)
    assert outcomes(kept.import_document(things(MICRO, None))) == (2, 0, 0)


@pytest.mark.parametrize(("dialect", "actual"), [("mariadb", "FLOAT"), ("postgresql", "real")])
def test_a_float_of_single_precision_has_a_hint_that_names_the_column_to_have(alter, dialect, actual):
    metadata, kind = host(sa.Double(), NUMBER)
    [problem] = History(alter(dialect, metadata, actual), kind).check(things(0.1 + 0.2))
    assert problem.message.endswith("and keeps 6 significant digits.")
    assert problem.hint == "a column of DOUBLE keeps all digits"


def has_limits(history):
    with open_look_ups(history.bound) as work:
        return work.has_limits


def test_the_bundled_models_meet_no_limits_in_their_own_tables(history):
    assert not has_limits(history)


@pytest.mark.parametrize(
    ("column_type", "field"),
    [
        (sa.Boolean(), histio.Boolean(required=True)),
        (sa.Date(), histio.Date(required=True)),
        (sa.Enum(Size, native_enum=False), SIZE),
        (sa.Enum(Size, name="size"), SIZE),
        (sa.Uuid(), histio.RunUUID(required=True)),
        (
            sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb"),
            histio.RunUUID(required=True),
        ),
        (sa.Double(), NUMBER),
        (sa.Integer(), histio.FixedDecimal(minor_units=2, required=True, signed=True)),
        (sa.JSON(), histio.Json(required=True)),
        (sa.CHAR(10), TEXT),
        (sa.String(10), TEXT),
        (sa.BigInteger(), histio.Integer(required=True)),
        (MICROSECONDS, INSTANT),
    ],
)
def test_a_table_that_is_as_its_model_says_has_no_limits(create, column_type, field):
    metadata, kind = host(column_type, field)
    assert not has_limits(History(create(metadata), kind))


def test_a_database_of_another_character_set_lacks_characters(databases):
    engine = databases.empty("postgresql", LATIN1, client_encoding="utf8")
    metadata, kind = host(sa.String(20), TEXT)
    metadata.create_all(engine)
    report = History(engine, kind).import_document(things(UMLAUT, COOKIE))
    assert (outcomes(report), codes_of(report.problems)) == ((1, 0, 1), [("/things/1/value", "out-of-range")])
    assert "character set LATIN1 lacks" in report.problems[0].message


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"])
def test_an_update_is_held_against_the_limits_too(alter, dialect):
    metadata, kind = host(sa.String(20), TEXT)
    history = History(alter(dialect, metadata, "VARCHAR(10)"), kind)
    history.import_document(things("x", "y"))
    report = history.import_document(things("z" * 11, "Y"), on_duplicate="update")
    assert (report.updated, codes_of(report.problems)) == (1, [("/things/0/value", "out-of-range")])
    assert [each["value"] for each in history.iter_runs("thing")] == ["x", "Y"]


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"])
def test_a_run_beyond_the_limits_takes_the_full_path_alone(alter, dialect, caplog):
    metadata, kind = host(sa.String(20), TEXT)
    history = History(alter(dialect, metadata, "VARCHAR(10)"), kind)
    assert "import: fast path" in history.explain()
    with caplog.at_level(logging.DEBUG, "histio"):
        assert outcomes(history.import_document(things(*["x"] * 50, "x" * 11, *["x"] * 50))) == (100, 0, 1)
    assert "1 of 101 new runs take the full path" in caplog.messages


def test_sqlite_enforces_no_length_that_its_columns_declare(sqlite_of):
    metadata, kind = host(sa.String(20), TEXT)
    engine = sqlite_of(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE things")
        connection.exec_driver_sql(
            "CREATE TABLE things (id INTEGER PRIMARY KEY, uuid TEXT, value VARCHAR(3))"
        )
    assert History(engine, kind).import_document(things("x" * 20)).problems == ()


@pytest.mark.parametrize(
    ("dialect", "catalog"),
    [
        ("mariadb", "information_schema.columns"),
        ("postgresql", "atttypmod"),
        ("sqlite", "pragma_table_xinfo"),
    ],
)
def test_the_columns_of_all_tables_are_read_in_one_statement(databases, dialect, catalog, count_statements):
    engine = stocked(databases(dialect))
    statements = count_statements(engine)
    assert History(engine).import_document(document(production_run(1), production_run(2))).imported == 2
    assert len(statements.matching(catalog)) == 1


PLAIN = {
    "mariadb": "(id INT PRIMARY KEY AUTO_INCREMENT, uuid VARCHAR(36), value VARCHAR(10){more})",
    "postgresql": "(id SERIAL PRIMARY KEY, uuid VARCHAR(36), value VARCHAR(10){more})",
}
ODD = {
    "mariadb": ", g GEOMETRY, b BIT(3), s SET('a', 'b'), y YEAR, j JSON, u UUID, i INET6",
    "postgresql": ", v TSVECTOR, a numeric(3,1)[], b BIT(3), r INT4RANGE, i INTERVAL DAY TO SECOND (2)",
}


@pytest.mark.parametrize(
    ("made", "odd", "taken_away"),
    [
        (["CREATE TEMPORARY TABLE things {plain}"], False, ["DROP TABLE things"]),
        (["CREATE TABLE things {plain}"], True, ["DROP TABLE things"]),
        (
            ["CREATE TABLE t {plain}", "CREATE VIEW things AS SELECT * FROM t"],
            False,
            ["DROP VIEW things", "DROP TABLE t"],
        ),
    ],
)
@pytest.mark.parametrize("dialect", ["mariadb", "postgresql"])
def test_temporary_tables_views_and_odd_columns_do_no_harm(databases, dialect, made, odd, taken_away, caplog):
    _, kind = host(sa.String(20), TEXT)
    plain = PLAIN[dialect].format(more=ODD[dialect] * odd)
    with databases.of_host(dialect)(sa.MetaData()).connect() as connection:
        for statement in made:
            connection.exec_driver_sql(statement.format(plain=plain))
        report = History(None, kind).import_document(things("x", "x" * 10, "x" * 11), session=connection)
        for statement in taken_away:
            connection.exec_driver_sql(statement)
        connection.commit()
    assert outcomes(report) == (2, 0, 1)
    assert caplog.records == []


def test_a_table_that_is_missing_is_told_as_the_database_tells_it(databases):
    _, kind = host(sa.String(20), TEXT)
    for dialect in ("mariadb", "postgresql", "sqlite"):
        history = History(databases.of_host(dialect)(sa.MetaData()), kind)
        with pytest.raises(sa.exc.DBAPIError, match="things"):
            history.import_document(things("x"))


# --- truncate_times --------------------------------------------------------------------------------------

CUT = [
    ("mariadb", MICROSECONDS, "DATETIME", WHOLE),
    ("mariadb", MICROSECONDS, "DATETIME(3)", "2025-12-08T10:00:00.123000Z"),
    ("mariadb", mysql.DATETIME(fsp=3), "DATETIME(3)", "2025-12-08T10:00:00.123000Z"),
    ("mariadb", mysql.DATETIME(fsp=3), "DATETIME", WHOLE),
    ("mariadb", Epoch(), "BIGINT", WHOLE),
    ("postgresql", sa.DateTime(), "timestamp(0)", WHOLE),
    ("postgresql", sa.DateTime(timezone=True), "timestamptz(1)", "2025-12-08T10:00:00.100000Z"),
    ("postgresql", postgresql.TIMESTAMP(precision=0), "timestamp(0)", WHOLE),
]
GIVEN = things(WHOLE, MICRO, "2025-12-08T12:00:00.123456+02:00")
WARNED = [("/things/1/value", "precision"), ("/things/2/value", "precision")]


@pytest.fixture(params=[straight, hooked, listened])
def path(request):
    return request.param


@pytest.fixture(params=CUT)
def cutting(alter, request, path):
    """A history whose times lose digits, and what becomes of them."""
    dialect, declared, actual, kept = request.param
    metadata, kind = host(declared, INSTANT)
    return History(alter(dialect, metadata, actual), path(kind)), kept


def test_times_are_cut_on_request_and_each_is_warned_of(cutting):
    history, kept = cutting
    assert outcomes(history.import_document(GIVEN)) == (1, 0, 2)
    refused = history.check(GIVEN)
    assert [problem.severity for problem in refused] == ["error", "error"]
    report = history.import_document(GIVEN, truncate_times=True)
    assert (outcomes(report), codes_of(report.warnings), report.warning_count) == ((2, 1, 0), WARNED, 2)
    assert [each["value"] for each in history.iter_runs("thing")] == [WHOLE, kept, kept]
    assert history.check(GIVEN, truncate_times=True) == list(report.warnings)


def test_a_dry_run_cuts_alike_and_what_is_stored_agrees_afterwards(cutting):
    history, _ = cutting
    dry = history.import_document(GIVEN, truncate_times=True, dry_run=True)
    report = history.import_document(GIVEN, truncate_times=True)
    assert {**dry.to_dict(), "dry_run": False} == report.to_dict()
    for how in ("verify", "update"):
        again = history.import_document(GIVEN, truncate_times=True, on_duplicate=how)
        assert (outcomes(again), codes_of(again.warnings)) == ((0, 3, 0), WARNED)
    skipped = history.import_document(GIVEN, truncate_times=True)
    assert (outcomes(skipped), skipped.warnings) == ((0, 3, 0), ())


def test_an_update_writes_what_was_cut(cutting):
    history, kept = cutting
    history.import_document(things(WHOLE, WHOLE))
    report = history.import_document(things(WHOLE, MICRO), truncate_times=True, on_duplicate="update")
    changed = kept != WHOLE
    assert (report.updated, report.problems, codes_of(report.warnings)) == (int(changed), (), WARNED[:1])
    assert [each["value"] for each in history.iter_runs("thing")] == [WHOLE, kept]


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_files_are_cut_as_documents_are(alter, tmp_path, path, ending):
    metadata, kind = host(MICROSECONDS, INSTANT)
    there = History(alter("mariadb", metadata, "DATETIME(6)"), path(kind))
    there.import_document(things(WHOLE, MICRO))
    there.export_file(tmp_path / f"h.{ending}")
    here = History(alter("mariadb", metadata, "DATETIME"), path(kind))
    rejects = tmp_path / "rejects.jsonl"
    report = here.import_file(tmp_path / f"h.{ending}", rejects=rejects)
    assert outcomes(report) == (1, 0, 1)
    assert MICRO in rejects.read_text()
    report = here.import_file(rejects, truncate_times=True)
    assert (outcomes(report), [problem.code for problem in report.warnings]) == ((1, 0, 0), ["precision"])
    again = here.import_file(
        tmp_path / f"h.{ending}", truncate_times=True, on_duplicate="verify", commit_every=1
    )
    assert (outcomes(again), again.warning_count) == ((0, 2, 0), 1)


@pytest.mark.parametrize("given", ["2025-12-08T10:00:00.1234567Z", "2025-12-08T10:00:00.123456789Z"])
def test_digits_beyond_those_of_the_format_are_cut_too(create, given):
    metadata, kind = host(MICROSECONDS, INSTANT)
    history = History(create(metadata), kind)
    assert codes_of(history.import_document(things(given)).problems) == [("/things/0/value", "precision")]
    report = history.import_document(things(given), truncate_times=True)
    assert (report.imported, codes_of(report.warnings)) == (1, [("/things/0/value", "precision")])
    assert [each["value"] for each in history.iter_runs("thing")] == [MICRO]


@pytest.mark.parametrize("given", ["2025-02-30T10:00:00.1234567Z", "10:00:00.1234567", "x.5", 5.25, None])
def test_what_is_no_time_is_not_cut(create, given):
    metadata, kind = host(MICROSECONDS, INSTANT)
    report = History(create(metadata), kind).import_document(things(given), truncate_times=True)
    assert (codes_of(report.problems), report.warnings) == ([("/things/0/value", "schema")], ())


def bundled(databases, *statements):
    """A database of the bundled models on MariaDB, as *statements* leave it."""
    engine = stocked(databases.of_host("mariadb")(Base.metadata))
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    return engine


SECONDS = [
    "ALTER TABLE production_runs MODIFY created_at DATETIME NOT NULL",
    "ALTER TABLE production_consumptions MODIFY updated_at DATETIME NOT NULL",
]
PARTS = "2025-12-08T10:02:11.120000Z"


def timed():
    entries = [consumption(101, updated_at=PARTS), consumption(102)]
    return document(production_run(1, created_at=PARTS, consumptions=entries))


POINTERS = ["/production_runs/0/created_at", "/production_runs/0/consumptions/0/updated_at"]


def test_entries_are_cut_at_their_pointers_and_the_document_stays_as_it_is(databases):
    history = History(bundled(databases, *SECONDS))
    given = timed()
    before = json.dumps(given)
    assert [problem.pointer for problem in history.import_document(given).problems] == POINTERS
    report = history.import_document(given, truncate_times=True)
    assert (outcomes(report), [problem.pointer for problem in report.warnings]) == ((1, 0, 0), POINTERS)
    assert json.dumps(given) == before
    message = "Cut to 2025-12-08T10:02:11Z: production_runs.created_at keeps whole seconds only."
    assert report.warnings[0].message == message
    assert report.warnings[0].uuid == given["production_runs"][0]["uuid"]


@pytest.mark.slow
def test_the_command_line_cuts_times(databases, tmp_path, capsys):
    engine = bundled(databases, *SECONDS)
    (tmp_path / "h.json").write_text(json.dumps(timed()))
    command = ["import", str(tmp_path / "h.json"), "--url", engine.url.render_as_string(hide_password=False)]
    assert cli.main(["check", *command[1:]]) == 1
    assert cli.main(["check", *command[1:], "--truncate-times"]) == 0
    assert cli.main(command) == 1
    assert "--truncate-times" in capsys.readouterr().out
    assert cli.main([*command, "--truncate-times", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warning_count"] == 2


@pytest.mark.slow
@in_a_loop
async def test_asyncio_cuts_times(databases):
    url = bundled(databases, *SECONDS).url.set(drivername="mariadb+aiomysql")
    async with histio.AsyncHistory(url) as history:
        report = await history.import_document(timed(), truncate_times=True)
        assert (outcomes(report), report.warning_count) == ((1, 0, 0), 2)
        assert len(await history.check(timed(), truncate_times=True)) == 2


def test_a_time_that_the_document_leaves_out_is_never_in_the_future(databases):
    engine = stocked(databases.of_host("postgresql")(Base.metadata))
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE production_runs ALTER created_at TYPE timestamp(0)")
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    History(engine).import_document(document(without(production_run(1), "created_at")))
    with Session(engine) as session:
        stored = session.scalars(sa.select(ProductionRun.created_at)).one()
    assert before <= stored <= dt.datetime.now(dt.UTC).replace(tzinfo=None)


def test_a_file_that_is_checked_is_held_against_the_limits_of_the_database(databases, tmp_path):
    history = History(bundled(databases, *SECONDS))
    (tmp_path / "h.json").write_text(json.dumps(timed()))
    found = check_file(tmp_path / "h.json", history=history)
    assert [problem.pointer for problem in found if problem.severity == "error"] == POINTERS
    cut = check_file(tmp_path / "h.json", history=history, truncate_times=True)
    told_of_times = [(each.pointer, each.severity) for each in cut if each.code == "precision"]
    assert told_of_times == [(pointer, "warning") for pointer in POINTERS]
