"""A history as flat tables: other programs read exactly what the file has, and nothing is lost."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from decimal import Decimal
from pathlib import Path

import duckdb
import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape
from sqlalchemy import orm

import histio
from histio import DocumentError, ExportError, History, cli, flatten
from histio.inspecting.flat import parquet_files, workbook
from histio.testing import documents
from tests.support import lab, shop, slug_lists
from tests.support.bakery import assembly_run, consumption, document, number, production_run
from tests.support.columns import host, things
from tests.support.disks import file_limit
from tests.support.effort import examples
from tests.support.flat_tables import expected, read_csv, rebuild
from tests.support.folders import split
from tests.support.streams import line, stream_of, text_of, unsealed

FORMATS = ["csv", "xlsx", "parquet"]
TABLES = [
    "production_runs",
    "production_runs.consumptions",
    "assembly_runs",
    "assembly_runs.finished_unit_consumptions",
    "assembly_runs.packaging_consumptions",
]
LEDGER = [consumption(11), consumption(12, ingredient_slug="sugar", total_cost="0.1000")]
GIVEN = document(
    production_run(1, consumptions=LEDGER),
    production_run(2, total_ingredient_cost="0.2000", consumptions=[]),
    assembly=[assembly_run(3)],
)
HOSTS = {
    "bakery": History(),
    "shop": History(None, shop.OrderSchema),
    "lab": History(None, *lab.KINDS),
    "slug lists": History(None, slug_lists.RoleSchema, slug_lists.UserSchema),
}


def flattened(given, folder, **options):
    return flatten(io.BytesIO(text_of(given)), folder, **options)


def plain(value):
    """A value of a cell; times as text."""
    return value.isoformat() if isinstance(value, dt.datetime) else value


def rows_of(report):
    return {table.name: table.rows for table in report.tables}


def sheet_of(folder, name="production_runs"):
    """The cells of a sheet below its heading, by the name of their column."""
    book = openpyxl.load_workbook(folder / "history.xlsx")
    names, *rows = book[name].iter_rows()
    return [{head.value: cell for head, cell in zip(names, row, strict=True)} for row in rows]


# --- what other programs read -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("history", HOSTS.values(), ids=HOSTS)
@settings(max_examples=examples(25))
@given(data=st.data())
def test_the_records_of_a_file_can_be_made_of_its_tables(history, suffix, data):
    given = data.draw(documents(history, catalog=True))
    with tempfile.TemporaryDirectory() as folder:
        tables = Path(folder, "tables")
        flattened(given, tables, format=suffix, history=history)
        kinds = [kind for kind in history.bound.all_kinds if kind.collection in given]
        found = {kind.name: rebuild(kind, tables, suffix) for kind in kinds}
    assert found == {kind.name: expected(kind, given) for kind in kinds}


@pytest.mark.parametrize("suffix", FORMATS)
def test_there_is_a_table_for_each_kind_and_each_ledger(tmp_path, suffix):
    report = flattened(GIVEN, tmp_path / "tables", format=suffix)
    assert rows_of(report) == dict(zip(TABLES, [2, 2, 1, 1, 1], strict=True))
    assert report.files == {file.name: file.stat().st_size for file in (tmp_path / "tables").iterdir()}
    assert {table.file for table in report.tables} == {*report.files}


def test_entries_have_the_identity_of_their_run_and_their_position(tmp_path):
    flattened(GIVEN, tmp_path / "tables")
    rows = read_csv(tmp_path / "tables" / "production_runs.consumptions.csv")
    found = [
        (row["production_run_uuid"], row["consumptions_position"], row["ingredient_slug"]) for row in rows
    ]
    assert found == [(number(1), "1", "flour"), (number(1), "2", "sugar")]


def test_keys_of_several_members_and_of_deeper_ledgers(tmp_path):
    given = lab.document(lab.study(trials=[lab.trial(), lab.trial(attempt=2)]))
    flattened(given, tmp_path / "tables", history=HOSTS["lab"])
    rows = read_csv(tmp_path / "tables" / "studies.trials.values.csv")
    keys = ["study_project", "study_number", "trials_position", "values_position"]
    assert list(rows[0]) == [*keys, "value"]
    assert {tuple(row[key] for key in keys[:3]) for row in rows} == {("acme", "1", "1"), ("acme", "1", "2")}


def test_a_single_entry_has_no_position(tmp_path):
    flattened(shop.orders(shop.order(1)), tmp_path / "tables", history=HOSTS["shop"])
    [row] = read_csv(tmp_path / "tables" / "orders.shipment.csv")
    assert row == {"order_uuid": number(1), "sent_at": "2025-12-09T08:00:00Z"}


def test_names_of_keys_and_files_fit_whatever_members_are_called(tmp_path):
    class Base(orm.DeclarativeBase):
        pass

    class Day(Base):
        __tablename__ = "days"
        id = sa.Column(sa.Integer, primary_key=True)
        name = sa.Column(sa.String(20), nullable=False)
        notes = orm.relationship("Note")

    class Note(Base):
        __tablename__ = "notes"
        id = sa.Column(sa.Integer, primary_key=True)
        day_id = sa.Column(sa.ForeignKey(Day.id), nullable=False)
        day_name = sa.Column(sa.String(20), nullable=False)

    class NoteSchema(histio.RecordSchema):
        class Meta:
            model = Note

        day_name = histio.Text(required=True)

    class DaySchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Day, "day", "days", None, "name"

        name = histio.Text(required=True)
        notes = histio.schemas.Nested(NoteSchema, many=True, data_key="notes/of it")

    given = {"version": "1.0", "days": [{"name": "Monday", "notes/of it": [{"day_name": "Montag"}]}]}
    for suffix in FORMATS:
        flattened(given, tmp_path / suffix, format=suffix, history=History(None, DaySchema))
    row = {"day_name_": "Monday", "notes/of it_position": "1", "day_name": "Montag"}
    assert read_csv(tmp_path / "csv" / "days.notes_of_it.csv") == [row]
    assert pq.read_schema(tmp_path / "parquet" / "days.notes_of_it.parquet").names == list(row)
    assert list(sheet_of(tmp_path / "xlsx", "days.notes_of_it")[0]) == list(row)


COST = Decimal("5.4500")


def test_duckdb_adds_up_exactly(tmp_path):
    for suffix in ("csv", "parquet"):
        flattened(GIVEN, tmp_path / suffix, format=suffix)
        found = duckdb.sql(
            f"SELECT sum(CAST(total_ingredient_cost AS DECIMAL(10, 4)))"
            f" FROM '{tmp_path}/{suffix}/production_runs.{suffix}'"
        )
        assert found.fetchall() == [(COST,)]


def test_duckdb_joins_entries_to_their_runs(tmp_path):
    flattened(GIVEN, tmp_path / "tables", format="parquet")
    runs, entries = (f"'{tmp_path}/tables/{name}.parquet'" for name in TABLES[:2])
    found = duckdb.sql(
        f"SELECT recipe_slug, sum(total_cost) FROM {runs} runs"
        f" JOIN {entries} entries ON production_run_uuid = runs.uuid GROUP BY ALL"
    )
    assert found.fetchall() == [("cookies", Decimal("2.6000"))]


def test_pandas_and_polars_add_up_exactly(tmp_path):
    flattened(GIVEN, tmp_path / "csv")
    flattened(GIVEN, tmp_path / "parquet", format="parquet")
    csv_file, parquet_file = (tmp_path / s / f"production_runs.{s}" for s in ("csv", "parquet"))
    in_pandas = pd.read_csv(csv_file, dtype=str)["total_ingredient_cost"]
    assert sum(map(Decimal, in_pandas)) == COST
    assert pd.read_parquet(parquet_file)["total_ingredient_cost"].sum() == COST
    assert pl.read_parquet(parquet_file)["total_ingredient_cost"].sum() == COST
    assert pl.read_csv(csv_file, infer_schema=False)["total_ingredient_cost"].to_list() == [
        "5.2500",
        "0.2000",
    ]


def test_parquet_has_the_types_of_the_fields(tmp_path):
    flattened(GIVEN, tmp_path / "tables", format="parquet")
    schema = pq.read_schema(tmp_path / "tables" / "production_runs.parquet")
    assert {name: schema.field(name).type for name in schema.names} == {
        "uuid": pa.string(),
        "recipe_slug": pa.string(),
        "finished_unit_slug": pa.string(),
        "num_batches": pa.int64(),
        "expected_yield": pa.int64(),
        "actual_yield": pa.int64(),
        "produced_at": pa.timestamp("us", "UTC"),
        "notes": pa.string(),
        "total_ingredient_cost": pa.decimal128(10, 4),
        "per_unit_cost": pa.decimal128(10, 4),
        "created_at": pa.timestamp("us", "UTC"),
        "updated_at": pa.timestamp("us", "UTC"),
    }


# By field: the type in Parquet, and a value as JSON, CSV, Parquet and XLSX have it.
FIELDS = {
    "wide decimals": (
        (sa.Numeric(38, 2), histio.FixedDecimal(required=True)),
        pa.decimal128(38, 2),
        ("123456789012345678901234567890123456.75",) * 2,
        Decimal("123456789012345678901234567890123456.75"),
        "123456789012345678901234567890123456.75",
    ),
    "wider decimals are text": (
        (sa.Numeric(40, 2), histio.FixedDecimal(required=True)),
        pa.string(),
        ("1.50",) * 2,
        "1.50",
        1.5,
    ),
    "decimals without a scale are text": (
        (sa.Numeric(), histio.FixedDecimal(required=True)),
        pa.string(),
        ("1.5",) * 2,
        "1.5",
        "1.5",
    ),
    "signed decimals": (
        (sa.Numeric(10, 2), histio.FixedDecimal(required=True, signed=True)),
        pa.decimal128(10, 2),
        ("-1.50",) * 2,
        Decimal("-1.50"),
        -1.5,
    ),
    "cents": (
        (sa.Integer(), histio.FixedDecimal(required=True, minor_units=2)),
        pa.decimal128(9, 2),
        ("1.50",) * 2,
        Decimal("1.50"),
        1.5,
    ),
    "integers": (
        (sa.BigInteger(), histio.Integer(required=True)),
        pa.int64(),
        (2**62, str(2**62)),
        2**62,
        str(2**62),
    ),
    "integers of many digits": (
        (sa.Numeric(20, 0), histio.Integer(required=True)),
        pa.decimal128(20, 0),
        (10**19, str(10**19)),
        Decimal(10**19),
        10**19,
    ),
    "doubles": ((sa.Double(), histio.Number(required=True)), pa.float64(), (0.1, "0.1"), 0.1, 0.1),
    "truth values": ((sa.Boolean(), histio.Boolean(required=True)), pa.bool_(), (True, "true"), True, True),
    "days": (
        (sa.Date(), histio.Date(required=True)),
        pa.date32(),
        ("2025-12-08",) * 2,
        dt.date(2025, 12, 8),
        "2025-12-08T00:00:00",
    ),
    "early days": (
        (sa.Date(), histio.Date(required=True)),
        pa.date32(),
        ("1900-02-28",) * 2,
        dt.date(1900, 2, 28),
        "1900-02-28",
    ),
    "times of day": (
        (sa.Time(), histio.Time(required=True)),
        pa.time64("us"),
        ("10:30:00.250000",) * 2,
        dt.time(10, 30, 0, 250_000),
        "10:30:00.250000",
    ),
    "durations": (
        (sa.Interval(), histio.Duration(required=True)),
        pa.string(),
        ("P1DT2H",) * 2,
        "P1DT2H",
        "P1DT2H",
    ),
    "counted seconds": (
        (sa.BigInteger(), histio.Epoch(required=True)),
        pa.timestamp("us", "UTC"),
        ("2025-12-08T10:00:00Z",) * 2,
        dt.datetime(2025, 12, 8, 10, tzinfo=dt.UTC),
        "2025-12-08T10:00:00",
    ),
    "bytes": ((sa.LargeBinary(), histio.Bytes(required=True)), pa.binary(), ("AP8=",) * 2, b"\0\xff", "AP8="),
    "any JSON": (
        (sa.JSON(), histio.Json(required=True)),
        pa.string(),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        '{"a":[1,"é"]}',
        '{"a":[1,"é"]}',
    ),
    "texts that are not numbers": (
        (sa.String(20), histio.Text(required=True)),
        pa.string(),
        ("007",) * 2,
        "007",
        "007",
    ),
}


@pytest.mark.parametrize(
    ("column", "arrow_type", "texts", "in_parquet", "in_workbook"), FIELDS.values(), ids=FIELDS
)
def test_each_field_keeps_its_values(tmp_path, column, arrow_type, texts, in_parquet, in_workbook):
    _, kind = host(*column)
    history, (value, text) = History(None, kind), texts
    for suffix in FORMATS:
        flattened(things(value), tmp_path / suffix, format=suffix, history=history)
    [row] = read_csv(tmp_path / "csv" / "things.csv")
    assert row["value"] == text
    table = pq.read_table(tmp_path / "parquet" / "things.parquet")
    assert (table.schema.field("value").type, table["value"].to_pylist()) == (arrow_type, [in_parquet])
    [cells] = sheet_of(tmp_path / "xlsx", "things")
    assert plain(cells["value"].value) == in_workbook


# --- CSV --------------------------------------------------------------------------------------------------


def test_null_and_an_empty_text_differ_in_csv(tmp_path):
    given = document(production_run(1, notes=None), production_run(2, notes=""))
    flattened(given, tmp_path / "tables")
    assert [row["notes"] for row in read_csv(tmp_path / "tables" / "production_runs.csv")] == [None, ""]


def test_the_csv_module_reads_what_is_written(tmp_path):
    notes = 'a "quoted", text\r\nof two lines; and\ttabs é\N{SNOWMAN}'
    flattened(document(production_run(1, notes=notes)), tmp_path / "tables")
    with (tmp_path / "tables" / "production_runs.csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file, strict=True)
    assert row["notes"] == notes


FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\N{FULLWIDTH EQUALS SIGN}1"]


def test_csv_is_exact_and_texts_like_formulas_are_counted(tmp_path):
    runs = [production_run(n, notes=notes) for n, notes in enumerate([*FORMULAS, "a=1"], 1)]
    report = flattened(document(*runs), tmp_path / "tables")
    rows = read_csv(tmp_path / "tables" / "production_runs.csv")
    assert [row["notes"] for row in rows] == [*FORMULAS, "a=1"]
    assert report.formulas == len(FORMULAS)


def test_for_excel_texts_are_no_formulas_and_the_encoding_is_marked(tmp_path):
    runs = [production_run(n, notes=notes) for n, notes in enumerate([*FORMULAS, "a=1"], 1)]
    report = flattened(document(*runs), tmp_path / "tables", for_excel=True)
    data = (tmp_path / "tables" / "production_runs.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfuuid,")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    assert [row["notes"] for row in rows] == [*(f"'{text}" for text in FORMULAS), "a=1"]
    assert report.formulas == len(FORMULAS)


def test_for_excel_negative_numbers_stay_numbers(tmp_path):
    _, kind = host(sa.Numeric(10, 2), histio.FixedDecimal(required=True, signed=True))
    report = flattened(things("-1.50"), tmp_path / "tables", history=History(None, kind), for_excel=True)
    assert "-1.50" in (tmp_path / "tables" / "things.csv").read_text("utf-8-sig").splitlines()[1].split(",")
    assert report.formulas == 0


@pytest.mark.parametrize("suffix", ["xlsx", "parquet"])
def test_only_csv_is_for_excel(tmp_path, suffix):
    with pytest.raises(ValueError, match="for_excel is for csv"):
        flattened(GIVEN, tmp_path / "tables", format=suffix, for_excel=True)


# --- workbooks --------------------------------------------------------------------------------------------


def test_a_workbook_has_numbers_and_dates(tmp_path):
    flattened(GIVEN, tmp_path, format="xlsx")
    first, _ = sheet_of(tmp_path)
    cost, batches = first["total_ingredient_cost"], first["num_batches"]
    assert (cost.value, cost.number_format) == (5.25, "0.0000")
    assert (batches.value, batches.data_type) == (2, "n")
    assert (plain(first["produced_at"].value), first["produced_at"].is_date) == ("2025-12-08T10:00:00", True)


TEXTS = [
    *("=1+1", "http://localhost/", "{=1}", "00123", "1e5", "true"),
    *(" a ", "", "a\r\nb", "<&>", "_x0041_", "\x01", "\x7f", "\uffff", "\U0001f36a"),
]


@pytest.mark.parametrize("notes", TEXTS, ids=ascii)
def test_texts_of_a_workbook_stay_texts(tmp_path, notes):
    flattened(document(production_run(1, notes=notes)), tmp_path, format="xlsx")
    [row] = sheet_of(tmp_path)
    found = unescape(row["notes"].value)  # openpyxl leaves this to its callers
    assert (found, row["notes"].data_type, row["notes"].hyperlink) == (notes, "s", None)


def test_a_decimal_that_a_spreadsheet_would_round_is_text_and_counted(tmp_path):
    _, kind = host(sa.Numeric(20, 4), histio.FixedDecimal(required=True))
    given = things("12345678901.2345", "123456789012.3456")
    report = flattened(given, tmp_path, format="xlsx", history=History(None, kind))
    assert [row["value"].value for row in sheet_of(tmp_path, "things")] == [
        12345678901.2345,
        "123456789012.3456",
    ]
    assert report.texts == 1


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(st.integers(1 - 10**15, 10**15 - 1), st.integers(0, 8)), min_size=1, max_size=30))
def test_decimals_of_at_most_15_digits_are_exact_numbers(drawn):
    _, kind = host(sa.Numeric(30, 8), histio.FixedDecimal(required=True, signed=True))
    values = [Decimal(digits).scaleb(-scale) for digits, scale in drawn]
    with tempfile.TemporaryDirectory() as folder:
        given = things(*(f"{value:f}" for value in values))
        report = flattened(given, folder, format="xlsx", history=History(None, kind))
        found = [row["value"].value for row in sheet_of(Path(folder), "things")]
    assert [Decimal(f"{value:.15g}") for value in found] == values
    assert report.texts == 0


@settings(max_examples=examples(50))
@given(st.lists(st.datetimes(dt.datetime(1900, 3, 1), dt.datetime(9998, 12, 31)), min_size=1, max_size=30))  # noqa: DTZ001
def test_times_are_exact_to_a_millisecond(moments):
    _, kind = host(sa.DateTime(), histio.UtcTimestamp(required=True))
    with tempfile.TemporaryDirectory() as folder:
        given = things(*(f"{moment.isoformat()}Z" for moment in moments))
        flattened(given, folder, format="xlsx", history=History(None, kind))
        found = [row["value"].value for row in sheet_of(Path(folder), "things")]
    pairs = zip(found, moments, strict=True)
    assert max(abs(read - moment) for read, moment in pairs) <= dt.timedelta(milliseconds=1)


def test_names_of_sheets_are_short(tmp_path):
    report = flattened(GIVEN, tmp_path, format="xlsx")
    assert [table.sheets for table in report.tables] == [
        ("production_runs",),
        ("production_runs.consumptions",),
        ("assembly_runs",),
        ("finished_unit_consumptions",),
        ("packaging_consumptions",),
    ]


def test_rows_that_a_sheet_cannot_hold_go_to_further_sheets(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "_MOST_ROWS", 3)
    report = flattened(document(*map(production_run, range(1, 6))), tmp_path, format="xlsx")
    sheets = report.tables[0].sheets
    assert sheets == ("production_runs", "production_runs (2)", "production_runs (3)")
    found = [row["uuid"].value for sheet in sheets for row in sheet_of(tmp_path, sheet)]
    assert found == list(map(number, range(1, 6)))


def test_a_text_that_a_cell_cannot_hold_is_an_error(tmp_path):
    given = document(
        production_run(1, notes="\N{SNOWMAN}" * 32_767), production_run(2, notes="\U0001f36a" * 16_384)
    )
    with pytest.raises(
        ValueError, match=r"production_runs, row 2: notes: 32,768 characters, and a cell holds 32,767"
    ):
        flattened(given, tmp_path / "tables", format="xlsx")
    assert list(tmp_path.iterdir()) == []


# --- Parquet ----------------------------------------------------------------------------------------------


def test_rows_are_written_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_files, "_BATCH", 2)
    monkeypatch.setattr(parquet_files, "_GROUP_SIZE", 1)
    flattened(document(*map(production_run, range(1, 6))), tmp_path, format="parquet")
    file = pq.ParquetFile(tmp_path / "production_runs.parquet")
    assert file.num_row_groups == 3
    assert file.read()["uuid"].to_pylist() == list(map(number, range(1, 6)))


def test_an_integer_that_parquet_cannot_hold_is_an_error(tmp_path):
    class Any(sa.types.TypeDecorator):
        impl, cache_ok = sa.String, True

        def process_bind_param(self, value, _dialect):
            return str(value)

        def process_result_value(self, value, _dialect):
            return int(value)

    _, kind = host(Any(40), histio.Integer(required=True))
    with pytest.raises(ValueError, match="things: value: Parquet cannot hold a value"):
        flattened(things(2**70), tmp_path / "tables", format="parquet", history=History(None, kind))


# --- what is read -----------------------------------------------------------------------------------------


def test_a_database_is_read_too(engine, tmp_path):
    history = History(engine)
    history.import_document(GIVEN)
    report = flatten(history, tmp_path / "tables")
    assert rows_of(report) == dict(zip(TABLES, [2, 2, 1, 1, 1], strict=True))
    named = flatten(history, tmp_path / "catalog", kinds=["finished_unit", "ingredient"])
    assert list(rows_of(named)) == ["ingredients", "finished_units"]


def test_a_database_with_rows_that_the_format_cannot_hold_is_refused(sqlite, tmp_path):
    history = History(sqlite)
    history.import_document(GIVEN)
    with sqlite.begin() as connection:
        connection.execute(sa.text("UPDATE production_runs SET produced_at = 'soon'"))
    with pytest.raises(ExportError):
        flatten(history, tmp_path / "tables")
    assert list(tmp_path.iterdir()) == []


def test_streams_and_folders_with_parts_are_read(tmp_path):
    (tmp_path / "parts").mkdir()
    split(stream_of(GIVEN), tmp_path / "parts", 1)
    (tmp_path / "history.jsonl").write_bytes(stream_of(GIVEN))
    reports = [flatten(tmp_path / name, tmp_path / f"of-{name}") for name in ("parts", "history.jsonl")]
    assert reports[0] == reports[1]


def test_only_some_kinds(tmp_path):
    report = flattened(GIVEN, tmp_path / "tables", kinds="assembly_run")
    assert list(rows_of(report)) == TABLES[2:]
    with pytest.raises(ValueError, match="no such kind: assembly; did you mean assembly_run"):
        flattened(GIVEN, tmp_path / "others", kinds=["assembly"])


def test_records_of_an_older_version_are_upgraded(tmp_path):
    def upgrade(record):
        return record | {"notes": "upgraded"}

    history = History(
        None, histio.ProductionRunSchema, histio.AssemblyRunSchema, version="2.0", upgrades={"1.0": upgrade}
    )
    flattened(document(production_run(1)), tmp_path / "tables", history=history)
    [row] = read_csv(tmp_path / "tables" / "production_runs.csv")
    assert row["notes"] == "upgraded"


def test_values_have_the_form_that_an_export_writes(tmp_path):
    run = production_run(
        1, uuid=number(1).upper(), total_ingredient_cost="5.25", produced_at="2025-12-08T11:00:00+01:00"
    )
    flattened(document(run), tmp_path / "tables")
    [row] = read_csv(tmp_path / "tables" / "production_runs.csv")
    assert (row["uuid"], row["total_ingredient_cost"], row["produced_at"]) == (
        number(1),
        "5.2500",
        "2025-12-08T10:00:00Z",
    )


# --- what is invalid --------------------------------------------------------------------------------------

INVALID = unsealed(
    line("production_run", production_run(1)),
    line("production_run", production_run(2, num_batches="two")),
    b"nonsense\n",
    line("production_run", production_run(1, notes="again")),
    line("production_run", production_run(3)),
)


def test_what_is_invalid_or_comes_twice_is_refused_and_listed(tmp_path):
    with pytest.raises(DocumentError) as refused:
        flatten(io.BytesIO(INVALID), tmp_path / "tables")
    found = [(problem.severity, problem.line) for problem in refused.value.problems]
    assert found == [("error", 3), ("error", 4), ("error", 5)]
    assert list(tmp_path.iterdir()) == []


def test_what_is_invalid_or_comes_twice_can_be_left_out(tmp_path):
    report = flatten(io.BytesIO(INVALID), tmp_path / "tables", on_invalid="skip")
    assert (report.invalid, report.problem_count) == (3, 3)
    assert [problem.line for problem in report.problems] == [3, 4, 5]
    rows = read_csv(tmp_path / "tables" / "production_runs.csv")
    assert [(row["uuid"], row["notes"]) for row in rows] == [
        (number(1), "Test batch"),
        (number(3), "Test batch"),
    ]


@pytest.mark.parametrize("on_invalid", ["error", "skip"])
@pytest.mark.parametrize("data", [stream_of(GIVEN)[:-10], stream_of(GIVEN).replace(b"cookies", b"cakes", 1)])
def test_a_damaged_file_is_refused(tmp_path, data, on_invalid):
    with pytest.raises(DocumentError):
        flatten(io.BytesIO(data), tmp_path / "tables", on_invalid=on_invalid)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "ods"}, "format must be one of csv, xlsx, parquet, not 'ods'"),
        ({"on_invalid": "keep"}, "on_invalid must be error or skip, not 'keep'"),
    ],
)
def test_options_have_known_values(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        flattened(GIVEN, tmp_path / "tables", **options)


@pytest.mark.parametrize(
    ("suffix", "package", "message"),
    [("xlsx", "xlsxwriter", "XLSX needs XlsxWriter"), ("parquet", "pyarrow", "Parquet needs pyarrow")],
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, suffix, package, message):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=message):
        flattened(GIVEN, tmp_path / "tables", format=suffix)
    assert list(tmp_path.iterdir()) == []


# --- the folder -------------------------------------------------------------------------------------------


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "tables").mkdir(mode=0o700)
    flattened(GIVEN, tmp_path / "tables")
    assert (tmp_path / "tables").stat().st_mode & 0o777 == 0o700
    assert len(list((tmp_path / "tables").iterdir())) == len(TABLES)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_with_tables_is_replaced_with_overwrite_only(tmp_path, suffix):
    flattened(GIVEN, tmp_path / "tables", format="csv")
    before = sorted(file.name for file in (tmp_path / "tables").iterdir())
    with pytest.raises(FileExistsError):
        flattened(GIVEN, tmp_path / "tables", format=suffix)
    assert sorted(file.name for file in (tmp_path / "tables").iterdir()) == before
    report = flattened(GIVEN, tmp_path / "tables", format=suffix, overwrite=True)
    assert {file.name for file in (tmp_path / "tables").iterdir()} == {*report.files}
    assert [file.name for file in tmp_path.iterdir()] == ["tables"]


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / "letter.csv").write_text("Dear")
    with pytest.raises(ValueError, match=r"has 'letter.csv', which is not one of the tables"):
        flattened(GIVEN, tmp_path, overwrite=True)
    assert (tmp_path / "letter.csv").read_text() == "Dear"


def test_a_folder_with_the_name_of_a_table_is_no_table_to_replace(tmp_path):
    flattened(GIVEN, tmp_path)
    (tmp_path / "production_runs.csv").unlink()
    (tmp_path / "production_runs.csv").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"has 'production_runs.csv', which is not one of the tables"):
        flattened(GIVEN, tmp_path, overwrite=True)
    assert sorted(tmp_path.iterdir()) == before


def test_after_an_error_the_earlier_tables_are_still_there(tmp_path):
    flattened(GIVEN, tmp_path / "tables")
    before = {file: file.read_bytes() for file in (tmp_path / "tables").iterdir()}
    with pytest.raises(DocumentError):
        flatten(io.BytesIO(INVALID), tmp_path / "tables", overwrite=True)
    assert {file: file.read_bytes() for file in (tmp_path / "tables").iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["tables"]


@pytest.mark.parametrize(
    ("folder", "error"),
    [
        ("file", NotADirectoryError),
        ("missing/tables", FileNotFoundError),
        ("memory://tables", ValueError),
        ("-", ValueError),
        ("", ValueError),
        (io.BytesIO(), TypeError),
    ],
    ids=["a file", "no parent", "a URL", "standard output", "no name", "an open file"],
)
def test_what_is_not_a_folder_is_refused(tmp_path, monkeypatch, folder, error):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(error):
        flattened(GIVEN, folder)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_on_a_full_disk_nothing_is_left(tmp_path, suffix):
    given = document(*(production_run(n, notes=f"{n}" * 50) for n in range(1, 500)))
    data = io.BytesIO(text_of(given))
    with file_limit(8_000), pytest.raises(OSError, match="File too large"):
        flatten(data, tmp_path / "tables", format=suffix)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys, histio
from histio.inspecting.flat.csv_files import CsvWriter
CsvWriter.finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)
histio.flatten(sys.argv[1], sys.argv[2])
"""


def test_a_killed_process_leaves_no_tables_and_the_next_call_removes_what_it_left(tmp_path):
    (tmp_path / "history.jsonl").write_bytes(stream_of(GIVEN))
    command = [sys.executable, "-c", KILLED, tmp_path / "history.jsonl", tmp_path / "tables"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    left = {file.name for file in tmp_path.iterdir()}
    assert "tables" not in left
    assert len(left) == 2
    flatten(tmp_path / "history.jsonl", tmp_path / "tables")
    assert {file.name for file in tmp_path.iterdir()} == {"history.jsonl", "tables"}


def test_what_a_killed_process_leaves_in_an_existing_folder_is_in_nobodys_way(tmp_path):
    (tmp_path / "history.jsonl").write_bytes(stream_of(GIVEN))
    (tmp_path / "tables").mkdir()
    command = [sys.executable, "-c", KILLED, tmp_path / "history.jsonl", tmp_path / "tables"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    [left] = (tmp_path / "tables").iterdir()
    assert left.name.startswith(".histio-tables-")
    report = flatten(tmp_path / "history.jsonl", tmp_path / "tables")
    assert {file.name for file in (tmp_path / "tables").iterdir()} == {*report.files}


def test_tables_are_written_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = flattened(GIVEN, ".")
    assert {file.name for file in Path().iterdir()} == {*report.files}


@pytest.mark.parametrize("suffix", FORMATS)
def test_memory_does_not_grow_with_the_runs(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(parquet_files, "_BATCH", 50)
    monkeypatch.setattr(parquet_files, "_GROUP_SIZE", 10_000)
    peaks = []
    for count in (50, 200, 1_000):
        path = tmp_path / f"{count}.jsonl"
        path.write_bytes(unsealed(*(line("production_run", production_run(n)) for n in range(1, count + 1))))
        tracemalloc.start()
        flatten(path, tmp_path / f"tables-{count}", format=suffix)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] * 1.3


# --- the command line -------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("history.jsonl").write_bytes(stream_of(GIVEN))
    Path("invalid.jsonl").write_bytes(INVALID)


@pytest.mark.usefixtures("home")
def test_the_command_names_what_it_wrote(capsys):
    assert cli.main(["flatten", "history.jsonl", "--to", "tables", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {table["name"]: table["rows"] for table in report["tables"]} == dict(
        zip(TABLES, [2, 2, 1, 1, 1], strict=True)
    )
    assert report["files"] == {file.name: file.stat().st_size for file in Path("tables").iterdir()}
    assert cli.main(["flatten", "history.jsonl", "--to", "book", "--format", "xlsx"]) == 0
    assert "Wrote history.xlsx" in capsys.readouterr().out


@pytest.mark.usefixtures("home")
def test_the_command_says_what_is_left_out(capsys):
    assert cli.main(["flatten", "invalid.jsonl", "--to", "tables"]) == 1
    assert "To leave these out: --skip-invalid." in capsys.readouterr().err
    assert not Path("tables").exists()
    assert cli.main(["flatten", "invalid.jsonl", "--to", "tables", "--skip-invalid"]) == 3
    assert "Left out: 3, invalid or repeated." in capsys.readouterr().err


@pytest.mark.usefixtures("home")
def test_the_command_warns_of_formulas(capsys):
    Path("formula.jsonl").write_bytes(stream_of(document(production_run(1, notes="=1+1"))))
    assert cli.main(["flatten", "formula.jsonl", "--to", "tables"]) == 0
    assert "1 text begins like a formula, which Excel would run" in capsys.readouterr().err
    assert cli.main(["flatten", "formula.jsonl", "--to", "tables", "--for-excel", "--force"]) == 0
    assert "1 text begins like a formula, and got an apostrophe" in capsys.readouterr().out


@pytest.mark.usefixtures("home")
def test_the_command_replaces_tables_with_force_only(capsys):
    assert cli.main(["flatten", "history.jsonl", "--to", "tables"]) == 0
    assert cli.main(["flatten", "history.jsonl", "--to", "tables"]) == 2
    assert "tables: the folder is not empty; --force replaces it" in capsys.readouterr().err
    assert cli.main(["flatten", "history.jsonl", "--to", "tables", "--force"]) == 0
