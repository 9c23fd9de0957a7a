"""A row with NULL in what orders the runs, although its model forbids it, is named by every reader."""

from __future__ import annotations

import datetime as dt
import io

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import histio
from histio import ExportError, History
from histio.tuning import tuned
from tests.support.bakery import number

Base = orm.declarative_base()
COUNT = 700
MOMENT = dt.datetime(2025, 12, 8)  # noqa: DTZ001


class Thing(Base):
    __tablename__ = "things"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), unique=True, nullable=False)
    made_at = sa.Column(sa.DateTime, nullable=False)
    updated_at = sa.Column(sa.DateTime, nullable=False)


class ThingSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Thing, "thing", "things", "made_at"

    uuid = histio.RunUUID(required=True)
    made_at = histio.UtcTimestamp(required=True)
    updated_at = histio.UtcTimestamp(required=True)


def loosened():
    """The tables as the database has them, where every column but the key takes NULL."""
    metadata = sa.MetaData()
    table = Thing.__table__.to_metadata(metadata)
    for column in table.columns:
        column.nullable = not column.primary_key
    return metadata


LOOSE = loosened()
READERS = {
    "document": lambda history: history.export_document(),
    "runs": lambda history: list(history.iter_runs("thing")),
    "file": lambda history: history.export_file(io.BytesIO(), progress=lambda _: None),
    "since": lambda history: history.export_document(since=dt.date(2020, 1, 1)),
    "until": lambda history: history.export_document(until=dt.date(2030, 1, 1)),
    "changed": lambda history: history.export_document(changed_since=dt.date(2025, 12, 8)),
    "where": lambda history: history.export_document(where=Thing.id > 0),
    "audit": lambda history: list(histio.audit(history)),
    "diff": lambda history: list(histio.diff(history, history)),
}


def pointers_of(read, history):
    with pytest.raises(ExportError) as caught:
        read(history)
    return [problem.pointer for problem in caught.value.problems]


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
@pytest.mark.cells(2)
@pytest.mark.parametrize("column", ["uuid", "made_at"])
def test_three_of_many_runs_are_named_by_every_reader(create, full, column):
    engine = create(LOOSE)
    table, hour = LOOSE.tables["things"], dt.timedelta(hours=1)
    rows = [{"uuid": number(n), "made_at": MOMENT + n * hour, "updated_at": MOMENT} for n in range(COUNT)]
    for place in (3, 250, COUNT - 1):
        rows[place][column] = None
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
    history = History(engine, ThingSchema)
    with tuned(full_path_only=full):
        assert {name: pointers_of(read, history) for name, read in READERS.items()} == dict.fromkeys(
            READERS, [f"/{column}"] * 3
        )
        report = history.export_file(io.BytesIO(), on_unreadable="skip")
    assert (report.exported, report.skipped, report.problem_count) == (COUNT - 3, 3, 3)


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
def test_an_increment_names_runs_without_the_time_of_their_last_change(create, full):
    engine = create(LOOSE)
    rows = [{"uuid": number(n), "made_at": MOMENT, "updated_at": MOMENT} for n in range(3)]
    with engine.begin() as connection:
        connection.execute(LOOSE.tables["things"].insert(), [*rows[:2], rows[2] | {"updated_at": None}])
    history = History(engine, ThingSchema)
    with tuned(full_path_only=full):
        report = history.export_file(io.BytesIO(), changed_since=dt.date(2030, 1, 1), on_unreadable="skip")
    assert (report.exported, report.skipped) == (0, 1)
    assert [(problem.uuid, problem.pointer) for problem in report.problems] == [(number(2), "/updated_at")]
