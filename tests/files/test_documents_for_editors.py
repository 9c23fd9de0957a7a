"""``"$schema"`` in a document is for editors: readers ignore it, and writers do not write it."""

from __future__ import annotations

import json

import pytest

import histio
from histio import DocumentError, History
from tests.support import shop
from tests.support.bakery import ASSEMBLY, document, production_run
from tests.support.shop import order, orders

FITTING = {"total_ingredient_cost": "2.5000", "per_unit_cost": "0.0272"}
PLAIN = document(production_run(1, **FITTING), production_run(2, **FITTING), assembly=[ASSEMBLY])

NAMES = [
    "https://example.com/history.schema.json",
    "file:///histio/history-1.0.schema.json",
    "urn:histio:history:1.0",
    "",
    "no URL at all \u2028\x00",
    "x" * 300_000,  # more than is read at once
]


def in_every_place(name):
    """Documents with *name* as their first member, in the middle and last."""
    return [
        {"$schema": name} | PLAIN,
        {"version": "1.0", "$schema": name} | PLAIN,
        PLAIN | {"$schema": name},
    ]


NAMING = [given for name in NAMES for given in in_every_place(name)]
NO_STRINGS = [None, 1, True, [NAMES[0]], {"$ref": NAMES[0]}]
MISNAMING = [given for name in NO_STRINGS for given in in_every_place(name)]


@pytest.fixture(params=["history.json", "history.jsonl"])
def path(request, tmp_path):
    """A file; what is in it decides what it is, not its name."""
    return tmp_path / request.param


@pytest.fixture
def history(shelf):
    """A history on a database that nothing is written to."""
    return History(shelf)


def test_a_document_that_names_its_schema_is_checked_as_without(history):
    for given in NAMING:
        before = json.dumps(given)
        assert history.check(given) == history.check(PLAIN)
        report = history.import_document(given, dry_run=True)
        assert (report.imported, report.problems) == (3, ())
        assert json.dumps(given) == before


def test_a_file_that_names_its_schema_is_read_as_without(history, path):
    ways = {
        "check": lambda: list(histio.check_file(path)),
        "import": lambda: history.import_file(path, dry_run=True),
        "inspect": lambda: histio.inspect_file(path),
        "references": lambda: list(histio.references(path)),
        "diff": lambda: [(each.kind, each.uuid) for each in histio.diff(path, history)],
    }
    path.write_text(json.dumps(PLAIN))
    expected = {name: way() for name, way in ways.items()}
    assert expected["import"].imported == 3
    for given in NAMING:
        path.write_text(json.dumps(given))
        assert {name: way() for name, way in ways.items()} == expected


def test_no_writer_writes_it(sqlite, path, tmp_path):
    path.write_text(json.dumps({"$schema": NAMES[0]} | PLAIN))
    history = History(sqlite)
    assert history.import_file(path).imported == 3
    assert history.import_file(path, on_duplicate="verify").skipped == 3
    histio.merge([path], tmp_path / "merged.json")
    merged = json.loads((tmp_path / "merged.json").read_text("utf-8"))
    assert "$schema" not in merged | history.export_document()
    assert merged | {"exported_at": PLAIN["exported_at"]} == PLAIN


def test_the_four_functions_take_it(sqlite):
    given = {"$schema": NAMES[0]} | PLAIN
    with sqlite.begin() as session:
        imported = (
            histio.import_production_history(given, session=session),
            histio.import_assembly_history(given, session=session),
        )
    assert [summary["imported"] for summary in imported] == [2, 1]


def test_an_older_version_may_name_its_schema_too(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, version="2.0", upgrades={"1.0": lambda record: record})
    assert history.import_document({"$schema": NAMES[0]} | orders(order()) | {"version": "1.0"}).imported == 1


def test_what_is_no_string_is_an_error_at_its_pointer(history, path):
    ways = [
        lambda _: history.import_file(path),
        lambda _: histio.inspect_file(path),
        lambda _: list(histio.references(path)),
        lambda _: list(histio.diff(path, history)),
        lambda _: histio.merge([path], path.with_name("merged.json")),
        history.import_document,
    ]
    for given in MISNAMING:
        path.write_text(json.dumps(given))
        told = [*history.check(given), *histio.check_file(path)]
        for way in ways:
            with pytest.raises(DocumentError, match="Must be string, not ") as raised:
                way(given)
            told += raised.value.problems
        assert {(each.severity, each.code, each.pointer) for each in told} == {
            ("error", "schema", "/$schema")
        }


def test_runs_and_headers_do_not_name_a_schema(history, path):
    run = production_run(1, **FITTING) | {"$schema": NAMES[0]}
    assert [each.pointer for each in history.check(document(run))] == ["/production_runs/0/$schema"]
    path.write_text(json.dumps({"header": {"$schema": NAMES[0], "version": "1.0", "sealed": False}}))
    assert [each.pointer for each in histio.check_file(path)] == ["/header/$schema"]
