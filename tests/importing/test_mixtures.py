"""Imports in which some runs are unusual: on either path, the report and the rows are the same."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError, post_load, pre_load, validates, validates_schema

from histio import AssemblyRunSchema, History, ProductionRunSchema
from histio.tuning import tuned
from tests.support.bakery import assembly_run, consumption, document, number, packaging, production_run
from tests.support.both_paths import imported
from tests.support.effort import examples
from tests.support.streams import stream_of

PRODUCTION = {
    "usual": {},
    "renamed": {"recipe_slug": "old"},
    "unknown recipe": {"recipe_slug": "unknown"},
    "unknown unit and recipe": {"recipe_slug": "cokies", "finished_unit_slug": "lof"},
    "of another recipe": {"recipe_slug": "bread"},
    "unknown ingredients": {
        "consumptions": [consumption(71, ingredient_slug="flor"), consumption(72, ingredient_slug="x")]
    },
    "unknown ingredient and recipe": {
        "recipe_slug": "unknown",
        "consumptions": [consumption(73), consumption(74, ingredient_slug="flor")],
    },
    "entry of another run": {"consumptions": [consumption(81)]},
    "entry of another run and unknown recipe": {"recipe_slug": "x", "consumptions": [consumption(81)]},
    "entry twice": {"consumptions": [consumption(82), consumption(82)]},
    "entry twice and unknown recipe": {
        "recipe_slug": "x",
        "consumptions": [consumption(83), consumption(83)],
    },
    "fault of form": {"num_batches": "two"},
    "fault of form and unknown recipe": {"num_batches": "two", "recipe_slug": "x"},
    "refused by the database": {"notes": "refused"},
    "refused by a hook": {"num_batches": 9},
    "upper case": {"uuid": number(0xABC).upper()},
    "no uuid": {"uuid": None},
    "no record": None,
}
ASSEMBLY = {
    "usual": {},
    "unknown product": {"packaging_consumptions": [packaging(91, product_slug="x")]},
    "another ingredient": {"packaging_consumptions": [packaging(92, ingredient_slug="flour")]},
    "no product": {"packaging_consumptions": [{**packaging(93), "product_slug": None}]},
    "fault of form": {"quantity_assembled": 0},
}
RUNS = st.lists(st.tuples(st.integers(1, 12), st.sampled_from(sorted(PRODUCTION))), max_size=14)
ASSEMBLIES = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(sorted(ASSEMBLY))), max_size=4)


def mixture(runs, assemblies):
    production = [
        PRODUCTION[odd] if PRODUCTION[odd] is None else production_run(n, **PRODUCTION[odd])
        for n, odd in runs
    ]
    return document(*production, assembly=[assembly_run(n, **ASSEMBLY[odd]) for n, odd in assemblies])


@pre_load
def strip(_schema, data, **_):
    return {**data, "notes": data["notes"].strip()}


@validates("num_batches")
def refuse_nine(_schema, value, **_):
    if value == 9:
        raise ValidationError("Nine.")


@validates_schema
def refuse_nine_of(_schema, data, **_):
    if data["num_batches"] == 9:
        raise ValidationError("Nine of them.", "num_batches")


@post_load
def limit_yield(_schema, data, **_):
    return {**data, "actual_yield": min(data["actual_yield"], 50)}


HOOKS = {
    "none": {},
    "pre_load": {"hook": strip},
    "validates": {"hook": refuse_nine},
    "validates_schema": {"hook": refuse_nine_of},
    "post_load": {"hook": limit_yield},
    "pre_load and validates": {"first": strip, "second": refuse_nine},
}


@pytest.fixture
def refusing(sqlite):
    """A database with a trigger that refuses some runs, and two runs."""
    with sqlite.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON production_runs WHEN NEW.notes = 'refused' "
            "BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: refused'); END"
        )
    History(sqlite).import_document(
        document(production_run(1), production_run(99, consumptions=[consumption(81)]))
    )
    return sqlite


def outcome(engine, history, given, *, full_path_only, batch, **options):
    """What the import of a document reports, keeps of rejected runs, and stores."""
    rejects = io.BytesIO()

    def into(connection):
        return history.import_file(
            io.BytesIO(stream_of(given)), session=connection, rejects=rejects, **options
        )

    with tuned(full_path_only=full_path_only, batch=batch):
        found = imported(engine, into)
    return found, rejects.getvalue().decode()


@pytest.mark.slow
@pytest.mark.parametrize("hooks", HOOKS.values(), ids=HOOKS)
@pytest.mark.parametrize("on_duplicate", ["skip", "error", "verify", "update"])
def test_a_mixture_of_runs_is_reported_and_stored_the_same_on_either_path(refusing, hooks, on_duplicate):
    schema = type("HookedSchema", (ProductionRunSchema,), hooks)
    history = History(refusing, schema, AssemblyRunSchema)

    @settings(
        max_examples=examples(10),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @example([(2, "usual"), (3, "unknown recipe"), (4, "usual"), (5, "unknown ingredients")], [], 3)
    @example([(n, "refused by the database") for n in range(2, 12)], [], 40)
    @given(RUNS, ASSEMBLIES, st.sampled_from([3, 40]))
    def same(runs, assemblies, batch):
        given = mixture(runs, assemblies)
        options = {
            "batch": batch,
            "on_duplicate": on_duplicate,
            "rename": {"recipe_slug": {"old": "cookies"}, "ingredient_slug": {"flor": "flour"}},
        }
        expected = outcome(refusing, history, given, full_path_only=True, **options)
        assert outcome(refusing, history, given, full_path_only=False, **options) == expected

    same()
