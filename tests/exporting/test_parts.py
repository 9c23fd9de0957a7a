"""Exports in parts: several processes write them, and together they are one export of one moment."""

from __future__ import annotations

import datetime as dt
import errno
import json
import multiprocessing
import signal
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from unittest.mock import Mock

import pytest
import sqlalchemy as sa

import histio
from histio import BindingError, ExportError, History
from histio.files.manifest import MANIFEST
from histio.files.part_files import PartFiles
from histio.models import AssemblyRun, ProductionRun, Recipe
from tests.exporting.test_snapshot import COUNT, balanced, changes, seen
from tests.support.bakery import assembly_run, document
from tests.support.databases import stocked
from tests.support.part_victims import make_victim
from tests.support.streams import MOMENT

RUNS, ASSEMBLIES = 23, COUNT


@pytest.fixture(scope="module")
def processes():
    """Two processes, which all tests share."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture
def engine(databases, dialect):
    """A database with runs of two kinds, of which several have the same time; in WAL mode on SQLite."""
    engine = stocked(databases(dialect, 8))
    if dialect == "sqlite":
        with closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
    numbers = [n if n < COUNT else 100 + n for n in range(RUNS)]  # leave room for `changes`
    runs = [{**balanced(n), "produced_at": f"2025-12-{1 + n % 7:02}T10:00:00Z"} for n in numbers]
    History(engine).import_document(document(*runs, assembly=[assembly_run(n) for n in range(ASSEMBLIES)]))
    return engine


@pytest.fixture
def history(engine):
    with History(engine.url) as found:
        yield found


@pytest.fixture
def shelf_history(shelf, tmp_path):
    """The same on SQLite only, without runs."""
    with History(shelf.url) as found:
        yield found


def url_of(history):
    return history.bound.database.own_url.render_as_string(hide_password=False)


def victim_of(history, folder, monkeypatch, **options):
    """The same history, one process of which, or all connections, are killed; the file *killed* shows it."""
    return make_victim(folder, url_of(history), monkeypatch, mark=folder / "killed", **options)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def manifest_of(folder):
    return json.loads((folder / MANIFEST).read_bytes())


def merged(folder):
    """The bytes of all parts as one stream, uncompressed."""
    out = folder.with_suffix(".merged.jsonl")
    histio.merge([folder / part["name"] for part in manifest_of(folder)["parts"]], out, overwrite=True)
    return out.read_bytes()


def whole(history, path, **options):
    history.export_file(path, exported_at=MOMENT, overwrite=True, **options)
    return path.read_bytes()


def runs_in(stream):
    lines = [json.loads(line) for line in stream.splitlines()[1:-1]]
    return {
        f"{kind}s": [line[kind] for line in lines if kind in line]
        for kind in ("production_run", "assembly_run")
    }


def test_all_parts_together_are_the_whole_export(history, tmp_path, processes):
    told = []
    options = {"catalog": "used", "follows": "ab" * 32}
    report = history.export_parts(
        tmp_path / "out", parts=5, executor=processes, exported_at=MOMENT, progress=told.append, **options
    )
    assert merged(tmp_path / "out") == whole(history, tmp_path / "whole.jsonl", **options)
    manifest = manifest_of(tmp_path / "out")
    names = [part["name"] for part in manifest["parts"]]
    assert names == ["catalog.jsonl.zst", *(f"part-0000{n}.jsonl.zst" for n in range(5))]
    assert names_in(tmp_path / "out") == sorted([*names, MANIFEST])
    counts = {"production_run": RUNS, "assembly_run": ASSEMBLIES}
    assert (report.by_kind, report.sha256) == (counts, manifest["sha256"])
    assert report.bytes == sum((tmp_path / "out" / name).stat().st_size for name in names)
    sizes = [sum(part["counts"].values()) for part in manifest["parts"][1:]]
    assert max(sizes) - min(sizes) <= 4
    first, last = manifest["parts"][1]["first"], manifest["parts"][3]["last"]
    assert (first["at"], last["at"]) == ("2025-12-01T10:00:00Z", "2025-12-07T10:00:00Z")
    assert told[-1].runs == sum(counts.values()) + sum(report.catalog.values())


@pytest.mark.parametrize(
    "options",
    [
        {"kinds": "assembly_run"},
        {"since": dt.date(2025, 12, 3), "until": dt.date(2025, 12, 5)},
        {"kinds": "production_run", "where": ProductionRun.recipe.has(Recipe.slug == "pain-de-mie")},
        {"where": {"assembly_run": AssemblyRun.quantity_assembled > 10**6}},
        {"kinds": (), "catalog": "all"},
        {"changed_since": dt.date(2025, 1, 1), "catalog": "used"},
    ],
    ids=["kinds", "bounds", "where", "nothing", "catalog only", "changed"],
)
def test_the_runs_that_are_asked_for_are_in_the_parts(history, tmp_path, processes, options):
    history.export_parts(tmp_path / "out", parts=4, executor=processes, exported_at=MOMENT, **options)
    assert merged(tmp_path / "out") == whole(history, tmp_path / "whole.jsonl", **options)


def test_the_same_runs_have_the_same_bytes_in_the_same_number_of_parts(history, tmp_path, processes):
    for name in ("one", "other"):
        history.export_parts(tmp_path / name, parts=3, executor=processes, exported_at=MOMENT)
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "other")
    )
    assert one == other


def test_an_export_of_nothing_has_a_part_for_each_kind(shelf_history, tmp_path):
    report = shelf_history.export_parts(tmp_path / "out", jobs=1, exported_at=MOMENT)
    assert (report.exported, len(manifest_of(tmp_path / "out")["parts"])) == (0, 2)
    assert merged(tmp_path / "out") == whole(shelf_history, tmp_path / "whole.jsonl")


def test_all_parts_see_one_moment_though_others_commit_meanwhile(engine, history, tmp_path, processes):
    states, found, stop = [], [], threading.Event()
    rival = histio.create_engine(engine.url).execution_options(histio_begin="BEGIN IMMEDIATE")

    def change_all():
        for _ in changes(rival, states):
            if stop.is_set():
                return

    at_work = threading.Thread(target=change_all)
    at_work.start()
    for n in range(4):
        history.export_parts(tmp_path / str(n), parts=4, executor=processes)
        found.append(seen(runs_in(merged(tmp_path / str(n)))))
    stop.set()
    at_work.join()
    rival.dispose()
    assert all(each in states for each in found)


@pytest.mark.parametrize("after", [4, 25])
def test_an_export_goes_on_when_a_process_is_killed(history, tmp_path, monkeypatch, after):
    victim = victim_of(history, tmp_path, monkeypatch, after=after)
    report = victim.export_parts(tmp_path / "out", parts=6, jobs=2, exported_at=MOMENT)
    assert (tmp_path / "killed").exists()
    assert report.exported == RUNS + ASSEMBLIES
    assert merged(tmp_path / "out") == whole(history, tmp_path / "whole.jsonl")
    assert names_in(tmp_path / "out") == [MANIFEST, *(f"part-0000{n}.jsonl.zst" for n in range(6))]


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_an_export_starts_again_when_all_connections_are_lost(engine, history, tmp_path, monkeypatch):
    engine.dispose()
    victim = victim_of(history, tmp_path, monkeypatch, after=25, action="kill_connections")
    report = victim.export_parts(tmp_path / "out", parts=6, jobs=2, exported_at=MOMENT)
    assert (tmp_path / "killed").exists()
    assert report.exported == RUNS + ASSEMBLIES
    assert merged(tmp_path / "out") == whole(history, tmp_path / "whole.jsonl")


_KILLED = """
import os, pathlib, signal, sys, threading, time
import histio


def kill_when_parts_are_there():
    while not list(pathlib.Path(sys.argv[2]).glob("part-*.tmp")):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=kill_when_parts_are_there).start()
    histio.History(sys.argv[1]).export_parts(sys.argv[2], parts=4, jobs=2)
"""


def test_an_export_that_was_killed_does_no_harm_to_the_next_one(history, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    ended = subprocess.run([sys.executable, script, url_of(history), tmp_path / "out"], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert MANIFEST not in names_in(tmp_path / "out")
    assert [name for name in names_in(tmp_path / "out") if name.endswith(".tmp")]
    history.export_parts(tmp_path / "out", parts=3, jobs=1, exported_at=MOMENT)
    assert names_in(tmp_path / "out") == [MANIFEST, *(f"part-0000{n}.jsonl.zst" for n in range(3))]
    assert merged(tmp_path / "out") == whole(history, tmp_path / "whole.jsonl")


def test_an_existing_export_is_replaced_only_if_that_is_said(shelf_history, tmp_path):
    folder = tmp_path / "out"
    shelf_history.export_parts(folder, parts=9, jobs=1)
    (folder / "part-00007.jsonl.zst").write_bytes(b"of an earlier export")
    (folder / "part-of-the-story.txt").write_bytes(b"mine")
    before = manifest_of(folder)
    with pytest.raises(FileExistsError, match=MANIFEST):
        shelf_history.export_parts(folder)
    assert manifest_of(folder) == before
    shelf_history.export_parts(folder, jobs=1, exported_at=MOMENT, overwrite=True)
    assert names_in(folder) == [
        MANIFEST,
        "part-00000.jsonl.zst",
        "part-00001.jsonl.zst",
        "part-of-the-story.txt",
    ]
    assert merged(folder) == whole(shelf_history, tmp_path / "whole.jsonl")


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_exports_to_one_folder_that_end_together_the_folder_has_one(tmp_path, overwrite):
    one, other = (PartFiles(str(tmp_path), overwrite=overwrite, key=key * 16) for key in "ab")
    for files in (one, other):
        (tmp_path / files.temporary("part-00000.jsonl.zst")).write_bytes(files.key.encode())
    one.publish(["part-00000.jsonl.zst"], b"of one")
    with pytest.raises(FileNotFoundError if overwrite else FileExistsError):
        other.publish(["part-00000.jsonl.zst"], b"of the other")
    other.sweep(["part-00000.jsonl.zst"])
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {MANIFEST: b"of one", "part-00000.jsonl.zst": b"a" * 16}


def test_an_earlier_export_stays_if_the_manifest_cannot_be_written(tmp_path, monkeypatch):
    PartFiles(str(tmp_path), overwrite=False, key="a" * 16).publish([], b"of the earlier one")
    files = PartFiles(str(tmp_path), overwrite=True, key="b" * 16)
    monkeypatch.setattr("os.fsync", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        files.publish([], b"of the later one")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {MANIFEST: b"of the earlier one"}


def test_an_export_that_fails_changes_nothing(history, engine, tmp_path, processes):
    folder = tmp_path / "out"
    history.export_parts(folder, parts=2, executor=processes)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with engine.begin() as connection:
        named = Recipe.slug == balanced(0)["recipe_slug"]
        connection.execute(sa.update(Recipe).where(named).values(slug=" spaced "))
    options = {"parts": 4, "executor": processes, "exported_at": MOMENT}
    with pytest.raises(ExportError) as failed:
        history.export_parts(folder, overwrite=True, **options)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(ExportError) as whole_failed:
        history.export_file(tmp_path / "whole.jsonl")
    assert sorted(map(str, failed.value.problems)) == sorted(map(str, whole_failed.value.problems))
    report = history.export_parts(folder, overwrite=True, on_unreadable="skip", **options)
    expected = history.export_file(tmp_path / "whole.jsonl", exported_at=MOMENT, on_unreadable="skip")
    assert (
        (report.skipped, report.problem_count) == (expected.skipped, expected.problem_count) == (RUNS, RUNS)
    )
    assert merged(folder) == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"parts": 0}, ValueError, "parts must be a positive integer"),
        ({"jobs": 0}, ValueError, "jobs must be a positive integer"),
        ({"executor": "dask"}, TypeError, "Executor"),
        ({"catalog": "some"}, ValueError, "catalog"),
        ({"on_unreadable": "ignore"}, ValueError, "on_unreadable"),
        ({"follows": "no digest"}, ValueError, "follows"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(shelf_history, tmp_path, options, error, why):
    with pytest.raises(error, match=why):
        shelf_history.export_parts(tmp_path / "out", **options)
    assert names_in(tmp_path) in ([], ["out"])


def test_a_history_without_a_database_has_no_parts(tmp_path):
    with pytest.raises(BindingError, match="it has no database"):
        History().export_parts(tmp_path / "out")


class Broken(ThreadPoolExecutor):
    """An executor that loses each task with its process."""

    def submit(self, *_arguments):
        future = Future()
        future.set_exception(BrokenExecutor("a process was killed"))
        return future


def test_an_executor_that_can_run_no_more_tasks_is_an_error(shelf_history, tmp_path):
    with pytest.raises(BrokenExecutor, match="a process was killed"):
        shelf_history.export_parts(tmp_path / "out", executor=Broken())


def test_tasks_that_begin_late_find_nothing_to_do(history, tmp_path, monkeypatch):
    monkeypatch.setattr("histio.database.dialects.moments._SETTLE", (0.1, 0.1))
    with ThreadPoolExecutor(1) as executor:
        history.export_parts(tmp_path / "out", parts=3, jobs=3, executor=executor, exported_at=MOMENT)
    assert merged(tmp_path / "out") == whole(history, tmp_path / "whole.jsonl")


@pytest.mark.parametrize("dialect", ["mariadb"])
def test_a_user_that_must_not_lock_tables_is_told(engine, tmp_path, dialect):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE OR REPLACE USER reader@'%%'")
        connection.exec_driver_sql(f"GRANT SELECT ON {engine.url.database}.* TO reader@'%%'")
    refused = pytest.raises(BindingError, match="must not LOCK TABLES")
    with History(engine.url.set(username="reader", password=None)) as history, refused:
        history.export_parts(tmp_path / "out", jobs=1)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP USER reader@'%%'")
