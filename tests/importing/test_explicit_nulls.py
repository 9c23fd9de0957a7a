"""Null is a value: where a record has it, no default of the column takes its place."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import History


class Base(orm.DeclarativeBase):
    pass


def now():
    return dt.datetime(2025, 12, 9)  # noqa: DTZ001 - the column keeps no zone


class Defaults:
    id: Mapped[int] = mapped_column(primary_key=True)
    called: Mapped[dt.datetime | None] = mapped_column(default=now)
    given: Mapped[int | None] = mapped_column(default=7)
    by_server: Mapped[str | None] = mapped_column(sa.String(20), server_default="x")
    as_json: Mapped[dict | None] = mapped_column(sa.JSON, default={"a": 1})


class PlainEntry(Defaults, Base):
    __tablename__ = "plain_entries"
    plain_id: Mapped[int] = mapped_column(sa.ForeignKey("plains.id"))


class Plain(Defaults, Base):
    """Written in bulk."""

    __tablename__ = "plains"
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    entries: Mapped[list[PlainEntry]] = relationship()


class BuiltEntry(Defaults, Base):
    __tablename__ = "built_entries"
    built_id: Mapped[int] = mapped_column(sa.ForeignKey("builts.id"))


class Built(Defaults, Base):
    """Written by the unit of work, as it has a constructor."""

    __tablename__ = "builts"
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    entries: Mapped[list[BuiltEntry]] = relationship()

    def __init__(self, code):
        self.code = code


def history_of(engine, model, entry):
    class EntrySchema(histio.AutoRecordSchema):
        class Meta:
            model = entry

    class RunSchema(histio.AutoRunSchema):
        class Meta:
            kind, collection, timestamp, identity = "run", "runs", None, "code"

        code = histio.Text(required=True)
        entries = Nested(EntrySchema, many=True)

    return History(engine, RunSchema.bind(model))


NULLS = dict.fromkeys(("called", "given", "by_server", "as_json"))
RUN = {"code": "A", **NULLS, "entries": [NULLS, NULLS]}
FULL = {"called": "2025-01-01T00:00:00Z", "given": 1, "by_server": "y", "as_json": {"b": 2}}


@pytest.mark.parametrize("models", [(Plain, PlainEntry), (Built, BuiltEntry)], ids=["bulk", "unit of work"])
def test_nulls_are_imported_as_nulls_although_the_columns_have_defaults(create, models):
    history = history_of(create(Base.metadata), *models)
    document = {"version": "1.0", "runs": [RUN]}
    assert history.import_document(document).imported == 1
    assert history.export_document()["runs"] == [RUN]
    assert history.import_document(document, on_duplicate="verify").skipped == 1


@pytest.mark.parametrize("models", [(Plain, PlainEntry), (Built, BuiltEntry)], ids=["bulk", "unit of work"])
def test_an_update_makes_values_null_although_the_columns_have_defaults(create, models):
    history = history_of(create(Base.metadata), *models)
    history.import_document({"version": "1.0", "runs": [{"code": "A", **FULL, "entries": [FULL]}]})
    report = history.import_document({"version": "1.0", "runs": [RUN]}, on_duplicate="update")
    assert (report.updated, report.problems) == (1, ())
    assert history.export_document()["runs"] == [RUN]


def test_a_member_that_is_left_out_becomes_the_default(create):
    history = history_of(create(Base.metadata), Built, BuiltEntry)
    history.import_document({"version": "1.0", "runs": [{"code": "A"}]})
    [run] = history.export_document()["runs"]
    assert (run["given"], run["by_server"], run["as_json"]) == (7, "x", {"a": 1})
    assert run["called"] == "2025-12-09T00:00:00Z"
