"""Disks that are full at some byte: the fault is told, nothing half is left, and a repetition succeeds."""

from __future__ import annotations

import io
import random
import tempfile
from contextlib import suppress

import pytest
import sqlalchemy as sa

import histio
from histio import History, create_engine
from histio.models import Base
from tests.support.bakery import consumption, document, production_run
from tests.support.databases import stocked
from tests.support.disks import Disk, Limit
from tests.support.interrupted import IMPORTS, MORE, RUNS, check_is_whole, without_bad
from tests.support.reports import runs_by_uuid, stored
from tests.support.streams import MOMENT, piped, stream_of

FAULTS = (OSError, sa.exc.OperationalError)


def noise(count):
    """Text that cannot be compressed."""
    return random.Random(count).randbytes(count // 2).hex()


def runs_of(numbers, size, **members):
    """Runs of so many bytes."""
    return [
        production_run(n, notes=noise(size + n), consumptions=[consumption(10_000 + n)], **members)
        for n in numbers
    ]


def history_of(*runs):
    return document(*runs) | {"exported_at": "2025-12-09T12:00:00Z"}


SOME, MUCH = history_of(*runs_of(range(60), 1000)), history_of(*runs_of(range(500), 8000))
BACKWARDS = history_of(*reversed(MUCH["production_runs"]))
MIXED = history_of(*runs_of(range(60), 1000, recipe_slug="unknown"), *runs_of(range(60, 80), 100))


@pytest.fixture(params=[Limit, Disk])
def disk(request, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    made = request.param(folder)
    yield made
    made.close()


def contents(disk):
    return {path.name: path.read_bytes() for path in disk.folder.iterdir()}


def until_full(disk, room, work):
    """Whether *work* has ended though there is so little room."""
    with suppress(*FAULTS), disk.room(room):
        work()
        return True
    return False


FILES = {
    "a stream": ("history.jsonl", {}),
    "a document over another": ("history.json", {"history.json": b"the previous file"}),
    "a compressed stream": ("history.jsonl.zst", {}),
    "a compressed stream over another": ("history.jsonl.gz", {"history.jsonl.gz": b"the previous file"}),
}
"""The name of the file, and what is there before."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "previous"), FILES.values(), ids=FILES)
def test_an_export_that_fills_the_disk_leaves_the_previous_file(sqlite, disk, tries, name, previous):
    history, path = History(sqlite), disk.folder / name
    history.import_document(SOME)

    def work():
        history.export_file(path, exported_at=MOMENT, overwrite=True)

    work()
    whole = contents(disk)
    for each in tries(4):
        with each as chance:
            path.unlink()
            for other, data in previous.items():
                (disk.folder / other).write_bytes(data)
            done = until_full(disk, chance.randrange(len(whole[name]) + 5000), work)
            assert contents(disk) == (whole if done else previous)
            work()
            assert contents(disk) == whole


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"commit_every": 7}], ids=["at once", "in parts"])
def test_rejects_that_fill_the_disk_are_not_lost(databases, disk, tries, options):
    data = stream_of(MIXED)
    path = disk.folder / "rejects.jsonl"

    def work():
        return History(engine).import_file(io.BytesIO(data), rejects=path, **options)

    engine = stocked(databases("sqlite"))
    report = work()
    whole, after = contents(disk), stored(engine)
    for each in tries(4):
        with each as chance:
            engine = stocked(databases("sqlite"))
            path.unlink()
            done = until_full(disk, chance.randrange(len(whole[path.name]) + 5000), work)
            assert contents(disk) == (whole if done else {})
            again = work()
            assert again.rejected == report.rejected == 60
            assert (contents(disk), stored(engine)) == (whole, after)


def merge(history, path):
    return histio.merge(
        [path, path.with_name("backwards.jsonl")], path.with_name("merged.jsonl"), overwrite=True
    )


def compare(history, path):
    return [*histio.diff(path, path.with_name("backwards.jsonl"))]


def import_from_pipe(history, path):
    with piped(path.read_bytes()) as pipe:
        return history.import_file(pipe, commit_every=400)


WITH_TEMPORARY_FILES = [merge, compare, import_from_pipe]


@pytest.mark.slow
@pytest.mark.parametrize("work", WITH_TEMPORARY_FILES)
@pytest.mark.parametrize("disk", [Limit], indirect=True)
def test_temporary_files_that_fill_the_disk_are_told(sqlite, disk, tries, monkeypatch, tmp_path, work):
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    path = tmp_path / "history.jsonl"
    path.write_bytes(stream_of(MUCH))
    (tmp_path / "backwards.jsonl").write_bytes(stream_of(BACKWARDS))
    for each in tries(2):
        with each as chance:
            until_full(disk, chance.randrange(path.stat().st_size), lambda: work(History(sqlite), path))
            assert contents(disk) == {}
            assert len(stored(sqlite)) in {0, 400, 500}
            assert sorted(found.name for found in tmp_path.glob(".histio*")) == []
    work(History(sqlite), path)


@pytest.mark.slow
def test_an_import_that_fills_the_disk_of_its_database_leaves_whole_parts(disk, tries):
    engine = create_engine(f"sqlite:///{disk.folder}/history.db")
    for each in tries(6):
        with each as chance:
            before, given, form, options = IMPORTS[chance.choice([*IMPORTS])]
            options = options | dict.fromkeys(options.keys() & {"rejects"}, disk.folder / "rejects.jsonl")
            step = options.get("commit_every", len(RUNS) + len(MORE))

            def work(form=form, given=given, options=options):
                return History(engine).import_file(io.BytesIO(form(given)), **options)

            Base.metadata.drop_all(engine)
            Base.metadata.create_all(engine)
            stocked(engine)
            History(engine).import_document(before)
            size = (disk.folder / "history.db").stat().st_size
            until_full(disk, chance.randrange(2 * size), work)
            check_is_whole(stored(engine), before, given, step)
            work()
            assert stored(engine) == runs_by_uuid(before) | runs_by_uuid(without_bad(given))
    engine.dispose()
