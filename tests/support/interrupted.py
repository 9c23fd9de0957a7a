"""Imports that may be interrupted at any moment, and what may be stored then."""

from __future__ import annotations

from tests.support.bakery import assembly_run, consumption, document, production_run
from tests.support.reports import runs_by_uuid
from tests.support.streams import FORMS

RUNS = range(1, 41)
MORE = range(41, 51)
BAD = (7, 20, 21, 33)
"""Which runs of a file may be rejected."""

EMPTY = document()


def history_of(notes, *, entries, bad=()):
    """Runs with as many ledger entries each, some of which name an unknown recipe."""
    runs = [
        production_run(
            n,
            notes=notes,
            consumptions=[consumption(1000 * n + m) for m in range(entries)],
            recipe_slug="unknown" if n in bad else "cookies",
        )
        for n in RUNS
    ]
    assembly = [assembly_run(n, notes=notes, finished_unit_consumptions=[]) for n in MORE]
    return document(*runs, assembly=assembly) | {"exported_at": "2025-12-09T12:00:00Z"}


def without_bad(given):
    runs = [run for run in given["production_runs"] if run["recipe_slug"] != "unknown"]
    return given | {"production_runs": runs}


OLD, NEW = history_of("old", entries=3), history_of("new", entries=2)
SOME_BAD = history_of("new", entries=2, bad=BAD)
STREAM, DOCUMENT = FORMS["a sealed stream"], FORMS["a document"]
COMPRESSED = FORMS["a compressed stream"]

IMPORTS = {
    "a stream": (EMPTY, NEW, STREAM, {}),
    "a document": (EMPTY, NEW, DOCUMENT, {}),
    "a compressed stream in parts": (EMPTY, NEW, COMPRESSED, {"commit_every": 8}),
    "a document in parts": (EMPTY, NEW, DOCUMENT, {"commit_every": 15}),
    "an update": (OLD, NEW, STREAM, {"on_duplicate": "update"}),
    "an update in parts": (OLD, NEW, STREAM, {"on_duplicate": "update", "commit_every": 8}),
    "rejects": (EMPTY, SOME_BAD, STREAM, {"rejects": True}),
    "rejects in parts": (EMPTY, SOME_BAD, DOCUMENT, {"rejects": True, "commit_every": 8}),
    "all or nothing": (EMPTY, NEW, STREAM, {"atomic": True}),
}
"""What is stored before, what is in the file, its form, and options."""


def check_is_whole(found, before, given, step):
    """Check that of the runs that are *given*, the first ones are stored, up to a multiple of *step*."""
    after = runs_by_uuid(without_bad(given))
    uuids = list(runs_by_uuid(given))
    ends = {*range(0, len(uuids), step), len(uuids)}
    prefixes = [{uuid: after[uuid] for uuid in uuids[:end] if uuid in after} for end in ends]
    assert found in [runs_by_uuid(before) | prefix for prefix in prefixes]
