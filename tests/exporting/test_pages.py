"""Pages of an export: how many runs they have."""

import datetime as dt

import pytest
import sqlalchemy as sa

import histio
from histio import models
from histio.exporting.pages import export_texts
from histio.exporting.selection import ALL_RUNS
from histio.exporting.tally import ExportTally
from tests.support.bakery import document, number, production_run

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.fixture
def history(sqlite):
    return histio.History(sqlite)


def add_entries(engine, *counts):
    """Add so many ledger entries to each run, in their order."""
    uuids = (number(n) for n in range(10_000, 10_000_000))
    with engine.begin() as connection:
        keys = connection.scalars(sa.select(models.ProductionRun.id).order_by(models.ProductionRun.id))
        for key, count in zip(keys.all(), counts, strict=True):
            entry = {
                "production_run_id": key,
                "ingredient_slug": "flour",
                "quantity_consumed": 1,
                "unit": "cups",
                "total_cost": 1,
                "created_at": NOW,
                "updated_at": NOW,
            }
            rows = [{**entry, "uuid": next(uuids)} for _ in range(count)]
            if rows:
                connection.execute(sa.insert(models.ProductionConsumption), rows)


def pages(engine, history):
    """The texts of the production runs of an export, page by page."""
    kind = history.bound.choose("production_run")[0]
    with engine.connect() as connection:
        return list(export_texts(connection, kind, ALL_RUNS, ExportTally()))


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ((1, 0, 1), [3]),
        ((10_000, 10_000, 1), [2, 1]),
        ((1, 10_000, 10_000), [2, 1]),
        ((20_001, 1, 1), [1, 2]),
        ((1, 20_001, 1), [1, 1, 1]),
        ((1, 1, 20_001), [2, 1]),
    ],
)
def test_a_page_has_at_most_20000_entries_unless_a_single_run_has_more(sqlite, history, counts, sizes):
    history.import_document(document(*(production_run(n, consumptions=[]) for n in (1, 2, 3))))
    add_entries(sqlite, *counts)
    found = pages(sqlite, history)
    assert list(map(len, found)) == sizes
    assert [text.count('"ingredient_slug"') for page in found for text in page] == list(counts)
