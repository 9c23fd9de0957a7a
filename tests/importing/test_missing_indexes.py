"""The indexes that a database lacks are named, with what that costs and how to create them."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm

import histio
from histio import History
from histio.models import ProductionRun
from tests.support.bakery import document, number, production_run

Base = orm.declarative_base()


class Job(Base):
    __tablename__ = "bare_jobs"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "uuid"),)
    id = sa.Column(sa.Integer, primary_key=True)
    tenant_id = sa.Column(sa.Integer, nullable=False)
    uuid = sa.Column(sa.String(36), nullable=False)
    done_at = sa.Column(sa.DateTime, nullable=False)
    changed_at = sa.Column(sa.DateTime, nullable=False)


class Step(Base):
    __tablename__ = "bare_steps"
    id = sa.Column(sa.Integer, primary_key=True)
    job_id = sa.Column(sa.Integer, nullable=False)
    job = orm.relationship(Job, primaryjoin=orm.foreign(job_id) == Job.id, backref="steps")


class StepSchema(histio.RecordSchema):
    class Meta:
        model = Step


class JobSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, changed = Job, "job", "jobs", "done_at", "changed_at"

    uuid = histio.RunUUID(required=True)
    done_at = histio.UtcTimestamp(required=True)
    changed_at = histio.UtcTimestamp(required=True)
    steps = Nested(StepSchema, many=True)


def without_indexes():
    """The tables as the database has them: with primary keys alone."""
    metadata = sa.MetaData()
    jobs, _ = (table.to_metadata(metadata) for table in Base.metadata.sorted_tables)
    jobs.constraints = {each for each in jobs.constraints if not isinstance(each, sa.UniqueConstraint)}
    return metadata


BARE = without_indexes()


def told(history):
    return [line for line in history.explain().splitlines() if ": no index of " in line]


def statement(line):
    return line[line.index("CREATE INDEX") :]


@pytest.fixture
def bare(create):
    return History(create(BARE), JobSchema, values={"tenant_id": 7})


def test_the_bundled_models_have_all_indexes(history):
    assert told(history) == []


COSTS = {
    "bare_jobs (uuid)": "each batch of an import, and verify, reads the whole table",
    "bare_jobs (done_at, uuid)": (
        "each page of an export, and an export with since or until, reads the whole table and sorts it"
    ),
    "bare_jobs (changed_at)": "changed_since reads the whole table",
    "bare_steps (job_id)": "each page of an export, and each update, reads the whole table",
}


def test_each_index_that_a_host_lacks_is_named_with_its_cost(bare):
    lines = [re.split(r": |\. CREATE INDEX \w+ ON ", line) for line in told(bare)]
    assert {index: cost for _, _, cost, index in lines} == COSTS
    assert lines[1][:2] == ["job", "no index of bare_jobs begins with done_at, uuid"]


def changing(engine, *statements):
    with engine.begin() as connection:
        for each in statements:
            connection.exec_driver_sql(each)


def test_nothing_is_named_once_the_statements_have_been_executed(create, bare):
    lines = told(bare)
    engine = bare.bound.database.find_engine()
    changing(engine, *map(statement, lines))
    try:
        assert told(bare) == []
    finally:
        changing(engine, "DROP TABLE bare_steps", "DROP TABLE bare_jobs")


@pytest.mark.parametrize(
    ("dialects", "index", "is_served"),
    [
        (("sqlite", "postgresql", "mariadb"), "(tenant_id, uuid)", True),
        (("sqlite", "postgresql", "mariadb"), "(uuid, tenant_id)", True),
        (("sqlite", "postgresql", "mariadb"), "(done_at, uuid)", False),
        (("sqlite", "postgresql"), "(lower(uuid))", False),
        (("sqlite", "postgresql"), "(uuid) WHERE tenant_id = 7", False),
    ],
)
def test_an_index_serves_the_identity_if_only_columns_of_values_come_before(
    databases, dialects, index, is_served
):
    for dialect in dialects:
        engine = databases.of_host(dialect)(BARE)
        changing(engine, f"CREATE INDEX ix_it ON bare_jobs {index}")
        try:
            lines = told(History(engine, JobSchema, values={"tenant_id": 7}))
        finally:
            changing(engine, "DROP TABLE bare_steps", "DROP TABLE bare_jobs")
        assert ("begins with uuid:" in lines[0]) != is_served


def test_a_view_has_no_indexes_to_name(sqlite):
    with sqlite.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW bare_jobs AS SELECT 1 AS id")
        connection.exec_driver_sql("CREATE VIEW bare_steps AS SELECT 1 AS id")
    try:
        assert told(History(sqlite, JobSchema, values={"tenant_id": 7})) == []
    finally:
        changing(sqlite, "DROP VIEW bare_steps", "DROP VIEW bare_jobs")


def test_a_database_without_the_index_on_changes_exports_them_all_the_same(sqlite):
    history = History(sqlite)
    assert history.import_document(document(production_run(1))).imported == 1
    [index] = [index for index in ProductionRun.__table__.indexes if "updated_at" in index.columns]
    index.drop(sqlite)
    try:
        [line] = told(history)
        assert re.search(r"begins with updated_at: changed_since", line)
        [run] = history.export_document(changed_since=run_time())["production_runs"]
        assert run["uuid"] == number(1)
    finally:
        index.create(sqlite)


def run_time():
    return histio.UtcTimestamp().from_wire("2025-12-01T00:00:00Z")
