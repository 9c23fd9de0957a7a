"""What an application reads is exported; where the database holds something else, that is said."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging

import pytest
import sqlalchemy as sa
from marshmallow import post_dump
from sqlalchemy.orm import Session

import histio
from histio import ExportError, FixedDecimal, History, ProductionRunSchema
from histio.models import ProductionConsumption, ProductionRun, Recipe
from tests.support.bakery import assembly_run, consumption, document, number, production_run, without
from tests.support.columns import host

THIRD = 5 / 3
RUNS, ENTRIES = "production_runs", "production_consumptions"


@post_dump
def as_it_is(_schema, data, **_):
    return data


class Hooked(ProductionRunSchema):
    """A hook takes every run along the full path."""

    hook = as_it_is


PATHS = pytest.mark.parametrize("kind", [ProductionRunSchema, Hooked], ids=["fast", "full"])


class Price(sa.types.TypeDecorator):
    """A decorator that changes nothing."""

    impl = sa.Numeric(10, 4)
    cache_ok = True

    def process_result_value(self, value, _dialect):
        return value


def runs(count):
    """Runs with one entry each."""
    return [production_run(n) for n in range(1, count + 1)]


def make_odd(engine, table, where="1 = 1", **values):
    """Store *values* as they are, whatever columns and constraints say of them."""
    changes = ", ".join(f"{name} = :{name}" for name in values)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        connection.execute(sa.text(f"UPDATE {table} SET {changes} WHERE {where}"), values)
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")


def stored(engine, column):
    with engine.connect() as connection:
        return connection.scalars(sa.select(sa.type_coerce(column, sa.Float)).order_by(column)).all()


def summarize(problems):
    return [(problem.severity, problem.code, problem.pointer, problem.uuid) for problem in problems]


def of_the_kind(*records):
    return {"version": "1.0", "production_runs": list(records)}


# --- decimals with more digits than their column's scale --------------------------------------------------


@pytest.fixture
def bakery(sqlite):
    """Two runs; the second one, and an entry of the first one, have costs of which a third was taken."""
    History(sqlite).import_document(document(*runs(2)))
    make_odd(sqlite, RUNS, f"uuid = '{number(2)}'", per_unit_cost=THIRD)
    make_odd(sqlite, ENTRIES, f"uuid = '{number(1_000_001)}'", total_cost=THIRD, quantity_consumed=2 / 3)
    return sqlite


BAKERYS = [
    ("warning", "precision", "/per_unit_cost", number(2)),
    ("warning", "precision", "/consumptions/total_cost", number(1)),
    ("warning", "precision", "/consumptions/quantity_consumed", number(1)),
]


@PATHS
def test_a_third_of_a_price_is_exported_as_it_is_read_and_told(bakery, kind, tmp_path):
    history = History(bakery, kind)
    report = history.export_file(tmp_path / "runs.jsonl")
    assert sorted(summarize(report.warnings)) == sorted(BAKERYS)
    assert (report.warning_count, report.exported, report.skipped, report.problems) == (3, 2, 0, ())
    assert str(report.warnings[0]) == (
        f"/per_unit_cost: production_run {number(2)}: per_unit_cost of {number(2)} "
        "is stored as 1.6666666666666667 and read as 1.6667."
    )
    first, second = history.iter_runs("production_run")
    assert second["per_unit_cost"] == "1.6667"
    assert first["consumptions"][0]["total_cost"] == "1.6667"
    assert first["consumptions"][0]["quantity_consumed"] == "0.667"


@PATHS
def test_dict_document_and_stream_have_the_same_records(bakery, kind, tmp_path):
    history = History(bakery, kind)
    given = history.export_document()["production_runs"]
    history.export_file(tmp_path / "runs.json")
    assert json.loads((tmp_path / "runs.json").read_text())["production_runs"] == given
    history.export_file(tmp_path / "runs.jsonl")
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()[1:-1]
    assert [json.loads(line)["production_run"] for line in lines] == given
    assert list(history.iter_runs("production_run")) == given


@PATHS
@pytest.mark.parametrize(
    "export",
    [
        lambda history: history.export_document(),
        lambda history: list(history.iter_runs("production_run")),
    ],
)
def test_where_there_is_no_report_the_log_has_the_number_and_no_data(bakery, kind, export, caplog):
    export(History(bakery, kind))
    [line] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert line.name == "histio"
    assert line.getMessage() == (
        "export of production_run: 3 values are read differently from how they are stored"
    )
    assert "1.6" not in caplog.text


def test_the_four_functions_log_it_too(bakery, caplog):
    with Session(bakery) as session:
        exported = histio.export_production_history(session=session)
    assert exported["production_runs"][1]["per_unit_cost"] == "1.6667"
    assert "export of production_run: 3 values are read differently from how they are stored" in caplog.text


@PATHS
@pytest.mark.parametrize(
    "read",
    [
        lambda history: history.export_file(io.BytesIO()),
        lambda history: list(histio.audit(history)),
        lambda history: list(histio.diff(history, history)),
    ],
)
def test_where_there_is_a_report_or_no_export_the_log_has_nothing(bakery, kind, read, caplog):
    read(History(bakery, kind))
    assert caplog.text == ""


@PATHS
def test_where_all_is_as_it_is_read_the_log_has_nothing(sqlite, kind, caplog):
    History(sqlite).import_document(document(*runs(2)))
    History(sqlite, kind).export_document()
    assert caplog.text == ""


@pytest.mark.slow
@PATHS
def test_exact_names_every_such_row_and_leaves_no_file(bakery, kind, tmp_path):
    history = History(bakery, kind)
    expected = sorted(("error", *rest) for _, *rest in BAKERYS)
    for export in (
        lambda: history.export_file(tmp_path / "runs.jsonl", exact=True),
        lambda: history.export_document(exact=True),
        lambda: list(history.iter_runs("production_run", exact=True)),
        lambda: history.export_document(exact=True, since=dt.date(2000, 1, 1)),
    ):
        with pytest.raises(ExportError, match=r"cannot be exported \(3\)") as caught:
            export()
        assert sorted(summarize(caught.value.problems)) == expected
    assert list(tmp_path.iterdir()) == []


@PATHS
def test_exact_with_skip_leaves_such_runs_out(bakery, kind):
    make_odd(bakery, ENTRIES, total_cost=2.5)
    make_odd(bakery, ENTRIES, quantity_consumed=4)
    report = History(bakery, kind).export_file(io.BytesIO(), exact=True, on_unreadable="skip")
    assert (report.exported, report.skipped, report.warning_count) == (1, 1, 0)
    assert summarize(report.problems) == [("error", "precision", "/per_unit_cost", number(2))]


@pytest.mark.parametrize("hook", [{}, {"hook": as_it_is}], ids=["fast", "full"])
@pytest.mark.parametrize(
    ("column_type", "field", "value", "record"),
    [
        (sa.Numeric(10, 4), {}, THIRD, "1.6667"),
        (sa.Numeric(10, 4), {"signed": True}, -THIRD, "-1.6667"),
        (sa.Numeric(10, 4), {}, 0.00001, "0.0000"),
        (sa.Numeric(10, 4), {}, -0.00001, "0.0000"),
        (sa.Numeric(10, 0), {}, THIRD, "2"),
        (sa.Numeric(), {}, 9007199254740993, "9007199254740992"),
        (sa.Numeric(), {}, THIRD, "1.6666666667"),
        # SQLAlchemy reads two digits from 2.1 on, and four before.
        (sa.Numeric(10, 4, decimal_return_scale=2), {}, 1.670000001, "1.6700"),
        (sa.Float(asdecimal=True, decimal_return_scale=4), {"precision": 10, "scale": 4}, THIRD, "1.6667"),
        (sa.Double(asdecimal=True, decimal_return_scale=4), {"precision": 10, "scale": 4}, THIRD, "1.6667"),
        (Price(), {}, THIRD, "1.6667"),
        (sa.Numeric(10, 4).with_variant(sa.Numeric(10, 6), "sqlite"), {"scale": 6}, THIRD, "1.666667"),
    ],
)
def test_any_decimal_column_tells_what_it_holds_besides(sqlite_of, hook, column_type, field, value, record):
    metadata, kind = host(column_type, FixedDecimal(allow_none=True, **field), nullable=True)
    engine = sqlite_of(metadata)
    insert = "INSERT INTO things (id, uuid, value) VALUES (?, ?, ?)"
    with engine.begin() as connection:
        for n, each in enumerate([value, 1, None], 1):
            connection.exec_driver_sql(insert, (n, number(n), each))
    history = History(engine, type("Kind", (kind,), hook))
    file = io.BytesIO()
    report = history.export_file(file)
    first, second, third = [json.loads(line)["thing"] for line in file.getvalue().splitlines()[1:-1]]
    assert (first["value"], float(second["value"]), third["value"]) == (record, 1, None)
    assert summarize(report.warnings) == [("warning", "precision", "/value", number(1))]
    assert report.warnings[0].message.startswith(
        f"thing {number(1)}: value of {number(1)} is stored as {value} and read as "
    )
    with pytest.raises(ExportError, match=f"thing {number(1)}: value of"):
        history.export_document(exact=True)


@pytest.mark.parametrize(
    "value", [0.1 + 0.2, 5.25, 0.0571, 999999.9999, 123456.7891, 5.2500000000000009, 0, -0.0]
)
@PATHS
def test_the_last_digit_of_a_float_is_no_difference(bakery, kind, value):
    make_odd(bakery, RUNS, per_unit_cost=value)
    make_odd(bakery, ENTRIES, total_cost=1, quantity_consumed=1)
    report = History(bakery, kind).export_file(io.BytesIO(), exact=True)
    assert (report.exported, report.warning_count) == (2, 0)


@pytest.mark.parametrize("value", [-0.00006, 999999.99996, float("inf"), "1.5x", b"1.5"])
@PATHS
def test_what_is_read_must_fit_the_format(bakery, kind, value):
    make_odd(bakery, RUNS, per_unit_cost=value)
    with pytest.raises(ExportError, match="per_unit_cost"):
        History(bakery, kind).export_document()


def test_floats_that_the_application_reads_itself_are_what_is_stored(sqlite_of):
    metadata, kind = host(sa.Numeric(10, 4, asdecimal=False), histio.Number(required=True))
    engine = sqlite_of(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO things VALUES (1, ?, ?)", (number(1), THIRD))
    history = History(engine, kind)
    assert history.export_document(exact=True)["things"][0]["value"] == THIRD
    metadata, kind = host(sa.Numeric(10, 4, asdecimal=False), FixedDecimal(required=True))
    with pytest.raises(ExportError, match="at most 4 digits after the point") as caught:
        History(engine, kind).export_document()
    assert summarize(caught.value.problems) == [("error", "precision", "/value", number(1))]


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
@pytest.mark.parametrize("hook", [{}, {"hook": as_it_is}], ids=["fast", "full"])
def test_a_server_that_keeps_more_digits_gives_all_of_them_to_the_application(create, dialect, hook):
    metadata, kind = host(sa.Numeric(10, 2), FixedDecimal(required=True))
    engine = create(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE things")
        connection.exec_driver_sql("CREATE TABLE things (id int, uuid varchar(36), value numeric(12, 6))")
        connection.exec_driver_sql(
            f"INSERT INTO things VALUES (1, '{number(1)}', 1.5), (2, '{number(2)}', 1.234567)"
        )
    history = History(engine, type("Kind", (kind,), hook))
    with pytest.raises(ExportError, match="at most 2 digits after the point") as caught:
        history.export_document()
    assert summarize(caught.value.problems) == [("error", "precision", "/value", number(2))]
    report = history.export_file(io.BytesIO(), on_unreadable="skip")
    assert (report.exported, report.skipped, report.warning_count) == (1, 1, 0)


@pytest.mark.slow
@PATHS
def test_a_thousand_warnings_are_kept_and_all_are_counted(sqlite, kind):
    History(sqlite).import_document(document(*runs(700)))
    make_odd(sqlite, RUNS, per_unit_cost=THIRD)
    make_odd(sqlite, ENTRIES, total_cost=THIRD)
    report = History(sqlite, kind).export_file(io.BytesIO())
    assert (len(report.warnings), report.warning_count) == (1_000, 1_400)
    assert report.to_dict()["warnings"][0]["code"] == "precision"
    assert report.to_dict()["warning_count"] == 1_400


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "of_a_page"), [(ProductionRunSchema, 4), (Hooked, 6)], ids=["fast", "full"])
def test_statements_grow_by_the_page_and_not_by_the_value(sqlite, count_statements, kind, of_a_page):
    History(sqlite).import_document(document(*runs(1_200)))
    make_odd(sqlite, RUNS, per_unit_cost=THIRD)
    make_odd(sqlite, ENTRIES, total_cost=THIRD, quantity_consumed=THIRD)
    history = History(sqlite, kind)
    statements = count_statements(sqlite)
    assert history.export_file(io.BytesIO()).warning_count == 3_600
    assert len(statements.matching("SELECT ")) <= 6 * of_a_page + 5


@pytest.mark.slow
def test_what_is_not_kept_is_not_looked_up(sqlite, count_statements):
    History(sqlite).import_document(document(*runs(1_200)))
    make_odd(sqlite, RUNS, per_unit_cost=THIRD)
    make_odd(sqlite, ENTRIES, total_cost=THIRD, quantity_consumed=THIRD)
    statements = count_statements(sqlite)
    History(sqlite).export_file(io.BytesIO())
    # Two pages of 200 runs have more than 1,000 such values.
    assert len(statements.matching("abs(round(")) == 4


# --- files that come back ---------------------------------------------------------------------------------


@pytest.fixture
def exported(bakery, tmp_path):
    path = tmp_path / "runs.jsonl"
    History(bakery).export_file(path, kinds="production_run")
    return path


@PATHS
@pytest.mark.parametrize("mode", ["skip", "verify", "update"])
def test_an_export_that_comes_back_changes_nothing(bakery, exported, kind, mode):
    before = stored(bakery, ProductionRun.per_unit_cost), stored(bakery, ProductionConsumption.total_cost)
    report = History(bakery, kind).import_document(
        of_the_kind(*History(bakery).iter_runs("production_run")), on_duplicate=mode
    )
    assert (report.imported, report.updated, report.skipped, report.problems) == (0, 0, 2, ())
    assert (
        stored(bakery, ProductionRun.per_unit_cost),
        stored(bakery, ProductionConsumption.total_cost),
    ) == before
    assert THIRD in before[0]
    assert THIRD in before[1]
    assert list(histio.diff(History(bakery), exported)) == []


@PATHS
def test_an_update_says_where_it_would_round(bakery, exported, kind):
    history = History(bakery, kind)
    for dry_run in (True, False):
        report = history.import_file(exported, on_duplicate="update", dry_run=dry_run)
        assert (report.updated, report.skipped, report.warning_count) == (0, 2, 3)
        assert sorted((each.code, each.pointer, each.uuid, each.line) for each in report.warnings) == [
            ("precision", "/production_run/consumptions", number(1), 2),
            ("precision", "/production_run/consumptions", number(1), 2),
            ("precision", "/production_run/per_unit_cost", number(2), 3),
        ]
        assert "is stored as 1.6666666666666667 and read as 1.6667. An update" in report.warnings[2].message


def test_an_update_of_something_else_leaves_the_digits_and_tells_of_them(bakery):
    first, second = History(bakery).iter_runs("production_run")
    report = History(bakery).import_document(
        of_the_kind(first | {"notes": "new"}, without(second, "per_unit_cost") | {"per_unit_cost": "2.0000"}),
        on_duplicate="update",
    )
    assert (report.updated, report.rejected) == (2, 0)
    assert [each.index for each in report.warnings] == [0, 0, 1]
    assert stored(bakery, ProductionRun.per_unit_cost) == [0.0571, 2]
    assert stored(bakery, ProductionConsumption.total_cost) == [THIRD, 2.5]


def test_an_update_that_writes_entries_anew_says_that_it_rounds_them(sqlite):
    history = History(sqlite)
    history.import_document(document(production_run(1, consumptions=[consumption(5), consumption(6)])))
    make_odd(sqlite, ENTRIES, total_cost=THIRD)
    [run] = history.iter_runs("production_run")
    turned = run | {"consumptions": run["consumptions"][::-1]}
    report = history.import_document(of_the_kind(turned), on_duplicate="update")
    assert (report.updated, [each.code for each in report.warnings]) == (1, ["precision"] * 2)
    assert history.import_document(of_the_kind(turned), on_duplicate="verify").skipped == 1


def test_a_member_that_the_document_leaves_out_is_not_told_of(sqlite):
    history = History(sqlite)
    history.import_document(document(*runs(1)))
    make_odd(sqlite, ENTRIES, total_cost=THIRD)
    [run] = history.iter_runs("production_run")
    report = history.import_document(
        of_the_kind(without(run, "consumptions") | {"notes": "new"}), on_duplicate="update"
    )
    assert (report.updated, report.warnings) == (1, ())


# --- runs that the format cannot hold ---------------------------------------------------------------------


@pytest.fixture
def damaged(engine):
    """Five runs, of which the second, the third and the assembly run cannot be exported."""
    History(engine).import_document(document(*runs(5), assembly=[assembly_run(9)]))
    with engine.begin() as connection:
        recipe = connection.execute(sa.insert(Recipe).values(name="x", slug=" ")).inserted_primary_key[0]
        second = sa.update(ProductionRun).where(ProductionRun.uuid == number(2))
        connection.execute(second.values(recipe_id=recipe))
        entry = sa.update(ProductionConsumption).where(ProductionConsumption.uuid == number(10**6 + 3))
        connection.execute(entry.values(ingredient_slug=""))
        connection.execute(sa.text("UPDATE finished_goods SET slug = ' '"))
    return engine


LEFT_OUT = [
    ("error", "schema", "/recipe_slug", number(2)),
    ("error", "out-of-range", "/consumptions/0/ingredient_slug", number(3)),
]


@PATHS
@pytest.mark.parametrize("name", ["runs.jsonl", "runs.json", "runs.jsonl.gz"])
def test_runs_that_the_format_cannot_hold_are_left_out_and_listed(damaged, kind, tmp_path, name):
    history = History(damaged, kind)
    report = history.export_file(tmp_path / name, on_unreadable="skip")
    assert (report.exported, report.skipped, report.by_kind) == (3, 2, {"production_run": 3})
    assert set(summarize(report.problems)) == set(LEFT_OUT)
    assert {problem.uuid for problem in report.problems} == {number(2), number(3)}
    assert report.problem_count == len(report.problems)
    assert report.to_dict()["problems"][0]["uuid"] == number(2)
    there = history.import_file(tmp_path / name, on_duplicate="verify")
    assert (there.skipped, there.rejected) == (3, 0)


@pytest.mark.slow
def test_by_default_such_runs_of_all_kinds_are_named_and_no_file_is_left(damaged, tmp_path):
    with pytest.raises(ExportError) as caught:
        History(damaged).export_file(tmp_path / "runs.jsonl")
    found = {(problem.kind, problem.uuid) for problem in caught.value.problems}
    assert found == {
        ("production_run", number(2)),
        ("production_run", number(3)),
        ("assembly_run", number(9)),
    }
    assert list(tmp_path.iterdir()) == []


def test_a_word_that_is_none_is_refused(sqlite, tmp_path):
    with pytest.raises(ValueError, match=r"on_unreadable must be one of \('error', 'skip'\), not 'ignore'"):
        History(sqlite).export_file(tmp_path / "runs.jsonl", on_unreadable="ignore")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@PATHS
@pytest.mark.parametrize("since", [None, dt.date(2000, 1, 1)])
def test_what_sqlite_cannot_read_at_all_is_left_out_in_any_span_of_time(bakery, kind, since):
    make_odd(bakery, RUNS, f"uuid = '{number(1)}'", produced_at="yesterday", notes=b"\xff")
    make_odd(bakery, ENTRIES, total_cost="much")
    make_odd(bakery, ENTRIES, "id > 1", total_cost=THIRD)
    report = History(bakery, kind).export_file(io.BytesIO(), since=since, on_unreadable="skip")
    assert (report.exported, report.skipped) == (1, 1)
    assert {problem.pointer for problem in report.problems} == {"/produced_at", "/consumptions/total_cost"}
    assert {problem.uuid for problem in report.problems} == {number(1)}
    # What is left out is not warned of.
    assert {problem.uuid for problem in report.warnings} == {number(2)}


def test_a_run_whose_uuid_cannot_be_read_is_left_out_and_named_as_it_is_stored(sqlite_of):
    identity = sa.Column(sa.Uuid(), unique=True)
    metadata, kind = host(sa.Numeric(10, 4), FixedDecimal(required=True), uuid=identity)
    engine = sqlite_of(metadata)
    rows = [("x", 1), (number(2).replace("-", ""), THIRD), (number(3).replace("-", ""), "much")]
    with engine.begin() as connection:
        for place, row in enumerate(rows):
            connection.exec_driver_sql("INSERT INTO things VALUES (?, ?, ?)", (place, *row))
    report = History(engine, kind).export_file(io.BytesIO(), on_unreadable="skip")
    assert (report.exported, report.skipped) == (1, 2)
    assert summarize(report.problems) == [
        ("error", "schema", "/uuid", "x"),
        ("error", "schema", "/value", number(3)),
    ]
    assert summarize(report.warnings) == [("warning", "precision", "/value", number(2))]


@pytest.mark.slow
@PATHS
def test_a_thousand_problems_are_kept_and_all_are_counted(sqlite, kind):
    History(sqlite).import_document(document(*runs(1_100)))
    make_odd(sqlite, ENTRIES, ingredient_slug="")
    make_odd(sqlite, ENTRIES, "id % 2 = 0", total_cost="much")
    report = History(sqlite, kind).export_file(io.BytesIO(), on_unreadable="skip")
    assert (report.exported, report.skipped) == (0, 1_100)
    assert (len(report.problems), report.problem_count) == (1_000, 1_100)
