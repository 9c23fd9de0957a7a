"""Runs that refer to each other in a circle."""

from __future__ import annotations

import asyncio
import copy
import functools
import json
import logging
import uuid

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Session, relationship

import histio
from histio import History
from histio.importing.graph import BLANK, HARD, LATE, Need
from histio.importing.spool import Spool
from histio.resolving.circles import circle_warnings
from histio.tuning import tuned
from tests.support.bakery import number
from tests.support.conformance import check_host
from tests.support.effort import examples
from tests.support.reports import codes_of, outcomes

TIME = "2025-12-10T00:00:00Z"
KEYS = {
    "nullable": {"nullable": True},
    "deferrable": {"nullable": False, "deferrable": True},
    "deferred": {"nullable": False, "deferrable": True, "initially": "DEFERRED"},
    "neither": {"nullable": False},
}
# MariaDB does not take the word; its tables are made without it.
MADE = {("deferrable", "mariadb"): "neither", ("deferred", "mariadb"): "neither"}
CAN = {(key, dialect) for key in KEYS for dialect in ("sqlite", "postgresql", "mariadb")} - {
    ("neither", "postgresql"),
    ("neither", "mariadb"),
    ("deferrable", "mariadb"),
    ("deferred", "mariadb"),
}


@functools.cache
class Host:
    """Nodes with a parent, a list of nodes, and edges that lead to nodes."""

    def __init__(self, key="nullable", *, listener=False):
        nullable, constraint = KEYS[key]["nullable"], {**KEYS[key]}
        del constraint["nullable"]
        self.base = orm.declarative_base()
        self.friends = sa.Table(
            "friends",
            self.base.metadata,
            sa.Column("node_id", sa.ForeignKey("nodes.id"), primary_key=True),
            sa.Column("friend_id", sa.ForeignKey("nodes.id"), primary_key=True),
        )
        self.edge = type(
            "Edge",
            (self.base,),
            {
                "__tablename__": "edges",
                "id": sa.Column(sa.Integer, primary_key=True),
                "uuid": sa.Column(sa.String(36), unique=True, nullable=False),
                "node_id": sa.Column(sa.ForeignKey("nodes.id"), nullable=False),
                "target_id": sa.Column(sa.ForeignKey("nodes.id"), nullable=False),
                "target": relationship("Node", foreign_keys="Edge.target_id"),
            },
        )
        self.node = type(
            "Node",
            (self.base,),
            {
                "__tablename__": "nodes",
                "__table_args__": (sa.CheckConstraint("name <> 'refused'", name="ck_name"),),
                "id": sa.Column(sa.Integer, primary_key=True),
                "uuid": sa.Column(sa.String(36), unique=True, nullable=False),
                "name": sa.Column(sa.String(20), nullable=False),
                "parent_id": sa.Column(sa.ForeignKey("nodes.id", **constraint), nullable=nullable),
                "updated_at": sa.Column(
                    sa.DateTime,
                    nullable=False,
                    default=sa.func.now(),
                    onupdate=sa.func.now(),
                ),
                "parent": relationship("Node", remote_side="Node.id"),
                "edges": relationship("Edge", foreign_keys="Edge.node_id"),
                "friends": relationship(
                    "Node",
                    secondary=self.friends,
                    primaryjoin="Node.id == friends.c.node_id",
                    secondaryjoin="Node.id == friends.c.friend_id",
                ),
            },
        )
        if listener:
            sa.event.listen(self.node, "before_insert", lambda *_: None)

        class EdgeSchema(histio.RecordSchema):
            class Meta:
                model = self.edge

            uuid = histio.RunUUID(required=True)
            target = histio.RunRef("target", required=True)

        class NodeSchema(histio.RunSchema):
            class Meta:
                model, kind, collection, timestamp = self.node, "node", "nodes", None

            uuid = histio.RunUUID(required=True)
            name = histio.Text(required=True)
            updated_at = histio.UtcTimestamp(required=True)
            parent = histio.RunRef("parent", **({"allow_none": True} if nullable else {"required": True}))
            edges = Nested(EdgeSchema, many=True)
            friends = histio.SlugList("friends", key="uuid")

        self.schema = NodeSchema

    def history(self, create, made=None):
        return History(create((made or self).base.metadata), self.schema)


def node(n, parent=None, *targets, friends=(), **members):
    edges = [
        {"uuid": number(1000 + 10 * n + place), "target": number(target)}
        for place, target in enumerate(targets)
    ]
    record = {
        "uuid": number(n),
        "name": f"node {n}",
        "updated_at": "2020-01-01T00:00:00Z",
        "parent": parent and number(parent),
        "edges": edges,
        "friends": [number(friend) for friend in friends],
    }
    return record | members


def nodes(*records):
    return {"version": "1.0", "exported_at": TIME, "nodes": list(records)}


def stored(history, kind="node"):
    return list(history.iter_runs(kind))


def stream(document, kind="node", collection="nodes"):
    lines = [{"header": {"version": "1.0", "kinds": [kind], "sealed": False}}]
    lines += [{kind: record} for record in document[collection]]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def by_document(history, document, tmp_path, **options):
    return history.import_document(document, **options)


def by_stream(history, document, tmp_path, **options):
    path = tmp_path / "nodes.jsonl"
    path.write_bytes(stream(document))
    return history.import_file(path, **options)


def by_file(history, document, tmp_path, **options):
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(document))
    return history.import_file(path, **options)


def in_parts(history, document, tmp_path, **options):
    return by_stream(history, document, tmp_path, commit_every=1, **options)


def atomically(history, document, tmp_path, **options):
    return by_document(history, document, tmp_path, atomic=True, **options)


WAYS = [by_document, by_stream, by_file, in_parts, atomically]

# Every run has a parent, so that they fit where the key takes no null.
SHAPES = {
    "its own parent": [node(1, 1)],
    "parent and child both ways": [node(1, 2), node(2, 1)],
    "a ring, and who leads to it": [node(1, 2), node(2, 3), node(3, 4), node(4, 2), node(5, 1), node(6, 6)],
    "entries both ways": [node(1, 1, 2), node(2, 2, 1, 1), node(3, 3, 3)],
    "entries one way, parents the other": [node(1, 2), node(2, 2, 1, 3), node(3, 1)],
    "lists both ways": [node(1, 1, friends=[2]), node(2, 2, friends=[1, 2]), node(3, 3, friends=[1, 2])],
}


@pytest.mark.turns
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key", KEYS)
def test_a_circle_comes_back_as_it_was_wherever_the_key_allows_it(key, shape, create, dialect, tune):
    tune(batch=2)
    history = Host(key).history(create, Host(MADE.get((key, dialect), key)))
    document = nodes(*SHAPES[shape])
    expected = document["nodes"] if (key, dialect) in CAN else []
    report = history.import_document(document)
    assert outcomes(report) == (len(expected), 0, len(document["nodes"]) - len(expected))
    assert stored(history) == expected
    assert {code for _, code in codes_of(report.problems)} <= {"unknown-reference"}
    assert len({each.index for each in history.check(document)}) == report.rejected or expected


@pytest.mark.slow
@pytest.mark.parametrize("listener", [False, True])
@pytest.mark.parametrize(
    ("way", "shape"),
    # Every way has the ring, in which most can go wrong.
    [(way, "a ring, and who leads to it") for way in WAYS]
    + [(by_document, "entries both ways"), (by_stream, "lists both ways")],
)
def test_a_circle_comes_in_whichever_way(way, shape, listener, sqlite_of, tmp_path, tune):
    tune(batch=2)
    host = Host(listener=listener)
    history, document = host.history(sqlite_of), nodes(*SHAPES[shape])
    assert bool(history.import_document(nodes()).unit_of_work) is listener
    trial = by_stream(history, document, tmp_path, dry_run=True)
    assert stored(history) == []
    report = way(history, document, tmp_path)
    assert outcomes(report) == outcomes(trial) == (len(SHAPES[shape]), 0, 0)
    assert stored(history) == document["nodes"]
    assert outcomes(way(history, document, tmp_path, on_duplicate="verify")) == (0, len(SHAPES[shape]), 0)


@pytest.mark.slow
@pytest.mark.parametrize("listener", [False, True])
def test_a_unit_of_work_writes_circles_on_every_database(listener, create):
    history = Host(listener=listener).history(create)
    document = nodes(*(record for shape in ("a ring, and who leads to it",) for record in SHAPES[shape]))
    document["nodes"][0]["edges"] = node(1, 2, 4, 6)["edges"]
    history.import_document(document)
    assert stored(history) == document["nodes"]


FAULTS = [
    ("a form", {"name": 7}, "schema"),
    ("an entry", {"edges": [{"uuid": number(7), "target": number(77)}]}, "unknown-reference"),
    ("a constraint", {"name": "refused"}, "constraint"),
]


@pytest.mark.turns
@pytest.mark.slow
@pytest.mark.parametrize("window", [1, 2, 500])
@pytest.mark.parametrize(("fault", "members", "code"), FAULTS, ids=[name for name, *_ in FAULTS])
def test_who_is_in_a_circle_with_a_rejected_run_is_rejected_and_no_reference_is_lost(
    fault, members, code, window, create, tune
):
    tune(batch=window)
    history = Host().history(create)
    ring = [node(1, 2), node(2, 3), node(3, 1) | members, node(4, 1), node(5, 5), node(6, 7), node(7, 6)]
    report = history.import_document(nodes(*ring, node(8)))
    assert outcomes(report) == (4, 0, 4)
    assert stored(history) == [*ring[4:], node(8)]
    first, *_, last = report.problems
    assert (first.pointer, first.hint) == ("/nodes/0/parent", "/nodes/1 has it, but is rejected")
    assert (last.pointer, last.hint) == ("/nodes/3/parent", "/nodes/0 has it, but is rejected")
    assert code in [each.code for each in report.problems if each.index == 2]
    again = history.import_document(nodes(*ring, node(8)), atomic=True)
    assert (again.imported, again.rejected) == (0, 4)


@pytest.mark.slow
def test_rejects_of_a_circle_can_be_imported_once_one_of_them_is_mended(sqlite_of, tmp_path):
    history = Host().history(sqlite_of)
    (tmp_path / "in.jsonl").write_bytes(stream(nodes(node(1, 2), node(2, 1, name="refused"))))
    assert history.import_file(tmp_path / "in.jsonl", rejects=tmp_path / "out.jsonl").rejected == 2
    (tmp_path / "out.jsonl").write_text((tmp_path / "out.jsonl").read_text().replace("refused", "node 2"))
    assert outcomes(history.import_file(tmp_path / "out.jsonl")) == (2, 0, 0)
    assert stored(history) == [node(1, 2), node(2, 1)]


def test_a_run_that_comes_twice_in_a_circle_is_imported_once(sqlite_of, tune):
    tune(batch=2)
    history = Host().history(sqlite_of)
    report = history.import_document(nodes(node(1, 2), node(1, 2), node(3, 1), node(2, 3), node(2, 3)))
    assert outcomes(report) == (3, 2, 0)
    assert {each.code for each in report.warnings} == {"duplicate-in-document"}


@pytest.mark.slow
@pytest.mark.parametrize("window", [1, 500])
def test_an_update_closes_a_circle(window, create, tune):
    tune(batch=window)
    history = Host().history(create)
    history.import_document(nodes(node(1), node(2)))
    closed = [node(1, 3, 2), node(2, 1, 1), node(3, 4, friends=[1]), node(4, 2)]
    report = history.import_document(nodes(*closed), on_duplicate="update")
    assert (report.imported, report.updated, report.rejected) == (2, 2, 0)
    assert stored(history) == closed


def test_slugs_are_renamed_in_a_circle(sqlite_of):
    history = Host().history(sqlite_of)
    document = nodes(node(1, 9), node(2, 1))
    assert outcomes(history.import_document(document, rename={"parent": {number(9): number(2)}})) == (2, 0, 0)
    assert stored(history) == [node(1, 2), node(2, 1)]


@pytest.mark.slow
def test_an_import_in_a_lent_session_leaves_its_work_and_its_constraints_as_they_were(create, dialect):
    host = Host("deferrable" if dialect == "postgresql" else "nullable")
    engine = create(host.base.metadata)
    with Session(engine) as session:
        session.add(host.node(uuid=number(9), name="own", id=99, parent_id=99))
        report = History(session, host.schema).import_document(nodes(node(1, 2), node(2, 1)))
        assert report.imported == 2
        with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
            session.execute(sa.update(host.node).values(parent_id=12345))
        session.rollback()
    assert stored(History(engine, host.schema)) == []


@pytest.mark.slow
def test_the_second_step_is_one_executemany_for_each_batch(sqlite_of, count_statements, tmp_path):
    host = Host()
    engine = sqlite_of(host.base.metadata)
    history, statements = History(engine, host.schema), count_statements(engine)
    (tmp_path / "ring.jsonl").write_bytes(
        stream(nodes(*(node(n + 1, (n + 1) % 1200 + 1) for n in range(1200))))
    )
    assert history.import_file(tmp_path / "ring.jsonl").imported == 1200
    assert len(statements.matching("UPDATE nodes")) == 3


@pytest.mark.slow
def test_a_long_chain_of_references_takes_two_steps_and_not_one_for_each_link(sqlite_of, count_statements):
    host = Host()
    engine = sqlite_of(host.base.metadata)
    history, statements = History(engine, host.schema), count_statements(engine)
    chain = [*(node(n, n + 1) for n in range(1, 400)), node(400)]
    assert history.import_document(nodes(*chain)).imported == 400
    assert len(statements.all) < 60
    assert stored(history) == chain


@pytest.mark.slow
def test_a_long_chain_goes_in_though_the_database_forbids_a_null_but_at_its_end(create):
    base = orm.declarative_base()

    class Run(base):
        __tablename__ = "runs"
        __table_args__ = (sa.CheckConstraint("parent_id IS NOT NULL OR number = 1", name="ck_parent"),)
        id = sa.Column(sa.Integer, primary_key=True)
        number = sa.Column(sa.Integer, unique=True, nullable=False)
        parent_id = sa.Column(sa.ForeignKey("runs.id"))
        parent = relationship("Run", remote_side=[id])

    class RunSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Run, "run", "runs", None, "number"

        number = histio.Integer(required=True)
        parent = histio.Slug("parent", key="number", allow_none=True)

    history = History(create(base.metadata), RunSchema)
    chain = [{"number": n, "parent": n - 1 or None} for n in range(1, 31)]
    report = history.import_document({"version": "1.0", "runs": [*chain[::-1], {"number": 99, "parent": 99}]})
    assert (report.imported, codes_of(report.problems)) == (30, [("/runs/30", "constraint")])
    assert stored(history, "run") == chain


def test_what_the_database_does_by_itself_on_an_update_does_not_touch_a_run_in_a_circle(create, dialect):
    host = Host()
    history = host.history(create)
    history.import_document(nodes(node(1, 2), node(2, 1)))
    assert {each["updated_at"] for each in stored(history)} == {"2020-01-01T00:00:00Z"}


# --- kinds ---------------------------------------------------------------------------------------------


@functools.cache
def poultry(key="nullable"):
    """Hens and eggs, each of which names one of the other kind."""
    nullable, constraint = KEYS[key]["nullable"], {**KEYS[key]}
    del constraint["nullable"]
    base, kinds = orm.declarative_base(), []
    named = {"allow_none": True} if nullable else {"required": True}
    for name, other in (("egg", "hen"), ("hen", "egg")):
        to_other = sa.ForeignKey(f"{other}s.id", name=f"fk_{name}", use_alter=True, **constraint)
        attributes = {
            "__tablename__": f"{name}s",
            "id": sa.Column(sa.Integer, primary_key=True),
            "uuid": sa.Column(sa.String(36), unique=True, nullable=False),
            f"{other}_id": sa.Column(to_other, nullable=nullable),
            other: relationship(other.title(), foreign_keys=f"{name.title()}.{other}_id"),
        }
        model_of = type(name.title(), (base,), attributes)
        meta = type(
            "Meta", (), {"model": model_of, "kind": name, "collection": f"{name}s", "timestamp": None}
        )
        members = {"uuid": histio.RunUUID(required=True), other: histio.RunRef(other, **named)}
        kinds.append(type(f"{name.title()}Schema", (histio.RunSchema,), {"Meta": meta, **members}))
    return base.metadata, kinds


def farm():
    eggs = [{"uuid": number(n), "hen": number(10 + n)} for n in (1, 2, 3)]
    hens = [{"uuid": number(10 + n), "egg": number(n % 3 + 1)} for n in (1, 2, 3)]
    return {"version": "1.0", "exported_at": TIME, "eggs": eggs, "hens": hens}


@pytest.mark.parametrize("key", KEYS)
def test_kinds_that_refer_to_each_other_are_imported(key, create, dialect):
    metadata, _ = poultry(MADE.get((key, dialect), key))
    _, kinds = poultry(key)
    for order in (kinds, kinds[::-1]):
        history = History(create(metadata), *order)
        assert history.kinds == tuple(kind.Meta.kind for kind in order)
        report = history.import_document(farm())
        assert report.imported == (6 if (key, dialect) in CAN else 0)
        found = history.export_document()
        assert (found["eggs"] == farm()["eggs"]) is ((key, dialect) in CAN)


@pytest.mark.parametrize(
    ("key", "dialect_name", "stuck"),
    [
        ("nullable", "postgresql", []),
        ("deferrable", "postgresql", []),
        ("deferred", "postgresql", []),
        ("neither", "postgresql", ["egg", "hen"]),
        ("neither", "sqlite", []),
        ("nullable", "mariadb", []),
        ("deferrable", "mariadb", ["egg", "hen"]),
    ],
)
def test_kinds_that_no_import_can_write_are_explained(key, dialect_name, stuck, databases, caplog):
    _, kinds = poultry(key)
    metadata, _ = poultry(MADE.get((key, dialect_name), key))
    engine = databases.of_host(dialect_name)(metadata)
    history = History(engine, *kinds)
    problems = list(circle_warnings(history.bound.kinds, engine.dialect))
    assert [(each.kind, each.severity, each.code) for each in problems] == [
        (kind, "warning", "constraint") for kind in stuck
    ]
    assert history.explain().count("No import can write these runs") == len(stuck)
    with caplog.at_level(logging.WARNING, "histio"):
        history.export_document()
    assert caplog.text == ""


@pytest.mark.slow
def test_an_export_warns_of_kinds_that_no_import_can_write(databases, caplog, tmp_path):
    host = Host("neither")
    engine = databases.of_host("mariadb")(
        host.base.metadata, host.node(id=1, uuid=number(1), name="x", parent_id=1)
    )
    empty = databases.of_host("mariadb")(host.base.metadata, number=1)
    history = History(engine, host.schema)
    with caplog.at_level(logging.WARNING, "histio"):
        document = history.export_document()
    assert "export of node: No import can write these runs" in caplog.text
    assert "nodes.parent_id" in caplog.text
    exported = history.export_file(tmp_path / "nodes.jsonl")
    assert (exported.exported, exported.warning_count) == (1, 1)
    assert "nodes.parent_id" in exported.warnings[0].message
    [problem] = History(empty, host.schema).import_document(document).problems
    assert problem.hint == "/nodes/0 has it, but is rejected or refers back in a circle"


@pytest.mark.thorough
@pytest.mark.parametrize(("key", "first"), [("nullable", lambda _: None), ("deferrable", lambda key: key)])
def test_the_conformance_kit_takes_kinds_that_refer_to_each_other(key, first, databases):
    metadata, kinds = poultry(key)
    history = History(databases.of_host("postgresql")(metadata), *kinds)
    egg, hen = (kind.Meta.model for kind in kinds)

    def make_runs(session, count):
        session.execute(sa.text("SET CONSTRAINTS ALL DEFERRED"))
        keys = range(900, 900 + count // 2)
        hens = [hen(id=key, uuid=str(uuid.uuid4()), egg_id=first(key)) for key in keys]
        session.add_all(hens)
        session.flush()
        session.add_all([egg(id=key, uuid=str(uuid.uuid4()), hen_id=key) for key in keys])
        session.flush()
        for each in hens:
            each.egg_id = each.id

    skipped = check_host(history, make_runs=make_runs)
    assert [each for each in skipped if "refer to each other" not in each] == []


# --- models --------------------------------------------------------------------------------------------


@functools.cache
def tasks(*, listener):
    """Tasks known by slugs that lead on to others and back, and bigger ones, in a table of their own."""
    base = orm.declarative_base()

    class Task(base):
        __tablename__ = "tasks"
        id = sa.Column(sa.Integer, primary_key=True)
        slug = sa.Column(sa.String(20), nullable=False, unique=True)
        next_id = sa.Column(sa.ForeignKey("tasks.id"))
        kind = sa.Column(sa.String(10), nullable=False)
        next = relationship("Task", remote_side=[id], back_populates="previous")
        previous = relationship("Task", back_populates="next")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "task"}

    class Big(Task):
        __tablename__ = "bigs"
        id = sa.Column(sa.ForeignKey("tasks.id"), primary_key=True)
        boss_id = sa.Column(sa.ForeignKey("tasks.id"))
        boss = relationship("Task", foreign_keys=[boss_id])
        __mapper_args__ = {"polymorphic_identity": "big", "inherit_condition": id == Task.id}

    class TaskSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Task, "task", "tasks", None, "slug"

        slug = histio.Slug(required=True)
        next = histio.Slug("next", key="slug", allow_none=True)

    class BigSchema(TaskSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Big, "big", "bigs", None, "slug"

        boss = histio.Slug("boss", key="slug", allow_none=True)

    if listener:
        sa.event.listen(Task, "before_insert", lambda *_: None, propagate=True)
    return base.metadata, TaskSchema, BigSchema


def leading(collection, **leads):
    """Tasks by slug, each with the slug of the next one."""
    records = [{"slug": slug, "next": to} for slug, to in leads.items()]
    return {"version": "1.0", "exported_at": TIME, collection: records}


@pytest.mark.slow
@pytest.mark.parametrize("listener", [False, True])
def test_natural_keys_and_relationships_back_lead_in_circles_that_updates_change(listener, create):
    metadata, schema, _ = tasks(listener=listener)
    history = History(create(metadata), schema)
    first, then = leading("tasks", a="b", b="a", c="c"), leading("tasks", a="c", b="b", c="a")
    assert outcomes(history.import_document(first)) == (3, 0, 0)
    assert stored(history, "task") == first["tasks"]
    report = history.import_document(then, on_duplicate="update")
    assert (report.updated, report.rejected) == (3, 0)
    assert stored(history, "task") == then["tasks"]


def test_circles_lead_over_the_tables_of_an_inheritance(create):
    metadata, _, schema = tasks(listener=False)
    history = History(create(metadata), schema)
    document = leading("bigs", a="b", b="a", c="c")
    for record, boss in zip(document["bigs"], ("c", "b", None), strict=True):
        record["boss"] = boss
    assert outcomes(history.import_document(document)) == (3, 0, 0)
    assert stored(history, "big") == document["bigs"]


@pytest.mark.slow
def test_an_asynchronous_history_imports_circles(tmp_path):
    host = Host()
    document = nodes(*SHAPES["entries both ways"], node(4, 5), node(5, 4))

    async def run():
        engine = histio.create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/async.db")
        async with engine.begin() as connection:
            await connection.run_sync(host.base.metadata.create_all)
        history = histio.AsyncHistory(engine, host.schema)
        report = await history.import_document(document)
        exported = await history.export_document()
        await engine.dispose()
        return report, exported

    report, exported = asyncio.run(run())
    assert (outcomes(report), exported["nodes"]) == ((5, 0, 0), document["nodes"])


@pytest.mark.parametrize("window", [1, 500])
def test_a_check_tells_which_runs_of_a_circle_would_be_rejected(window, sqlite_of, tmp_path, tune):
    tune(batch=window)
    history = Host().history(sqlite_of)
    ring = [node(1, 2), node(2, 1), node(3, 4), node(4, 5), node(5, 3, 9), node(6, 3), node(7, 7, 1)]
    (tmp_path / "ring.jsonl").write_bytes(stream(nodes(*ring)))
    found = list(histio.check_file(tmp_path / "ring.jsonl", history=history))
    assert [(each.index, each.pointer) for each in found] == [
        (2, "/node/parent"),
        (3, "/node/parent"),
        (4, "/node/parent"),
        (4, "/node/edges/0/target"),
        (5, "/node/parent"),
    ]
    assert [each.hint for each in found][:2] == [f"line {line} has it, but is rejected" for line in (5, 6)]
    assert [each.pointer for each in history.check(nodes(*ring))] == [
        each.pointer.replace("/node", f"/nodes/{each.index}") for each in found
    ]


def test_constants_keep_the_circles_of_tenants_apart(sqlite_of):
    base = orm.declarative_base()

    class Run(base):
        __tablename__ = "runs"
        __table_args__ = (sa.UniqueConstraint("tenant", "number"),)
        id = sa.Column(sa.Integer, primary_key=True)
        tenant = sa.Column(sa.Integer, nullable=False)
        number = sa.Column(sa.Integer, nullable=False)
        parent_id = sa.Column(sa.ForeignKey("runs.id"))
        parent = relationship("Run", remote_side=[id])

    class RunSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Run, "run", "runs", None, "number"

        number = histio.Integer(required=True)
        parent = histio.Slug("parent", key="number", allow_none=True)

    engine = sqlite_of(base.metadata)
    for tenant, turn in ((1, 1), (2, 2)):
        records = [{"number": n, "parent": (n + turn) % 3} for n in range(3)]
        history = History(engine, RunSchema, values={"tenant": tenant})
        assert history.import_document({"version": "1.0", "runs": records}).imported == 3
    parent = sa.orm.aliased(Run)
    chosen = sa.select(Run.tenant, Run.number, parent.tenant, parent.number).join(parent, Run.parent)
    with Session(engine) as session:
        assert session.execute(chosen.order_by(Run.id)).all() == [
            (tenant, n, tenant, (n + tenant) % 3) for tenant in (1, 2) for n in range(3)
        ]


# --- any graph -----------------------------------------------------------------------------------------


def expected_of(records):
    """The largest set of right runs all of whose references lead to runs of the set."""
    left = {each["uuid"]: each for each in records if each["name"] not in ("refused", 7)}
    while True:
        lost = [own for own, each in left.items() if not _named(each) <= left.keys()]
        if not lost:
            return [left[own] for own in sorted(left)]
        for own in lost:
            del left[own]


def _named(record):
    parents = {record["parent"]} - {None}
    return parents | {edge["target"] for edge in record["edges"]} | set(record["friends"])


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 7))
    anyone = st.integers(1, size + draw(st.integers(0, 1)))  # sometimes one that is missing
    order = draw(st.permutations(range(1, size + 1)))
    return [
        node(
            n,
            draw(st.none() | anyone),
            *draw(st.lists(anyone, max_size=2)),
            friends=draw(st.lists(anyone, max_size=2, unique=True).map(sorted)),
            name=draw(st.sampled_from(["node"] * 8 + ["refused", 7])),
        )
        for n in order
    ]


@pytest.fixture(scope="module", params=[False, True], ids=["bulk", "unit of work"])
def garden(request, databases):
    host = Host(listener=request.param)
    engine = databases.of_host("sqlite")(host.base.metadata, number=7)
    return host, engine, History(engine, host.schema)


@pytest.mark.slow
@settings(max_examples=examples(40))
@given(records=graphs(), window=st.sampled_from([1, 2, 500]), by=st.sampled_from([by_document, by_stream]))
def test_of_any_graph_of_runs_exactly_those_go_in_whose_references_all_do(
    garden, records, window, by, tmp_path_factory
):
    host, engine, history = garden
    with engine.begin() as connection:
        connection.execute(sa.update(host.node).values(parent_id=None))
        for table in (host.friends, host.edge.__table__, host.node.__table__):
            connection.execute(sa.delete(table))
    before = copy.deepcopy(records)
    with tuned(batch=window):
        report = by(history, nodes(*records), tmp_path_factory.getbasetemp())
    expected = expected_of(records)
    assert stored(history) == expected
    assert outcomes(report) == (len(expected), 0, len(records) - len(expected))
    assert records == before


def solvable(needs):
    """The largest set of nodes whose needs lead into it, and whose HARD needs lead in no circle."""
    largest = set(needs)
    while True:
        ordered = set()
        while more := {
            each
            for each in largest - ordered
            if all(to in (ordered if softness == HARD else largest) for to, softness in needs[each])
        }:
            ordered |= more
        if ordered == largest:
            return largest
        largest = ordered


@given(
    needs=st.integers(1, 8).flatmap(
        lambda size: st.fixed_dictionaries(
            {
                n: st.lists(st.tuples(st.integers(0, size), st.sampled_from([HARD, LATE, BLANK])), max_size=2)
                for n in range(size)
            }
        )
    )
)
def test_of_any_graph_those_are_solved_that_a_reference_implementation_finds(needs):
    with Spool() as spool:
        for n, names in needs.items():
            spool.graph.add(n, [str(n)], [Need((str(to),), softness) for to, softness in names])
        count = spool.graph.solve()
        levels = {n: level for n, level, _ in spool.graph.runs()}
    assert count == len(levels)
    assert levels.keys() == solvable(needs)
    assert all(levels[to] < levels[n] for n in levels for to, softness in needs[n] if softness == HARD)
