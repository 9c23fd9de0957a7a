"""How many modules one run passes through, and how often it changes from one to another."""

import itertools
import pathlib
import sys

import pytest

import histio
from tests.support.bakery import consumption, document, production_run
from tests.support.reports import outcomes

PACKAGE = f"{pathlib.Path(histio.__file__).parent}/"


def modules_of(action):
    """The modules of histio whose functions *action* calls, in the order of the calls."""
    calls = []

    def note(frame, event, _argument):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls.append(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


def changes(calls):
    return sum(one != other for one, other in itertools.pairwise(calls))


@pytest.fixture
def history(sqlite):
    """A history that has imported and exported a run before."""
    found = histio.History(sqlite)
    assert outcomes(found.import_document(document(production_run(1)))) == (1, 0, 0)
    assert len(found.export_document()["production_runs"]) == 1
    return found


def test_an_import_of_one_run_passes_through_few_modules(history):
    run = document(production_run(2, consumptions=[consumption(2)]))
    calls = modules_of(lambda: history.import_document(run))
    assert history.export_document()["production_runs"][1:] == run["production_runs"]
    assert len(set(calls)) <= 50
    assert changes(calls) <= 285


def test_an_export_of_one_run_passes_through_few_modules(history):
    calls = modules_of(history.export_document)
    assert len(set(calls)) <= 25
    assert changes(calls) <= 95
