"""`histio.copy`: from one database to another, without a file."""

from __future__ import annotations

import contextlib
import json
import os
import tracemalloc

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

import histio
from histio import History
from tests.support.bakery import assembly_run, consumption, document, number, packaging, production_run
from tests.support.databases import DIALECTS, SERVERS, stocked
from tests.support.hosts import MOMENT, model, run, text, to

Base = orm.declarative_base()
MICRO = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
Run = model(Base, "Run", code=text(unique=True), note=text(), at=sa.Column(MICRO))
code, note = histio.Text(required=True), histio.Text(allow_none=True)
time = histio.UtcTimestamp(allow_none=True)
Schema = run(Run, {"identity": "code", "exclude": ("id",)}, code=code, note=note, at=time)

RUNS = document(
    production_run(1, notes="crème brûlée\t\"'\\ 🍞", consumptions=[consumption(n) for n in (9, 7, 8)]),
    production_run(2, notes=None, consumptions=[], produced_at="2025-12-09T10:00:00.123456Z"),
    production_run(3, produced_at="1999-12-31T23:59:59Z", per_unit_cost="999999.9999"),
    assembly=[assembly_run(4), assembly_run(5, packaging_consumptions=[packaging(product_slug="bag-100")])],
)


@pytest.fixture
def pair(databases, dialect):
    """Two databases with the bundled tables and a catalog; the first one has runs."""
    source, target = History(stocked(databases(dialect, 1))), History(stocked(databases(dialect)))
    assert source.import_document(RUNS).imported == 5
    return source, target


@pytest.fixture
def hosts(create):
    """Two databases with the tables of a host; the first one has runs."""
    source, target = (History(create(Base.metadata, number=number), Schema) for number in (1, 0))
    given = [{"code": f"c{n}", "note": "loud" if n == 2 else "quiet", "at": None} for n in range(1, 5)]
    assert source.import_document({"version": "1.0", "runs": given}).imported == 4
    return source, target


def texts(history, **options):
    """What an export writes, as text."""
    return json.dumps(history.export_document(exported_at=MOMENT, **options))


def uuids(history):
    return [each["uuid"] for kind in history.kinds for each in history.iter_runs(kind)]


def counts(report):
    return (report.imported, report.updated, report.skipped, report.rejected, report.withheld)


@pytest.mark.cells(9)
@pytest.mark.parametrize("there", DIALECTS)
@pytest.mark.parametrize("here", DIALECTS)
def test_a_copy_is_the_same_in_every_database(databases, here, there):
    source, target = History(stocked(databases(here, 1))), History(stocked(databases(there)))
    source.import_document(RUNS)
    dry = histio.copy(source, target, dry_run=True)
    assert uuids(target) == []
    report = histio.copy(source, target)
    assert (counts(report), report.warnings) == ((5, 0, 0, 0, 0), ())
    assert report.by_kind["assembly_run"].imported == 2
    assert dry.to_dict() | {"dry_run": False} == report.to_dict()
    assert texts(target) == texts(source)
    assert counts(histio.copy(source, target)) == (0, 0, 5, 0, 0)
    assert counts(histio.copy(source, target, on_duplicate="verify")) == (0, 0, 5, 0, 0)


@pytest.mark.turns
@pytest.mark.parametrize("full", [False, True])
def test_runs_without_a_uuid_are_copied(hosts, tune, full):
    source, target = hosts
    tune(full_path_only=full)
    report = histio.copy(source, target)
    assert (counts(report), report.warnings) == ((4, 0, 0, 0, 0), ())
    assert texts(target) == texts(source)


FILTERS = {
    "a kind": ({"kinds": "assembly_run"}, [4, 5]),
    "from a time on": ({"kinds": "production_run", "since": MOMENT}, [1, 2]),
    "until a time": ({"kinds": ["production_run"], "until": MOMENT}, [3, 1]),
    "a criterion": (
        {"where": histio.models.ProductionRun.notes.is_(None), "kinds": "production_run"},
        [2],
    ),
}


@pytest.mark.turns
@pytest.mark.parametrize("case", FILTERS)
def test_a_part_of_the_runs_can_be_copied(pair, case):
    source, target = pair
    options, expected = FILTERS[case]
    assert histio.copy(source, target, **options).imported == len(expected)
    assert uuids(target) == list(map(number, expected))


def test_a_copy_updates_runs_that_exist(pair):
    source, target = pair
    changed = production_run(1, notes="other", consumptions=[consumption(7)])
    target.import_document(document(changed, production_run(2)))
    report = histio.copy(source, target, on_duplicate="verify")
    assert (counts(report), {problem.code for problem in report.problems}) == ((3, 0, 0, 2, 0), {"conflict"})
    assert "/notes: source 'crème brûlée" in report.problems[0].message
    assert "target 'other'" in report.problems[0].message
    report = histio.copy(source, target, on_duplicate="update")
    assert (counts(report), report.warnings) == ((0, 2, 3, 0, 0), ())
    assert ("/notes", "other") in [(each.pointer, each.stored) for each in report.revisions]
    assert texts(target) == texts(source)


@pytest.mark.turns
@pytest.mark.parametrize("options", [{}, {"commit_every": 2}])
def test_a_slug_that_the_target_lacks_rejects_its_run_unless_it_is_renamed(pair, tmp_path, options):
    source, target = pair
    source.import_document(document(production_run(6, recipe_slug="bread", finished_unit_slug="loaf")))
    engine = target.bound.database.find_engine()
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM finished_units WHERE slug = 'loaf'")
        connection.exec_driver_sql("DELETE FROM recipes WHERE slug = 'bread'")
    report = histio.copy(source, target, rejects=tmp_path / "rejects.jsonl", **options)
    assert counts(report) == (5, 0, 0, 1, 0)
    assert report.problems[0].pointer == "/production_runs/2/recipe_slug"
    renames = {"recipe_slug": {"bread": "cookies"}, "finished_unit_slug": {"loaf": "cookie"}}
    mended = target.import_file(tmp_path / "rejects.jsonl", rename=renames, dry_run=True)
    assert mended.imported == 1
    report = histio.copy(source, target, rename=renames, **options)
    assert (counts(report), report.renamed_count, report.warnings) == ((1, 0, 5, 0, 0), 2, ())


def test_with_atomic_one_rejected_run_keeps_all_out(pair):
    source, target = pair
    target.import_document(document(production_run(1)))
    report = histio.copy(source, target, on_duplicate="error", atomic=True)
    assert counts(report) == (0, 0, 0, 1, 4)
    assert uuids(target) == [number(1)]


def test_a_copy_with_a_receipt_can_be_taken_back(pair, tmp_path):
    source, target = pair
    target.import_document(document(production_run(1, notes="old")))
    before = texts(target)
    report = histio.copy(source, target, on_duplicate="update", receipt=tmp_path / "receipt.jsonl")
    assert counts(report) == (4, 1, 0, 0, 0)
    target.undo(tmp_path / "receipt.jsonl")
    assert texts(target) == before


@pytest.mark.parametrize("dialect", ["mariadb"], indirect=True)
def test_times_are_cut_for_columns_that_keep_fewer_digits(sqlite_of, create):
    base = orm.declarative_base()
    of_run = model(base, "Run", code=text(unique=True), note=text(), at=sa.Column(sa.DateTime))
    schema = run(of_run, {"identity": "code", "exclude": ("id",)}, code=code, note=note, at=time)
    source, target = History(sqlite_of(Base.metadata), Schema), History(create(base.metadata), schema)
    at = "2025-12-08T10:00:00.5Z"
    runs = [{"code": f"c{n}", "at": at} for n in range(1, 4)]
    source.import_document({"version": "1.0", "runs": runs})
    assert counts(histio.copy(source, target)) == (0, 0, 0, 3, 0)
    report = histio.copy(source, target, truncate_times=True)
    assert (report.imported, {warning.code for warning in report.warnings}) == (3, {"precision"})
    assert report.warning_count == 3
    assert [each["at"] for each in target.iter_runs("run")] == ["2025-12-08T10:00:00Z"] * 3


@contextlib.contextmanager
def shouting(engine):
    """Let a client write notes that are "loud" in capitals; nothing in the database tells of it."""

    def shout(_connection, _cursor, statement, parameters, *_):
        is_many = isinstance(parameters, list)
        rows = [
            {name: _shout(value) for name, value in row.items()}
            if isinstance(row, dict)
            else tuple(map(_shout, row))
            for row in (parameters if is_many else [parameters])
        ]
        return statement, rows if is_many else rows[0]

    sa.event.listen(engine, "before_cursor_execute", shout, retval=True)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", shout)


def _shout(value):
    return "LOUD" if value == "loud" else value


@pytest.mark.cells(6)
@pytest.mark.parametrize("before", [[], ["c1", "c2"]])
@pytest.mark.parametrize("full", [False, True])
def test_what_the_target_makes_of_a_value_is_a_warning(hosts, tune, full, before):
    source, target = hosts
    tune(full_path_only=full)
    target.import_document({"version": "1.0", "runs": [{"code": each, "note": "old"} for each in before]})
    with shouting(target.bound.database.find_engine()):
        report = histio.copy(source, target, on_duplicate="update")
    assert (report.imported, report.updated, report.rejected) == (4 - len(before), len(before), 0)
    [warning] = report.warnings
    assert (warning.code, warning.uuid, warning.pointer) == ("conflict", "c2", "/runs/1/note")
    assert warning.message.endswith("/note: source 'loud', target 'LOUD'")


def test_runs_that_wait_for_others_are_compared_too(create, tune):
    base = orm.declarative_base()
    of_run = model(
        base,
        "Run",
        code=text(unique=True),
        note=text(),
        next_id=to("runs"),
        next=orm.relationship("Run", remote_side="Run.id"),
    )
    schema = run(of_run, code=code, note=note, next=histio.Slug("next", key="code", allow_none=True))
    source, target = (History(create(base.metadata, number=number), schema) for number in (1, 0))
    given = [
        {"id": n, "code": f"r{n}", "note": each, "next": following}
        for n, each, following in [(1, "loud", "r2"), (2, "loud", "r1"), (3, None, "r4"), (4, "loud", None)]
    ]
    source.import_document({"version": "1.0", "runs": given})
    tune(batch=1)
    with shouting(target.bound.database.find_engine()):
        report = histio.copy(source, target)
    assert report.imported == 4
    assert sorted(warning.uuid for warning in report.warnings) == ["1", "2", "4"]


@pytest.mark.parametrize("options", [{}, {"commit_every": 1}])
def test_a_run_that_the_format_cannot_hold_keeps_all_out(pair, options):
    source, target = pair
    rename_in(source, "cookie-gift-bag ", "gift-bag")
    with pytest.raises(histio.ExportError, match=r"cannot be exported \(2\)") as caught:
        histio.copy(source, target, **options)
    assert [problem.uuid for problem in caught.value.problems] == list(map(number, (4, 5)))
    assert uuids(target) == []


def rename_in(history, new, old):
    """Give a finished good a slug that the format cannot hold, such as one that ends with a space."""
    with history.bound.database.find_engine().begin() as connection:
        good = histio.models.FinishedGood
        connection.execute(sa.update(good).where(good.slug == old).values(slug=new))


@pytest.mark.parametrize("options", [{}, {"commit_every": 1}])
def test_runs_that_the_format_cannot_hold_can_be_left_out(pair, options):
    source, target = pair
    rename_in(source, "cookie-gift-bag ", "gift-bag")
    report = histio.copy(source, target, on_unreadable="skip", **options)
    assert counts(report) == (3, 0, 0, 2, 0)
    assert report.by_kind["assembly_run"].rejected == 2
    assert (report.problem_count, [problem.uuid for problem in report.problems]) == (
        2,
        list(map(number, (4, 5))),
    )
    atomic = histio.copy(source, target, on_unreadable="skip", on_duplicate="update", atomic=True)
    assert counts(atomic) == (0, 0, 3, 2, 0)


def test_a_value_that_is_read_differently_is_a_warning_or_a_problem(databases):
    source, target = History(stocked(databases("sqlite", 1))), History(stocked(databases("sqlite")))
    source.import_document(RUNS)
    with source.bound.database.find_engine().begin() as connection:
        connection.exec_driver_sql("UPDATE production_runs SET per_unit_cost = 0.123456 WHERE notes IS NULL")
    with pytest.raises(histio.ExportError):
        histio.copy(source, target, exact=True)
    report = histio.copy(source, target)
    assert (report.imported, [each.code for each in report.warnings]) == (5, ["precision"])
    assert report.warning_count == 1


def test_runs_of_any_depth_are_copied_or_rejected(sqlite_of):
    base = orm.declarative_base()
    of_run = model(base, "Run", data=sa.Column(sa.JSON))
    schema = run(of_run, data=histio.Json(allow_none=True))
    source, target = (History(sqlite_of(base.metadata, number=number), schema) for number in (1, 0))
    deep = [{"id": n, "data": "[" * n + "]" * n} for n in range(1, 1100, 25)]
    with source.bound.database.find_engine().begin() as connection:
        connection.execute(sa.text("INSERT INTO runs (id, data) VALUES (:id, :data)"), deep)
    report = histio.copy(source, target, on_unreadable="skip")
    assert report.imported + report.rejected == len(deep)
    assert report.imported > 10
    assert texts(target) == texts(source, where=of_run.id.in_(sa.select(of_run.id).limit(report.imported)))


class Stop(BaseException):
    pass


@pytest.mark.parametrize(("kept", "options"), [(0, {}), (100, {"commit_every": 100})])
def test_a_copy_that_is_interrupted_leaves_nothing_half_done(pair, tune, kept, options):
    source, target = pair
    source.import_document(document(*(production_run(n) for n in range(10, 200))))
    tune(batch=50)
    seen = []

    def interrupt(_connection, _cursor, statement, *_):
        seen.append(statement)
        if sum("INSERT INTO production_runs" in each or "COPY production_runs" in each for each in seen) > 2:
            raise Stop

    engine = target.bound.database.find_engine()
    sa.event.listen(engine, "before_cursor_execute", interrupt)
    try:
        with pytest.raises(Stop):
            histio.copy(source, target, **options)
    finally:
        sa.event.remove(engine, "before_cursor_execute", interrupt)
    assert len(uuids(target)) == kept
    assert histio.copy(source, target, **options).imported == 195 - kept
    assert texts(target) == texts(source)


@pytest.mark.parametrize("dialect", list(SERVERS), indirect=True)
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_lost_connection_leaves_nothing_and_is_named(pair, tune, side):
    source, target = pair
    source.import_document(document(*(production_run(n) for n in range(10, 200))))
    tune(batch=20, page=20)
    engine = {"source": source, "target": target}[side].bound.database.find_engine()
    calls = iter(range(1000))

    def cut(connection, *_):
        if next(calls) == 20:
            connection.connection.dbapi_connection.close()

    sa.event.listen(engine, "before_cursor_execute", cut)
    try:
        with pytest.raises(sa.exc.DBAPIError) as caught:
            histio.copy(source, target)
    finally:
        sa.event.remove(engine, "before_cursor_execute", cut)
    assert caught.value.__notes__ == [f"The error comes from the database that is the {side}."]
    assert uuids(target) == []
    assert histio.copy(source, target).imported == 195


def test_an_exception_of_the_progress_rolls_everything_back(pair):
    source, target = pair
    seen = []

    def note(progress):
        seen.append((progress.phase, progress.total, progress.bytes))
        raise Stop

    with pytest.raises(Stop):
        histio.copy(source, target, progress=note)
    assert seen == [("import", 5, 0)]
    assert uuids(target) == []


def test_the_progress_tells_of_both_passes(pair):
    source, target = pair
    seen = []
    histio.copy(source, target, commit_every=2, progress=lambda now: seen.append((now.phase, now.runs)))
    assert dict(seen) == {"verify": 5, "import": 5}  # the last ones of each


def test_the_number_of_statements_depends_on_batches_only(pair, count_statements):
    source, target = pair
    statements = [count_statements(each.bound.database.find_engine()) for each in pair]
    found = []
    # The first copy also asks MariaDB for the size of its packets, unless another test has.
    for start, end in [(6, 7), (10, 30), (1000, 1090)]:
        source.import_document(document(*(production_run(n, notes=f"{start}") for n in range(start, end))))
        for each in statements:
            each.clear()
        where = histio.models.ProductionRun.notes == f"{start}"
        assert histio.copy(source, target, kinds="production_run", where=where).imported == end - start
        found.append([len(each.all) for each in statements])
    assert found[1] == found[2]


@pytest.mark.thorough
def test_any_number_of_runs_is_copied_in_constant_memory(databases, tune):
    tune(batch=100, page=100)
    source, target = History(stocked(databases("sqlite", 1))), History(stocked(databases("sqlite")))
    source.import_document(document(*map(production_run, range(2_500))))
    peaks = []
    for since in (2_000, 0):
        where = histio.models.ProductionRun.uuid >= number(since)
        tracemalloc.start()
        report = histio.copy(source, target, kinds="production_run", where=where)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (report.imported, report.skipped) == (2_000, 500)
    assert peaks[1] < peaks[0] * 1.3


SAME_FILE = {
    "the same engine": lambda engine, _folder: [engine, engine],
    "two engines": lambda engine, _folder: [engine, f"sqlite:///{engine.url.database}"],
    "a relative path": lambda engine, _folder: [engine, f"sqlite:///{os.path.relpath(engine.url.database)}"],
    "a link": lambda engine, folder: [engine, link(os.symlink, engine, folder)],
    "a hard link": lambda engine, folder: [engine, link(os.link, engine, folder)],
    "a URI": lambda engine, _folder: [engine, f"sqlite:///file:{engine.url.database}?uri=true"],
    "one memory": lambda *_: [sa.create_engine("sqlite://", poolclass=sa.StaticPool)] * 2,
    "one memory with options": lambda *_: with_options(sa.create_engine("sqlite://")),
    "an engine with options": lambda engine, _folder: with_options(engine),
    "a shared memory": lambda *_: [sa.create_engine(SHARED, poolclass=sa.StaticPool) for _ in range(2)],
}
SHARED = "sqlite:///file:copied?mode=memory&cache=shared&uri=true"


def with_options(engine):
    return engine, engine.execution_options(stream_results=False)


def link(make, engine, folder):
    """The URL of a link to the file of an engine."""
    make(engine.url.database, folder / "link.db")
    return f"sqlite:///{folder}/link.db"


@pytest.mark.parametrize("case", SAME_FILE)
def test_one_database_of_sqlite_on_both_sides_is_refused(sqlite, tmp_path, case):
    source, target = map(History, SAME_FILE[case](sqlite, tmp_path))
    with source, target, pytest.raises(histio.BindingError, match="one database"):
        histio.copy(source, target)


def test_two_databases_in_memory_are_two(databases):
    engines = [histio.create_engine("sqlite://", poolclass=sa.StaticPool) for _ in range(2)]
    for engine in engines:
        histio.models.Base.metadata.create_all(engine)
        stocked(engine)
    source, target = map(History, engines)
    source.import_document(RUNS)
    assert histio.copy(source, target).imported == 5


SPELLINGS = {
    "the same engine": lambda engine: engine,
    "the same URL": lambda engine: engine.url,
    "another name of the server": lambda engine: engine.url.set(host="localhost"),
    "another option": lambda engine: engine.url.update_query_dict({"connect_timeout": "9"}),
    "a session": orm.Session,
    "a connection": lambda engine: engine.connect(),
}


@pytest.mark.parametrize("dialect", list(SERVERS), indirect=True)
@pytest.mark.cells(6)
@pytest.mark.parametrize("case", SPELLINGS)
def test_one_database_of_a_server_on_both_sides_is_refused(engine, case):
    bind = SPELLINGS[case](engine)
    with contextlib.closing(bind if hasattr(bind, "close") else History()):
        source, target = History(engine), History(bind)
        with source, target:
            for one, other in [(source, target), (target, source)]:
                with pytest.raises(histio.BindingError, match="one database"):
                    histio.copy(one, other)


@pytest.mark.parametrize("dialect", list(SERVERS), indirect=True)
def test_one_session_on_both_sides_is_refused(engine):
    with orm.Session(engine) as session, pytest.raises(histio.BindingError, match="one database"):
        histio.copy(History(session), History(session))


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_another_schema_of_one_database_is_another_history(create):
    engine = create(Base.metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS archive CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA archive")
    archive = engine.execution_options(schema_translate_map={None: "archive"})
    Base.metadata.create_all(archive)
    by_path = engine.url.update_query_dict({"options": "-csearch_path=archive"})
    with History(by_path, Schema) as other:
        source, target = History(engine, Schema), History(archive, Schema)
        source.import_document({"version": "1.0", "runs": [{"code": "a"}, {"code": "b"}]})
        assert histio.copy(source, target).imported == 2
        assert histio.copy(source, other).skipped == 2
        with pytest.raises(histio.BindingError, match="one database"):
            histio.copy(other, target)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA archive CASCADE")


@pytest.mark.parametrize("dialect", ["mariadb"], indirect=True)
def test_another_database_of_one_server_is_another_history(create):
    engine, other = create(Base.metadata), create(Base.metadata, number=1)
    elsewhere = engine.execution_options(schema_translate_map={None: other.url.database})
    source, target = History(engine, Schema), History(elsewhere, Schema)
    source.import_document({"version": "1.0", "runs": [{"code": "a"}, {"code": "b"}]})
    assert histio.copy(source, target).imported == 2
    with pytest.raises(histio.BindingError, match="one database"):
        histio.copy(History(other, Schema), target)


def test_a_session_is_used_and_left_open(pair):
    source, target = pair
    engine = target.bound.database.find_engine()
    with orm.Session(engine) as session:
        assert histio.copy(source, History(session)).imported == 5
        session.rollback()
        assert uuids(target) == []
        assert histio.copy(source, History(session)).imported == 5
        with pytest.raises(ValueError, match="commit_every excludes"):
            histio.copy(source, History(session), commit_every=1)
        session.commit()
    assert texts(target) == texts(source)


SMALL = run(Run, {"identity": "code", "exclude": ("id", "at")}, code=code, note=note)
OTHER = run(Run, {"identity": "code", "kind": "batch", "exclude": ("id",)}, code=code, note=note, at=time)


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ((Schema,), (OTHER,), "target has no kind run: it has batch"),
        ((Schema,), (SMALL,), "different formats: target has no member at of run"),
        (
            (SMALL,),
            (run(Run, {"identity": "code"}, code=code, note=note, at=histio.UtcTimestamp(required=True)),),
            "different formats: source has no member at of run",
        ),
    ],
)
def test_formats_that_do_not_fit_are_refused_before_anything_is_read(sqlite_of, ours, theirs, why):
    source = History(sqlite_of(Base.metadata), *ours)
    target = History(sqlite_of(Base.metadata, number=1), *theirs)
    with pytest.raises(histio.BindingError, match=why):
        histio.copy(source, target)


def test_a_target_upgrades_older_records(sqlite_of):
    engines = [sqlite_of(Base.metadata, number=number) for number in (1, 0)]
    source = History(engines[0], Schema)
    newer = {"version": "2.0", "upgrades": {"1.0": lambda record: record | {"note": "new"}}}
    source.import_document({"version": "1.0", "runs": [{"code": "a"}, {"code": "b"}]})
    target = History(engines[1], Schema, **newer)
    report = histio.copy(source, target)
    assert (report.imported, report.warnings) == (2, ())
    assert [each["note"] for each in target.iter_runs("run")] == ["new", "new"]
    with pytest.raises(histio.BindingError, match=r"source writes version 2\.0 of the format"):
        histio.copy(target, source)


WRONG = {
    "no histories": ({"source": None}, TypeError, "source must be a History, not None"),
    "no database": ({"target": History()}, histio.NotConfiguredError, "target has no database"),
    "a wrong option": ({"on_unreadable": "ignore"}, ValueError, "on_unreadable must be one of"),
    "another wrong option": ({"on_duplicate": "replace"}, ValueError, "on_duplicate must be one of"),
    "no number": ({"commit_every": 0}, ValueError, "commit_every"),
    "two transactions": ({"commit_every": 1, "atomic": True}, ValueError, "commit_every excludes atomic"),
    "no kind": ({"kinds": "batch"}, ValueError, "no such kind: batch"),
    "no slug": ({"rename": {"recipe": {"a": "b"}}}, ValueError, "is not a slug of these kinds"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_errors(sqlite, databases, case):
    changed, error, why = WRONG[case]
    arguments = {"source": History(sqlite), "target": History(databases("sqlite", 1))} | changed
    with pytest.raises(error, match=why):
        histio.copy(**arguments)
