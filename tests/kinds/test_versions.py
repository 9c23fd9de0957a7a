"""A host's format has a version of its own, reads older ones, and leaves out columns that the host fills."""

from __future__ import annotations

import copy
import itertools

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from sqlalchemy import orm
from sqlalchemy.orm import Session

from histio import BindingError, DocumentError, History, ProductionRunSchema
from tests.support import shop
from tests.support.bakery import document, number, production_run
from tests.support.jobs import TENANT, UPGRADES, Base, Job, JobSchema, Part, jobs, to_cents
from tests.support.reports import codes_of, outcomes
from tests.support.shop import order, orders


@pytest.fixture
def history(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    return History(engine, shop.OrderSchema, values={"shop_id": 7}, version="2.1", upgrades=UPGRADES)


def old(version, **members):
    record = order(**members)
    del record["total"], record["weight"]
    return orders(record | {"dollars": 5, "colour": "red"}) | {"version": version}


def test_a_host_writes_its_own_version_and_its_json_schema_says_so(history):
    assert (history.version, history.export_document()["version"]) == ("2.1", "2.1")
    schema = history.json_schema()
    assert schema["$id"] == "urn:histio:history:2.1:order"
    assert Draft202012Validator(schema).is_valid(orders(order()) | {"version": "2.1"})
    assert not Draft202012Validator(schema).is_valid(orders(order()))


def test_older_records_are_brought_up_step_by_step_and_never_changed(history):
    given = old("1.0")
    before = copy.deepcopy(given)
    assert outcomes(history.import_document(given)) == (1, 0, 0)
    assert given == before
    [run] = history.iter_runs("order")
    assert (run["total"], run["weight"], run["colour"]) == ("5.00", 1.5, "RED")


def test_a_version_between_starts_at_its_own_step(history):
    given = orders(order(colour="red")) | {"version": "1.5"}
    assert outcomes(history.import_document(given)) == (1, 0, 0)
    assert history.check(given) == []


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("2.2", "Format 2.2 is newer than 2.1"),
        ("10.0", "Format 10.0 is newer than 2.1"),
        ("1.1", 'Must be "2.1", not .* Older ones that are read: 1.0, 1.5.'),
        ("1.1", r'not .1\.1.\. A History with upgrades=\{"1.1": function\} reads it\.'),
        (2.1, 'Must be "2.1", not 2.1'),
        (None, 'Must be "2.1", not None'),
        ([], 'Must be "2.1"'),
    ],
)
def test_other_versions_are_refused_by_name(history, version, why):
    with pytest.raises(DocumentError, match=why):
        history.import_document(orders(order()) | {"version": version})


def test_an_upgrade_that_fails_rejects_its_run_alone(history):
    bad = old("1.0")
    bad["orders"] += [{"uuid": number(2)}, order(3) | {"dollars": 1, "colour": "green"}, "none"]
    report = history.import_document(bad)
    assert outcomes(report) == (1, 0, 3)
    assert [(problem.pointer, problem.code, problem.message) for problem in report.problems] == [
        ("/orders/1", "schema", "Cannot be brought up from 1.0: KeyError: 'dollars'"),
        ("/orders/2", "schema", "Cannot be brought up from 1.5: KeyError: 'green'"),
        ("/orders/3", "schema", "Invalid input type."),
    ]


def test_an_upgrade_that_returns_nothing_is_told_so(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, version="1.1", upgrades={"1.0": lambda _record: None})
    [problem] = history.import_document(orders(order())).problems
    assert problem.message == "The upgrade from 1.0 returned NoneType, not a record."


def test_what_an_upgrade_makes_is_checked_like_any_record(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, version="1.1", upgrades={"1.0": lambda _record: {"x": 1}})
    assert ("/orders/0/x", "schema") in codes_of(history.import_document(orders(order())).problems)
    assert outcomes(history.import_document(orders(order()))) == (0, 0, 1)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"version": "2"}, "a version looks like '2.1', not '2'"),
        ({"version": "2.1", "upgrades": {"2.1": to_cents}}, "2.1 is not older than 2.1"),
        ({"version": "2.1", "upgrades": {"2.10": to_cents}}, "2.10 is not older than 2.1"),
        ({"version": "2.1", "upgrades": {"x": to_cents}}, "a version looks like"),
        ({"version": "2.1", "upgrades": {"2.0": 5}}, "upgrades: 2.0: 5 is not a function"),
        (
            {"version": "2.1", "upgrades": {"2.0": {"ordr": to_cents}}},
            "no kind 'ordr'; this history has order",
        ),
        ({"version": "2.1", "upgrades": to_cents}, "upgrades is a mapping from version to function"),
        ({"values": {"shop": 7}}, "no model of these kinds has a column 'shop'"),
        ({"values": {"uid": 7}}, "'uid' is a member of the format already"),
        ({"values": {"customer_id": 7}}, "'customer_id' is filled by a reference of the format"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options, why):
    with pytest.raises(BindingError, match=why):
        History(None, shop.OrderSchema, **options)


def test_the_bundled_kinds_in_a_version_of_the_hosts_have_another_json_schema(sqlite):
    history = History(sqlite, version="1.1", upgrades={"1.0": lambda record: record})
    assert history.json_schema()["$id"] == "urn:histio:history:1.1:production_run+assembly_run"
    assert outcomes(history.import_document(document(production_run()))) == (1, 0, 0)


# --- columns that the host fills -----------------------------------------------------------------------


@pytest.fixture
def engine(create):
    rows = [Part(tenant_id=tenant, slug=slug) for tenant, slug in ((7, "bolt"), (8, "bolt"), (8, "nut"))]
    return create(Base.metadata, *rows)


def test_values_fill_columns_and_scope_references(engine):
    history = History(engine, JobSchema, values=TENANT)
    assert outcomes(history.import_document(jobs(1))) == (1, 0, 0)
    with Session(engine) as session:
        job = session.scalars(sa.select(Job)).one()
        assert (job.tenant_id, job.batch, job.part.tenant_id) == (7, 1, 7)
    report = history.import_document(jobs(2, part="nut"))
    assert codes_of(report.problems) == [("/jobs/0/part", "unknown-reference")]
    assert report.problems[0].hint is None


def test_a_function_among_the_values_is_asked_once_for_each_import(engine):
    numbers = itertools.count(5)
    history = History(engine, JobSchema, values={"tenant_id": 8, "batch": lambda: next(numbers)})
    history.import_document(jobs(1, 2))
    history.import_document(jobs(3))
    with Session(engine) as session:
        assert session.scalars(sa.select(Job.batch).order_by(Job.uuid)).all() == [5, 5, 6]


def test_tenants_in_one_table_are_exported_apart_by_where(engine):
    for tenant, numbers in ((7, (1, 3)), (8, (2,))):
        History(engine, JobSchema, values={"tenant_id": tenant, "batch": 1}).import_document(jobs(*numbers))
    history = History(engine, JobSchema, values=TENANT)
    assert [run["uuid"] for run in history.iter_runs("job", where=Job.tenant_id == 7)] == [
        number(1),
        number(3),
    ]


def test_a_hidden_row_is_left_out_by_where_and_is_a_duplicate_all_the_same(engine):
    history = History(engine, JobSchema, values=TENANT)
    history.import_document(jobs(1))
    with Session(engine) as session:
        session.execute(sa.update(Job).values(deleted=True))
        session.commit()
    visible = {"where": Job.deleted.is_(False)}
    assert history.export_document(**visible)["jobs"] == []
    report = history.import_document(jobs(1), on_duplicate="error")
    assert codes_of(report.problems) == [("/jobs/0/uuid", "duplicate")]


def test_a_listener_that_hides_rows_from_every_session_hides_none_from_histio(engine):
    history = History(engine, JobSchema, values=TENANT)
    history.import_document(jobs(1))

    def hide(state):
        criteria = orm.with_loader_criteria(Job, Job.uuid == "none", include_aliases=True)
        state.statement = state.statement.options(criteria)

    sa.event.listen(Session, "do_orm_execute", hide)
    try:
        with Session(engine) as session:
            assert session.scalars(sa.select(Job)).all() == []
        assert len(history.export_document()["jobs"]) == 1
        assert outcomes(history.import_document(jobs(1), on_duplicate="verify")) == (0, 1, 0)
    finally:
        sa.event.remove(Session, "do_orm_execute", hide)


# --- sessions of a host --------------------------------------------------------------------------------


def test_a_translated_schema_is_read_and_written(databases):
    engine = databases.of_host("postgresql")(Base.metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS branch CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA branch")
    branch = engine.execution_options(schema_translate_map={None: "branch"})
    Base.metadata.create_all(branch)
    with Session(branch) as session:
        session.add(Part(tenant_id=7, slug="bolt"))
        history = History(session, JobSchema, values=TENANT)
        assert outcomes(history.import_document(jobs(1))) == (1, 0, 0)
        assert len(history.export_document()["jobs"]) == 1
        session.commit()
    assert len(History(branch, JobSchema, values=TENANT).export_document()["jobs"]) == 1
    assert History(engine, JobSchema, values=TENANT).export_document()["jobs"] == []
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA branch CASCADE")


@pytest.mark.parametrize("options", [{"autoflush": False}, {"expire_on_commit": False}, {}])
def test_inside_the_callers_own_savepoint_all_is_the_callers(engine, options):
    history = History(None, JobSchema, values=TENANT)
    with Session(engine, **options) as session:
        kept = session.begin_nested()
        assert outcomes(history.import_document(jobs(1), session=session)) == (1, 0, 0)
        kept.commit()
        undone = session.begin_nested()
        history.import_document(jobs(2), session=session)
        undone.rollback()
        session.commit()
    assert [run["uuid"] for run in History(engine, JobSchema, values=TENANT).iter_runs("job")] == [number(1)]


def test_kinds_in_two_databases_are_refused_by_name(sqlite_of):
    engine, other = sqlite_of(Base.metadata), sqlite_of(Base.metadata, number=1)
    with (
        Session(binds={Job: engine, Part: other}) as session,
        pytest.raises(BindingError, match="keeps Job, Part in several databases; create a History for each"),
    ):
        History(session, JobSchema, values=TENANT).export_document()
    with Session(binds={Job: engine, Part: engine, shop.Order: other}) as session:
        assert History(session, JobSchema, values=TENANT).export_document()["jobs"] == []


def test_the_bound_kinds_refuse_what_is_no_schema():
    for wrong in (Job, JobSchema(), "job", [JobSchema]):
        with pytest.raises(BindingError, match="a kind is a subclass of RunSchema, not"):
            History(None, wrong)
    assert History(None, ProductionRunSchema).kinds == ("production_run",)
