"""Long work pauses between two runs, so that an event loop can run other tasks."""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from histio import AsyncHistory, History
from histio.tuning import tuned, tuning
from tests.support.bakery import document, production_run
from tests.support.loops import in_a_loop
from tests.support.streams import stream_of

COUNT = 120
GIVEN = document(*(production_run(n) for n in range(1, COUNT + 1)))
CHANGED = document(*(production_run(n, notes="Again") for n in range(1, COUNT + 1)))
WRONG = document(*(production_run(n, num_batches=0) for n in range(1, COUNT + 1)))

NEW = {
    "of a document": lambda history, _: history.import_document(GIVEN, dry_run=True),
    "of a stream": lambda history, folder: history.import_file(folder / "a.jsonl", dry_run=True),
    "of a file with a document": lambda history, folder: history.import_file(folder / "a.json", dry_run=True),
    "of a verified stream": lambda history, folder: history.import_file(folder / "a.jsonl", commit_every=50),
    "of wrong runs": lambda history, _: history.import_document(WRONG),
    "that only checks": lambda history, _: history.check(GIVEN),
}
KNOWN = {
    "of known runs": lambda history, _: history.import_document(GIVEN),
    "that verifies": lambda history, _: history.import_document(CHANGED, on_duplicate="verify"),
    "that updates": lambda history, _: history.import_document(CHANGED, on_duplicate="update", dry_run=True),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(stream_of(GIVEN))
    (tmp_path / "a.json").write_text(json.dumps(GIVEN))
    return tmp_path


@pytest.mark.parametrize("full_path_only", [False, True], ids=["fast", "full"])
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_work_pauses_after_each_run(sqlite, folder, known, full_path_only):
    history = History(sqlite)
    pauses = []
    actions = [NEW, KNOWN][known]
    prepared = History(sqlite).import_document([document(), GIVEN][known])
    assert prepared.imported == [0, COUNT][known]
    for name, action in actions.items():
        pauses.clear()
        with tuned(batch=50, full_path_only=full_path_only, pause=lambda: pauses.append(1)):
            action(history, folder)
        assert len(pauses) >= COUNT, name


def test_an_export_on_the_full_path_pauses_after_each_run(sqlite, tmp_path):
    history = History(sqlite)
    history.import_document(GIVEN)
    pauses = []
    with tuned(full_path_only=True, pause=lambda: pauses.append(1)):
        history.export_file(tmp_path / "runs.jsonl")
    assert len(pauses) == COUNT


@in_a_loop
async def test_other_tasks_run_in_a_pause_that_is_due(sqlite, folder):
    turns = []

    async def others():
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    def pause(_progress):
        before = len(turns)
        time.sleep(0.03)  # longer than work goes on without a pause
        tuning().pause()
        assert len(turns) > before

    async with AsyncHistory(sqlite.url.set(drivername="sqlite+aiosqlite")) as history:
        task = asyncio.create_task(others())
        report = await history.import_file(folder / "a.jsonl", progress=pause)
        task.cancel()
    assert report.imported == COUNT
    assert tuning().pause is None


@in_a_loop
async def test_work_that_a_callback_starts_in_a_thread_does_not_pause(sqlite, folder):
    """The thread may inherit the context, but it cannot await."""
    seen = []

    def note(_progress):
        time.sleep(0.03)
        seen.append(pool.submit(contextvars.copy_context().run, lambda: tuning().pause()).exception())

    with ThreadPoolExecutor(1) as pool:
        async with AsyncHistory(sqlite.url.set(drivername="sqlite+aiosqlite")) as history:
            await history.import_file(folder / "a.jsonl", progress=note)
    assert set(seen) == {None}
