"""`histio.copy` with the catalog that runs refer to."""

from __future__ import annotations

import json
import random

import pytest
import sqlalchemy as sa

import histio
from histio import History, models
from tests.support import fleet
from tests.support.bakery import assembly_run, document, packaging, production_run
from tests.support.databases import DIALECTS, stocked
from tests.support.hosts import MOMENT

RUNS = document(
    production_run(1, notes="crème brûlée 🍞"),
    production_run(2),
    assembly=[assembly_run(4, packaging_consumptions=[packaging(product_slug="bag-100")])],
)
EMPTY = {"production_runs": [], "assembly_runs": []}


@pytest.fixture
def pair(databases, dialect):
    """A database with runs and a catalog, and one with neither."""
    source, target = History(stocked(databases(dialect, 1))), History(databases(dialect))
    source.import_document(RUNS)
    return source, target


def texts(history, catalog="all"):
    return json.dumps(history.export_document(exported_at=MOMENT, catalog=catalog))


def created(report):
    return {kind: counts.imported for kind, counts in report.catalog.items() if counts.imported}


@pytest.mark.cells(9)
@pytest.mark.parametrize("there", DIALECTS)
@pytest.mark.parametrize("here", DIALECTS)
def test_runs_go_into_an_empty_database_with_what_they_name(databases, here, there):
    source, target = History(stocked(databases(here, 1))), History(databases(there))
    source.import_document(RUNS)
    dry = histio.copy(source, target, catalog="create", dry_run=True)
    assert target.export_document(catalog="all")["recipes"] == []
    report = histio.copy(source, target, catalog="create")
    assert (report.imported, report.rejected, report.warnings) == (3, 0, ())
    assert dry.to_dict() | {"dry_run": False} == report.to_dict()
    assert created(report)["recipes" if "recipes" in report.catalog else "recipe"] == 1
    assert texts(target, "used") == texts(source, "used")
    assert texts(target) != texts(source)  # nobody bakes bread
    again = histio.copy(source, target, catalog="create", commit_every=1)
    assert (again.skipped, created(again)) == (3, {})


@pytest.mark.parametrize("options", [{}, {"kinds": ()}])
def test_the_whole_catalog_can_be_copied(pair, options):
    source, target = pair
    report = histio.copy(source, target, catalog="create", whole_catalog=True, **options)
    assert report.rejected == 0
    given, found = (json.loads(texts(each)) for each in pair)
    assert found == given | EMPTY | {kind: found[kind] for kind in EMPTY}
    assert [bool(found[kind]) for kind in EMPTY] == [not options] * 2


def test_one_database_is_refused_for_its_catalog_alone(pair):
    source, _ = pair
    other = History(source.bound.database.find_engine().url)
    with other, pytest.raises(histio.BindingError, match="one database"):
        histio.copy(source, other, kinds=(), catalog="create", whole_catalog=True)


def test_rows_that_exist_stay_as_they_are_unless_they_are_updated(pair):
    source, target = pair
    histio.copy(source, target, catalog="create")
    with target.bound.database.find_engine().begin() as connection:
        connection.execute(sa.update(models.Recipe).values(name="other"))
    kept = histio.copy(source, target, catalog="create")
    assert kept.catalog["recipe"].skipped == 1
    assert "other" in texts(target)
    updated = histio.copy(source, target, catalog="update")
    assert updated.catalog["recipe"].updated == 1
    assert "other" not in texts(target)


def test_without_the_catalog_the_report_says_what_to_do(pair):
    source, target = pair
    report = histio.copy(source, target)
    assert (report.imported, report.rejected) == (0, 3)
    assert 'copy them too, with catalog="create"' in report.advice
    assert histio.copy(source, target, catalog="create", dry_run=True).advice is None


def test_a_copy_with_its_catalog_can_be_taken_back(pair, tmp_path):
    source, target = pair
    report = histio.copy(source, target, catalog="create", receipt=tmp_path / "receipt.jsonl")
    assert report.imported == 3
    target.undo(tmp_path / "receipt.jsonl")
    found = target.export_document(catalog="all")
    assert [found[kind] for kind in (*EMPTY, "recipes", "products")] == [[]] * 4


def test_rows_that_the_format_cannot_hold_are_rejected_with_the_runs_that_name_them(pair):
    source, target = pair
    with source.bound.database.find_engine().begin() as connection:
        connection.execute(sa.update(models.FinishedGood).values(slug="gift "))
    with pytest.raises(histio.ExportError):
        histio.copy(source, target, catalog="create")
    options = {"catalog": "create", "on_unreadable": "skip"}
    report = histio.copy(source, target, atomic=True, **options)
    assert (report.imported, report.withheld) == (0, 2)
    assert json.loads(texts(target))["recipes"] == []
    report = histio.copy(source, target, **options)
    assert (report.imported, report.by_kind["assembly_run"].rejected) == (2, 1)
    assert report.catalog["finished_good"].rejected == 1


@pytest.mark.turns
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_a_catalog_with_trees_and_circles_arrives_as_it_was(create, seed, whole):
    engines = [create(fleet.Base.metadata, number=number) for number in (1, 0)]
    source, target = (History(each, *fleet.RUNS, catalog=fleet.CATALOG) for each in engines)
    with engines[0].begin() as connection:
        fleet.fill(connection, random.Random(seed), 5)
    report = histio.copy(source, target, catalog="create", whole_catalog=whole)
    assert (report.problems, report.rejected, report.imported) == ((), 0, 10)
    choice = "all" if whole else "used"
    assert texts(target, choice) == texts(source, choice)


WRONG = {
    "no catalog": ({"whole_catalog": True}, ValueError, 'whole_catalog needs catalog="create"'),
    "another word": ({"catalog": "used"}, ValueError, "catalog must be one of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_errors(databases, case):
    options, error, why = WRONG[case]
    source, target = History(databases("sqlite", 1)), History(databases("sqlite"))
    with pytest.raises(error, match=why):
        histio.copy(source, target, **options)


def test_both_histories_need_the_catalog(databases):
    engines = databases("sqlite", 1), databases("sqlite")
    without = [
        History(each, histio.ProductionRunSchema, histio.AssemblyRunSchema, catalog=()) for each in engines
    ]
    whole = [History(each) for each in engines]
    for source, target in [(without[0], whole[1]), (whole[0], without[1])]:
        with pytest.raises(ValueError, match="this history has no catalog kinds"):
            histio.copy(source, target, catalog="create")
