"""What an update changes, as the report lists it; `becomes` in `test_updates.py` applies all of it."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from marshmallow import fields
from sqlalchemy import orm
from sqlalchemy.orm import relationship

import histio
from histio import History, Revision
from tests.support import shop
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    without,
)
from tests.support.hosts import CUT, ledger, model, run, text, to, word
from tests.support.hosts import document as host_document
from tests.support.revisions import replay_all


def update(history, given, **options):
    return history.import_document(given, on_duplicate="update", **options)


def short(report):
    """The pointer and both values of each change."""
    return [(each.pointer, each.stored, each.given) for each in report.revisions]


NEW = without(consumption(5), "created_at")
STORED = document(
    production_run(1, consumptions=[consumption(n) for n in (7, 8, 9)]),
    production_run(2),
    assembly=[assembly_run(3, packaging_consumptions=[packaging(4)])],
)
CHANGED = document(
    production_run(
        1,
        recipe_slug="bread",
        actual_yield=0,
        produced_at="2025-12-08T11:00:00.5+01:00",
        notes=None,
        per_unit_cost="1",
        consumptions=[
            without(consumption(5), "created_at"),
            consumption(9, total_cost="2.6"),
            consumption(7),
        ],
    ),
    production_run(2),
    assembly=[assembly_run(3, notes="new", packaging_consumptions=[])],
)


def changes_of_first_run():
    return [
        ("/recipe_slug", "cookies", "bread"),
        ("/actual_yield", 92, 0),
        ("/produced_at", "2025-12-08T10:00:00Z", "2025-12-08T10:00:00.500000Z"),
        ("/notes", "Test batch", None),
        ("/per_unit_cost", "0.0571", "1.0000"),
        ("/consumptions/0", None, NEW),
        ("/consumptions/1/total_cost", "2.5000", "2.6000"),
        ("/consumptions/1", consumption(8), None),
        ("/consumptions", [number(n) for n in (7, 8, 9)], [number(n) for n in (5, 9, 7)]),
    ]


@pytest.mark.parametrize("dry_run", [True, False])
def test_each_changed_member_and_entry_is_a_revision_with_both_values(history, dry_run):
    history.import_document(STORED)
    report = update(history, CHANGED, dry_run=dry_run)
    assert (report.updated, report.skipped, report.rejected) == (2, 1, 0)
    of_first = [Revision("production_run", number(1), *each) for each in changes_of_first_run()]
    of_assembly = [
        Revision("assembly_run", number(3), "/notes", None, "new"),
        Revision("assembly_run", number(3), "/packaging_consumptions/0", packaging(4), None),
    ]
    assert list(report.revisions) == of_first + of_assembly
    assert report.revision_count == 11
    assert json.loads(json.dumps(report.to_dict()))["revisions"][0] == {
        "kind": "production_run",
        "uuid": number(1),
        "pointer": "/recipe_slug",
        "stored": "cookies",
        "given": "bread",
    }


def test_a_dry_run_of_a_file_has_the_revisions_of_the_real_import(history, tmp_path):
    history.import_document(STORED)
    (tmp_path / "given.json").write_text(json.dumps(CHANGED))
    dry, real, again = (
        history.import_file(tmp_path / "given.json", on_duplicate="update", dry_run=dry_run)
        for dry_run in (True, False, True)
    )
    assert dry.to_dict() | {"dry_run": False} == real.to_dict()
    assert (len(real.revisions), again.revisions, again.revision_count) == (11, (), 0)


@pytest.mark.parametrize("on_duplicate", ["skip", "error", "verify"])
def test_only_updates_have_revisions(sqlite, on_duplicate):
    history = History(sqlite)
    history.import_document(document(production_run(1)))
    given = document(production_run(1, notes="new"), production_run(2))
    report = history.import_document(given, on_duplicate=on_duplicate)
    assert (report.imported, report.revisions, report.revision_count) == (1, (), 0)


def test_values_are_those_that_are_written(history):
    history.import_document(document(production_run(1)))
    given = document(production_run(1, recipe_slug="brioche", per_unit_cost="0.05710"))
    assert short(update(history, given, rename={"recipe_slug": {"brioche": "bread"}})) == [
        ("/recipe_slug", "cookies", "bread")
    ]


def test_a_time_that_is_cut_is_shown_as_it_is_written(create):
    base = orm.declarative_base()
    host_run = model(base, "Run", at=sa.Column(CUT))
    history = History(create(base.metadata), run(host_run, at=histio.UtcTimestamp(required=True)))
    history.import_document(host_document({"id": 1, "at": "2025-12-08T10:00:00Z"}))
    given = host_document({"id": 1, "at": "2025-12-08T10:00:01.9Z"})
    report = update(history, given, truncate_times=True)
    assert (report.rejected, short(report)) == (
        0,
        [("/at", "2025-12-08T10:00:00Z", history.export_document()["runs"][0]["at"])],
    )


@pytest.mark.parametrize("dry_run", [True, False])
def test_updated_catalog_rows_are_listed_before_the_runs(history, dry_run):
    history.import_document(document(production_run(1)))
    catalog = {
        "recipes": [{"slug": "cookies", "name": "Biscuits"}, {"slug": "new", "name": "New"}],
        "finished_units": [{"slug": "cookie", "display_name": "Cookie", "recipe_slug": "new"}],
    }
    given = catalog | document(production_run(1, notes="new"))
    report = update(history, given, catalog="update", dry_run=dry_run)
    assert report.revisions == (
        Revision("recipe", "cookies", "/name", "Cookies", "Biscuits"),
        Revision("finished_unit", "cookie", "/recipe_slug", "cookies", "new"),
        Revision("production_run", number(1), "/notes", "Test batch", "new"),
    )


# --- which runs ------------------------------------------------------------------------------------------


def named(base):
    host_run = model(base, "Run", code=text(unique=True), name=text(unique=True))
    return run(host_run, {"identity": "code"}, code=word(), name=word())


def names(*pairs):
    return host_document(*({"code": code, "name": name} for code, name in pairs))


def test_a_rejected_run_has_no_revisions_and_the_others_of_its_batch_have_them_once(create):
    base = orm.declarative_base()
    kind = named(base)
    history = History(create(base.metadata), kind)
    history.import_document(names("aa", "bb", "cc", "dd"))
    given = names("ax", "bd", "cz", "ey")
    dry, real = (update(history, given, dry_run=dry_run) for dry_run in (True, False))
    assert (real.imported, real.updated, real.rejected) == (1, 2, 1)
    assert [(each.uuid, each.stored, each.given) for each in real.revisions] == [
        ("a", "a", "x"),
        ("c", "c", "z"),
    ]
    assert real.revision_count == 2
    assert dry.to_dict() | {"dry_run": False} == real.to_dict()


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_runs_that_wait_for_the_values_of_others_have_their_revisions_once(create, tune, batch):
    tune(batch=batch)
    base = orm.declarative_base()
    kind = named(base)
    history = History(create(base.metadata), kind)
    stored, given = names("aa", "bb", "cc", "dd"), names("ab", "bc", "ca", "de")
    history.import_document(stored)
    report = update(history, given)
    assert (report.updated, report.revision_count) == (4, 4)
    by_code = {each.uuid: each for each in report.revisions}
    assert [(code, by_code[code].stored, by_code[code].given) for code in "abcd"] == [
        ("a", "a", "b"),
        ("b", "b", "c"),
        ("c", "c", "a"),
        ("d", "d", "e"),
    ]


def test_an_import_that_is_withheld_changes_nothing(sqlite):
    history = History(sqlite)
    history.import_document(document(production_run(1)))
    given = document(production_run(1, notes="new"), production_run(2, recipe_slug="unknown"))
    reports = [update(history, given, atomic=atomic) for atomic in (True, False)]
    assert [(each.withheld, each.updated, each.revision_count) for each in reports] == [(1, 0, 0), (0, 1, 1)]
    assert [len(each.revisions) for each in reports] == [0, 1]


def test_a_run_that_comes_twice_has_the_changes_of_each_time(sqlite):
    history = History(sqlite)
    history.import_document(document(production_run(1)))
    given = document(*(production_run(1, notes=notes) for notes in ("new", "newer", "newer")))
    report = update(history, given)
    assert (report.updated, report.skipped) == (2, 1)
    assert short(report) == [("/notes", "Test batch", "new"), ("/notes", "new", "newer")]


# --- how many --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("commit_every", [None, 7])
def test_the_first_thousand_are_kept_and_all_are_counted(sqlite, tmp_path, tune, commit_every):
    tune(batch=10)
    history = History(sqlite)
    entries = [consumption(100 + n) for n in range(1_200)]
    few = [production_run(n) for n in range(2, 30)]
    history.import_document(document(production_run(1, consumptions=entries), *few))
    many = [consumption(100 + n, unit="kg") for n in range(1_200)]
    (tmp_path / "given.json").write_text(
        json.dumps(document(*(each | {"notes": "new"} for each in few), production_run(1, consumptions=many)))
    )
    report = history.import_file(tmp_path / "given.json", on_duplicate="update", commit_every=commit_every)
    assert (report.updated, report.revision_count, len(report.revisions)) == (29, 1_228, 1_000)
    assert report.revisions[27].uuid == number(29)
    assert report.revisions[-1].pointer == "/consumptions/971/unit"


def test_a_document_has_as_many_as_a_file(sqlite):
    history = History(sqlite)
    entries = [consumption(100 + n) for n in range(1_001)]
    history.import_document(document(production_run(1, consumptions=entries)))
    report = update(history, document(production_run(1, consumptions=[])))
    assert (report.revision_count, len(report.revisions)) == (1_001, 1_000)


def test_long_values_are_cut(sqlite_of):
    base = orm.declarative_base()
    host_run = model(
        base, "Run", notes=sa.Column(sa.Text, nullable=False), extra=sa.Column(sa.JSON, nullable=False)
    )
    kind = run(host_run, notes=word(), extra=histio.Json(required=True))
    history = History(sqlite_of(base.metadata), kind)
    history.import_document(host_document({"id": 1, "notes": "a", "extra": {}}))
    given = {"id": 1, "notes": "é" * 20_000, "extra": {"b": ["é" * 20_000]}}
    notes, extra = update(history, host_document(given)).revisions
    assert (notes.stored, notes.given) == ("a", "é" * 10_000 + "…")
    assert (extra.stored, extra.given) == ({}, '{"b": ["' + "é" * (10_000 - 8) + "…")


# --- hosts -----------------------------------------------------------------------------------------------


def test_ledgers_of_entries_lists_of_slugs_and_single_entries_are_at_their_places(create):
    history = History(create(shop.Base.metadata, *shop.catalog()), shop.OrderSchema)
    history.import_document(shop.orders(shop.order(1)))
    given = shop.order(
        1,
        total="5.26",
        doubled=1052,
        extra={"a": 1},
        customer="ACME",
        warehouse=None,
        tags=["old"],
        shipment=None,
        lines=[
            shop.line(2, product=None, tag="new", serials=[{"text": "s"}]),
            shop.line(1, serials=[{"text": "x"}]),
        ],
    )
    report = update(history, shop.orders(given))
    assert {(each.kind, each.uuid) for each in report.revisions} == {("order", given["uuid"])}
    assert short(report) == [
        ("/warehouse", {"city": "Ulm", "number": 3}, None),
        ("/total", "5.25", "5.26"),
        ("/extra", {"a": [1, None], "b": True}, {"a": 1}),
        ("/tags", ["new", "old"], ["old"]),
        ("/lines/0/tag", "old", "new"),
        ("/lines/0/serials/0", None, {"text": "s"}),
        ("/lines/1/serials/1", {"text": "a"}, None),
        ("/shipment", {"sent_at": "2025-12-09T08:00:00Z"}, None),
    ]


def test_a_field_of_the_host_that_fails_does_not_stop_the_update(sqlite_of, caplog):
    base = orm.declarative_base()
    host_run = model(base, "Run", name=text(nullable=False))
    rule = {"json_schema": {"type": "string"}}
    name = fields.Function(lambda row: row.name.upper(), str.lower, required=True, metadata=rule)
    history = History(sqlite_of(base.metadata), run(host_run, name=name))
    history.import_document(host_document({"id": 1, "name": "A"}))
    caplog.set_level("DEBUG", "histio")
    report = update(history, host_document({"id": 1, "name": "B"}))
    assert (report.updated, short(report)) == (1, [("/name", "'a'", "'b'")])
    assert "a change has no JSON" in caplog.text


def test_entries_without_identity_have_their_place(create):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs", nullable=False), word=text())
    host_run = model(base, "Run", lines=relationship(line, cascade="all, delete-orphan"))
    history = History(create(base.metadata), run(host_run, lines=ledger(line, word=word())))
    stored, given = (
        host_document({"id": 1, "lines": [{"word": each} for each in words]}) for words in ("abcd", "axd")
    )
    history.import_document(stored)
    report = update(history, given)
    assert replay_all(stored, report.revisions) == given
    assert short(report) == [("/lines/1/word", "b", "x"), ("/lines/2", {"word": "c"}, None)]


def test_no_statement_is_issued_for_the_list(sqlite, count_statements):
    history = History(sqlite)
    history.import_document(document(*(production_run(n) for n in range(1, 31))))
    statements = count_statements(sqlite)
    counts = []
    for members in ({"notes": "a"}, {"notes": "b", "num_batches": 3, "actual_yield": 1}):
        before = len(statements.all)
        update(history, document(*(production_run(n, **members) for n in range(1, 31))))
        counts.append(len(statements.all) - before)
    assert counts[0] == counts[1]
