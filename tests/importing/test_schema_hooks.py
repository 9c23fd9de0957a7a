"""Hooks of a host's schemas: whatever they raise is one run's fault, and is told."""

from __future__ import annotations

import copy

import pytest
from marshmallow import ValidationError, post_dump, pre_load, validates

from histio import ExportError, History, ProductionRunSchema
from tests.support.bakery import document, number, production_run
from tests.support.reports import codes_of, outcomes


def with_hook(**hooks):
    return type("HookedSchema", (ProductionRunSchema,), hooks)


@pre_load
def needs_oven(_schema, data, **_):
    return {"oven": data["oven"]} and data


@validates("num_batches")
def refuses_nine(_schema, value, **_):
    if value == 9:
        raise TypeError("nine")


@pytest.mark.parametrize(
    ("hooks", "bad", "why"),
    [
        ({"hook": needs_oven}, {"num_batches": 9}, "KeyError: 'oven'"),
        ({"hook": refuses_nine}, {"num_batches": 9}, "TypeError: nine"),
    ],
)
def test_a_hook_that_raises_rejects_its_run(sqlite, hooks, bad, why):
    history = History(sqlite, with_hook(**hooks))
    runs = [production_run(1, **bad)]
    report = history.import_document({"version": "1.0", "production_runs": runs})
    assert (outcomes(report), codes_of(report.problems)) == ((0, 0, 1), [("/production_runs/0", "schema")])
    assert report.problems[0].message == f"Cannot be loaded: {why}"


def test_a_hook_that_changes_what_it_is_given_changes_nothing_of_the_callers(sqlite):
    @pre_load
    def strip(_schema, data, **_):
        data["notes"] = data["notes"].strip()
        return data

    given = {"version": "1.0", "production_runs": [production_run(notes=" x ")]}
    before = copy.deepcopy(given)
    history = History(sqlite, with_hook(hook=strip))
    assert outcomes(history.import_document(given)) == (1, 0, 0)
    assert given == before
    assert next(history.iter_runs("production_run"))["notes"] == "x"


def test_a_run_that_a_hook_refuses_to_dump_is_named(sqlite):
    @post_dump
    def refuse(_schema, record, **_):
        if record["uuid"] == number(2):
            raise ValidationError("Not this one.")
        return record

    History(sqlite).import_document(document(*(production_run(n) for n in (1, 2, 3))))
    runs = History(sqlite, with_hook(hook=refuse)).iter_runs("production_run")
    assert [next(runs)["uuid"], next(runs)["uuid"]] == [number(1), number(3)]
    with pytest.raises(ExportError, match=f"production_run {number(2)}: Not this one."):
        next(runs)


def test_what_is_stored_and_cannot_be_loaded_is_a_conflict(sqlite):
    @validates("num_batches")
    def few(_schema, value, **_):
        if value > 5:
            raise ValidationError("Too many.")

    History(sqlite).import_document(document(production_run(1, num_batches=9)))
    history = History(sqlite, with_hook(hook=few))
    given = {"version": "1.0", "production_runs": [production_run(1, num_batches=2)]}
    [problem] = history.import_document(given, on_duplicate="verify").problems
    assert (problem.code, "what is stored cannot be loaded" in problem.message) == ("conflict", True)
