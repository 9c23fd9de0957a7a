"""Hosts in every style of mapping, written in bulk and by the unit of work: what either way broke."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from marshmallow import fields
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Session, mapped_column, relationship, validates

import histio
from histio import BindingError, ExportError, History
from tests.support.bakery import TIME, number
from tests.support.columns import Size
from tests.support.hosts import brings_back, document, entry, ledger, model, run, text, to, word
from tests.support.mapping_styles import (
    COLLECTIONS,
    STYLES,
    both_ways,
    integer,
    listen,
    listening,
    moves,
)
from tests.support.reports import codes_of, outcomes

MOMENT = dt.datetime.fromisoformat(TIME)


# --- what a host's own code does -----------------------------------------------------------------------


def refuse(row):
    if row.email == "oops":
        raise ValueError("not an e-mail")


def validated(base):
    """A model that refuses a value, and a sessionmaker for it."""

    class Run(base):
        __tablename__ = "runs"
        id = sa.Column(sa.Integer, primary_key=True)
        email = text(50)

        @validates("email")
        def _check(self, _name, value):
            if value == "oops":
                raise ValueError("not an e-mail")
            return value

    return Run, orm.sessionmaker()


def heard_on_insert(base):
    host_run = model(base, "Run", email=text(50))
    sa.event.listen(host_run, "before_insert", lambda _mapper, _connection, row: refuse(row))
    return host_run, orm.sessionmaker()


def heard_on_flush(base):
    maker = orm.sessionmaker()
    sa.event.listen(maker, "before_flush", lambda session, *_: [refuse(row) for row in session.new])
    return model(base, "Run", email=text(50)), maker


@pytest.mark.parametrize("refusing", [validated, heard_on_insert, heard_on_flush])
def test_a_run_that_the_hosts_own_code_refuses_is_rejected_alone(create, refusing):
    base = orm.declarative_base()
    host_run, maker = refusing(base)
    maker.configure(bind=create(base.metadata))
    history = History(None, run(host_run, email=word()))
    given = document(*({"id": n, "email": mail} for n, mail in enumerate(("a@b", "oops", "c@d"), 1)))
    with maker() as session:
        session.add(host_run(id=9, email="mine"))
        report = history.import_document(given, session=session)
        assert (outcomes(report), codes_of(report.problems)) == ((2, 0, 1), [("/runs/1", "constraint")])
        assert "ValueError: not an e-mail" in report.problems[0].message
        session.commit()
        assert session.scalars(sa.select(host_run.id).order_by(host_run.id)).all() == [1, 3, 9]


def test_listeners_find_the_info_of_the_callers_session(sqlite_of):
    base = orm.declarative_base()
    host_run = model(base, "Run", tenant_id=integer())
    maker = orm.sessionmaker(sqlite_of(base.metadata), info={"tenant": 7})

    def stamp(session, *_):
        for row in session.new:
            row.tenant_id = session.info["tenant"]

    with maker() as session, listening(maker, "before_flush", stamp):
        report = History(None, run(host_run)).import_document(document({"id": 1}), session=session)
        assert (report.imported, list(report.unit_of_work)) == (1, ["run"])
        assert session.scalars(sa.select(host_run.tenant_id)).all() == [7]


@both_ways
def test_a_row_that_criteria_of_every_session_hide_is_referred_to_all_the_same(sqlite_of, heard):
    base = orm.declarative_base()
    customer = model(base, "Customer", code=text(), deleted=sa.Column(sa.Boolean))
    to_customer = {"customer_id": to("customers"), "customer": relationship("Customer")}
    host_run = model(base, "Run", **to_customer)
    listen(host_run, heard)

    def hide(state):
        shown = orm.with_loader_criteria(customer, sa.not_(customer.deleted))
        state.statement = state.statement.options(shown)

    kind = run(host_run, customer=histio.Slug("customer", key="code", allow_none=True))
    history = History(sqlite_of(base.metadata, customer(id=3, code="gone", deleted=True)), kind)
    with listening(Session, "do_orm_execute", hide):
        brings_back(history, document({"id": 1, "customer": "gone"}))


def test_an_init_whose_parameters_are_no_attributes_is_passed_over(create):
    base = orm.declarative_base()

    class Run(base):
        __tablename__ = "runs"
        id = sa.Column(sa.Integer, primary_key=True)
        year = integer()

        def __init__(self, when):
            self.year = when.year

    kind = run(Run, year=histio.Integer(required=True))
    report = brings_back(History(create(base.metadata), kind), document({"id": 1, "year": 2025}))
    assert report.unit_of_work == {"run": ("Run has an __init__ of its own",)}


@both_ways
def test_entries_get_what_only_a_default_of_their_owner_knows(create, heard):
    base = orm.declarative_base()
    owned = {"region": text(5), "state": text(5)}
    line = model(base, "Line", run_id=to("runs"), sku=text(), **owned)
    own = {"region": text(5, default="EU"), "state": text(5, server_default="open")}
    host_run = model(base, "Run", lines=relationship("Line"), **own)
    listen(host_run, heard)
    meta = {"from_owner": {"region": "region", "state": "state"}}
    engine = create(base.metadata)
    given = document({"id": 1, "lines": [{"sku": "b"}, {"sku": "a"}]})
    report = brings_back(History(engine, run(host_run, lines=ledger(line, meta, sku=word()))), given)
    assert len(report.unit_of_work) == len(heard)
    with engine.connect() as connection:
        filled = connection.execute(sa.select(line.sku, line.region, line.state).order_by(line.id)).all()
    assert filled == [("b", "EU", "open"), ("a", "EU", "open")]


@both_ways
def test_a_counter_of_versions_that_is_a_member_is_not_begun_anew(create, heard):
    base = orm.declarative_base()
    version = integer()
    host_run = model(base, "Run", version=version, __mapper_args__={"version_id_col": version})
    listen(host_run, heard)
    history = History(create(base.metadata), run(host_run, version=histio.Integer(required=True)))
    brings_back(history, document({"id": 1, "version": 4}))


@both_ways
def test_a_key_that_is_zero_is_no_key_that_the_database_is_to_give(create, heard):
    base = orm.declarative_base()
    host_run = model(base, "Run")
    listen(host_run, heard)
    brings_back(History(create(base.metadata), run(host_run)), document({"id": 0}, {"id": 1}))


# --- ledgers of every kind -------------------------------------------------------------------------------


@pytest.mark.turns
@both_ways
@pytest.mark.parametrize("collection", COLLECTIONS.values(), ids=COLLECTIONS)
def test_entries_kept_in_sets_and_dictionaries_keep_their_order_and_load(create, collection, heard):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs"), sku=text())
    tag = model(base, "Tag", name=text())
    tagged = sa.Table("tagged", base.metadata, to("runs", name="run"), to("tags", name="tag"))
    tags = relationship("Tag", secondary=tagged, collection_class=set)
    lines = relationship("Line", collection_class=collection)
    host_run = model(base, "Run", lines=lines, tags=tags)
    listen(host_run, heard)
    tags = histio.SlugList("tags", key="name")
    kind = run(host_run, tags=tags, lines=ledger(line, sku=word()))
    engine = create(base.metadata, tag(name="a"), tag(name="b"))
    skus = [{"sku": sku} for sku in "dcabzyx"]
    brings_back(History(engine, kind), document({"id": 1, "tags": ["a", "b"], "lines": skus}))
    with Session(engine) as session:
        loaded = kind().load({"id": 2, "tags": ["b"], "lines": [{"sku": "q"}]}, session=session)
        session.add(loaded)
        session.flush()
        assert kind().dump(loaded) == {"id": 2, "tags": ["b"], "lines": [{"sku": "q"}]}


@both_ways
def test_the_entries_of_a_view_only_ledger_are_written(create, heard):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs", nullable=False), sku=text())
    host_run = model(base, "Run", lines=relationship("Line", viewonly=True))
    listen(host_run, heard)
    kind = run(host_run, lines=ledger(line, sku=word()))
    engine = create(base.metadata)
    report = brings_back(History(engine, kind), document({"id": 1, "lines": [{"sku": "b"}, {"sku": "a"}]}))
    assert len(report.unit_of_work) == len(heard)
    with Session(engine) as session, pytest.raises(BindingError, match="'lines' that can be assigned to"):
        kind().load({"id": 2, "lines": [{"sku": "a"}]}, session=session)


@pytest.mark.turns
@both_ways
@pytest.mark.parametrize("lazy", ["dynamic", "write_only"])
def test_ledgers_that_no_option_loads_are_written_and_cost_no_query_per_run(
    create, count_statements, lazy, heard
):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs"), sku=text())
    host_run = model(base, "Run", lines=relationship("Line", lazy=lazy))
    listen(host_run, heard)
    engine = create(base.metadata)
    history = History(engine, run(host_run, lines=ledger(line, sku=word())))
    statements = count_statements(engine)
    counts = set()
    for many in (5, 50):
        lines = [{"sku": "b"}, {"sku": "a"}]
        given = document(*({"id": n, "lines": lines} for n in range(1, many + 1)))
        history.import_document(given)
        statements.clear()
        assert json.dumps(history.export_document(exported_at=MOMENT)) == json.dumps(given)
        counts.add(len(statements.all))
    assert len(counts) == 1


@pytest.mark.slow
def test_deferred_columns_cost_no_query_per_run_and_may_raise_when_loaded_late(sqlite_of, count_statements):
    base = orm.declarative_base()

    def late(**options):
        return mapped_column(sa.Text, deferred=True, **options)

    customer = model(base, "Customer", code=late(), city_id=to("citys"), city=relationship("City"))
    city = model(base, "City", name=late(deferred_raiseload=True))
    line = model(base, "Line", run_id=to("runs"), sku=late(deferred_raiseload=True))
    host_run = model(
        base,
        "Run",
        note=late(),
        big=late(deferred_raiseload=True),
        customer_id=to("customers"),
        customer=relationship("Customer"),
        lines=relationship("Line"),
    )
    slug = histio.Slug("customer", key=("code", "city.name"), required=True)
    members = {"note": word(), "big": word(), "customer": slug, "lines": ledger(line, sku=word())}
    engine = sqlite_of(base.metadata, customer(code="c", city=city(name="Ulm")))
    history = History(engine, run(host_run, **members))
    key = {"customer": {"code": "c", "city.name": "Ulm"}, "lines": [{"sku": "a"}]}
    given = [{"id": n, "note": "n", "big": "b"} | key for n in range(1, 51)]
    statements = count_statements(engine)
    counts = set()
    for many in (5, 50):
        history.import_document(document(*given[:many]))
        statements.clear()
        assert history.export_document()["runs"] == given[:many]
        counts.add(len(statements.all))
    assert len(counts) == 1


def test_a_ledger_of_the_runs_own_model_leaves_and_comes_back(create):
    base = orm.declarative_base()
    task = model(base, "Task", parent_id=to("tasks"), subtasks=relationship("Task"), cost=integer())
    cost = histio.Integer(required=True)
    subtasks = ledger(task, {"identity": "id"}, id=histio.Integer(required=True), cost=cost)
    history = History(create(base.metadata), run(task, cost=cost, subtasks=subtasks))
    given = document({"id": 1, "cost": 5, "subtasks": [{"id": n, "cost": n} for n in (2, 3)]})
    assert outcomes(history.import_document(given)) == (1, 0, 0)
    assert history.export_document(where=task.parent_id.is_(None))["runs"] == given["runs"]


def test_what_cannot_be_read_in_a_ledger_of_the_runs_own_model_is_named(sqlite_of):
    base = orm.declarative_base()
    cost = sa.Column(sa.Numeric(10, 2))
    task = model(base, "Task", parent_id=to("tasks"), subtasks=relationship("Task"), cost=cost)
    subtasks = ledger(task, cost=histio.FixedDecimal(allow_none=True))
    engine = sqlite_of(base.metadata, task(id=1, subtasks=[task(id=2)]), task(id=3))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE tasks SET cost = 1.23456 WHERE id = 2")
    history = History(engine, run(task, subtasks=subtasks))
    found = history.iter_runs("run", where=task.parent_id.is_(None), exact=True)
    assert next(found)["id"] == 3
    with pytest.raises(ExportError, match=r"run 1: cost of 1 is stored as 1\.23456 and read as .*1\.23"):
        next(found)


@both_ways
def test_ledgers_of_one_table_are_told_apart_by_the_constant_of_their_join(create, heard):
    base = orm.declarative_base()
    host_run, kind = moves(base, in_="Move.way == 'in'", out="Move.way == 'out'")
    listen(host_run, heard)
    given = document({"id": 1, "in_": [{"qty": 1}], "out": [{"qty": 2}, {"qty": 3}]})
    brings_back(History(create(base.metadata), kind), given)


@pytest.mark.parametrize(
    "join",
    [
        "Move.qty > 0",
        "Move.way != 'in'",
        "Move.way.is_(None)",
        "Move.way.in_(['in', 'out'])",
        "Move.way.like('i%')",
        "Move.qty == Run.id + 1",
    ],
)
def test_a_join_that_says_more_than_an_import_can_keep_is_refused(join):
    with pytest.raises(BindingError, match="the join of in_ compares more than keys"):
        History(None, moves(orm.declarative_base(), in_=join)[1])


@both_ways
def test_a_key_that_shares_its_tenant_with_the_run_leaves_the_tenant_alone(create, heard):
    base = orm.declarative_base()
    tenant = {"tenant_id": sa.Column(sa.Integer)}
    customer = model(base, "Customer", sa.UniqueConstraint("tenant_id", "no"), no=integer(), **tenant)
    shared = sa.ForeignKeyConstraint(["tenant_id", "customer_no"], ["customers.tenant_id", "customers.no"])
    columns = {"customer_no": sa.Column(sa.Integer), "customer": relationship("Customer")}
    host_run = model(base, "Run", shared, **columns, tenant_id=sa.Column(sa.Integer))
    listen(host_run, heard)
    kind = run(host_run, customer=histio.Slug("customer", key="no", allow_none=True))
    engine = create(base.metadata, customer(tenant_id=1, no=5), customer(tenant_id=2, no=5))
    history = History(engine, kind, values={"tenant_id": 2})
    brings_back(history, document({"id": 1, "customer": None}, {"id": 2, "customer": 5}))
    with engine.connect() as connection:
        assert connection.execute(sa.select(host_run.tenant_id)).scalars().all() == [2, 2]


def test_entries_that_tie_keep_the_order_of_their_keys_whatever_the_database_does(create):
    base = orm.declarative_base()
    columns = {"size": sa.Column(sa.Enum(Size, name="size")), "sku": text(), "seen": sa.Column(sa.Integer)}
    line = model(base, "Line", run_id=to("runs"), **columns)
    host_run = model(base, "Run", lines=relationship("Line", order_by=line.id.desc()))
    members = {"size": histio.Choice(allow_none=True), "sku": word()}
    engine = create(base.metadata)
    history = History(engine, run(host_run, lines=ledger(line, {"order": "size"}, **members)))
    entries = [(None, "z"), (None, "y"), ("LARGE", "x"), ("LARGE", "a"), ("SMALL", "c"), ("SMALL", "b")]
    brings_back(history, document({"id": 1, "lines": [{"size": size, "sku": sku} for size, sku in entries]}))
    with engine.begin() as connection:
        connection.execute(
            sa.update(line).where(line.sku.in_(["x", "z", "c"])).values(seen=1)
        )  # moves PostgreSQL's
    [stored] = history.iter_runs("run")
    assert [each["sku"] for each in stored["lines"]] == [sku for _, sku in entries]


def test_an_enum_that_is_no_member_orders_entries_by_its_texts(sqlite_of):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs"), sku=text(), size=sa.Column(sa.Enum(Size)))
    host_run = model(base, "Run", lines=relationship("Line"))
    row = host_run(lines=[line(sku="b", size=Size.SMALL), line(sku="a", size=Size.LARGE), line(sku="c")])
    kind = run(host_run, lines=ledger(line, {"order": "size"}, sku=word()))
    [stored] = History(sqlite_of(base.metadata, row), kind).iter_runs("run")
    assert stored["lines"] == [{"sku": "c"}, {"sku": "a"}, {"sku": "b"}]


@pytest.mark.slow
def test_definitions_of_schemas_with_one_name_are_kept_apart(sqlite_of):
    base, kinds, given = orm.declarative_base(), [], {}
    for name, member in (("sale", "vat"), ("buy", "gst"), ("rent", "pst"), ("line", "tax")):
        tax = model(base, f"{name}Tax", line_id=to(f"{name}lines"), rate=text())
        line = model(base, f"{name}Line", run_id=to(f"{name}runs"), taxes=relationship(tax))
        taxes = type("TaxSchema", (entry(tax),), {member: word(attribute="rate")})
        lines = type("LineSchema", (entry(line),), {"taxes": Nested(taxes, many=True)})
        host_run = model(base, f"{name}Run", lines=relationship(line))
        named = {"kind": name, "collection": f"{name}s"}
        kinds.append(run(host_run, named, lines=Nested(lines, many=True)))
        given[f"{name}s"] = [{"id": 1, "lines": [{"taxes": [{member: "1"}]}]}]
    history = History(sqlite_of(base.metadata), *kinds)
    assert brings_back(history, {"version": "1.0", "exported_at": TIME} | given).imported == 4
    validator = Draft202012Validator(history.json_schema())
    assert validator.is_valid({"version": "1.0"} | given)
    assert not validator.is_valid({"version": "1.0", "buys": given["sales"]})


# --- references ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["uuid", "name"])
def test_a_related_row_without_its_key_is_named_with_the_run(sqlite_of, key):
    base = orm.declarative_base()
    customer = model(base, "Customer", uuid=text(36), name=text())
    host_run = model(base, "Run", customer_id=to("customers"), customer=relationship("Customer"))
    named = {
        "uuid": histio.RunRef("customer", allow_none=True),
        "name": histio.Slug("customer", key="name", required=True),
    }
    row = host_run(id=4, customer=customer())
    with pytest.raises(ExportError, match=f"run 4: The related row has no {key}") as error:
        History(sqlite_of(base.metadata, row), run(host_run, customer=named[key])).export_document()
    assert [problem.pointer for problem in error.value.problems] == ["/customer"]


def test_a_reference_to_a_run_that_did_not_go_in_says_where_that_stands(sqlite_of):
    base = orm.declarative_base()
    parent = relationship("Run", remote_side="Run.id")
    host_run = model(base, "Run", uuid=text(36, unique=True), parent_id=to("runs"), parent=parent)
    members = {"uuid": histio.RunUUID(required=True), "parent": histio.RunRef("parent", allow_none=True)}
    history = History(sqlite_of(base.metadata), run(host_run, {"identity": "uuid"}, **members))
    leads = {1: 2, 2: 1, 3: 3, 4: 9, 5: 4, 6: 7, 7: 6, 8: 8}  # circles, and some that lead nowhere
    records = [{"uuid": number(n), "parent": number(other)} for n, other in leads.items()]
    records[6]["uuid"] = "none"
    report = history.import_document(document(*records))
    named = [(each.index, each.hint) for each in report.problems if each.code == "unknown-reference"]
    stands = "/runs/{} has it, but is rejected"
    assert named == [(3, None), (4, stands.format(3)), (5, None), (6, stands.format(5))]
    assert report.imported == 4


def test_a_member_that_is_only_dumped_does_not_take_over_the_one_that_is_read(sqlite_of):
    base = orm.declarative_base()
    host_run = model(base, "Run", uuid=text(36, unique=True), total=integer())
    shown = {"key": ("uuid", fields.String), "total_text": ("total", fields.String)}
    only = {name: kind(attribute=of, dump_only=True) for name, (of, kind) in shown.items()}
    members = {"uuid": histio.RunUUID(required=True), "total": histio.Integer(required=True), **only}
    history = History(sqlite_of(base.metadata), run(host_run, {"identity": "uuid"}, **members))
    given = {"uuid": number(1), "total": 5, "key": number(1), "total_text": "5"}
    brings_back(history, document(given))
    again = history.import_document(document(given), on_duplicate="error")
    assert codes_of(again.problems) == [("/runs/0/uuid", "duplicate")]
    assert "Duplicate UUID: " in again.problems[0].message
    changed = history.import_document(document(given | {"total": 6}), on_duplicate="verify")
    assert "/total: document 6, database 5" in changed.problems[0].message


# --- styles of mapping -----------------------------------------------------------------------------------


@pytest.mark.turns
@both_ways
@pytest.mark.parametrize("style", STYLES)
def test_a_host_mapped_in_any_style_comes_back_as_it_left(create, style, heard):
    metadata, kind, records, rows = style(orm.declarative_base())
    listen(kind.Meta.model, heard)
    brings_back(History(create(metadata, *rows), kind), document(*records))
