"""Runs that refer to runs, on either path."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from marshmallow.fields import Nested
from sqlalchemy.orm import declarative_base, relationship

from histio import AutoRecordSchema, AutoRunSchema, History, RunUUID, Slug
from histio.tuning import tuned
from tests.support.bakery import number
from tests.support.effort import examples
from tests.support.reports import outcomes

Base = declarative_base()


class Batch(Base):
    """A batch that may have come out of another one."""

    __tablename__ = "batches"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), unique=True, nullable=False)
    name = sa.Column(sa.String(20), sa.CheckConstraint("name <> 'refused'"), nullable=False)
    source_id = sa.Column(sa.ForeignKey("batches.id"))
    source = relationship("Batch", remote_side=id)


class BatchSchema(AutoRunSchema):
    class Meta:
        model = Batch
        kind = "batch"
        collection = "batches"
        timestamp = None

    uuid = RunUUID(required=True)
    source_uuid = Slug("source", key="uuid", allow_none=True)


def batch(n, source=None, name="dough"):
    return {"uuid": number(n), "name": name, "source_uuid": None if source is None else number(source)}


def document(batches):
    return {"version": "1.0", "batches": batches}


def imported(engine, batches, *, full_path_only, size, on_duplicate):
    """What an import into *engine* reports and stores; it is rolled back."""
    history = History(engine, BatchSchema)
    with engine.connect() as connection, connection.begin() as transaction:
        with tuned(full_path_only=full_path_only, batch=size):
            report = history.import_document(document(batches), session=connection, on_duplicate=on_duplicate)
        stored = list(history.iter_runs("batch", session=connection))
        transaction.rollback()
    return report.to_dict(), stored


BATCHES = st.lists(
    st.builds(
        batch,
        st.integers(1, 9),
        st.one_of(st.none(), st.integers(1, 10)),
        st.sampled_from(["dough", "dough", "bread", "refused", ""]),
    ),
    max_size=12,
)


@pytest.mark.slow
@pytest.mark.parametrize("on_duplicate", ["skip", "verify", "update"])
def test_runs_that_refer_to_runs_are_imported_the_same_on_either_path(sqlite_of, on_duplicate):
    engine = sqlite_of(Base.metadata)
    History(engine, BatchSchema).import_document(document([batch(1), batch(2, 1)]))

    @settings(
        max_examples=examples(60),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @example([batch(5, 6), batch(6), batch(7, 5)], 2)
    @example([batch(5, 6), batch(6, 5), batch(7, 7)], 2)
    @example([batch(5, 6), batch(6, name="refused"), batch(7, 2)], 40)
    @given(BATCHES, st.sampled_from([2, 40]))
    def same(batches, size):
        options = {"size": size, "on_duplicate": on_duplicate}
        expected = imported(engine, batches, full_path_only=True, **options)
        assert imported(engine, batches, full_path_only=False, **options) == expected

    same()


def test_runs_that_refer_to_stored_ones_take_the_fast_path_beside_those_that_wait(sqlite_of, caplog):
    engine = sqlite_of(Base.metadata)
    history = History(engine, BatchSchema)
    history.import_document(document([batch(1)]))
    caplog.set_level("DEBUG", "histio")
    given = [batch(n, None if n % 2 else 1) for n in range(2, 100)]
    assert outcomes(history.import_document(document([batch(200, 300), *given, batch(300)]))) == (100, 0, 0)
    assert "2 of 100 new runs take the full path" in caplog.messages


Cellar = declarative_base()


class Malt(Cellar):
    __tablename__ = "malts"
    id = sa.Column(sa.Integer, primary_key=True)
    slug = sa.Column(sa.String(20), unique=True, nullable=False)
    code = sa.Column(sa.String(20), unique=True, nullable=False)


class Pour(Cellar):
    __tablename__ = "pours"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), unique=True, nullable=False)
    brew_id = sa.Column(sa.ForeignKey("brews.id"), nullable=False)
    malt_id = sa.Column(sa.ForeignKey("malts.id"), nullable=False)
    malt = relationship(Malt)


class Brew(Cellar):
    __tablename__ = "brews"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), unique=True, nullable=False)
    malt_id = sa.Column(sa.ForeignKey("malts.id"), nullable=False)
    malt = relationship(Malt)
    source_id = sa.Column(sa.ForeignKey("brews.id"))
    source = relationship("Brew", remote_side=id)
    pours = relationship(Pour, order_by=Pour.id, cascade="all, delete-orphan")


class PourSchema(AutoRecordSchema):
    class Meta:
        model = Pour

    uuid = RunUUID(required=True)
    malt_slug = Slug("malt")
    malt_code = Slug("malt", key="code")


class BrewSchema(AutoRunSchema):
    class Meta:
        model = Brew
        kind = "brew"
        collection = "brews"
        timestamp = None

    uuid = RunUUID(required=True)
    malt_slug = Slug("malt")
    malt_code = Slug("malt", key="code")
    source_uuid = Slug("source", key="uuid", allow_none=True)
    pours = Nested(PourSchema, many=True)


MALTS = {"fine": {"malt_slug": "pale", "malt_code": "P"}, "warned": {"malt_slug": "pale", "malt_code": "D"}}


@pytest.mark.parametrize("size", [2, 40])
@pytest.mark.parametrize("full_path_only", [False, True], ids=["fast", "full"])
@pytest.mark.parametrize(
    ("run", "entry", "each"), [("warned", "fine", 1), ("fine", "warned", 1), ("warned", "warned", 2)]
)
def test_every_run_is_warned_of_in_every_batch(sqlite_of, size, full_path_only, run, entry, each):
    engine = sqlite_of(Cellar.metadata)
    with engine.begin() as connection:
        connection.execute(sa.insert(Malt), [{"slug": "pale", "code": "P"}, {"slug": "dark", "code": "D"}])
    brews = [
        {
            "uuid": number(n),
            **MALTS[run],
            "source_uuid": None,
            "pours": [{"uuid": number(50 + n), **MALTS[entry]}],
        }
        for n in range(8)
    ]
    with tuned(full_path_only=full_path_only, batch=size):
        report = History(engine, BrewSchema).import_document({"version": "1.0", "brews": brews})
    assert (report.imported, report.warning_count, len(report.warnings)) == (8, 8 * each, 8 * each)
