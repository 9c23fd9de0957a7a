"""An export writes no identity that an import into the same database would not find again."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

import histio
from histio import ExportError, History
from tests.support.columns import AN_UUID, AwareDateTime, Guid

HEX = AN_UUID.replace("-", "")
AS_BYTES = uuid.UUID(AN_UUID).bytes
UUID_FIELD = histio.RunUUID(required=True)


def host(column_type, field):
    """A kind whose runs are identified by a column of *column_type*, and its metadata."""
    base = orm.declarative_base()
    names = {"__tablename__": "things", "id": sa.Column(sa.Integer, primary_key=True)}
    thing = type("Thing", (base,), names | {"name": sa.Column(column_type, unique=True, nullable=False)})
    meta = {"model": thing, "kind": "thing", "collection": "things", "timestamp": None, "identity": "name"}
    kind = type("ThingSchema", (histio.RunSchema,), {"Meta": type("Meta", (), meta), "name": field})
    return base.metadata, kind


def storing(engine, *stored):
    """*engine*, in whose table these values are stored as they are."""
    with engine.begin() as connection:
        for number, value in enumerate(stored, 1):
            connection.execute(
                sa.text("INSERT INTO things VALUES (:id, :name)"), {"id": number, "name": value}
            )
    return engine


def assert_found_again(history, count):
    document = history.export_document()
    assert len(document["things"]) == count
    report = history.import_document(document, on_duplicate="verify")
    assert (report.imported, report.skipped, report.problems) == (0, count, ())


FOUND = [
    (sa.String(36), UUID_FIELD, AN_UUID),
    (sa.CHAR(36), UUID_FIELD, AN_UUID),
    (sa.String(32), UUID_FIELD, HEX),
    (sa.CHAR(32), UUID_FIELD, HEX),
    (sa.Uuid(), UUID_FIELD, HEX),
    (sa.Uuid(as_uuid=False), UUID_FIELD, HEX),
    (sa.Uuid(native_uuid=False), UUID_FIELD, HEX),
    (Guid(), UUID_FIELD, HEX),
    (sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb"), UUID_FIELD, AS_BYTES),
    (sa.String(20), histio.Text(required=True), "Aa "),
    (sa.CHAR(20), histio.Text(required=True), "Aa"),
    (sa.Integer(), histio.Integer(required=True), 5),
    (sa.Numeric(10, 2), histio.FixedDecimal(required=True), "5.25"),
    (sa.Date(), histio.Date(required=True), "2025-12-08"),
    (sa.DateTime(), histio.UtcTimestamp(required=True), "2025-12-08 10:00:00.000000"),
    (AwareDateTime(), histio.UtcTimestamp(required=True), "2025-12-08 10:00:00.000000"),
    (sa.Enum("a", "b", native_enum=False), histio.Choice(required=True), "a"),
]


@pytest.mark.parametrize(("column_type", "field", "stored"), FOUND)
def test_a_run_in_the_usual_spelling_is_known_to_an_import_of_its_export(create, column_type, field, stored):
    metadata, kind = host(column_type, field)
    assert_found_again(History(storing(create(metadata), stored), kind), 1)


OTHERWISE = [
    (sa.String(32), UUID_FIELD, AN_UUID),
    (sa.String(32), UUID_FIELD, HEX.upper()),
    (sa.String(36), UUID_FIELD, AN_UUID.upper()),
    (sa.String(36), UUID_FIELD, HEX),
    (sa.String(36), UUID_FIELD, AS_BYTES),
    (sa.CHAR(36), UUID_FIELD, f"{AN_UUID} "),
    (sa.CHAR(32), UUID_FIELD, AN_UUID),
    (sa.Text(), UUID_FIELD, f"{{{AN_UUID}}}"),
    (sa.Uuid(), UUID_FIELD, AN_UUID),
    (sa.Uuid(), UUID_FIELD, HEX.upper()),
    (sa.Uuid(), UUID_FIELD, f"{{{AN_UUID}}}"),
    (sa.Uuid(), UUID_FIELD, AS_BYTES),
    (sa.Uuid(as_uuid=False), UUID_FIELD, AN_UUID),
    (sa.Uuid(native_uuid=False), UUID_FIELD, AN_UUID),
    (Guid(), UUID_FIELD, AN_UUID),
    (sa.LargeBinary(16), UUID_FIELD, AN_UUID),
    (sa.LargeBinary(16), UUID_FIELD, HEX),
    (sa.CHAR(20), histio.Text(required=True), "a "),
    (sa.String(20), histio.Text(required=True), b"a"),
    (sa.Integer(), histio.Integer(required=True), "five"),
    (sa.Numeric(10, 2), histio.FixedDecimal(required=True), "five"),
    (sa.Date(), histio.Date(required=True), "2025-12-08 00:00:00"),
    (sa.DateTime(), histio.UtcTimestamp(required=True), "2025-12-08T10:00:00.000000"),
    (sa.DateTime(), histio.UtcTimestamp(required=True), "2025-12-08 10:00:00"),
    (AwareDateTime(), histio.UtcTimestamp(required=True), "2025-12-08 10:00"),
    (sa.Enum("a", "b"), histio.Choice(required=True), "A"),
]


@pytest.mark.parametrize(("column_type", "field", "stored"), OTHERWISE)
def test_a_run_that_no_look_up_finds_is_named_by_its_export(sqlite_of, column_type, field, stored):
    metadata, kind = host(column_type, field)
    with pytest.raises(ExportError) as caught:
        History(storing(sqlite_of(metadata), stored), kind).export_document()
    [problem] = caught.value.problems
    assert str(stored) in problem.message
    assert (problem.kind, problem.pointer) == ("thing", "/name")


def test_the_error_shows_the_spelling_and_what_would_come_of_it(sqlite_of):
    metadata, kind = host(sa.Uuid(), UUID_FIELD)
    told = f"name is stored as '{AN_UUID}', a spelling that no look-up finds: an import would write"
    with pytest.raises(ExportError, match=told):
        History(storing(sqlite_of(metadata), AN_UUID), kind).export_document()


@pytest.mark.slow
def test_runs_in_another_spelling_hide_no_other_run_of_a_page(sqlite_of):
    metadata, kind = host(sa.Uuid(), UUID_FIELD)
    known = [f"{number:08x}{HEX[8:]}" for number in range(0, 900, 2)]
    odd = [f"{number:08x}{AN_UUID[8:]}" for number in range(1, 900, 2)]
    with pytest.raises(ExportError) as caught:
        list(History(storing(sqlite_of(metadata), *known, *odd), kind).iter_runs("thing"))
    assert len(caught.value.problems) == len(odd)


def test_postgresql_keeps_any_spelling_in_a_uuid_of_text(databases):
    metadata, kind = host(sa.Uuid(native_uuid=False), UUID_FIELD)
    with pytest.raises(ExportError, match=HEX.upper()):
        History(storing(databases.of_host("postgresql")(metadata), HEX.upper()), kind).export_document()


def collated(engine, collation):
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE things MODIFY name CHAR(32) COLLATE {collation} NOT NULL")
    return engine


@pytest.mark.parametrize("column_type", [sa.Uuid(native_uuid=False), Guid()])
def test_the_collation_of_mariadb_decides_whether_upper_case_is_found(databases, column_type):
    metadata, kind = host(column_type, UUID_FIELD)
    engine = storing(collated(databases.of_host("mariadb")(metadata), "utf8mb4_general_ci"), HEX.upper())
    assert_found_again(History(engine, kind), 1)
    with pytest.raises(ExportError, match=HEX.upper()):
        History(collated(engine, "utf8mb4_bin"), kind).export_document()


def test_keys_that_a_collation_takes_for_the_same_are_told_apart(sqlite_of):
    metadata, kind = host(sa.String(20, collation="NOCASE"), histio.Text(required=True))
    history = History(storing(sqlite_of(metadata), "Aa"), kind)
    assert_found_again(history, 1)
    report = history.import_document({"version": "1.0", "things": [{"name": "aA"}]})
    assert (report.imported, report.skipped, [each.code for each in report.problems]) == (
        0,
        0,
        ["constraint"],
    )


@pytest.mark.parametrize(("column_type", "field", "stored"), FOUND[:9])
def test_an_import_writes_the_spelling_that_look_ups_find(create, column_type, field, stored):
    metadata, kind = host(column_type, field)
    history = History(create(metadata), kind)
    document = {"version": "1.0", "things": [{"name": AN_UUID.upper()}]}
    assert (history.import_document(document).imported, history.import_document(document).skipped) == (1, 1)
    assert_found_again(history, 1)
