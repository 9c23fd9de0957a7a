"""What is unusual about some runs does not make marshmallow load records, nor take many statements."""

from __future__ import annotations

import marshmallow
import pytest
import sqlalchemy as sa
from marshmallow import post_load, pre_load, validates, validates_schema

from histio import History, ProductionRunSchema
from tests.support.bakery import consumption, production_run
from tests.support.reports import outcomes

COUNT = 200


@pytest.fixture
def loaded(monkeypatch):
    """The records that marshmallow loads."""
    found = []
    load = marshmallow.Schema._deserialize

    def note(schema, data, **options):
        found.append(data)
        return load(schema, data, **options)

    monkeypatch.setattr(marshmallow.Schema, "_deserialize", note)
    return found


def runs(change):
    given = [{**production_run(n), **change(n)} for n in range(1, COUNT + 1)]
    return {"version": "1.0", "production_runs": given}


UNKNOWN = {"recipe_slug": "unknown"}
FAULTS = {
    "an unknown reference": (lambda _: UNKNOWN, {}, (0, 0, COUNT)),
    "an unknown reference in one of them": (lambda n: UNKNOWN if n == 7 else {}, {}, (COUNT - 1, 0, 1)),
    "a warning": (
        lambda n: {"consumptions": [consumption(1_000 + n, ingredient_slug="x")]},
        {},
        (COUNT, 0, 0),
    ),
    "a warning about the unit": (lambda _: {"recipe_slug": "bread"}, {}, (COUNT, 0, 0)),
    "a slug to rename": (
        lambda _: {"recipe_slug": "old"},
        {"rename": {"recipe_slug": {"old": "cookies"}}},
        (COUNT, 0, 0),
    ),
}


@pytest.mark.parametrize(("change", "options", "expected"), FAULTS.values(), ids=FAULTS)
def test_marshmallow_loads_no_runs_with(sqlite, loaded, change, options, expected):
    report = History(sqlite).import_document(runs(change), **options)
    assert outcomes(report) == expected
    assert loaded == []


def test_marshmallow_loads_no_runs_of_an_older_version(sqlite, loaded):
    history = History(
        sqlite,
        ProductionRunSchema,
        version="1.1",
        upgrades={"1.0": lambda run: {**run, "notes": "upgraded"}},
    )
    assert outcomes(history.import_document(runs(lambda _: {}))) == (COUNT, 0, 0)
    assert loaded == []
    assert {run["notes"] for run in history.iter_runs("production_run")} == {"upgraded"}


def test_marshmallow_loads_only_the_runs_with_a_fault_of_form(sqlite, loaded):
    given = runs(lambda n: {"num_batches": "two"} if n == 7 else {})
    assert outcomes(History(sqlite).import_document(given)) == (COUNT - 1, 0, 1)
    assert {record["uuid"] for record in loaded if "num_batches" in record} == {production_run(7)["uuid"]}


@pytest.mark.parametrize(
    "hook",
    [
        pre_load(lambda _schema, record, **_: {**record, "notes": "hooked"}),
        post_load(lambda _schema, values, **_: {**values, "notes": "hooked"}),
        validates("num_batches")(lambda _schema, _value, **_: None),
        validates_schema(lambda _schema, _values, **_: None),
    ],
    ids=["pre_load", "post_load", "validates", "validates_schema"],
)
def test_marshmallow_loads_no_runs_that_are_accepted_by_a_hook(sqlite, loaded, hook):
    history = History(sqlite, type("HookedSchema", (ProductionRunSchema,), {"hook": hook}))
    assert outcomes(history.import_document(runs(lambda _: {}))) == (COUNT, 0, 0)
    assert loaded == []
    assert len({run["notes"] for run in history.iter_runs("production_run")}) == 1


@pytest.fixture
def refusing(sqlite):
    """A database that refuses some runs."""
    with sqlite.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON production_runs WHEN NEW.notes = 'refused' "
            "BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: refused'); END"
        )
    return sqlite


@pytest.mark.parametrize(
    ("is_refused", "most"), [(lambda n: n == 77, 150), (lambda _: True, 4 * COUNT)], ids=["one", "all"]
)
def test_runs_that_a_constraint_refuses_are_found_with_few_statements(
    refusing, count_statements, is_refused, most
):
    given = runs(lambda n: {"notes": "refused"} if is_refused(n) else {})
    refused = sum(map(is_refused, range(1, COUNT + 1)))
    statements = count_statements(refusing)
    assert outcomes(History(refusing).import_document(given)) == (COUNT - refused, 0, refused)
    assert len(statements.all) <= most
    with refusing.connect() as connection:
        written = connection.scalar(sa.text("SELECT count(*) FROM production_runs"))
    assert written == COUNT - refused
