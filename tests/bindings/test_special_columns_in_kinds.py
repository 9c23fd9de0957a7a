"""Bytes, times, durations and Unix times in all places of a kind: members, ledgers, keys, identities."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import random
import uuid

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

import histio
from histio import Bytes, Epoch, FixedDecimal, History, RecordSchema, RunSchema, RunUUID, Slug
from tests.support.conformance import check_host
from tests.support.reports import codes_of

CLOCK = sa.Time().with_variant(mysql.TIME(fsp=6), "mysql", "mariadb")


class Upload:
    """Runs with a column of each type, entries with some, and related rows known by bytes or a time."""

    def __init__(self):
        base = self.base = orm.declarative_base()

        class Blob(base):
            __tablename__ = "blobs"
            id = sa.Column(sa.Integer, primary_key=True)
            digest = sa.Column(sa.VARBINARY(20).with_variant(sa.LargeBinary(20), "postgresql"), unique=True)

        class Slot(base):
            __tablename__ = "slots"
            id = sa.Column(sa.Integer, primary_key=True)
            begins = sa.Column(CLOCK, unique=True)

        class Run(base):
            __tablename__ = "uploads"
            id = sa.Column(sa.Integer, primary_key=True)
            uuid = sa.Column(sa.String(36), unique=True, nullable=False)
            started = sa.Column(sa.BigInteger, nullable=False)
            content = sa.Column(sa.LargeBinary, nullable=False)
            due = sa.Column(CLOCK)
            took = sa.Column(sa.Interval, nullable=False)
            ratio = sa.Column(sa.Double, nullable=False)
            extra = sa.Column(sa.JSON)
            blob_id = sa.Column(sa.ForeignKey("blobs.id"), nullable=False)
            slot_id = sa.Column(sa.ForeignKey("slots.id"))
            blob = orm.relationship(Blob)
            slot = orm.relationship(Slot)
            parts = orm.relationship("Part", order_by="Part.id")

        class Part(base):
            __tablename__ = "parts"
            id = sa.Column(sa.Integer, primary_key=True)
            upload_id = sa.Column(sa.ForeignKey("uploads.id"), nullable=False)
            seen = sa.Column(sa.Integer)
            piece = sa.Column(sa.LargeBinary)
            wait = sa.Column(sa.Interval)

        class PartSchema(RecordSchema):
            class Meta:
                model = Part

            seen = Epoch(allow_none=True)
            piece = auto_field()
            wait = auto_field()

        class UploadSchema(RunSchema):
            class Meta:
                model, kind, collection, timestamp = Run, "upload", "uploads", "started"

            uuid = RunUUID(required=True, form="hex")
            started = Epoch(unit="us", required=True)
            content = auto_field()
            due = auto_field()
            took = auto_field()
            ratio = FixedDecimal(precision=9, scale=3, required=True, signed=True)
            extra = auto_field()
            blob = Slug("blob", key="digest")
            slot = Slug("slot", key="begins", allow_none=True)
            parts = Nested(PartSchema, many=True)

        self.run, self.part, self.blob, self.slot, self.schema = Run, Part, Blob, Slot, UploadSchema

    def make_runs(self, session, count):
        """Runs that all differ."""
        rng = random.Random(count)
        for n in range(count):
            clock = dt.time(n % 24, n % 60, 1, n)
            session.add(
                self.run(
                    uuid=uuid.uuid4().hex,
                    started=1_765_188_000_000_000 + n,
                    content=rng.randbytes(n % 100),
                    due=clock if n % 2 else None,
                    took=dt.timedelta(seconds=n - 5),
                    ratio=n / 8,
                    extra=None if n % 3 == 0 else {"n": float(n), "m": [n, True]},
                    blob=self.blob(digest=rng.randbytes(20)),
                    slot=self.slot(begins=clock) if n % 2 else None,
                    parts=[
                        self.part(seen=n * k, piece=rng.randbytes(k), wait=dt.timedelta(days=-k))
                        for k in range(3)
                    ],
                )
            )


@pytest.mark.thorough
def test_the_conformance_kit_holds_all_of_it(create):
    made = Upload()
    check_host(History(create(made.base.metadata), made.schema), make_runs=made.make_runs)


@pytest.mark.slow
def test_a_history_goes_round_all_databases_and_is_the_same(databases):
    made = Upload()
    first = databases.of_host("sqlite")(made.base.metadata)
    with orm.Session(first) as session:
        made.make_runs(session, 30)
        session.commit()
        digests = session.scalars(sa.select(made.blob.digest)).all()
        times = session.scalars(sa.select(made.slot.begins)).all()
    document = History(first, made.schema).export_document()
    for dialect in ("postgresql", "mariadb", "sqlite"):
        related = [*(made.blob(digest=each) for each in digests), *(made.slot(begins=each) for each in times)]
        engine = databases.of_host(dialect)(made.base.metadata, *related, number=1)
        history = History(engine, made.schema)
        assert history.import_document(document).imported == 30
        document = history.export_document(exported_at=dt.datetime.fromisoformat(document["exported_at"]))
    assert json.dumps(document["uploads"]) == json.dumps(
        History(first, made.schema).export_document()["uploads"]
    )


def named_by_bytes():
    """A kind whose runs are known by bytes."""
    base = orm.declarative_base()

    class Chunk(base):
        __tablename__ = "chunks"
        id = sa.Column(sa.Integer, primary_key=True)
        digest = sa.Column(
            sa.VARBINARY(20).with_variant(sa.LargeBinary(20), "postgresql"), unique=True, nullable=False
        )

    class ChunkSchema(RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Chunk, "chunk", "chunks", None, "digest"

        digest = Bytes(required=True)

    return base.metadata, ChunkSchema


def test_runs_known_by_bytes_are_sorted_alike_in_files_and_databases(create):
    metadata, kind = named_by_bytes()
    history = History(create(metadata), kind)
    values = [b"\xff", b"\x00", b"\x00\x01", b"\xfb\xff", b"a", b"\x7f", b"~~"]
    chunks = [{"digest": base64.b64encode(value).decode()} for value in values]
    document = {"version": "1.0", "chunks": chunks}
    assert history.import_document(document).imported == len(values)
    assert history.import_document(document).skipped == len(values)
    found = [base64.b64decode(chunk["digest"]) for chunk in history.iter_runs("chunk")]
    assert found == sorted(values)
    merged = io.BytesIO()
    histio.merge([io.BytesIO(json.dumps(document).encode())], merged, history=history)
    lines = merged.getvalue().splitlines()[1:-1]
    assert [base64.b64decode(json.loads(line)["chunk"]["digest"]) for line in lines] == sorted(values)


@pytest.mark.parametrize(("member", "value"), [("blob", "AAAA"), ("slot", "11:11:11")])
def test_a_key_of_bytes_or_of_time_that_no_row_has_is_unknown(create, member, value):
    made = Upload()
    engine = create(made.base.metadata)
    with orm.Session(engine) as session:
        made.make_runs(session, 2)
        session.commit()
    history = History(engine, made.schema)
    document = history.export_document()
    run = document["uploads"][1] | {"uuid": str(uuid.uuid4()), member: value}
    report = history.import_document(document | {"uploads": [run]})
    assert codes_of(report.problems) == [(f"/uploads/0/{member}", "unknown-reference")]
