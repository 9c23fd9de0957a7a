"""Whether a database has the runs of a file, without reading its other runs."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import histio
from histio import DocumentError, ExportError, History, NotConfiguredError
from histio.models import ProductionRun
from histio.tuning import tuned
from tests.support.bakery import assembly_run, document, number, production_run
from tests.support.differences import imported, production, stream, whole
from tests.support.jobs import TENANT, JobSchema, jobs
from tests.support.jobs import Base as JobBase
from tests.support.jobs import Part as JobPart

DAYS = [production_run(n, produced_at=f"2025-12-{n:02}T10:00:00Z") for n in range(1, 10)]
SOME = document(*DAYS, assembly=[assembly_run(1), assembly_run(2)])
PATHS = pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])


def summarize(differences):
    return [(each.kind, each.uuid, each.only_in, [str(one) for one in each.changes]) for each in differences]


def both(file, history):
    """What `verify` finds, which has to be what `diff` finds of the same file."""
    found = list(histio.verify(file, history))
    file.seek(0)
    known = [each for each in histio.diff(file, history) if each.only_in != "b"]
    assert sorted(map(str, found)) == sorted(map(str, known))
    return summarize(found)


@PATHS
def test_runs_that_a_database_lacks_or_has_otherwise_are_told_in_the_order_of_exports(engine, full):
    history = imported(engine, SOME)
    changed = DAYS[4] | {"notes": "new"}
    file = stream(
        ("assembly_run", assembly_run(2)),
        ("assembly_run", assembly_run(3)),
        *(("production_run", run) for run in (DAYS[7], changed, production_run(20), DAYS[0])),
    )
    with tuned(full_path_only=full, page=2):
        assert both(file, history) == [
            ("production_run", number(5), None, ["/notes: a 'new', b 'Test batch'"]),
            ("production_run", number(20), "a", []),
            ("assembly_run", number(3), "a", []),
        ]


@PATHS
def test_an_export_is_verified_whatever_else_the_database_has(engine, full):
    history = imported(engine, SOME)
    with tuned(full_path_only=full, page=2):
        assert both(production(*DAYS[3:6]), history) == []
        assert both(whole(SOME), history) == []


def test_of_a_run_that_comes_several_times_the_last_one_counts(sqlite):
    history = imported(sqlite, SOME)
    assert both(production(DAYS[1] | {"notes": "old"}, DAYS[1]), history) == []
    [(_, uuid, *_)] = both(production(DAYS[1], DAYS[1] | {"notes": "new"}), history)
    assert uuid == number(2)


@pytest.mark.parametrize("count", [3, 300])
def test_the_number_of_statements_depends_on_the_file_alone(sqlite, count_statements, count):
    history = imported(sqlite, document(*(production_run(n) for n in range(1, count + 1))))
    list(histio.verify(production(production_run(2)), history))
    statements = count_statements(sqlite)
    assert list(histio.verify(production(production_run(2)), history)) == []
    assert len(statements.all) <= 16


@PATHS
def test_a_stored_run_that_cannot_be_read_is_named_if_the_file_has_it(sqlite, full):
    history = imported(sqlite, SOME)
    with sqlite.begin() as connection:
        odd = sa.update(ProductionRun).values(per_unit_cost=sa.literal_column("'NaN'"))
        connection.execute(odd.where(ProductionRun.uuid.in_([number(2), number(7)])))
    with tuned(full_path_only=full):
        assert summarize(histio.verify(production(DAYS[2]), history)) == []
        found = histio.verify(production(DAYS[1], DAYS[2] | {"notes": "new"}), history)
        assert next(found).uuid == number(3)
        with pytest.raises(ExportError) as caught:
            next(found)
    assert [(each.uuid, each.pointer) for each in caught.value.problems] == [(number(2), "/per_unit_cost")]


def test_runs_of_other_tenants_are_not_those_of_the_file(create):
    engine = create(
        JobBase.metadata,
        *(JobPart(id=tenant, tenant_id=tenant, slug="bolt") for tenant in (7, 8)),
    )
    history = History(engine, JobSchema, values=TENANT)
    other = History(engine, JobSchema, values=TENANT | {"tenant_id": 8})
    assert history.import_document(jobs(1)).imported == 1
    assert other.import_document(jobs(2)).imported == 1
    found = histio.verify(whole(jobs(1, 2)), history)
    assert [each.uuid for each in found if each.only_in == "a"] == []


Base = orm.declarative_base()


class Note(Base):
    __tablename__ = "notes"
    id = sa.Column(sa.Integer, primary_key=True)
    uuid = sa.Column(sa.String(36), nullable=False)
    text = sa.Column(sa.String(20), nullable=False)


class NoteSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Note, "note", "notes", None

    uuid = histio.RunUUID(required=True)
    text = histio.Text(required=True)


def test_rows_that_share_an_identity_are_named_if_the_file_has_it(create):
    engine = create(Base.metadata, *(Note(uuid=number(n), text="a") for n in (1, 2, 2, 3, 3)))
    history = History(engine, NoteSchema)
    given = {"version": "1.0", "notes": [{"uuid": number(n), "text": "a"} for n in (1, 2)]}
    with pytest.raises(ExportError, match="2 rows have this uuid") as caught:
        list(histio.verify(whole(given), history))
    assert [each.uuid for each in caught.value.problems] == [number(2)]


def test_a_damaged_file_and_a_history_without_database_are_refused(sqlite):
    with pytest.raises(DocumentError):
        next(histio.verify(production(without_uuid()), imported(sqlite, SOME)))
    with pytest.raises(NotConfiguredError):
        next(histio.verify(production(production_run(1)), History()))


def without_uuid():
    return {name: value for name, value in production_run(1).items() if name != "uuid"}
