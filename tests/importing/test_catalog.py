"""The catalog rows of a file: checked, created or updated before its runs."""

from __future__ import annotations

import io

import pytest

from histio import Counts, History
from tests.support.bakery import ASSEMBLY, TIME, document, number, production_run
from tests.support.catalogs import COLLECTIONS, write
from tests.support.reports import outcomes

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
