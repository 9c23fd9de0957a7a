"""Values that the database changes while an import writes them: by triggers, or because they are renewed."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import relationship

import histio
from histio import History
from tests.support.hosts import document, ledger, model, run, text, to

EARLY, LATE = "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"
MICRO = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
Base = orm.declarative_base()
Line = model(Base, "Item", run_id=to("runs"), code=text(unique=True), note=text(), edited_at=sa.Column(MICRO))
Run = model(
    Base,
    "Run",
    note=text(),
    edited_at=sa.Column(MICRO),
    lines=relationship(Line, cascade="all, delete-orphan"),
)
note, time = histio.Text(allow_none=True), histio.UtcTimestamp(allow_none=True)
LineSchema = ledger(Line, {"identity": "code"}, code=histio.Text(required=True), note=note, edited_at=time)
Schema = run(Run, note=note, edited_at=time, lines=LineSchema)

TRIGGERS = {
    "sqlite": """
        CREATE TRIGGER {table}_{event} AFTER {event} ON {table} WHEN NEW.note LIKE 'loud%'
        BEGIN UPDATE {table} SET note = upper(note) WHERE id = NEW.id; END
    """,
    "postgresql": """
        CREATE TRIGGER {table}_{event} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION shout()
    """,
    "mariadb": """
        CREATE TRIGGER {table}_{event} BEFORE {event} ON {table} FOR EACH ROW
        IF NEW.note LIKE BINARY 'loud%' THEN SET NEW.note = upper(NEW.note); END IF
    """,
}
SHOUT = """
    CREATE OR REPLACE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.note LIKE 'loud%' THEN NEW.note := upper(NEW.note); END IF; RETURN NEW; END $$
"""


@pytest.fixture
def shouting(create, dialect):
    """Makes a database whose triggers write notes that begin with "loud" in capitals."""

    def make(metadata):
        engine = create(metadata)
        triggers = [
            TRIGGERS[dialect].format(table=table, event=event)
            for table in metadata.tables
            for event in ("INSERT", "UPDATE")
        ]
        with engine.begin() as connection:
            for statement in [SHOUT] * (dialect == "postgresql") + triggers:
                connection.execute(sa.text(statement).execution_options(no_parameters=True))
        return engine

    return make


@pytest.fixture
def loud(shouting):
    return shouting(Base.metadata)


def of(n, note=None, line=None, **members):
    lines = [{"code": f"c{n}", "note": line, "edited_at": EARLY}]
    return {
        "id": n,
        "note": note,
        "edited_at": EARLY,
        "lines": lines,
    } | members


def from_dict(history, given, _folder, **options):
    return history.import_document(given, **options)


def from_document(history, given, folder, **options):
    (folder / "given.json").write_text(json.dumps(given))
    return history.import_file(folder / "given.json", **options)


def from_stream(history, given, folder, **options):
    header = {"header": {"version": "1.0", "kinds": ["run"], "sealed": False}}
    lines = [header, *({"run": each} for each in given["runs"])]
    text = "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines)
    (folder / "given.jsonl").write_text(text)
    return history.import_file(folder / "given.jsonl", **options)


WAYS = [from_dict, from_document, from_stream]
SIDES = {from_dict: "document", from_document: "file", from_stream: "file"}
"""What messages call the side that the runs come from."""


GIVEN = document(of(1), of(2, "loud run"), of(3, None, "loud line"), of(4, "quiet", "QUIET"))


@pytest.mark.cells(6)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_what_a_trigger_makes_of_an_imported_value_is_a_warning(loud, tune, tmp_path, way, full):
    tune(full_path_only=full)
    history = History(loud, Schema)
    dry = way(history, GIVEN, tmp_path, dry_run=True)
    report = way(history, GIVEN, tmp_path)
    assert (report.imported, report.rejected) == (4, 0)
    assert [(problem.uuid, problem.code) for problem in report.warnings] == [
        ("2", "conflict"),
        ("3", "conflict"),
    ]
    run_warning, line_warning = report.warnings
    assert run_warning.pointer.endswith("/note")
    assert run_warning.message.endswith(f"/note: {SIDES[way]} 'loud run', database 'LOUD RUN'")
    assert line_warning.pointer.endswith("/lines/0/note")
    assert dry.to_dict() | {"dry_run": False} == report.to_dict()


@pytest.mark.parametrize("way", WAYS)
def test_what_a_trigger_makes_of_an_updated_value_is_a_warning(loud, tmp_path, way):
    history = History(loud, Schema)
    history.import_document(document(*map(of, range(1, 5))))
    report = way(history, GIVEN, tmp_path, on_duplicate="update")
    assert (report.updated, report.skipped, report.rejected) == (3, 1, 0)
    assert [(problem.uuid, problem.code) for problem in report.warnings] == [
        ("2", "conflict"),
        ("3", "conflict"),
    ]
    assert [(each["note"], each["lines"][0]["note"]) for each in history.iter_runs("run")] == [
        (None, None),
        ("LOUD RUN", None),
        (None, "LOUD LINE"),
        ("quiet", "QUIET"),
    ]


def test_runs_that_wait_for_others_are_looked_at_too(shouting, tune):
    base = orm.declarative_base()
    of_run = model(
        base,
        "Run",
        code=text(unique=True),
        note=text(),
        next_id=to("runs"),
        next=relationship("Run", remote_side="Run.id"),
    )
    code = histio.Text(required=True)
    schema = run(of_run, code=code, note=note, next=histio.Slug("next", key="code", allow_none=True))
    tune(batch=1)
    given = [
        {"id": n, "code": f"r{n}", "note": each, "next": following}
        for n, each, following in [(1, "loud", "r2"), (2, "loud", "r1"), (3, None, "r4"), (4, "loud", None)]
    ]
    report = History(shouting(base.metadata), schema).import_document(document(*given))
    assert report.imported == 4
    assert sorted(problem.uuid for problem in report.warnings) == ["1", "2", "4"]


@pytest.mark.parametrize("full", [False, True])
def test_another_value_than_the_database_computes_is_a_warning(create, tune, full):
    base = orm.declarative_base()
    of_run = model(
        base,
        "Run",
        number=sa.Column(sa.Integer),
        double=sa.Column(sa.Integer, sa.Computed("number * 2", persisted=True)),
    )
    whole = histio.Integer(allow_none=True)
    schema = run(of_run, number=whole, double=whole)
    history = History(create(base.metadata), schema)
    tune(full_path_only=full)
    given = document(*({"id": n, "number": n, "double": double} for n, double in [(1, 2), (2, 5), (3, 6)]))
    report = history.import_document(given)
    assert (report.imported, [problem.pointer for problem in report.warnings]) == (3, ["/runs/1/double"])
    assert report.warnings[0].message.endswith("/double: document 5, database 4")
    changed = document({"id": 1, "number": 4, "double": 7}, {"id": 3, "number": 3, "double": 7})
    report = history.import_document(changed, on_duplicate="update")
    assert (report.updated, report.skipped) == (1, 1)
    assert [problem.pointer for problem in report.warnings] == ["/runs/0/double"]


@pytest.mark.parametrize("dialect", ["mariadb"], indirect=True)
def test_a_time_that_the_server_renews_is_what_the_document_says(create):
    engine = create(Base.metadata)
    with engine.begin() as connection:
        for table in ("runs", "items"):
            connection.execute(
                sa.text(
                    f"ALTER TABLE {table} MODIFY edited_at datetime(6) NOT NULL "
                    "DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6)"
                )
            )
    history = History(engine, Schema)
    history.import_document(document(of(1), of(2)))
    given = document(of(1, "new"), of(2, None, "new"))
    report = history.import_document(given, on_duplicate="update")
    assert (report.updated, report.warnings) == (2, ())
    assert list(history.iter_runs("run")) == given["runs"]


@pytest.mark.parametrize("stored", [[], [{"id": 1, "version": 3, "note": "a", "edited_at": LATE}]])
def test_times_stay_as_they_are_when_a_version_counter_is_set(create, stored):
    base = orm.declarative_base()

    class Run(base):
        __tablename__ = "runs"
        id = sa.Column(sa.Integer, primary_key=True)
        version = sa.Column(sa.Integer, nullable=False)
        note = sa.Column(sa.String(20))
        edited_at = sa.Column(sa.DateTime, onupdate=dt.datetime.now)
        __mapper_args__ = {"version_id_col": version}

    whole = histio.Integer(required=True)
    history = History(create(base.metadata), run(Run, version=whole, note=note, edited_at=time))
    history.import_document(document(*stored))
    given = {"id": 1, "version": 7, "note": "b", "edited_at": EARLY}
    report = history.import_document(document(given), on_duplicate="update")
    assert (report.imported + report.updated, report.rejected) == (1, 0)
    assert list(history.iter_runs("run")) == [given]


def test_the_database_is_asked_for_triggers_once(create, count_statements):
    engine = create(Base.metadata)
    statements = count_statements(engine)
    History(engine, Schema).import_document(document(*map(of, range(1, 1200))))
    assert len([each for each in statements.all if "trigger" in each.lower()]) <= 2
