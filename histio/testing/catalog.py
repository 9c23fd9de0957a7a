"""The case about the rows that runs refer to: a database without them gets them from a document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import sqlalchemy as sa

from histio.database.dialects import RowFaultError
from histio.history import History
from histio.kinds.catalog import unmoved_models
from histio.testing.claims import FEW, demand, demand_whole, skip
from histio.testing.runs import find_changes
from histio.testing.scene import Document, MakeRuns, Scene, scene
from histio.testing.statements import demand_counts


def catalog_round_trip(history: History, make_runs: MakeRuns) -> None:
    """Check that runs and their catalog are the same after an export, a deletion and an import."""
    with scene(history, make_runs, FEW) as stage:
        reasons = list(_find_unchecked(stage, stage.export(catalog="used")))
        for chosen in ("used", "all"):
            with stage.undone():
                _check_round_trip(stage, chosen)
        skip(reasons)


def _check_round_trip(stage: Scene, chosen: Literal["used", "all"]) -> None:
    first = stage.export(catalog=chosen)
    try:
        stage.clear(whole_catalog=True)
    except (sa.exc.DBAPIError, RowFaultError) as error:
        skip([f"the catalog rows cannot be deleted: {getattr(error, 'orig', error)}"])
    before = stage.counts()
    trial = stage.run(first, catalog="create", dry_run=True)
    demand_counts(before, stage.counts(), "a dry run with a catalog")
    report = stage.run(first, catalog="create")
    demand_whole(report, first)
    demand(
        replace(trial, dry_run=False) == report,
        "The report of a dry run with a catalog differs from that of the import:",
        (f"dry run: {trial}", f"import: {report}"),
    )
    again = stage.export(catalog=chosen)
    changes = list(find_changes(stage, first, again))
    demand(
        json.dumps(again) == json.dumps(first),
        "Catalog rows or runs have changed after an export, a deletion and an import. Check how these "
        "fields load and dump, and what models, listeners and triggers do to written rows:",
        changes or ("the order of rows, entries or members",),
    )
    report = stage.run(first, catalog="create")
    created = report.imported + sum(counts.imported for counts in report.catalog.values())
    demand(
        (created, report.problems) == (0, ()),
        f"An import of rows that exist created {created} of them. Check Meta.identity of the catalog kinds, "
        "and how its columns store it.",
        tuple(map(str, report.problems)),
    )


def _find_unchecked(stage: Scene, document: Document) -> Iterator[str]:
    """Catalog kinds without rows, and models without a catalog kind."""
    for kind in stage.history.bound.catalog:
        if not document.get(kind.collection):
            yield f"no run refers to any {kind.name}, so it is not checked"
    for model in unmoved_models(stage.history.bound.all_kinds):
        yield f"rows of {model.__name__} do not travel, as no catalog kind has them"
