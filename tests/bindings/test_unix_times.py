"""Unix times in integer columns: on the wire they are timestamps like any others."""

from __future__ import annotations

import datetime as dt
import io
import json
import uuid

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

import histio
from histio import BindingError, Epoch, ExportError, History
from tests.support.bakery import number
from tests.support.columns import host, things
from tests.support.conformance import check_host
from tests.support.reports import codes_of
from tests.support.special_columns import into, required, rows_of, same_by_either_path

UTC = dt.UTC
INT_MIN, INT_MAX = "1901-12-13T20:45:52Z", "2038-01-19T03:14:07Z"
FIRST, LAST = "1000-01-01T00:00:00Z", "9998-12-31T23:59:59"


def job_kind(unit="s", column_type=None):
    """A kind that an Epoch orders, with one that tells when a row was written, and its metadata."""
    base = orm.declarative_base()
    stored = sa.BigInteger() if column_type is None else column_type

    class Job(base):
        __tablename__ = "jobs"
        id = sa.Column(sa.Integer, primary_key=True)
        uuid = sa.Column(sa.String(36), unique=True, nullable=False)
        started = sa.Column(stored, nullable=False)
        updated_at = sa.Column(stored, nullable=False)

    class JobSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp = Job, "job", "jobs", "started"

        uuid = histio.RunUUID(required=True)
        started = Epoch(unit=unit, required=True)
        updated_at = Epoch(unit=unit)

    return base.metadata, JobSchema


def job(n, started, **members):
    return {"uuid": number(n), "started": started, "updated_at": started} | members


def jobs(*runs):
    return {"version": "1.0", "jobs": list(runs)}


def uuids(history, **filters):
    return [run["uuid"] for run in history.iter_runs("job", **filters)]


@pytest.mark.parametrize(
    ("column_type", "unit", "values", "stored"),
    [
        (sa.Integer(), "s", [INT_MIN, "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", INT_MAX],
         [-(2**31), -1, 0, 2**31 - 1]),
        (sa.BigInteger(), "s", [FIRST, LAST + "Z"], [-30610224000, 253370764799]),
        (sa.BigInteger(), "ms", [FIRST, "1969-12-31T23:59:59.999000Z", LAST + ".999000Z"],
         [-30610224000000, -1, 253370764799999]),
        (sa.BigInteger(), "us", [FIRST, "2025-12-08T10:00:00.000001Z", LAST + ".999999Z"],
         [-30610224000000000, 1765188000000001, 253370764799999999]),
        (sa.Integer(), "ms", ["1969-12-07T03:28:36.352000Z", "1970-01-25T20:31:23.647000Z"],
         [-(2**31), 2**31 - 1]),
    ],
)  # fmt: skip
def test_a_count_is_an_instant_by_either_path(create, column_type, unit, values, stored):
    metadata, kind = host(column_type, required(Epoch, unit=unit))
    same_by_either_path(create, metadata, kind, values)
    engine = create(metadata)
    into(engine, kind, *values)
    assert [row[2] for row in rows_of(engine, kind)] == stored
    assert "full path" not in History(engine, kind).explain()


@pytest.mark.parametrize(
    ("column_type", "unit", "value", "code"),
    [
        (sa.BigInteger(), "s", "2025-12-08T10:00:00.5Z", "precision"),
        (sa.BigInteger(), "ms", "2025-12-08T10:00:00.0005Z", "precision"),
        (sa.BigInteger(), "us", "2025-12-08T10:00:00.0000005Z", "precision"),
        (sa.BigInteger(), "s", "0999-12-31T23:59:59Z", "out-of-range"),
        (sa.BigInteger(), "s", "9999-01-01T00:00:00Z", "out-of-range"),
        (sa.BigInteger(), "s", "9998-12-31T23:00:00+01:00", "out-of-range"),
        (sa.Integer(), "s", "1901-12-13T20:45:51Z", "out-of-range"),
        (sa.Integer(), "s", "1901-12-13T20:45:51", "out-of-range"),
        (sa.Integer(), "s", "2038-01-19T03:14:08Z", "out-of-range"),
        (sa.Integer(), "s", "2038-01-18T04:00:00-00:30", "out-of-range"),
        (sa.Integer(), "ms", "1969-12-07T03:28:36Z", "out-of-range"),
        (sa.Integer(), "ms", "1969-12-07T03:28:36.35Z", "out-of-range"),
        (sa.Integer(), "ms", "1969-12-07T03:28:36.351Z", "out-of-range"),
        (sa.Integer(), "ms", "1970-01-25T20:31:23.648Z", "out-of-range"),
        (mysql.INTEGER(unsigned=True), "s", "1969-12-31T23:59:59Z", "out-of-range"),
        (mysql.INTEGER(unsigned=True), "s", "2106-02-07T06:28:16Z", "out-of-range"),
        (sa.BigInteger(), "s", 1765188000, "schema"),
        (sa.BigInteger(), "s", "2025-12-08T10:00:00Z\n", "schema"),
        (sa.BigInteger(), "s", "2025-02-29T10:00:00Z", "schema"),
    ],
)
def test_what_the_unit_or_the_column_cannot_hold_is_a_problem(column_type, unit, value, code):
    _, kind = host(column_type, required(Epoch, unit=unit))
    history = History(None, kind)
    engine = histio.create_engine("sqlite://")
    with engine.connect() as connection:
        found = codes_of(history.check(things(value), session=connection))
    engine.dispose()
    assert found == [("/things/0/value", code)]
    assert not Draft202012Validator(history.json_schema()).is_valid(things(value))


@pytest.mark.turns
@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("2025-12-08T11:00:00+01:00", 1765188000),
        ("2025-12-08T10:00:00", 1765188000),
        ("2025-12-08T10:00:00.000000Z", 1765188000),
        ("2038-01-18T03:00:00-00:30", 2147398200),
    ],
)
def test_any_offset_is_read(create, value, stored):
    metadata, kind = host(sa.Integer(), required(Epoch))
    engine = create(metadata)
    assert Draft202012Validator(History(None, kind).json_schema()).is_valid(things(value))
    assert into(engine, kind, value).imported == 1
    assert [row[2] for row in rows_of(engine, kind)] == [stored]


@pytest.mark.slow
def test_runs_are_ordered_and_bounded_by_it_over_many_pages(create):
    metadata, kind = job_kind()
    history = History(create(metadata), kind)
    start = dt.datetime(2025, 12, 8, 10, tzinfo=UTC)
    times = [start + dt.timedelta(seconds=n // 2) for n in range(600)]
    given = [job(n, time.isoformat().replace("+00:00", "Z")) for n, time in enumerate(times)]
    assert history.import_document(jobs(*reversed(given))).imported == 600
    assert uuids(history) == [run["uuid"] for run in given]
    half = dt.timedelta(seconds=0.5)
    assert uuids(history, since=times[100] + half) == [run["uuid"] for run in given[102:]]
    assert uuids(history, until=times[100] + half) == [run["uuid"] for run in given[:102]]
    assert uuids(history, since=times[100], until=times[100]) == [given[100]["uuid"], given[101]["uuid"]]
    assert uuids(history, until=start.date()) == uuids(history)
    assert uuids(history, since=start.date() + dt.timedelta(1)) == []


def test_what_was_written_later_in_the_same_second_has_changed(create):
    metadata, kind = job_kind()
    history = History(create(metadata), kind)
    history.import_document(jobs(job(1, "2025-12-08T10:00:00Z"), job(2, "2025-12-08T09:59:59Z")))
    since = dt.datetime(2025, 12, 8, 10, 0, 0, 500_000, tzinfo=UTC)
    found = history.export_document(changed_since=since)["jobs"]
    assert [run["uuid"] for run in found] == [number(1)]


def test_what_is_left_out_is_the_time_of_the_import(create):
    metadata, kind = job_kind()
    history = History(create(metadata), kind)
    before = dt.datetime.now(UTC).replace(microsecond=0)
    run = {"uuid": number(1), "started": "2025-12-08T10:00:00Z"}
    assert history.import_document(jobs(run)).imported == 1
    [found] = history.iter_runs("job")
    assert before <= dt.datetime.fromisoformat(found["updated_at"]) <= dt.datetime.now(UTC)


def test_files_are_compared_and_merged_in_the_order_of_exports(create, tmp_path):
    metadata, kind = job_kind("ms")
    history = History(create(metadata), kind)
    runs = [job(n, f"2025-12-08T10:00:00.00{9 - n}000Z") for n in range(5)]
    runs.append(job(7, "2025-12-08T11:00:00+01:00"))
    history.import_document(jobs(*runs))
    history.export_file(tmp_path / "all.jsonl")
    (tmp_path / "some.json").write_text(json.dumps(jobs(*runs[3:])))
    (tmp_path / "rest.json").write_text(json.dumps(jobs(*runs[:3])))
    assert not list(histio.diff(tmp_path / "all.jsonl", history, history=history))
    merged = io.BytesIO()
    histio.merge([tmp_path / "some.json", tmp_path / "rest.json"], merged, history=history)
    found = [next(iter(json.loads(line).values())) for line in merged.getvalue().splitlines()[1:-1]]
    assert [run["uuid"] for run in found] == uuids(history)


def test_an_update_and_a_verification_see_the_instant(create):
    metadata, kind = job_kind()
    history = History(create(metadata), kind)
    history.import_document(jobs(job(1, "2025-12-08T10:00:00Z")))
    same = jobs(job(1, "2025-12-08T11:00:00+01:00", updated_at="2025-12-08T10:00:00Z"))
    assert history.import_document(same, on_duplicate="verify").skipped == 1
    other = jobs(job(1, "2025-12-08T10:00:01Z"))
    [problem] = history.import_document(other, on_duplicate="verify").problems
    assert '/started: document "2025-12-08T10:00:01Z", database "2025-12-08T10:00:00Z"' in str(
        problem
    ).replace("'", '"')
    assert history.import_document(other, on_duplicate="update").updated == 1
    assert next(history.iter_runs("job"))["started"] == "2025-12-08T10:00:01Z"


def test_milliseconds_that_are_read_as_seconds_are_told_with_the_units(sqlite_of):
    metadata, kind = host(sa.BigInteger(), required(Epoch))
    engine = sqlite_of(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO things (id, uuid, value) VALUES (1, ?, 1765188000123)", (number(1),)
        )
    expected = rf"thing {number(1)}: .*count of s: Epoch\(unit=…\) .*The row has 1765188000123"
    with pytest.raises(ExportError, match=expected):
        History(engine, kind).export_document()


@pytest.mark.parametrize("column_type", [sa.DateTime(), sa.Float(), sa.String(20), sa.Numeric(20)])
def test_a_column_that_does_not_count_is_refused(column_type):
    _, kind = host(column_type, required(Epoch))
    with pytest.raises(BindingError, match="it takes Integer"):
        History(None, kind)


def test_a_unit_that_there_is_not_is_refused():
    with pytest.raises(BindingError, match='the units are "s", "ms" and "us"'):
        Epoch(unit="seconds")


@pytest.mark.slow
def test_the_conformance_kit_holds_it(create):
    metadata, kind = job_kind("ms")
    engine = create(metadata)

    def make_runs(session, count):
        session.add_all(
            kind.Meta.model(uuid=str(uuid.uuid4()), started=1765188000000 + n, updated_at=1765188000123)
            for n in range(count)
        )

    check_host(History(engine, kind), make_runs=make_runs)
