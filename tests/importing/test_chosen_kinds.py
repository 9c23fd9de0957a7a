"""An import of some kinds of run, and what becomes of the others: nothing."""

from __future__ import annotations

import io
import json

import pytest
import sqlalchemy as sa

from histio import Counts, DocumentError, History
from histio.models import AssemblyRun, Base
from tests.support.bakery import assembly_run, document, production_run, stock
from tests.support.books import InvoiceSchema, LedgerBase, SaleSchema, books
from tests.support.reports import outcomes, rows
from tests.support.streams import FORMS, line, sealed, unsealed

BOTH = document(production_run(1), production_run(2), assembly=[assembly_run(1), assembly_run(2)])
WRONG = assembly_run(3, finished_good_slug="cake", colour="red")


@pytest.mark.parametrize("kinds", ["production_run", ["production_run"], ("production_run",)])
@pytest.mark.cells(1)
def test_only_runs_of_the_chosen_kinds_of_a_document_are_imported(engine, kinds):
    report = History(engine).import_document(BOTH, kinds=kinds)
    assert outcomes(report) == (2, 0, 0)
    assert report.by_kind == {"production_run": Counts(imported=2)}
    assert rows(engine, AssemblyRun) == 0


@pytest.mark.parametrize("commit_every", [None, 1, 3])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.turns
def test_only_runs_of_the_chosen_kinds_of_a_file_are_imported(engine, form, commit_every):
    history = History(engine)
    data = io.BytesIO(form(BOTH))
    report = history.import_file(data, kinds="assembly_run", commit_every=commit_every)
    assert (outcomes(report), list(report.by_kind)) == ((2, 0, 0), ["assembly_run"])
    data.seek(0)
    assert outcomes(history.import_file(data, commit_every=commit_every)) == (2, 2, 0)


def test_several_kinds_keep_their_order_and_none_imports_nothing(sqlite):
    history = History(sqlite)
    assert outcomes(history.import_document(BOTH, kinds=[])) == (0, 0, 0)
    report = history.import_document(BOTH, kinds=["assembly_run", "production_run"], dry_run=True)
    assert list(report.by_kind) == ["production_run", "assembly_run"]
    assert report == history.import_document(BOTH, dry_run=True)


def test_an_unknown_kind_is_an_error_before_anything_is_read(sqlite):
    history = History(sqlite)
    with pytest.raises(ValueError, match="no such kind: assembly_runs; did you mean assembly_run"):
        history.import_document(BOTH, kinds="assembly_runs")
    with pytest.raises(ValueError, match="no such kind: cake"):
        history.import_file("missing.jsonl", kinds=["production_run", "cake"])


def test_runs_of_other_kinds_are_neither_checked_nor_rejected(sqlite, tmp_path):
    history, rejects = History(sqlite), tmp_path / "rejects.jsonl"
    stale = line("production_run", production_run(3, recipe_slug="stale"))
    lines = [
        line("production_run", production_run(1)),
        line("assembly_run", WRONG),
        b'{"assembly_run":{"uuid":\n',
        line("assembly_run", 5),
        line("unreadable", '{"assembly_run":{"uuid":'),
        b'{"assembly_run":{},"more":1}\n',
        stale,
        b"nonsense\n",
    ]
    report = history.import_file(io.BytesIO(unsealed(*lines)), kinds="production_run", rejects=rejects)
    assert (outcomes(report), report.warnings) == ((1, 0, 2), ())
    header, *kept = map(json.loads, rejects.read_bytes().splitlines())
    assert header["header"]["kinds"] == ["production_run"]
    assert sorted(list(each)[-1] for each in kept) == ["production_run", "unreadable"]
    assert history.import_document(document(assembly=[WRONG]), kinds="production_run").rejected == 0


def test_rejected_runs_of_other_kinds_do_not_withhold_the_chosen_ones(sqlite):
    history = History(sqlite)
    mixed = document(production_run(1), assembly=[WRONG])
    assert outcomes(history.import_document(mixed, kinds="production_run", atomic=True)) == (1, 0, 0)


@pytest.mark.parametrize("commit_every", [None, 1])
def test_the_seal_is_verified_over_the_runs_of_all_kinds(sqlite, commit_every):
    history = History(sqlite)
    whole = sealed(line("production_run", production_run(1)), line("assembly_run", assembly_run(1)))
    changed = whole.replace(b'"quantity_assembled":5', b'"quantity_assembled":6')
    with pytest.raises(DocumentError, match="digest differs"):
        history.import_file(io.BytesIO(changed), kinds="production_run", commit_every=commit_every)
    report = history.import_file(io.BytesIO(changed), kinds="production_run", allow_truncated=True)
    assert (outcomes(report), report.truncated) == ((1, 0, 0), True)


def test_progress_counts_the_runs_of_the_chosen_kinds(sqlite):
    seen = []
    data = io.BytesIO(FORMS["a sealed stream"](BOTH))
    History(sqlite).import_file(data, kinds="assembly_run", commit_every=1, progress=seen.append)
    assert [(each.phase, each.runs, each.total) for each in seen[:: len(seen) - 1]] == [
        ("verify", 2, None),
        ("import", 2, 2),
    ]


def test_a_reference_to_a_run_of_another_kind_is_looked_up_in_the_database(create):
    history = History(create(LedgerBase.metadata), SaleSchema, InvoiceSchema)
    [problem, other] = history.import_document(books(), kinds="invoice").problems
    assert problem.code == other.code == "unknown-reference"
    assert outcomes(history.import_document(books(), kinds="sale")) == (2, 0, 0)
    assert outcomes(history.import_document(books(), kinds="invoice")) == (1, 0, 0)


def test_tables_of_other_kinds_may_be_missing(create):
    tables = sa.MetaData()
    own = (table for table in Base.metadata.sorted_tables if not table.name.startswith("assembly"))
    for table in own:
        table.to_metadata(tables)
    engine = create(tables, *stock())
    assert outcomes(History(engine).import_document(BOTH, kinds="production_run")) == (2, 0, 0)
