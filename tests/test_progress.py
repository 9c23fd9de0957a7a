"""What is told of long exports and imports while they run, and how they are ended by who is told."""

from __future__ import annotations

import io
import itertools
import time

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from histio import History
from histio.models import Ingredient, ProductionRun
from histio.progress import INTERVAL, Progress
from tests.support.bakery import assembly_run, document, production_run
from tests.support.streams import FORMS, MOMENT, piped, stream_of, text_of

COUNT = 50
GIVEN = document(
    *(production_run(n) for n in range(30)), assembly=[assembly_run(n) for n in range(30, COUNT)]
)
STREAM = stream_of(GIVEN)


class Clock:
    """A clock on which every look takes some seconds."""

    def __init__(self, seconds):
        self.now = 1000.0
        self.slept = []
        self._seconds = seconds

    def monotonic(self):
        self.now += self._seconds
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def set_clock(monkeypatch):
    def set_clock(seconds):
        clock = Clock(seconds)
        monkeypatch.setattr(time, "monotonic", clock.monotonic)
        monkeypatch.setattr(time, "sleep", clock.sleep)
        return clock

    return set_clock


@pytest.fixture
def history(sqlite):
    return History(sqlite)


def stored(bind):
    with Session(bind) as session:
        return session.scalar(sa.select(sa.func.count()).select_from(ProductionRun))


# --- what is told --------------------------------------------------------------------------------------


def test_a_rate_is_runs_per_second_and_none_before_a_moment_has_passed():
    updates = Progress("import", 30, 1000, None, None, 1.5)
    assert (updates.rate, Progress("import", 30, 1000, None, None, 0.0).rate) == (20.0, 0.0)


@pytest.mark.parametrize("form", ["jsonl", "json", "jsonl.gz", "json.zst"])
def test_an_export_tells_runs_and_bytes_of_a_known_number(history, set_clock, form):
    history.import_document(GIVEN)
    set_clock(INTERVAL)
    updates, file = [], io.BytesIO()
    report = history.export_file(file, format=form, progress=updates.append)
    assert [each.runs for each in updates] == [30, COUNT, COUNT]  # page by page
    assert {(each.phase, each.total, each.total_bytes) for each in updates} == {("export", COUNT, None)}
    assert [each.bytes for each in updates] == sorted(each.bytes for each in updates)
    assert updates[-1].bytes <= report.bytes == len(file.getvalue())
    assert all(each.rate == each.runs / each.seconds for each in updates)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"since": MOMENT}, {"kinds": "assembly_run"}], ids=str)
def test_the_number_is_that_of_the_runs_that_are_asked_for(history, options):
    history.import_document(GIVEN)
    updates = []
    report = history.export_file(io.BytesIO(), exported_at=MOMENT, progress=updates.append, **options)
    assert (updates[-1].runs, updates[-1].total) == (report.exported, report.exported)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_an_import_tells_runs_and_bytes_of_the_file_as_it_is_stored(history, set_clock, form):
    set_clock(INTERVAL)
    updates, data = [], form(GIVEN)
    history.import_file(io.BytesIO(data), progress=updates.append)
    assert [each.runs for each in updates] == [*range(1, COUNT + 1), COUNT]
    assert {(each.phase, each.total, each.total_bytes) for each in updates} == {("import", None, len(data))}
    assert [each.bytes for each in updates] == sorted(each.bytes for each in updates)
    assert updates[-1].bytes == len(data)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_an_import_in_parts_is_verified_and_then_knows_its_number(history, set_clock, form):
    set_clock(INTERVAL)
    updates, data = [], form(GIVEN)
    history.import_file(io.BytesIO(data), commit_every=20, progress=updates.append)
    phases = {phase: list(of) for phase, of in itertools.groupby(updates, lambda each: each.phase)}
    assert list(phases) == ["verify", "import"]
    for phase, total in (("verify", None), ("import", COUNT)):
        assert [each.runs for each in phases[phase]] == [*range(1, COUNT + 1), COUNT]
        assert {(each.total, each.total_bytes) for each in phases[phase]} == {(total, len(data))}
        assert phases[phase][-1].bytes == len(data)
        assert phases[phase][0].seconds < 1


def test_of_a_pipe_the_size_is_not_known(history):
    updates = []
    with piped(STREAM) as file:
        history.import_file(file, progress=updates.append)
    assert (updates[-1].runs, updates[-1].bytes, updates[-1].total_bytes) == (COUNT, len(STREAM), None)


def test_lines_that_are_no_runs_count_as_they_are_read(history):
    updates = []
    report = history.import_file(
        io.BytesIO(b'{"header":{"version":"1.0","sealed":false}}\nx\n\n'), progress=updates.append
    )
    assert (report.rejected, updates[-1].runs) == (2, 2)


# --- how often -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.013, 0.04, 0.1, 3.0])
def test_nobody_is_told_more_than_ten_times_a_second_and_the_end_always(history, set_clock, seconds):
    clock = set_clock(seconds)
    updates = []

    def note(progress):
        updates.append((clock.now, progress))

    history.import_file(io.BytesIO(STREAM), commit_every=20, progress=note)
    history.export_file(io.BytesIO(), progress=note)
    for phase in ("verify", "import", "export"):
        times, last = [time for time, each in updates if each.phase == phase], updates[-1][1]
        assert all(after - before > INTERVAL - 1e-9 for before, after in itertools.pairwise(times))
        assert last.runs == COUNT
    of_import = [time for time, each in updates if each.phase != "export"]
    assert all(after - before > INTERVAL - 1e-9 for before, after in itertools.pairwise(of_import))
    assert max(clock.slept) <= INTERVAL + 1e-9


def test_what_is_done_at_once_is_told_at_once(history, set_clock):
    clock = set_clock(0.0)
    updates = []
    history.import_file(io.BytesIO(STREAM), progress=updates.append)
    assert ([each.runs for each in updates], clock.slept) == ([COUNT], [])
    history.export_file(io.BytesIO(), progress=updates.append)
    assert ([each.runs for each in updates], clock.slept) == ([COUNT, COUNT], [])


def test_where_nobody_is_told_nobody_waits(history, set_clock):
    clock = set_clock(0.02)
    history.import_file(io.BytesIO(STREAM), commit_every=20)
    history.export_file(io.BytesIO())
    assert clock.slept == []


def test_nothing_to_do_is_told_too(history):
    updates = []
    history.import_file(io.BytesIO(text_of(document())), progress=updates.append)
    history.export_file(io.BytesIO(), progress=updates.append)
    assert [(each.phase, each.runs, each.total) for each in updates] == [
        ("import", 0, None),
        ("export", 0, 0),
    ]


# --- ended by who is told ------------------------------------------------------------------------------


class EndError(Exception):
    """Whoever is updates wants no more."""


def ending(phase, runs, error=EndError):
    """Who ends it when so many runs have passed in this phase."""

    def tell(progress):
        if (progress.phase, progress.runs) == (phase, runs):
            raise error

    return tell


@pytest.mark.turns
@pytest.mark.parametrize(
    ("options", "phase", "runs", "left"),
    [
        ({}, "import", 1, 0),
        ({}, "import", COUNT, 0),
        ({"commit_every": 10}, "verify", COUNT, 0),
        ({"commit_every": 10}, "import", 9, 0),
        ({"commit_every": 10}, "import", 25, 20),
        ({"commit_every": 10}, "import", COUNT, 30),
    ],
)
def test_what_is_not_committed_is_taken_back_when_an_import_is_ended(
    engine, set_clock, options, phase, runs, left
):
    set_clock(INTERVAL)
    history = History(engine)
    with pytest.raises(EndError):
        history.import_file(io.BytesIO(STREAM), progress=ending(phase, runs), **options)
    assert stored(engine) == left
    assert history.import_file(io.BytesIO(STREAM), **options).skipped >= left
    assert stored(engine) == 30


def test_an_interrupt_takes_back_what_is_not_committed(history, sqlite, set_clock):
    set_clock(INTERVAL)
    with pytest.raises(KeyboardInterrupt):
        history.import_file(
            io.BytesIO(STREAM), commit_every=10, progress=ending("import", 25, KeyboardInterrupt)
        )
    assert stored(sqlite) == 20


@pytest.mark.parametrize("borrow", [Session, sa.Engine.connect])
def test_the_work_of_the_caller_stays_when_an_import_is_ended(engine, set_clock, tune, borrow):
    tune(batch=5)
    set_clock(INTERVAL)
    with borrow(engine) as session:
        session.execute(sa.insert(Ingredient).values(display_name="Mine", slug="mine"))
        with pytest.raises(EndError):
            History().import_file(io.BytesIO(STREAM), progress=ending("import", 25), session=session)
        assert session.scalar(sa.select(sa.func.count()).select_from(ProductionRun)) == 0
        assert session.scalar(sa.select(Ingredient.slug).where(Ingredient.slug == "mine")) == "mine"
        session.commit()
    assert stored(engine) == 0


def test_a_dry_run_and_an_import_of_all_or_nothing_can_be_ended_too(history, sqlite, set_clock):
    set_clock(INTERVAL)
    for options in ({"dry_run": True}, {"atomic": True}):
        with pytest.raises(EndError):
            history.import_file(io.BytesIO(STREAM), progress=ending("import", 25), **options)
    assert stored(sqlite) == 0


def test_an_export_that_is_ended_leaves_the_connection_usable(engine, set_clock):
    set_clock(INTERVAL)
    history = History(engine)
    history.import_document(GIVEN)
    with Session(engine) as session:
        with pytest.raises(EndError):
            history.export_file(io.BytesIO(), progress=ending("export", 30), session=session)
        assert history.export_file(io.BytesIO(), session=session).exported == COUNT
