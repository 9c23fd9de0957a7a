"""Rows that do not follow their owners, and rows that something drops or adds: none is lost in silence."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from marshmallow import pre_load
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Session, relationship

import histio
from histio import History
from tests.support.bakery import number
from tests.support.hosts import brings_back, document, entry, ledger, model, run, text, to, word
from tests.support.mapping_styles import both_ways, listen, listening
from tests.support.reports import codes_of, outcomes


def host(base, /, **options):
    """Runs with lines whose relationship has these *options*; the models, and a kind of them."""
    line = model(base, "Line", run_id=to("runs", nullable=False), name=text())
    host_run = model(base, "Run", uuid=text(36, unique=True), lines=relationship("Line", **options))
    members = {"uuid": histio.RunUUID(required=True), "lines": ledger(line, name=word())}
    return host_run, line, run(host_run, {"identity": "uuid"}, **members)


def record(n, *names):
    return {"uuid": number(n), "lines": [{"name": name} for name in names]}


def count(engine, of):
    with Session(engine) as session:
        return session.scalar(sa.select(sa.func.count()).select_from(of))


# --- relationships that do not cascade ---------------------------------------------------------------------


@pytest.mark.turns
@both_ways
@pytest.mark.parametrize("lazy", ["select", "dynamic", "write_only"])
@pytest.mark.parametrize("cascade", ["", "merge", "all", "all, delete-orphan"])
def test_entries_are_written_whatever_the_relationship_cascades(create, cascade, lazy, heard):
    base = orm.declarative_base()
    host_run, _, kind = host(base, cascade=cascade, lazy=lazy, passive_deletes=True)
    listen(host_run, heard)
    brings_back(History(create(base.metadata), kind), document(record(1, "b", "a"), record(2)))


@pytest.mark.turns
@both_ways
@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize("cascade", ["", "merge", "save-update, merge"])
def test_entries_come_and_go_whatever_the_relationship_cascades(create, cascade, passive, heard):
    base = orm.declarative_base()
    host_run, line, kind = host(base, cascade=cascade, passive_deletes=passive)
    listen(host_run, heard)
    engine = create(base.metadata)
    history = History(engine, kind)
    history.import_document(document(record(1, "a", "b"), record(2, "c"), record(3)))
    given = document(record(1, "b", "d"), record(2), record(3, "e", "f"))
    report = history.import_document(given, on_duplicate="update")
    assert [str(problem) for problem in report.problems] == []
    assert list(history.iter_runs("run")) == given["runs"]
    assert count(engine, line) == 4


@pytest.mark.turns
@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("cascade", ["", "merge"])
def test_entries_of_entries_and_those_whose_key_the_run_keeps_are_written(create, cascade, heard):
    base = orm.declarative_base()
    serial = model(base, "Serial", line_id=to("lines", nullable=False), code=text())
    detail = model(base, "Detail", note=text())
    serials = relationship("Serial", cascade=cascade)
    line = model(base, "Line", run_id=to("runs", nullable=False), serials=serials)
    beside = {"detail_id": to("details"), "detail": relationship("Detail", cascade=cascade)}
    host_run = model(base, "Run", lines=relationship("Line", cascade=cascade), **beside)
    listen(host_run, heard)
    one = Nested(entry(detail, note=word()), allow_none=True)
    kind = run(host_run, detail=one, lines=ledger(line, serials=ledger(serial, code=word())))
    of_lines = [{"serials": [{"code": "x"}, {"code": "y"}]}, {"serials": []}]
    given = [
        {"id": 1, "detail": {"note": "n"}, "lines": of_lines},
        {"id": 2, "detail": None, "lines": []},
    ]
    history = History(create(base.metadata), kind)
    brings_back(history, document(*given))
    given[1] |= {"detail": {"note": "m"}, "lines": of_lines[:1]}
    report = history.import_document(document(*given), on_duplicate="update")
    assert [str(problem) for problem in report.problems] == []
    assert list(history.iter_runs("run")) == given


@pytest.mark.turns
@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("cascade", ["", "merge"])
def test_links_are_written_whatever_the_relationship_cascades(create, cascade, heard):
    base = orm.declarative_base()
    host_run, tag, kind = tagged(base, cascade=cascade)
    listen(host_run, heard)
    history = History(create(base.metadata, tag(name="a"), tag(name="b")), kind)
    brings_back(history, document({"id": 1, "tags": ["a", "b"]}, {"id": 2, "tags": []}))
    given = document({"id": 1, "tags": ["b"]}, {"id": 2, "tags": ["a", "b"]})
    assert history.import_document(given, on_duplicate="update").updated == 2
    assert list(history.iter_runs("run")) == given["runs"]


def tagged(base, **options):
    """Runs with tags, over an association table."""
    tag = model(base, "Tag", name=text())
    between = sa.Table("tagged", base.metadata, to("runs", name="run"), to("tags", name="tag"))
    host_run = model(base, "Run", tags=relationship("Tag", secondary=between, **options))
    return host_run, tag, run(host_run, tags=histio.SlugList("tags", key="name"))


# --- what the host's own code drops or adds ----------------------------------------------------------------

# SQLAlchemy warns of it as well.
warned = pytest.mark.filterwarnings("ignore:Object of type .* not in session")


def bad_ones(session, line):
    return [each for each in session.new if isinstance(each, line) and each.name == "bad"]


def drops(line):
    return lambda session, *_: [session.expunge(each) for each in bad_ones(session, line)]


def adds(line):
    def add(session, *_):
        for row in [each for each in session.new if not isinstance(each, line)]:
            row.lines += [line(name="more") for each in row.lines if each.name == "bad"]

    return add


@pytest.mark.turns
@warned
@pytest.mark.parametrize(("does", "told_so"), [(drops, "1 of 2 are there"), (adds, "3, not 2")])
@pytest.mark.parametrize("how", ["skip", "update"])
def test_a_listener_that_drops_or_adds_entries_rejects_their_run_alone(create, does, told_so, how):
    base = orm.declarative_base()
    _, line, kind = host(base)
    maker = orm.sessionmaker(create(base.metadata))
    history = History(maker, kind)
    given = document(record(1, "x"), record(2, "y", "bad"), record(3, "z"))
    with listening(maker, "before_flush", does(line)):
        report = history.import_document(given, on_duplicate=how)
    assert (outcomes(report), codes_of(report.problems)) == ((2, 0, 1), [("/runs/1", "constraint")])
    assert told_so in report.problems[0].message
    assert list(history.iter_runs("run")) == [given["runs"][0], given["runs"][2]]


@pytest.mark.slow
@warned
def test_a_listener_that_drops_an_entry_rejects_the_update_of_its_run_alone(create):
    base = orm.declarative_base()
    _, line, kind = host(base)
    maker = orm.sessionmaker(create(base.metadata))
    history = History(maker, kind)
    history.import_document(document(record(1, "x"), record(2, "y")))
    given = document(record(1, "x", "z"), record(2, "y", "bad"))
    with listening(maker, "before_flush", drops(line)):
        report = history.import_document(given, on_duplicate="update")
    assert (report.updated, codes_of(report.problems)) == (1, [("/runs/1", "constraint")])
    assert "1 of 2 are there" in report.problems[0].message
    assert list(history.iter_runs("run")) == [record(1, "x", "z"), record(2, "y")]


# --- what the database drops or adds -----------------------------------------------------------------------

SQLITE = ["CREATE TRIGGER odd {time} {event} ON {table} WHEN {when} BEGIN {does}; END"]
POSTGRESQL = [
    """CREATE OR REPLACE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF {when} THEN {does}; END IF; RETURN COALESCE(NEW, OLD); END $$""",
    "CREATE TRIGGER odd {time} {event} ON {table} FOR EACH ROW EXECUTE FUNCTION odd()",
]
CLEARED = {"sqlite": "DROP TRIGGER IF EXISTS odd", "postgresql": "DROP FUNCTION IF EXISTS odd CASCADE"}
IGNORE = {"sqlite": "SELECT RAISE(IGNORE)", "postgresql": "RETURN NULL"}
# Of what a trigger does afterwards, the number of rows that the database reports says nothing.
ODD = {
    "drops": ("BEFORE", IGNORE),
    "deletes": ("AFTER", dict.fromkeys(IGNORE, "DELETE FROM {table} WHERE {same}")),
    "adds": ("AFTER", dict.fromkeys(IGNORE, "INSERT INTO {table} SELECT {more} FROM {table} WHERE {same}")),
}

on_servers_that_drop = pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])


@pytest.fixture
def trigger(dialect):
    """Makes a trigger that does something *odd* to some rows; it is gone in the end."""
    engines = []

    def make(engine, odd, *, table, when, same="", more="", event="INSERT"):
        time, does = ODD[odd]
        engines.append(engine)
        done = does[dialect].format(table=table, same=same, more=more)
        with engine.begin() as connection:
            for statement in {"sqlite": SQLITE, "postgresql": POSTGRESQL}[dialect]:
                text = statement.format(time=time, event=event, table=table, when=when, does=done)
                connection.exec_driver_sql(text)

    yield make
    for engine in engines:
        with engine.begin() as connection:
            connection.exec_driver_sql(CLEARED[dialect])


def straight(kind):
    return kind


def hooked(kind):
    return type("HookedSchema", (kind,), {"_same": pre_load(lambda _schema, data, **_: data)})


def heard(kind):
    listen(kind.Meta.model, ("before_insert",))
    return kind


@pytest.mark.slow
@on_servers_that_drop
@pytest.mark.parametrize(("way", "many"), [(straight, 2), (straight, 120), (hooked, 2), (heard, 2)])
@pytest.mark.parametrize("odd", ODD)
def test_entries_that_a_trigger_drops_or_adds_reject_their_run_alone(create, trigger, odd, many, way):
    base = orm.declarative_base()
    _, line, kind = host(base)
    engine = create(base.metadata)
    places = {"when": "NEW.name = 'bad'", "same": "name = 'bad'", "more": "id + 1000, run_id, 'more'"}
    trigger(engine, odd, table="lines", **places)
    history = History(engine, way(kind))
    names = ["x"] * many
    given = document(record(1, *names), record(2, *names, "bad"), record(3, *names))
    report = history.import_document(given)
    assert (outcomes(report), codes_of(report.problems)) == ((2, 0, 1), [("/runs/1", "constraint")])
    assert count(engine, line) == 2 * many
    changed = document(record(1, *names, "bad"), record(3, *names, "y"))
    update = history.import_document(changed, on_duplicate="update")
    assert (update.updated, codes_of(update.problems)) == (1, [("/runs/0", "constraint")])
    assert list(history.iter_runs("run")) == [record(1, *names), record(3, *names, "y")]


# SQLAlchemy warns of it as well.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:DELETE statement on table")
@on_servers_that_drop
def test_entries_that_a_trigger_keeps_reject_the_update_of_their_run_alone(create, trigger):
    base = orm.declarative_base()
    _, _, kind = host(base)
    engine = create(base.metadata)
    history = History(engine, kind)
    stored = [record(1, "a", "bad"), record(2, "a", "b")]
    assert history.import_document(document(*stored)).imported == 2
    trigger(engine, "drops", event="DELETE", table="lines", when="OLD.name = 'bad'")
    report = history.import_document(document(record(1, "a"), record(2, "b")), on_duplicate="update")
    assert (report.updated, codes_of(report.problems)) == (1, [("/runs/0", "constraint")])
    assert "2, not 1" in report.problems[0].message
    assert list(history.iter_runs("run")) == [stored[0], record(2, "b")]


@on_servers_that_drop
@pytest.mark.parametrize("way", [straight, hooked, heard])
@pytest.mark.parametrize("odd", ["drops", "deletes"])
def test_runs_that_a_trigger_drops_are_rejected_alone(create, trigger, odd, way):
    base = orm.declarative_base()
    host_run, _, kind = host(base)
    engine = create(base.metadata)
    bad = f"uuid = '{number(2)}'"
    trigger(engine, odd, table="runs", when=f"NEW.{bad}", same=bad)
    report = History(engine, way(kind)).import_document(document(record(1), record(2), record(3)))
    assert (outcomes(report), codes_of(report.problems)) == ((2, 0, 1), [("/runs/1", "constraint")])
    assert count(engine, host_run) == 2


@on_servers_that_drop
@pytest.mark.parametrize("way", [straight, heard])
@pytest.mark.parametrize("odd", ["drops", "deletes"])
def test_links_that_a_trigger_drops_reject_their_run_alone(create, trigger, odd, way):
    base = orm.declarative_base()
    _, tag, kind = tagged(base)
    engine = create(base.metadata, tag(id=1, name="a"), tag(id=2, name="bad"))
    trigger(engine, odd, table="tagged", when="NEW.tag = 2", same="tag = 2")
    history = History(engine, way(kind))
    given = document({"id": 1, "tags": ["a"]}, {"id": 2, "tags": ["a", "bad"]})
    report = history.import_document(given)
    assert (outcomes(report), codes_of(report.problems)) == ((1, 0, 1), [("/runs/1", "constraint")])
    assert list(history.iter_runs("run")) == given["runs"][:1]


VIEWS = {
    "sqlite": [
        "ALTER TABLE lines RENAME TO kept",
        "CREATE VIEW lines AS SELECT * FROM kept",
        """CREATE TRIGGER odd INSTEAD OF INSERT ON lines WHEN NEW.name <> 'bad'
        BEGIN INSERT INTO kept (run_id, name) VALUES (NEW.run_id, NEW.name); END""",
    ],
    "postgresql": [
        "ALTER TABLE lines RENAME TO kept",
        "CREATE VIEW lines AS SELECT * FROM kept",
        """CREATE OR REPLACE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.name <> 'bad' THEN INSERT INTO kept (run_id, name) VALUES (NEW.run_id, NEW.name)
        RETURNING id INTO NEW.id; END IF; RETURN NEW; END $$""",
        "CREATE TRIGGER odd INSTEAD OF INSERT ON lines FOR EACH ROW EXECUTE FUNCTION odd()",
    ],
}
UNDONE = ["DROP VIEW lines", "ALTER TABLE kept RENAME TO lines"]


@pytest.fixture
def viewed(dialect):
    """Puts a view in the place of the lines, whose trigger keeps all rows but those called ``bad``."""
    engines = []

    def run_all(engine, statements):
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def make(engine):
        engines.append(engine)
        run_all(engine, VIEWS[dialect])

    yield make
    for engine in engines:
        run_all(engine, UNDONE)


@pytest.mark.slow
@on_servers_that_drop
@pytest.mark.parametrize("way", [straight, hooked])
def test_rows_are_written_through_a_view_and_those_that_it_drops_reject_their_run(create, viewed, way):
    base = orm.declarative_base()
    _, _, kind = host(base)
    engine = create(base.metadata)
    viewed(engine)
    history = History(engine, way(kind))
    given = document(record(1, "a", "b"), record(2, "c", "bad"), record(3, *["d"] * 120))
    report = history.import_document(given)
    assert (outcomes(report), codes_of(report.problems)) == ((2, 0, 1), [("/runs/1", "constraint")])
    assert "1 of 2" in report.problems[0].message
    assert list(history.iter_runs("run")) == [given["runs"][0], given["runs"][2]]


def test_what_the_database_reports_is_believed_where_nothing_else_decides(sqlite_of, count_statements):
    base = orm.declarative_base()
    _, _, kind = host(base)
    engine = sqlite_of(base.metadata)
    statements = count_statements(engine)
    assert History(engine, kind).import_document(document(record(1, "a"))).imported == 1
    assert statements.matching("GROUP BY") == []
