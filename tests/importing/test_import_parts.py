"""Imports of an export in parts, by several processes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

import histio
from histio import BindingError, DocumentError, History
from histio.files.manifest import MANIFEST, Manifest
from histio.importing.parts import task as part_task
from tests.support import tickets
from tests.support.bakery import assembly_run, consumption, document, production_run
from tests.support.databases import stocked
from tests.support.folders import split
from tests.support.part_victims import make_victim
from tests.support.reports import outcomes, runs_by_uuid, stored
from tests.support.streams import MOMENT
from tests.support.tickets import remark, ticket
from tests.support.tools import ROOT


def at(n):
    return f"2025-12-08T10:{n // 60:02}:{n % 60:02}Z"


RUNS = document(
    *(production_run(n, produced_at=at(n)) for n in range(1, 41)),
    assembly=[assembly_run(n, assembled_at=at(n)) for n in range(101, 121)],
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The stream of an export with a catalog."""
    folder = tmp_path_factory.mktemp("whole")
    engine = histio.create_engine(f"sqlite:///{folder}/bakery.db")
    histio.models.Base.metadata.create_all(engine)
    history = History(stocked(engine))
    history.import_document(RUNS)
    history.export_file(folder / "whole.jsonl", catalog="used", exported_at=MOMENT)
    engine.dispose()
    return (folder / "whole.jsonl").read_bytes()


@pytest.fixture
def opened():
    """Opens the database of an engine of tests as applications do: by its URL."""
    engines = []

    def open_one(engine):
        engine.dispose()  # a test may kill all connections
        engines.append(histio.create_engine(engine.url))
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.dispose()


@pytest.fixture
def sqlite(databases, opened):
    """A SQLite database with a catalog and no runs."""
    return opened(stocked(databases("sqlite")))


@pytest.fixture
def folder(whole, tmp_path):
    """The same export in a catalog, four parts of production runs, and two of assembly runs."""
    split(whole, tmp_path / "parts", 10)
    return tmp_path / "parts"


def outcome(report):
    """What two imports of the same runs have in common; only one of them knows the rows of the catalog."""
    problems = [dataclasses.replace(each, hint=None) for each in report.problems]
    revisions = [dataclasses.replace(each, stored=None) for each in report.revisions]
    return dataclasses.replace(report, problems=problems, revisions=revisions, advice=None)


def test_parts_are_imported_by_processes_as_a_file_is(databases, dialect, opened, folder):
    engine = opened(databases(dialect))
    report = History(engine).import_parts(folder, catalog="create", jobs=2)
    assert (outcomes(report), report.catalog["recipe"].imported) == ((60, 0, 0), 1)
    assert stored(engine) == runs_by_uuid(RUNS)
    report = History(engine).import_parts(folder, on_duplicate="verify", jobs=1)
    assert outcomes(report) == (0, 60, 0)


OPTIONS = {
    "skip": {},
    "error": {"on_duplicate": "error"},
    "update": {"on_duplicate": "update"},
    "verify": {"on_duplicate": "verify"},
    "rename": {"rename": {"recipe_slug": {"cookies": "bread"}, "finished_unit_slug": {"cookie": "loaf"}}},
    "unknown rows": {"rename": {"recipe_slug": {"cookies": "none"}}},
    "one kind": {"kinds": "assembly_run"},
    "commits": {"commit_every": 3},
    "catalog": {"catalog": "update"},
    "limits": {"max_line_bytes": 500},
    "times": {"truncate_times": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option_means_what_it_means_for_a_file(options, folder, sqlite, tmp_path):
    few = document(
        production_run(1, produced_at=at(1), notes="other"),
        production_run(2, produced_at=at(2)),
        production_run(99, consumptions=[consumption(1_000_007)]),  # part-00000 has this entry too
        assembly=[assembly_run(115, assembled_at=at(115), notes="other")],
    )
    reports, rejected, found = [], [], []
    for name in ("import_file", "import_parts"):
        History(sqlite).import_document(few)
        rejects = tmp_path / f"{name}.jsonl"
        reports.append(outcome(getattr(History(sqlite), name)(folder, rejects=rejects, **options)))
        rejected.append([json.loads(line) for line in rejects.read_bytes().splitlines()])
        found.append(stored(sqlite))
        with sqlite.begin() as connection:
            for table in reversed(histio.models.Base.metadata.sorted_tables):
                connection.execute(sa.delete(table))
        stocked(sqlite)
    assert reports[0] == reports[1]
    assert without_hints(rejected[0]) == without_hints(rejected[1])
    assert found[0] == found[1]


def without_hints(lines):
    return [
        {**line, "problems": [{**each, "hint": None} for each in line.get("problems", [])]} for line in lines
    ]


def test_the_advice_about_an_empty_database_is_that_for_a_file(folder, databases, opened):
    engine = opened(databases("sqlite"))
    reports = [History(engine).import_file(folder, dry_run=True), History(engine).import_parts(folder)]
    assert reports[0].advice == reports[1].advice
    assert 'catalog="create"' in reports[1].advice


def test_problems_are_those_of_the_first_parts_and_all_are_counted(folder, sqlite, monkeypatch):
    monkeypatch.setattr("histio.importing.parts.total.KEPT", 15)
    History(sqlite).import_parts(folder, catalog="create")
    report = History(sqlite).import_parts(folder, on_duplicate="error")
    assert (report.rejected, report.problem_count) == (60, 60)
    places = [(each.file, each.line) for each in report.problems]
    assert places[9:11] == [("part-00000.jsonl.zst", 11), ("part-00001.jsonl.zst", 2)]
    assert len(places) == 15


def test_rejects_can_be_corrected_and_imported(folder, sqlite, tmp_path):
    rejects = tmp_path / "rejects.jsonl"
    options = {"rename": {"recipe_slug": {"cookies": "none"}}}
    report = History(sqlite).import_parts(folder, rejects=rejects, **options)
    assert outcomes(report) == (20, 0, 40)
    assert outcomes(History(sqlite).import_file(rejects)) == (40, 0, 0)
    assert (
        histio.inspect_file(rejects).catalog["recipe"] == 1
    )  # the rows that the runs may need are there too


# Runs that refer to runs of other parts.


def folder_of(path, runs, remarks=()):
    """A folder with a part for each two of these tickets and remarks."""
    kinds = {"ticket": runs, "remark": remarks}
    header = {"version": "1.0", "exported_at": "2025-12-09T12:00:00Z", "kinds": ["ticket", "remark"]}
    lines = [json.dumps({kind: run}).encode() for kind, given in kinds.items() for run in given]
    stream = b"\n".join([json.dumps({"header": header}).encode(), *lines, b"the trailer\n"])
    split(stream, path, 2)
    return path


REFERRING = {
    "earlier": [ticket(n, n - 1 or None) for n in range(1, 8)],
    "later": [ticket(n, n + 1 if n < 7 else None) for n in range(1, 8)],
    "in a circle": [ticket(n, n % 7 + 1) for n in range(1, 8)],
}


@pytest.mark.parametrize("runs", REFERRING.values(), ids=REFERRING)
def test_a_run_may_refer_to_runs_of_any_part(runs, create, opened, tmp_path):
    engine = opened(create(tickets.Base.metadata))
    folder = folder_of(tmp_path / "parts", runs, [remark(n, n) for n in range(1, 8)])
    report = tickets.history(engine).import_parts(folder, jobs=1)
    assert (outcomes(report), report.problems) == ((14, 0, 0), ())
    assert tickets.history(engine).export_document()["tickets"] == runs


def test_a_run_that_refers_to_no_run_of_any_part_is_rejected_once(sqlite_of, opened, tmp_path):
    engine = opened(sqlite_of(tickets.Base.metadata))
    runs = [ticket(1, 3), ticket(2), ticket(3, 50), ticket(4, 3)]
    folder = folder_of(tmp_path / "parts", runs, [remark(1, 4)])
    report = tickets.history(engine).import_parts(folder, rejects=tmp_path / "rejects.jsonl")
    assert outcomes(report) == (1, 0, 4)
    assert [(each.code, each.file, each.line) for each in report.problems] == [
        ("unknown-reference", "part-00000.jsonl.zst", 2),
        ("unknown-reference", "part-00001.jsonl.zst", 2),
        ("unknown-reference", "part-00001.jsonl.zst", 3),
        ("unknown-reference", "part-00002.jsonl.zst", 2),
    ]
    tickets.history(engine).import_document({"version": "1.0", "tickets": [ticket(50)]})
    assert tickets.history(engine).import_file(tmp_path / "rejects.jsonl").imported == 4


def test_updates_of_two_parts_can_exchange_unique_values(create, opened, tmp_path):
    engine = opened(create(tickets.Base.metadata))
    history = tickets.history(engine)
    history.import_document({"version": "1.0", "tickets": [ticket(n) for n in range(1, 5)]})
    runs = [ticket(1, code="T4"), ticket(2), ticket(3), ticket(4, code="T1")]
    report = history.import_parts(folder_of(tmp_path / "parts", runs), on_duplicate="update", jobs=1)
    assert (report.updated, report.skipped, report.rejected) == (2, 2, 0)
    assert history.export_document()["tickets"] == runs


# Damage, and what is lost.


def test_a_damaged_part_is_named_and_the_import_can_be_repeated(folder, sqlite):
    part = folder / "part-00003.jsonl.zst"
    kept = part.read_bytes()
    part.write_bytes(kept[:-9])
    with pytest.raises(DocumentError, match=r"part-00003\.jsonl\.zst"):
        History(sqlite).import_parts(folder)
    assert len(stored(sqlite)) >= 30  # what came before stays
    part.write_bytes(kept)
    assert History(sqlite).import_parts(folder).rejected == 0
    assert stored(sqlite) == runs_by_uuid(RUNS)


def test_a_part_with_runs_is_damaged_if_the_manifest_says_that_it_has_none(folder, sqlite):
    path = folder / MANIFEST
    manifest = Manifest.decode(path.read_bytes(), History(sqlite).bound.gate, str(path))
    part = dataclasses.replace(manifest.parts[1], counts={}, first=None, last=None)
    parts = [manifest.parts[0], part, *manifest.parts[2:]]
    path.write_bytes(dataclasses.replace(manifest, parts=parts).encode())
    with pytest.raises(DocumentError, match=r"part-00000\.jsonl\.zst: The part is not that of the manifest"):
        History(sqlite).import_parts(folder, jobs=1)


def test_readable_runs_of_damaged_parts_are_imported_on_demand(folder, sqlite):
    (folder / "part-00000.jsonl.zst").unlink()
    part = folder / "part-00003.jsonl.zst"
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(DocumentError, match=r"part-00000\.jsonl\.zst: The part is missing"):
        History(sqlite).import_parts(folder)
    report = History(sqlite).import_parts(folder, allow_truncated=True)
    assert report.truncated
    assert {each.file for each in report.warnings} == {"part-00000.jsonl.zst", "part-00003.jsonl.zst"}
    assert report.imported >= 40


class Losing(Executor):
    """An executor that loses the result of every other task, after the task was done or before."""

    def __init__(self, *, after):
        self._after = after
        self._number = 0

    def submit(self, function, /, *arguments, **options):
        future = Future()
        self._number += 1
        is_lost = self._number % 2
        if not is_lost or self._after:
            result = function(*arguments, **options)
        if is_lost:
            future.set_exception(CancelledError())
        else:
            future.set_result(result)
        return future


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("on_duplicate", ["skip", "update", "verify"])
def test_a_lost_task_is_repeated(after, on_duplicate, folder, sqlite):
    report = History(sqlite).import_parts(folder, on_duplicate=on_duplicate, executor=Losing(after=after))
    assert (report.imported + report.skipped, report.rejected) == (60, 0)
    assert stored(sqlite) == runs_by_uuid(RUNS)


def test_a_lost_task_is_not_repeated_where_its_runs_would_be_errors(folder, sqlite):
    with pytest.raises(CancelledError):
        History(sqlite).import_parts(folder, on_duplicate="error", executor=Losing(after=True))


class Doubling(Executor):
    """An executor that runs each task twice at the same time, as one does that has lost sight of a worker."""

    def __init__(self):
        self.pool = ThreadPoolExecutor(2)

    def submit(self, function, /, *arguments, **options):
        return [self.pool.submit(function, *arguments, **options) for _ in range(2)][1]


@pytest.mark.parametrize("on_duplicate", ["skip", "update"])
@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_two_workers_may_import_the_same_part(databases, dialect, opened, on_duplicate, folder):
    engine = opened(databases(dialect))
    doubling = Doubling()
    report = History(engine).import_parts(
        folder, catalog="create", on_duplicate=on_duplicate, executor=doubling, jobs=1
    )
    doubling.pool.shutdown()
    assert (report.imported + report.skipped, report.rejected) == (60, 0)
    assert stored(engine) == runs_by_uuid(RUNS)


@pytest.mark.parametrize("action", ["kill_process", "kill_connections"])
@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_a_worker_or_the_connections_may_be_killed(
    databases, dialect, opened, action, folder, tmp_path, monkeypatch
):
    engine = opened(databases(dialect))
    url = engine.url.render_as_string(hide_password=False)
    victim = make_victim(tmp_path, url, monkeypatch, after=45, mark=tmp_path / "killed", action=action)
    report = victim.import_parts(folder, catalog="create", jobs=2)
    assert (tmp_path / "killed").exists()
    assert (report.imported + report.skipped, report.rejected) == (60, 0)
    assert stored(engine) == runs_by_uuid(RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_an_import_that_was_killed_at_any_time_can_be_repeated(databases, dialect, opened, folder, tmp_path):
    engine = opened(databases(dialect))
    url = engine.url.render_as_string(hide_password=False)
    program = "import sys, histio\nif __name__ == '__main__':\n    histio.History(sys.argv[1])"
    program += ".import_parts(sys.argv[2], catalog='create', jobs=2)"
    script = tmp_path / "program.py"
    script.write_text(program, "utf-8")
    for seconds in (0.8, 1.4, 2.2):
        process = subprocess.Popen(
            [sys.executable, script, url, folder], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        time.sleep(seconds)
        process.kill()
        process.wait()
    report = History(engine).import_parts(folder, catalog="create", jobs=2)
    assert (report.imported + report.skipped, report.rejected) == (60, 0)
    assert stored(engine) == runs_by_uuid(RUNS)


class DeadlockError(Exception):
    """An error as PyMySQL raises it."""


def failing(times, run):
    """*run*, which ends in a deadlock at first."""
    left = [times]

    def fail(*arguments, **options):
        report = run(*arguments, **options)
        if options["piece"].waiting is not None and left[0]:
            left[0] -= 1
            raise OperationalError("INSERT", {}, DeadlockError(1213, "Deadlock found"))
        return report

    return fail


def test_a_part_is_imported_again_after_a_deadlock(folder, sqlite, monkeypatch):
    monkeypatch.setattr(part_task, "import_runs", failing(3, part_task.import_runs))
    monkeypatch.setattr(part_task, "_PAUSE", 0.001)
    report = History(sqlite).import_parts(folder)
    assert (report.imported + report.skipped, report.rejected) == (60, 0)


def test_a_part_that_always_ends_in_a_deadlock_ends_the_import(folder, sqlite, monkeypatch):
    monkeypatch.setattr(part_task, "import_runs", failing(1_000, part_task.import_runs))
    monkeypatch.setattr(part_task, "_PAUSE", 0.001)
    with pytest.raises(OperationalError, match="Deadlock found"):
        History(sqlite).import_parts(folder)


# How it is called.


def test_progress_counts_the_runs_of_all_parts(folder, sqlite):
    told = []
    History(sqlite).import_parts(folder, progress=told.append)
    assert (told[-1].phase, told[-1].runs, told[-1].total) == ("import", 60, 60)


def test_a_folder_at_a_url_is_imported_by_parts(folder, sqlite):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.put(f"{folder}/", "/may/", recursive=True)
    assert History(sqlite).import_parts("memory://may").imported == 60
    memory.rm("/may", recursive=True)


def test_a_folder_that_continues_another_export_is_refused(folder, sqlite):
    with pytest.raises(DocumentError, match="names no predecessor"):
        History(sqlite).import_parts(folder, follows="0" * 64)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"jobs": 0}, "jobs must be a positive integer"),
        ({"commit_every": 0}, "commit_every must be a positive integer"),
        ({"kinds": "recipe"}, "no such kind: recipe"),
        ({"catalog": "all"}, "catalog must be one of"),
    ],
)
def test_a_wrong_option_is_refused(options, error, folder, sqlite):
    with pytest.raises(ValueError, match=error):
        History(sqlite).import_parts(folder, **options)


def test_a_file_is_not_a_folder(tmp_path, sqlite, whole):
    (tmp_path / "whole.jsonl").write_bytes(whole)
    with pytest.raises(NotADirectoryError):
        History(sqlite).import_parts(tmp_path / "whole.jsonl")


def test_the_transaction_of_a_caller_cannot_be_shared_with_other_processes(folder, sqlite):
    with sa.orm.Session(sqlite) as session, pytest.raises(BindingError, match="other processes cannot open"):
        History(session).import_parts(folder)


def test_an_empty_export_is_imported(sqlite, tmp_path):
    History(sqlite).export_file(tmp_path / "empty.jsonl")
    split((tmp_path / "empty.jsonl").read_bytes(), tmp_path / "parts")
    assert outcomes(History(sqlite).import_parts(tmp_path / "parts")) == (0, 0, 0)
