"""UUIDs in columns of text: the spelling that the rows have decides, and another one is told."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from histio import BindingError, ExportError, History, RunRef, RunSchema, RunUUID
from histio.tuning import tuned
from tests.support.columns import AN_UUID, exported
from tests.support.reports import codes_of

HEX = AN_UUID.replace("-", "")
OTHER = "0" + AN_UUID[1:]


def kind_of(column_type, parent_type=None, **options):
    """A kind of runs that are known by a UUID in such a column, each of which may name another."""
    base = orm.declarative_base()

    class Node(base):
        __tablename__ = "nodes"
        id = sa.Column(sa.Integer, primary_key=True)
        uuid = sa.Column(column_type, unique=True, nullable=False)
        parent_id = sa.Column(sa.ForeignKey("nodes.id"))
        parent = orm.relationship("Node", remote_side=id)

    class NodeSchema(RunSchema):
        class Meta:
            model, kind, collection, timestamp = Node, "node", "nodes", None

        uuid = RunUUID(required=True, **options)
        parent = RunRef("parent", allow_none=True, **options)

    return base.metadata, NodeSchema


def nodes(*records):
    return {"version": "1.0", "exported_at": "2025-12-08T10:00:00Z", "nodes": list(records)}


GIVEN = nodes({"uuid": OTHER, "parent": None}, {"uuid": AN_UUID, "parent": OTHER})


@pytest.mark.parametrize(
    ("column_type", "options", "stored"),
    [
        (sa.String(36), {"form": "hex"}, HEX),
        (sa.String(), {"form": "hex"}, HEX),
        (sa.Text(), {"form": "hex"}, HEX),
        (sa.String(32), {}, HEX),
        (sa.String(40), {}, AN_UUID),
        (sa.CHAR(36), {"form": "hex"}, HEX),
    ],
)
def test_runs_are_written_and_found_in_the_form_of_the_column(databases, column_type, options, stored):
    metadata, kind = kind_of(column_type, **options)
    engine = databases.of_host("sqlite")(metadata)
    history = History(engine, kind)
    assert history.import_document(GIVEN).imported == 2
    with engine.connect() as connection:
        assert connection.scalars(sa.text("SELECT uuid FROM nodes ORDER BY 1")).all()[1] == stored
    assert exported(history)["nodes"] == GIVEN["nodes"]
    with tuned(full_path_only=True):
        assert exported(history)["nodes"] == GIVEN["nodes"]
        assert history.import_document(GIVEN, on_duplicate="verify").skipped == 2
    assert history.import_document(GIVEN, on_duplicate="verify").skipped == 2


def test_hex_in_a_longer_column_is_the_same_on_every_database(create):
    metadata, kind = kind_of(sa.String(36), form="hex")
    history = History(create(metadata), kind)
    assert history.import_document(GIVEN).imported == 2
    assert history.import_document(GIVEN).skipped == 2
    assert exported(history)["nodes"] == GIVEN["nodes"]


@pytest.mark.parametrize("column_type", [sa.String(36), sa.String(32)])
def test_hex_takes_the_fast_path(create, column_type):
    base = orm.declarative_base()
    names = {"__tablename__": "things", "id": sa.Column(sa.Integer, primary_key=True)}
    thing = type("Thing", (base,), names | {"uuid": sa.Column(column_type, unique=True)})
    meta = type("Meta", (), {"model": thing, "kind": "thing", "collection": "things", "timestamp": None})
    uuid = RunUUID(required=True, form="hex")
    kind = type("ThingSchema", (RunSchema,), {"Meta": meta, "uuid": uuid})
    history = History(create(base.metadata), kind)
    assert "full path" not in history.explain()
    given = {"version": "1.0", "things": [{"uuid": AN_UUID.upper()}, {"uuid": OTHER}]}
    assert history.import_document(given).imported == 2
    assert [run["uuid"] for run in history.iter_runs("thing")] == [OTHER, AN_UUID]


@pytest.mark.parametrize(
    ("column_type", "options", "stored", "message"),
    [
        (sa.String(36), {}, HEX, r'stored without hyphens: .* write RunUUID\(form="hex"\)'),
        (sa.String(32), {}, AN_UUID, r'stored with hyphens: .* write RunUUID\(form="hyphenated"\)'),
        (sa.String(36), {"form": "hex"}, AN_UUID, r'stored with hyphens: .* RunUUID\(form="hyphenated"\)'),
        (sa.String(36), {}, AN_UUID.upper(), "stored in upper case: store the lower-case digits"),
        (sa.String(36), {}, HEX.upper(), "stored in upper case: store the lower-case digits"),
        (sa.String(40), {}, f"{{{AN_UUID}}}", "stored with braces or a prefix: .* TypeDecorator"),
        (sa.String(60), {}, f"urn:uuid:{AN_UUID}", "stored with braces or a prefix: .* TypeDecorator"),
        (sa.String(60), {}, "no uuid", "Not a hyphenated UUID"),
    ],
)
def test_another_spelling_is_told_with_what_to_write(sqlite_of, column_type, options, stored, message):
    metadata, kind = kind_of(column_type, **options)
    engine = sqlite_of(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO nodes (uuid) VALUES (?)", (stored,))
    with pytest.raises(ExportError, match=rf"(?s){message}.*The row has '{stored}'"):
        History(engine, kind).export_document()


def test_what_was_told_to_write_works(sqlite_of):
    metadata, kind = kind_of(sa.String(32), form="hyphenated")
    engine = sqlite_of(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO nodes (uuid) VALUES (?)", (AN_UUID,))
    history = History(engine, kind)
    found = exported(history)
    assert [node["uuid"] for node in found["nodes"]] == [AN_UUID]
    assert history.import_document(found).skipped == 1


@pytest.mark.parametrize("column_type", [sa.Uuid(), sa.LargeBinary(16), sa.String(31), sa.Integer()])
def test_a_form_of_text_in_another_column_is_refused(column_type):
    _, kind = kind_of(column_type, form="hex")
    with pytest.raises(BindingError, match="form= is for text"):
        History(None, kind)


def test_a_form_that_there_is_not_is_refused():
    with pytest.raises(BindingError, match='the forms are "hyphenated" and "hex"'):
        RunUUID(form="braces")


def test_a_reference_to_such_a_run_that_is_not_there_is_told(sqlite_of):
    metadata, kind = kind_of(sa.String(36), form="hex")
    history = History(sqlite_of(metadata), kind)
    report = history.import_document(nodes({"uuid": AN_UUID, "parent": OTHER}))
    assert codes_of(report.problems) == [("/nodes/0/parent", "unknown-reference")]
