"""What rooms pass on of a history."""

import itertools
from dataclasses import replace

import pytest

from histio import History
from tests.support.bakery import document, production_run
from tests.support.databases import stocked


def test_kinds_are_chosen_in_the_order_of_their_lists():
    bound = History().bound
    assert [kind.name for kind in bound.choose(["assembly_run", "production_run"])] == list(History().kinds)
    assert [kind.name for kind in bound.choose("assembly_run")] == ["assembly_run"]
    assert bound.choose(None) == list(bound.kinds)
    assert bound.choose([]) == []


def test_a_kind_that_does_not_exist_is_an_error_with_what_may_be_meant():
    with pytest.raises(ValueError, match=r"no such kind: assembly_runs; did you mean assembly_run\?"):
        History().bound.choose(["assembly_runs"])


def test_functions_among_the_values_are_called_for_each_import():
    numbers = itertools.count()
    bound = replace(History().bound, values={"batch": lambda: next(numbers), "tenant_id": 7})
    assert [bound.constants() for _ in range(2)] == [
        {"batch": 0, "tenant_id": 7},
        {"batch": 1, "tenant_id": 7},
    ]


def test_the_same_history_on_another_database_leaves_the_first_as_it_was(databases):
    here, there = stocked(databases("sqlite")), stocked(databases("sqlite", 1))
    history = History(here)
    other = History.from_bound(history.bound.on(there))
    other.import_document(document(production_run()))
    assert other.bound.kinds is history.bound.kinds
    assert len(other.export_document()["production_runs"]) == 1
    assert history.export_document()["production_runs"] == []


def test_a_history_without_a_database_has_none():
    assert not History().bound.has_database
    assert History().bound.on("sqlite://").has_database
