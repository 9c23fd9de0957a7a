"""Updates of stored runs on the fast path do and report what the full path does, in a few statements."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection, Engine

import histio
from histio import History
from histio.models import ProductionRun
from histio.tuning import tuned
from tests.support.bakery import TIME, assembly_run, consumption, document, number, packaging, production_run
from tests.support.databases import DIALECTS, Statements
from tests.support.effort import examples

Record = dict[str, Any]
MOMENT = dt.datetime.fromisoformat(TIME)

SEVERAL = [consumption(110), consumption(111, unit="g"), consumption(112, ingredient_slug="bag")]
STORED = document(
    production_run(1, consumptions=SEVERAL),
    production_run(2, consumptions=[consumption(120)], notes=None),
    production_run(3, consumptions=[]),
    assembly=[assembly_run(4), assembly_run(5, packaging_consumptions=[packaging(150), packaging(151)])],
)


def edit_run(**members: Any) -> Callable[[Record], object]:
    return lambda run: run.update(members)


def edit_entry(**members: Any) -> Callable[[Record], object]:
    return lambda run: [entry.update(members) for entry in ledger_of(run)[:1]]


def drop(name: str) -> Callable[[Record], object]:
    return lambda run: run.pop(name, None)


def ledger_of(run: Record) -> list[Record]:
    name = "consumptions" if "recipe_slug" in run else "packaging_consumptions"
    entries: list[Record] = run.setdefault(name, [])
    return entries


def add(n: int, *, first: bool = False) -> Callable[[Record], object]:
    def insert(run: Record) -> None:
        entry = consumption(n) if "recipe_slug" in run else packaging(n)
        ledger_of(run).insert(0 if first else len(ledger_of(run)), entry)

    return insert


EDITS: dict[str, Callable[[Record], object]] = {
    "nothing": lambda run: None,
    "a member": edit_run(notes="Other"),
    "a decimal": edit_run(per_unit_cost="1.2500"),
    "a decimal with fewer digits": edit_run(per_unit_cost="0.05"),
    "a time of another offset": edit_run(created_at="2025-12-08T11:00:00+01:00"),
    "another time": edit_run(updated_at="2026-01-01T00:00:00.123456Z"),
    "a UUID in upper case": lambda run: run.update(uuid=run["uuid"].upper()),
    "a member to null": edit_run(notes=None),
    "a number with a point": lambda run: run.update({name: 3.0 for name in run if name == "num_batches"}),
    "no notes": drop("notes"),
    "no times": lambda run: [run.pop(name) for name in ("created_at", "updated_at")],
    "no ledger": drop("consumptions"),
    "an entry": edit_entry(total_cost="9.0000"),
    "an entry and its run": lambda run: [edit_entry(unit="kg")(run), edit_run(notes="Both")(run)],
    "an entry without times": lambda run: [entry.pop("created_at") for entry in ledger_of(run)[:1]],
    "another reference": lambda run: run.update({name: "bread" for name in run if name == "recipe_slug"}),
    "an unknown reference": lambda run: run.update({name: "none" for name in run if name == "recipe_slug"}),
    "an unknown snapshot": lambda run: [entry.update(ingredient_slug="none") for entry in ledger_of(run)[:1]],
    "one of two keys": lambda run: [entry.pop("ingredient_slug", None) for entry in ledger_of(run)],
    "an entry more": add(130),
    "two entries more": lambda run: [add(131)(run), add(132)(run)],
    "an entry more at the beginning": add(133, first=True),
    "an entry of another run": add(120),
    "an entry that another run adds too": add(134),
    "the same entry twice": lambda run: [add(135)(run), add(135)(run)],
    "no first entry": lambda run: ledger_of(run)[:1] and ledger_of(run).pop(0),
    "no last entry": lambda run: ledger_of(run)[:1] and ledger_of(run).pop(),
    "no entries": lambda run: ledger_of(run).clear(),
    "other entries": lambda run: [ledger_of(run).clear(), add(136)(run)],
    "entries in another order": lambda run: ledger_of(run).reverse(),
    "an entry with too many digits": edit_entry(total_cost="1.23456"),
    "a value beyond its bounds": lambda run: run.update({name: 0 for name in run if name == "num_batches"}),
}


def edited(edits: list[str]) -> dict[str, Any]:
    """The stored document, each run with one of the *edits*."""
    changed = copy.deepcopy(STORED)
    runs = [*changed["production_runs"], *changed["assembly_runs"]]
    for run, edit in zip(runs, edits, strict=True):
        EDITS[edit](run)
    return changed


def update_in(connection: Connection, changed: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What an update of the stored runs reports and leaves; it is rolled back."""
    history = History(connection)
    with connection.begin_nested() as nested:
        assert history.import_document(STORED).rejected == 0
        report = history.import_document(changed, on_duplicate="update").to_dict()
        left = json.dumps(history.export_document(exported_at=MOMENT))
        nested.rollback()
    return in_any_order(report), left


def in_any_order(report: dict[str, Any]) -> dict[str, Any]:
    """*report* with its revisions in the order of their runs: the two paths take turns in another order."""
    revisions = sorted(report["revisions"], key=lambda each: (each["kind"], each["uuid"]))
    return {**report, "revisions": revisions}


def is_the_same_either_way(connection: Connection, edits: list[str]) -> None:
    changed = edited(edits)
    expected = update_in(connection, changed)
    with tuned(full_path_only=True):
        assert update_in(connection, changed) == expected


@pytest.mark.slow
def test_updates_report_and_store_the_same_either_way(sqlite: Engine) -> None:
    @settings(
        max_examples=examples(30),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(st.lists(st.sampled_from(sorted(EDITS)), min_size=5, max_size=5))
    def same(edits: list[str]) -> None:
        with sqlite.connect() as connection, connection.begin():
            is_the_same_either_way(connection, edits)

    same()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("first", range(0, len(EDITS), 5))
def test_each_edit_does_on_each_database(engine: Engine, first: int) -> None:
    edits = [*EDITS, *EDITS][first : first + 5]
    with engine.connect() as connection, connection.begin():
        is_the_same_either_way(connection, edits)
        is_the_same_either_way(connection, edits[::-1])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_update_needs_as_many_statements_for_many_runs_as_for_few(
    engine: Engine, count_statements: Callable[[Engine], Statements]
) -> None:
    history = History(engine)
    counts = []
    for size in (2, 40):
        numbers = range(size * 10, size * 11)
        history.import_document(
            document(*(production_run(n, consumptions=[consumption(1000 + n)]) for n in numbers))
        )
        runs = [
            production_run(
                n, notes="Other", consumptions=[consumption(1000 + n, unit="kg"), consumption(2000 + n)]
            )
            for n in numbers
        ]
        statements = count_statements(engine)
        report = history.import_document(document(*runs), on_duplicate="update")
        assert (report.updated, report.entries) == (size, histio.EntryCounts(added=size, changed=size))
        counts.append(len(statements.all))
    assert counts[1] == counts[0]


@pytest.mark.parametrize("event", ["before_update", "after_update"])
def test_a_listener_hears_of_each_updated_run(sqlite: Engine, event: str) -> None:
    history = History(sqlite)
    history.import_document(STORED)
    heard: list[str] = []

    def hear(_mapper: object, _connection: object, run: ProductionRun) -> None:
        heard.append(run.uuid)

    sa.event.listen(ProductionRun, event, hear)
    try:
        history.import_document(edited(["a member"] * 5), on_duplicate="update")
    finally:
        sa.event.remove(ProductionRun, event, hear)
    assert heard == [number(1), number(2), number(3)]
