"""Processes that are killed at any moment: what is stored is whole, and a repetition completes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from histio import History
from tests.support import shop
from tests.support.bakery import assembly_run, consumption, document, number, production_run
from tests.support.databases import stocked
from tests.support.reports import runs_by_uuid, stored
from tests.support.streams import FORMS
from tests.support.victims import HISTORIES, Worker

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


def order(n):
    return shop.order(n, parent=number(n + 3) if n < 38 else None, lines=[shop.line(1)], shipment=None)


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

EXPORTS = {
    "a stream": ("history.jsonl", []),
    "a document over another": ("history.json", [b"the previous file"]),
    "a compressed stream": ("history.jsonl.zst", []),
    "a compressed stream over another": ("history.jsonl.gz", [b"the previous file"]),
}
"""The name of the file, and what it holds before."""


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """Where the processes make their temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def worker(temporary):
    made = Worker(temporary)
    yield made
    made.close()


def moment(chance, whole, size):
    """When to kill what takes so many steps and seconds as *whole* did, and writes files of *size* bytes."""
    ends = {"step": whole.steps, "second": whole.seconds, "byte": size}
    what = chance.choice([name for name, end in ends.items() if end])
    return what, chance.uniform(0, ends[what])


def size_of(engine):
    """The size of the file of a database; 0: it has none that the process writes to."""
    return Path(engine.url.database).stat().st_size if engine.dialect.name == "sqlite" else 0


def check_is_whole(found, before, given, step):
    """Check that of the runs that are *given*, the first ones are stored, up to a multiple of *step*."""
    after = runs_by_uuid(without_bad(given))
    uuids = list(runs_by_uuid(given))
    ends = {*range(0, len(uuids), step), len(uuids)}
    prefixes = [{uuid: after[uuid] for uuid in uuids[:end] if uuid in after} for end in ends]
    assert found in [runs_by_uuid(before) | prefix for prefix in prefixes]


def contents(folder):
    """The files in a folder, other than what a killed process could not remove."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".histio-")}


@pytest.mark.slow
@pytest.mark.parametrize(("before", "given", "form", "options"), IMPORTS.values(), ids=IMPORTS)
def test_an_import_that_is_killed_leaves_whole_runs_and_its_repetition_the_rest(
    databases, dialect, worker, tries, tmp_path, temporary, before, given, form, options
):
    path, rejects = tmp_path / "history", tmp_path / "rejects.jsonl"
    path.write_bytes(form(given))
    options = options | ({"rejects": str(rejects)} if "rejects" in options else {})
    step = options.get("commit_every", len(RUNS) + len(MORE))

    def begin():
        engine = stocked(databases(dialect))
        History(engine).import_document(before)
        return engine

    engine = begin()
    whole = worker(engine, "import_file", path, **options)
    assert whole.code == 0, whole.text
    after = stored(engine)
    check_is_whole(after, before, given, len(RUNS) + len(MORE))
    left = contents(tmp_path)
    for each in tries(1):
        with each as chance:
            begin()
            rejects.unlink(missing_ok=True)
            killed_at = moment(chance, whole, size_of(engine))
            killed = worker(engine, "import_file", path, killed_at=killed_at, **options)
            assert killed.code <= 0, killed.text
            check_is_whole(stored(engine), before, given, step)
            assert contents(tmp_path).items() <= left.items()
            again = worker(engine, "import_file", path, **options)
            assert again.code == 0, again.text
            assert stored(engine) == after
            assert (contents(tmp_path), contents(temporary)) == (left, {})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "previous"), EXPORTS.values(), ids=EXPORTS)
def test_an_export_that_is_killed_leaves_the_previous_file_or_the_new_one(
    engine, worker, tries, tmp_path, temporary, name, previous
):
    path = tmp_path / name
    History(engine).import_document(NEW)
    whole = worker(engine, "export_file", path, overwrite=True)
    assert whole.code == 0, whole.text
    new = path.read_bytes()
    for each in tries(1):
        with each as chance:
            path.unlink()
            for data in previous:
                path.write_bytes(data)
            killed_at = moment(chance, whole, len(new))
            killed = worker(engine, "export_file", path, killed_at=killed_at, overwrite=True)
            assert killed.code <= 0, killed.text
            assert [*contents(tmp_path).values()] in (previous, [new])
            again = worker(engine, "export_file", path, overwrite=True)
            assert again.code == 0, again.text
            assert (contents(tmp_path), contents(temporary)) == ({name: new}, {})


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"commit_every": 7}], ids=["at once", "in parts"])
def test_runs_that_refer_to_later_ones_end_in_too(create, worker, tries, tmp_path, options):
    path = tmp_path / "orders.json"
    path.write_text(json.dumps(shop.orders(*map(order, RUNS))))

    def begin():
        return create(shop.Base.metadata, *shop.catalog())

    def work(**others):
        ended = worker(engine, "import_file", path, history="orders", **options, **others)
        assert ended.code <= 0, ended.text
        return ended, runs_by_uuid(HISTORIES["orders"](engine).export_document(), "orders")

    engine = begin()
    whole, after = work()
    assert len(after) == len(RUNS)
    for each in tries(1):
        with each as chance:
            begin()
            _, found = work(killed_at=moment(chance, whole, size_of(engine)))
            assert found == {uuid: after[uuid] for uuid in found}
            assert work()[1] == after
