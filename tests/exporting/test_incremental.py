"""Exports of what has changed, and what they bring up to date."""

import datetime as dt
import hashlib
import json

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Session

import histio
from histio import BindingError, DocumentError, History
from histio.models import ProductionConsumption, ProductionRun
from histio.schemas import ProductionConsumptionSchema
from tests.support.bakery import assembly_run, consumption, document, number, production_run
from tests.support.databases import stocked

TICK = dt.timedelta(microseconds=1)
OLD, NEW = "2025-12-08T10:00:00Z", "2025-12-20T08:30:00Z"
MOMENT = dt.datetime(2025, 12, 20, 8, 30, tzinfo=dt.UTC)


def uuids(export):
    return [run["uuid"] for run in export["production_runs"]]


@pytest.fixture
def changed(history):
    """Three runs: an old one, one that was changed later, and one of whose ledger an entry was."""
    history.import_document(
        document(
            production_run(1),
            production_run(2, updated_at=NEW),
            production_run(3, consumptions=[consumption(31), consumption(32, updated_at=NEW)]),
            assembly=[assembly_run(1)],
        )
    )
    return history


@pytest.mark.turns
@pytest.mark.parametrize("most", [20_000, 1], ids=["listed", "too many for a list"])
@pytest.mark.parametrize(
    ("moment", "found"),
    [
        (MOMENT, [2, 3]),
        (MOMENT.replace(tzinfo=None), [2, 3]),
        (MOMENT.astimezone(dt.timezone(dt.timedelta(hours=5))), [2, 3]),
        (MOMENT + dt.timedelta(microseconds=1), []),
        (dt.date(2025, 12, 20), [2, 3]),
        (dt.date(2025, 12, 8), [1, 2, 3]),
    ],
)
def test_a_run_has_changed_when_it_or_an_entry_of_its_ledger_has(changed, moment, found, most, monkeypatch):
    monkeypatch.setattr("histio.exporting.changed._MOST_PARAMETERS", most)
    assert uuids(changed.export_document(changed_since=moment)) == [number(n) for n in found]
    assert len(list(changed.iter_runs("production_run", changed_since=moment))) == len(found)


Base = orm.declarative_base()


class Batch(Base):
    """A run whose key has two columns, with a ledger whose entries have another one."""

    __tablename__ = "batches"
    number = sa.Column(sa.Integer, primary_key=True, autoincrement=False)
    site = sa.Column(sa.String(20), primary_key=True)
    written = sa.Column(sa.Integer, nullable=False)
    steps = orm.relationship("Step", order_by="Step.id")


class Step(Base):
    __tablename__ = "steps"
    __table_args__ = (
        sa.ForeignKeyConstraint(["its_number", "its_site"], ["batches.number", "batches.site"]),
    )
    id = sa.Column(sa.Integer, primary_key=True)
    its_site = sa.Column(sa.String(20), nullable=False)
    its_number = sa.Column(sa.Integer, nullable=False)
    written = sa.Column(sa.Integer, nullable=False)
    readings = orm.relationship("Reading", order_by="Reading.id")


class Reading(Base):
    __tablename__ = "readings"
    id = sa.Column(sa.Integer, primary_key=True)
    step_id = sa.Column(sa.ForeignKey("steps.id"), nullable=False)
    written = sa.Column(sa.Integer, nullable=False)


class ReadingSchema(histio.RecordSchema):
    class Meta:
        model, changed = Reading, "written"

    written = histio.Epoch(required=True)


class StepSchema(histio.RecordSchema):
    class Meta:
        model, changed = Step, "written"

    written = histio.Epoch(required=True)
    readings = Nested(ReadingSchema, many=True)


class BatchSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Batch, "batch", "batches", None
        identity, changed = ("site", "number"), "written"

    site = histio.Text(required=True)
    number = histio.Integer(required=True)
    written = histio.Epoch(required=True)
    steps = Nested(StepSchema, many=True)


@pytest.mark.parametrize("most", [20_000, 2], ids=["listed", "too many for a list"])
def test_a_run_with_a_key_of_two_columns_changes_with_entries_of_any_depth(create, most, monkeypatch):
    monkeypatch.setattr("histio.exporting.changed._MOST_PARAMETERS", most)
    old, new = 1_700_000_000, 1_800_000_000
    rows = [
        Batch(site=site, number=1, written=a, steps=[Step(written=b, readings=[Reading(written=c)])])
        for site, a, b, c in [
            ("a", old, old, old),
            ("b", new, old, old),
            ("c", old, new, old),
            ("d", old, old, new),
        ]
    ]
    history = History(create(Base.metadata, *rows), BatchSchema)
    moment = dt.datetime.fromtimestamp(new, dt.UTC)
    # A count of seconds does not tell these moments apart.
    found = [list(history.iter_runs("batch", changed_since=each)) for each in (moment, moment + TICK)]
    assert [(run["site"], run["number"]) for run in found[0]] == [("b", 1), ("c", 1), ("d", 1)]
    assert found[1] == found[0]


def test_what_has_changed_is_counted_for_progress(changed, tmp_path):
    calls = []
    changed.export_file(tmp_path / "changed.jsonl", changed_since=MOMENT, progress=calls.append)
    assert (calls[-1].runs, calls[-1].total) == (2, 2)


def test_bounds_of_both_kinds_go_together(changed):
    found = changed.export_document(changed_since=MOMENT, since=dt.date(2025, 12, 9))
    assert uuids(found) == []


@pytest.mark.slow
def test_an_increment_brings_another_database_up_to_date(databases, engine, other_engine, tmp_path):
    here, there = History(engine), History(other_engine)
    here.import_document(document(production_run(1), production_run(2), assembly=[assembly_run(1)]))
    whole = here.export_file(tmp_path / "whole.jsonl")
    there.import_file(tmp_path / "whole.jsonl")
    with Session(engine) as session:
        run = session.scalars(sa.select(ProductionRun).where(ProductionRun.uuid == number(1))).one()
        run.actual_yield = 90
        run.consumptions.append(
            ProductionConsumption(ingredient_slug="bag", quantity_consumed=1, unit="each", total_cost=0)
        )
        session.commit()
    here.import_document(document(production_run(3, updated_at=NEW)))
    later = tmp_path / "later.jsonl.gz"
    increment = here.export_file(later, changed_since=dt.date(2025, 12, 10), follows=whole.sha256)
    assert increment.exported == 2
    report = there.import_file(later, follows=whole.sha256, on_duplicate="update")
    assert (report.imported, report.updated, report.skipped, report.rejected) == (1, 1, 0, 0)
    assert (report.entries.added, report.entries.changed, report.entries.removed) == (1, 0, 0)
    assert list(histio.diff(here, there)) == []
    again = there.export_file(tmp_path / "there.jsonl")
    assert again.sha256 == here.export_file(tmp_path / "here.jsonl").sha256
    merged = histio.merge([tmp_path / "whole.jsonl", later], tmp_path / "merged.jsonl")
    assert merged.sha256 == again.sha256


ZEROS, ONES = "0" * 64, "1" * 64


@pytest.mark.parametrize(
    ("named", "wanted", "problems"),
    [
        ((None, None), (ZEROS, None), {"follows": f"names no predecessor, not {ZEROS}"}),
        ((ONES, None), (ZEROS, None), {"follows": f"follows {ONES}, not {ZEROS}"}),
        ((ONES, None), (ONES, ZEROS), {"follows_header": f"names no predecessor by its header, not {ZEROS}"}),
        ((ONES, ONES), (ONES, ZEROS), {"follows_header": f"follows the header {ONES}, not {ZEROS}"}),
        ((ONES, ONES), (None, ZEROS), {"follows_header": f"follows the header {ONES}, not {ZEROS}"}),
        (
            (ONES, ONES),
            (ZEROS, ZEROS),
            {"follows": f"follows {ONES}, not {ZEROS}", "follows_header": f"the header {ONES}, not {ZEROS}"},
        ),
    ],
)
def test_an_import_may_insist_on_the_predecessor(sqlite, tmp_path, named, wanted, problems):
    history = History(sqlite)
    named, wanted = (
        {"follows": sha256, "follows_header": header_sha256} for sha256, header_sha256 in (named, wanted)
    )
    history.export_file(tmp_path / "runs.jsonl", **named)
    assert history.import_file(tmp_path / "runs.jsonl", **named).imported == 0
    assert history.import_file(tmp_path / "runs.jsonl", follows=named["follows"]).imported == 0
    with pytest.raises(DocumentError) as caught:
        history.import_file(tmp_path / "runs.jsonl", **wanted)
    assert [each.pointer for each in caught.value.problems] == [f"/header/{name}" for name in problems]
    for problem, why in zip(caught.value.problems, problems.values(), strict=True):
        assert why in problem.message


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("x.json", {"follows": ONES}, "^follows: only the header of a stream can name a predecessor"),
        ("x.json", {"follows_header": ONES}, "^follows_header: only the header of a stream can name"),
        ("x.jsonl", {"follows": "A" * 64}, "^follows: a sha256 has 64 lower-case hexadecimal digits"),
        ("x.jsonl", {"follows": ONES, "follows_header": "1"}, "^follows_header: a sha256 has 64 lower-case"),
        ("x.jsonl", {"follows_header": ONES}, "^follows_header: pass follows too"),
    ],
)
def test_what_no_header_can_name_is_refused(sqlite, tmp_path, name, options, why):
    with pytest.raises(ValueError, match=why):
        History(sqlite).export_file(tmp_path / name, **options)
    with pytest.raises(ValueError, match=why):
        histio.merge(["-"], tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_header_names_the_predecessor(sqlite, tmp_path):
    named = {"follows": ONES, "follows_header": ZEROS}
    report = History(sqlite).export_file(tmp_path / "runs.jsonl", exported_at=MOMENT, **named)
    first = (tmp_path / "runs.jsonl").read_bytes().splitlines(keepends=True)[0]
    header = json.loads(first)["header"]
    assert header == {
        "version": "1.0",
        "exported_at": NEW,
        "kinds": ["production_run", "assembly_run"],
        **named,
    }
    found = histio.inspect_file(tmp_path / "runs.jsonl")
    assert found.header_sha256 == report.header_sha256 == hashlib.sha256(first).hexdigest()
    assert (found.follows, found.follows_header) == (ONES, ZEROS)


class _Created(ProductionConsumptionSchema):
    class Meta:
        changed = "created_at"


def test_a_host_names_what_tells_when_a_row_was_written(sqlite):
    class RunSchema(histio.ProductionRunSchema):
        class Meta:
            changed = None

        consumptions = Nested(_Created, many=True)

    history = History(sqlite, RunSchema)
    history.import_document(
        {
            "version": "1.0",
            "production_runs": [
                production_run(1, updated_at=NEW),
                production_run(2, consumptions=[consumption(21, created_at=NEW)]),
            ],
        }
    )
    assert uuids(history.export_document(changed_since=MOMENT)) == [number(2)]


def test_where_nothing_tells_when_rows_were_written_that_is_said(sqlite):
    class RunSchema(histio.ProductionRunSchema):
        class Meta:
            changed = None
            exclude = ("consumptions",)

    with pytest.raises(ValueError, match="no member of production_run has the time when it was last written"):
        History(sqlite, RunSchema).export_document(changed_since=MOMENT)


def test_a_member_that_is_no_time_tells_nothing():
    class RunSchema(histio.ProductionRunSchema):
        class Meta:
            changed = "notes"

    with pytest.raises(BindingError, match=r"Meta\.changed: 'notes' is not a UtcTimestamp, Epoch or Date"):
        History(None, RunSchema)


# --- what an earlier export does not have ---------------------------------------------------------------


FORMATS = ["jsonl", "jsonl.zst", "json"]


@pytest.mark.parametrize("earlier", FORMATS)
@pytest.mark.parametrize("full", [False, True])
def test_what_was_imported_since_with_older_times_is_in_the_increment(history, tune, tmp_path, full, earlier):
    history.import_document(document(production_run(1), production_run(2), assembly=[assembly_run(1)]))
    first = history.export_file(tmp_path / f"first.{earlier}")
    history.import_document(document(production_run(3), production_run(4, updated_at=OLD)))
    history.import_document(document(production_run(2, num_batches=3)), on_duplicate="update")
    tune(full_path_only=full)
    later = history.export_file(tmp_path / "later.jsonl", differs_from=tmp_path / f"first.{earlier}")
    assert (later.by_kind["production_run"], later.exported, later.unchanged) == (3, 3, 2)
    merged = histio.merge([tmp_path / f"first.{earlier}", tmp_path / "later.jsonl"], tmp_path / "all.jsonl")
    assert merged.sha256 == history.export_file(tmp_path / "now.jsonl").sha256
    assert first.sha256 != merged.sha256


def test_an_increment_follows_the_export_that_it_differs_from(history, tmp_path):
    history.import_document(document(production_run(1)))
    first = history.export_file(tmp_path / "first.jsonl")
    later = history.export_file(tmp_path / "later.jsonl", differs_from=tmp_path / "first.jsonl")
    assert (later.exported, later.unchanged) == (0, 1)
    report = history.import_file(tmp_path / "later.jsonl", follows=first.sha256)
    assert (report.imported, report.problems) == (0, ())
    given = {"differs_from": tmp_path / "first.jsonl", "follows": "f" * 64}
    history.export_file(tmp_path / "other.jsonl", **given)
    assert json.loads((tmp_path / "other.jsonl").read_text().splitlines()[0])["header"]["follows"] == "f" * 64


def test_an_increment_names_the_header_of_an_earlier_export_without_runs(sqlite, tmp_path):
    history = History(sqlite)
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    first = history.export_file(paths[0])
    second = history.export_file(paths[1], differs_from=paths[0])
    history.export_file(paths[2], differs_from=paths[1])
    assert (first.sha256, first.header_sha256 == second.header_sha256) == (second.sha256, False)
    assert [histio.inspect_file(path).follows_header for path in paths] == [
        None,
        first.header_sha256,
        second.header_sha256,
    ]
    history.import_file(paths[2], follows=second.sha256, follows_header=second.header_sha256)
    with pytest.raises(DocumentError, match=f"the header {second.header_sha256}, not {first.header_sha256}"):
        history.import_file(paths[2], follows=first.sha256, follows_header=first.header_sha256)


def test_an_increment_of_an_earlier_export_with_runs_does_not_name_its_header(sqlite, tmp_path):
    history = History(sqlite)
    history.import_document(document(production_run(1)))
    history.export_file(tmp_path / "first.jsonl")
    history.export_file(tmp_path / "later.jsonl", differs_from=tmp_path / "first.jsonl")
    assert histio.inspect_file(tmp_path / "later.jsonl").follows_header is None


def test_runs_of_another_kind_or_filter_count_alone(history, tmp_path):
    history.import_document(document(production_run(1), assembly=[assembly_run(1)]))
    history.export_file(tmp_path / "first.jsonl", kinds="production_run")
    found = history.export_file(tmp_path / "later.jsonl", differs_from=tmp_path / "first.jsonl")
    assert dict(found.by_kind) == {"production_run": 0, "assembly_run": 1}
    none = history.export_file(
        tmp_path / "none.json", differs_from=tmp_path / "first.jsonl", since=dt.date(2999, 1, 1)
    )
    assert (none.exported, none.unchanged) == (0, 0)


def test_a_damaged_earlier_export_is_refused_and_no_file_is_written(history, tmp_path):
    history.import_document(document(production_run(1)))
    history.export_file(tmp_path / "first.jsonl")
    lines = (tmp_path / "first.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "first.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(DocumentError, match="without its trailer"):
        history.export_file(tmp_path / "later.jsonl", differs_from=tmp_path / "first.jsonl")
    assert not (tmp_path / "later.jsonl").exists()


def test_a_chain_of_systems_forwards_what_each_has_imported(databases, dialect, tmp_path):
    first, second, third = (History(stocked(databases(dialect, number))) for number in (0, 1, 2))
    first.import_document(document(production_run(1, updated_at=OLD)))
    third.import_file(_export(second, tmp_path / "b1.jsonl"))
    second.import_file(_export(first, tmp_path / "a1.jsonl"))
    second.export_file(tmp_path / "b2.jsonl", differs_from=tmp_path / "b1.jsonl")
    assert third.import_file(tmp_path / "b2.jsonl", on_duplicate="update").imported == 1
    assert list(histio.diff(first, third)) == []


def _export(history, path):
    history.export_file(path)
    return path
