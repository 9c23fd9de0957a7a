"""The catalog rows of a file: checked, created or updated before its runs."""

from __future__ import annotations

import io

import json

import pytest
import sqlalchemy as sa

from histio import Counts, History
from histio.models import Base, FinishedUnit, Ingredient, Recipe
from tests.support.bakery import ASSEMBLY, TIME, document, number, production_run
from tests.support.catalogs import COLLECTIONS, write
from tests.support.reports import codes_of, outcomes, rows

ROWS = {
    "ingredients": [
        {"slug": "bag", "display_name": "Bag"},
        {"slug": "flour", "display_name": "Flour", "uuid": number(501), "created_at": TIME},
    ],
    "recipes": [{"slug": "cookies", "name": "Cookies", "updated_at": TIME}],
    "finished_units": [{"slug": "cookie", "display_name": "Cookie", "recipe_slug": "cookies"}],
    "finished_goods": [{"slug": "gift-bag", "display_name": "Gift bag"}],
    "products": [{"slug": "bag-100", "product_name": "100 bags", "ingredient_slug": "bag"}],
}
BOTH = ROWS | document(production_run(1), assembly=[ASSEMBLY])
KINDS = ("ingredient", "recipe", "finished_unit", "finished_good", "product")


def catalog(**records):
    """A document with these catalog rows, and no runs."""
    return {"version": "1.0", **records}


def as_file(given, form="jsonl"):
    """A document as a file."""
    items = [(kind, record) for kind, name in COLLECTIONS.items() for record in given.get(name, ())]
    return io.BytesIO(write(items, form=form)[0])


def texts(engine, column, *criteria):
    """The stored values of a column, in order."""
    with engine.connect() as connection:
        return sorted(connection.scalars(sa.select(column).where(*criteria)))


def counts(report):
    """What became of catalog rows, without kinds that have none."""
    return {kind: each for kind, each in report.catalog.items() if each != Counts()}


@pytest.fixture
def empty(databases, dialect):
    """A database without rows."""
    return databases(dialect)


@pytest.fixture
def new(databases):
    """A database of SQLite without rows."""
    return databases("sqlite")


# --- create --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_history_goes_into_an_empty_database(empty, form):
    history = History(empty)
    report = history.import_file(as_file(BOTH, form), catalog="create")
    assert (outcomes(report), report.problems, report.warnings) == ((2, 0, 0), (), ())
    assert report.catalog == {kind: Counts(imported=2 if kind == "ingredient" else 1) for kind in KINDS}
    assert report.by_kind == {"production_run": Counts(imported=1), "assembly_run": Counts(imported=1)}
    assert history.export_document()["production_runs"] == BOTH["production_runs"]
    again = history.import_file(as_file(BOTH, form), catalog="create")
    assert outcomes(again) == (0, 2, 0)
    assert again.catalog == {kind: Counts(skipped=2 if kind == "ingredient" else 1) for kind in KINDS}


def test_rows_that_exist_stay_as_they_are(history):
    given = catalog(
        ingredients=[{"slug": "flour", "display_name": "Wheat", "uuid": number(7)}, ROWS["ingredients"][0]],
        finished_units=[{"slug": "cookie", "display_name": "Keks", "recipe_slug": "bread"}],
    )
    report = history.import_document(given, catalog="create")
    assert counts(report) == {"ingredient": Counts(skipped=2), "finished_unit": Counts(skipped=1)}
    assert (report.problems, report.warnings) == ((), ())


def test_existing_rows_become_what_the_document_says_and_keep_their_uuids(history, engine):
    before = texts(engine, Ingredient.uuid)
    given = catalog(
        ingredients=[{"slug": "flour", "display_name": "Wheat", "uuid": number(7)}, ROWS["ingredients"][0]],
        finished_units=[{"slug": "cookie", "display_name": "Keks", "recipe_slug": "bread"}],
        recipes=[{"slug": "cake", "name": "Cake", "uuid": number(8)}],
    )
    report = history.import_document(given, catalog="update")
    assert counts(report) == {
        "ingredient": Counts(updated=1, skipped=1),
        "finished_unit": Counts(updated=1),
        "recipe": Counts(imported=1),
    }
    assert (report.problems, report.warnings) == ((), ())
    assert texts(engine, Ingredient.uuid) == before
    assert texts(engine, Recipe.uuid, Recipe.slug == "cake") == [number(8)]
    assert texts(engine, FinishedUnit.display_name) == ["Keks", "Loaf"]
    assert texts(engine, Recipe.slug, Recipe.id == FinishedUnit.recipe_id) == ["bread"]
    again = history.import_document(given, catalog="update")
    assert counts(again) == {
        "ingredient": Counts(skipped=2),
        "finished_unit": Counts(skipped=1),
        "recipe": Counts(skipped=1),
    }


def test_a_malformed_row_is_a_problem_and_so_are_the_runs_that_need_it(history):
    rows_ = ROWS | {"recipes": [{"slug": "cake", "name": 7}], "finished_units": []}
    given = rows_ | document(production_run(1, recipe_slug="cake"), production_run(2))
    reports = {mode: history.import_document(given, catalog=mode) for mode in ("ignore", "create", "update")}
    for mode, report in reports.items():
        assert report.catalog["recipe"] == Counts(rejected=1), mode
        assert codes_of(report.problems) == [
            ("/recipes/0/name", "schema"),
            ("/production_runs/0/recipe_slug", "unknown-reference"),
        ]
    assert {mode: report.problems[1].hint for mode, report in reports.items()} == {
        "ignore": None,
        "create": "/recipes/0 has it, but is rejected",
        "update": "/recipes/0 has it, but is rejected",
    }


@pytest.mark.parametrize("mode", ["create", "update"])
def test_a_uuid_of_another_row_rejects_a_new_row_and_names_the_other(history, mode):
    history.import_document(
        catalog(recipes=[{"slug": "old", "name": "Old", "uuid": number(9)}]), catalog=mode
    )
    given = catalog(
        recipes=[
            {"slug": "new", "name": "New", "uuid": number(9)},
            {"slug": "one", "name": "One", "uuid": number(10)},
            {"slug": "two", "name": "Two", "uuid": number(10)},
        ]
    )
    report = history.import_document(given, catalog=mode)
    assert counts(report) == {"recipe": Counts(imported=1, rejected=2)}
    assert [(str(each), each.code) for each in report.problems] == [
        (
            f"/recipes/{index}/uuid: Duplicate uuid: {number(uuid)}, of the recipe {other} "
            "(if it was renamed, read the old slug as the new one with rename=)",
            "duplicate",
        )
        for index, uuid, other in ((0, 9, "old"), (2, 10, "one"))
    ]
