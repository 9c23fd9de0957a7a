"""What imports work out once: what may change between two of them is seen all the same."""

import decimal
import gc
import threading
import weakref

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column

import histio
from histio import History
from tests.support.bakery import number
from tests.support.reports import outcomes


@pytest.fixture
def host():
    """The base and the schema of a host with a model of its own, so that tests can change it."""
    base = orm.declarative_base()

    class Part(base):
        __tablename__ = "planned_parts"
        id: Mapped[int] = mapped_column(primary_key=True)
        uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
        weight: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(10, 4))
        note: Mapped[str | None] = mapped_column(sa.String(100))

    class PartSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, unbound = Part, "part", "parts", None, "ignore"

        uuid = histio.RunUUID(required=True)
        weight = histio.FixedDecimal(required=True)
        note = histio.Text(allow_none=True)

    return base.metadata, Part, PartSchema


def parts(*numbers, **members):
    return {
        "version": "1.0",
        "parts": [{"uuid": number(n), "weight": "1.5000", "note": None, **members} for n in numbers],
    }


@pytest.fixture
def engine(create, host):
    return create(host[0])


@pytest.fixture
def history(engine, host):
    """A history that has imported and exported before."""
    found = History(engine, host[2])
    assert outcomes(found.import_document(parts(1))) == (1, 0, 0)
    assert len(found.export_document()["parts"]) == 1
    return found


@pytest.mark.parametrize("event", ["before_insert", "after_insert"])
def test_a_listener_registered_after_an_import_is_called_by_the_next(history, host, event):
    called = []
    sa.event.listen(host[1], event, lambda _mapper, _connection, row: called.append(row.uuid))
    report = history.import_document(parts(2))
    assert (outcomes(report), called) == ((1, 0, 0), [number(2)])
    assert report.unit_of_work == {"part": (f"Part has {'an' if event[0] == 'a' else 'a'} {event} listener",)}


@pytest.mark.parametrize("event", ["before_insert", "after_insert"])
def test_a_listener_for_all_models_registered_after_an_import_is_called_by_the_next(history, event):
    called = []

    def listener(_mapper, _connection, row):
        called.append(row.uuid)

    sa.event.listen(orm.Mapper, event, listener)
    try:
        assert outcomes(history.import_document(parts(2))) == (1, 0, 0)
    finally:
        sa.event.remove(orm.Mapper, event, listener)
    assert called == [number(2)]


def test_a_listener_for_all_sessions_registered_after_an_import_is_called_by_the_next(history):
    called = []

    def listener(session, _context, _instances):
        called.extend(row.uuid for row in session.new)

    sa.event.listen(orm.Session, "before_flush", listener)
    try:
        assert outcomes(history.import_document(parts(2))) == (1, 0, 0)
    finally:
        sa.event.remove(orm.Session, "before_flush", listener)
    assert called == [number(2)]


def test_a_function_in_values_is_called_by_every_import(engine, host):
    numbers = iter(range(1, 100))

    class Schema(host[2]):
        class Meta:
            exclude = ("note",)

    history = History(engine, Schema, values={"note": lambda: f"import {next(numbers)}"})
    for n in (1, 2, 3):
        document = parts(n)
        del document["parts"][0]["note"]
        assert outcomes(history.import_document(document)) == (1, 0, 0)
    with engine.connect() as connection:
        notes = connection.scalars(sa.select(host[1].note).order_by(host[1].uuid)).all()
    assert notes == ["import 1", "import 2", "import 3"]


def test_a_listener_that_is_removed_again_makes_imports_fast_again(history, host):
    def listener(*_):
        raise AssertionError("it is removed before anything is imported")

    sa.event.listen(host[1], "before_insert", listener)
    assert "before_insert" in history.explain()
    sa.event.remove(host[1], "before_insert", listener)
    assert history.import_document(parts(2)).unit_of_work == {}


def test_a_listener_for_an_attribute_registered_after_an_import_is_called_by_the_next(history, host):
    called = []
    sa.event.listen(host[1].note, "set", lambda _row, value, _old, _event: called.append(value))
    assert outcomes(history.import_document(parts(2, note="new"))) == (1, 0, 0)
    assert called == ["new"]


def test_a_constructor_replaced_after_an_import_is_called_by_the_next(history, host, monkeypatch):
    made = []
    original = host[1].__init__

    def construct(self, **values):
        made.append(values["uuid"])
        original(self, **values)

    monkeypatch.setattr(host[1], "__init__", construct)
    assert outcomes(history.import_document(parts(2))) == (1, 0, 0)
    assert made == [number(2)]


def test_a_load_listener_registered_after_an_export_is_called_by_the_next(history, host):
    called = []
    sa.event.listen(host[1], "load", lambda row, _context: called.append(row.uuid))
    assert len(history.export_document()["parts"]) == 1
    assert called == [number(1)]


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"], indirect=True)
def test_a_column_altered_between_two_imports_keeps_what_it_can(history, engine, dialect):
    verb = {"postgresql": "ALTER COLUMN note TYPE", "mariadb": "MODIFY note"}[dialect]
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE planned_parts {verb} VARCHAR(3)"))
    report = history.import_document(parts(2, note="four"))
    assert outcomes(report) == (0, 0, 1)
    assert report.problems[0].pointer == "/parts/0/note"
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE planned_parts {verb} VARCHAR(30)"))
    assert outcomes(history.import_document(parts(2, note="four"))) == (1, 0, 0)


def test_a_trigger_made_between_two_imports_is_obeyed(sqlite_of, host):
    engine = sqlite_of(host[0])
    history = History(engine, host[2])
    history.import_document(parts(1))
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TRIGGER heavy BEFORE INSERT ON planned_parts WHEN NEW.weight > 5 "
                "BEGIN SELECT RAISE(IGNORE); END"
            )
        )
    report = history.import_document(parts(2, weight="9.0000"))
    assert outcomes(report) == (0, 0, 1)


def test_a_history_keeps_no_engine_alive(tmp_path, host):
    history = History(None, host[2])
    engine = sa.create_engine(f"sqlite:///{tmp_path}/parts.db")
    host[0].create_all(engine)
    with engine.begin() as connection:
        assert outcomes(history.import_document(parts(1), session=connection)) == (1, 0, 0)
        assert len(history.export_document(session=connection)["parts"]) == 1
    del connection
    engine.dispose()
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None


def test_a_history_serves_more_engines_than_it_remembers(tmp_path, host):
    history = History(None, host[2])
    for n in range(20):
        engine = sa.create_engine(f"sqlite:///{tmp_path}/parts{n}.db")
        host[0].create_all(engine)
        with engine.begin() as connection:
            assert outcomes(history.import_document(parts(n), session=connection)) == (1, 0, 0)
        engine.dispose()


def test_threads_share_what_is_worked_out(tmp_path, host):
    engines = [sa.create_engine(f"sqlite:///{tmp_path}/parts{n}.db") for n in range(8)]
    for engine in engines:
        host[0].create_all(engine)
    history, found = History(None, host[2]), []
    start = threading.Barrier(len(engines))

    def work(engine):
        start.wait()
        with engine.begin() as connection:
            found.append(outcomes(history.import_document(parts(*range(50)), session=connection)))
            found.append(len(history.export_document(session=connection)["parts"]))

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()
    assert sorted(map(str, found)) == sorted(map(str, [(50, 0, 0), 50] * len(engines)))


def test_the_columns_of_an_insert_have_the_same_order_in_every_process(sqlite_of):
    base = orm.declarative_base()
    filled = [f"filled_{n}" for n in range(8)]
    columns = {name: sa.Column(sa.Integer) for name in filled}
    members = {"id": sa.Column(sa.Integer, primary_key=True), "uuid": sa.Column(sa.String(36), unique=True)}
    model = type("Filled", (base,), {"__tablename__": "filled", **members, **columns})

    class FilledSchema(histio.RunSchema):
        class Meta:
            kind, collection, timestamp = "filled", "filled", None

        uuid = histio.RunUUID(required=True)

    history = History(sqlite_of(base.metadata), FilledSchema.bind(model), values=dict.fromkeys(filled, 1))
    assert f"filled: uuid, {', '.join(filled)}" in history.explain()
