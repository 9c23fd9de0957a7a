"""The public API as type checkers see it. mypy reads this file; nothing runs it."""

import datetime as dt
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, assert_type

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

import histio
from histio.kinds.audits import AtMost
from histio.models import ProductionRun
from histio.typing import BundledKinds


def binds(engine: Engine, maker: sessionmaker[Session], session: Session) -> None:
    for bind in ("sqlite://", engine, maker, session, None):
        assert_type(histio.History(bind), histio.History[BundledKinds])
    with histio.History("sqlite://", histio.ProductionRunSchema) as history:
        assert_type(history, histio.History[object])
        assert_type(history.kinds, tuple[str, ...])
    histio.History(5)  # type: ignore[call-overload]
    histio.configure(session)


def way_out(history: histio.History, session: Session) -> None:
    assert_type(history.export_document(since=dt.date(2025, 1, 1), session=session), dict[str, Any])
    where = ProductionRun.num_batches > 1
    assert_type(history.iter_runs("production_run", where=where), Iterator[dict[str, Any]])
    history.export_document(where={"production_run": where}, kinds=["production_run"])
    history.export_document(session)  # type: ignore[call-arg, arg-type]
    assert_type(history.export_document(exact=True), dict[str, Any])
    assert_type(history.iter_runs("production_run", exact=True), Iterator[dict[str, Any]])
    report = history.export_file("runs.jsonl", exact=True, on_unreadable="skip")
    assert_type(report, histio.ExportReport)
    assert_type(report.warnings, tuple[histio.Problem, ...])
    assert_type(report.skipped, int)
    history.export_file("runs.jsonl", on_unreadable="ignore")  # type: ignore[arg-type]


def across(history: histio.History, other: histio.AsyncHistory) -> None:
    report = histio.copy(history, history, since=dt.date(2025, 1, 1), catalog="create", commit_every=5)
    assert_type(report, histio.ImportReport)
    histio.copy(history, history, on_unreadable="skip", on_duplicate="update", whole_catalog=True)
    histio.copy(history, other)  # type: ignore[arg-type]
    histio.copy(history, history, catalog="used")  # type: ignore[arg-type]


def way_in(history: histio.History, document: dict[str, Any]) -> None:
    report = history.import_document(document, on_duplicate="verify", atomic=True, dry_run=True)
    assert_type(report, histio.ImportReport)
    assert_type(report.by_kind["production_run"].withheld + report.withheld, int)
    assert_type(report.problems, tuple[histio.Problem, ...])
    assert_type(report.revisions, tuple[histio.Revision, ...])
    assert_type([each.pointer for each in report.revisions], list[str])
    assert_type(history.check(document), list[histio.Problem])
    report.imported = 5  # type: ignore[misc]
    history.import_document(document, catalog="update")
    history.import_file("runs.jsonl", catalog="create")
    history.check(document, catalog="create")
    history.import_document(document, catalog="all")  # type: ignore[arg-type]
    assert_type(report.catalog["recipe"].imported + report.catalog_rejected, int)
    assert_type(report.advice, str | None)
    history.import_document(document, kinds="production_run")
    history.import_file("runs.jsonl", kinds=("production_run", "assembly_run"))
    history.import_file("runs.jsonl", kinds=5)  # type: ignore[arg-type]
    history.import_file(["runs.jsonl", Path("more.jsonl")])
    history.import_file(Path().glob("*.jsonl"))
    history.import_file([5])  # type: ignore[list-item]
    assert_type(report.problems[0].file, str | None)
    history.import_document(document, on_duplicate="sometimes")  # type: ignore[arg-type]


def reports(history: histio.History) -> None:
    assert_type(histio.report_page(history, "report.html", imported=histio.ImportReport()), None)
    histio.report_page(["a.jsonl", Path("b.jsonl")], "report.html", rejects=Path("rejects.jsonl"))
    histio.report_page("history.json", "report.html", history=history, overwrite=True)
    tables = histio.flatten("history.json", Path("tables"), format="parquet", kinds=["recipe"])
    assert_type(tables, histio.FlattenReport)
    assert_type(tables.tables[0], histio.WrittenTable)
    histio.flatten(history, "tables", on_invalid="skip", for_excel=True, overwrite=True)
    histio.flatten(history, "tables", format="ods")  # type: ignore[arg-type]
    assert_type(histio.local_path("history.json", within="uploads"), Path)


def four_functions(document: dict[str, Any]) -> None:
    produced = histio.export_production_history(recipe_id=1, end_date=dt.date(2025, 1, 1))
    assert_type(produced, histio.ProductionHistory)
    assert_type(histio.export_assembly_history(), histio.AssemblyHistory)
    assert_type(produced["production_runs"][0]["total_ingredient_cost"], str)
    histio.import_production_history(produced)
    produced["assembly_runs"]  # type: ignore[typeddict-item]
    result = histio.import_assembly_history(document, skip_duplicates=False)
    assert_type(result["errors"], list[str])


def records(history: histio.History) -> None:
    runs: list[histio.ProductionRunRecord] = histio.export_production_history()["production_runs"]
    assert_type(runs[0].get("notes"), str | None)
    assert_type(runs[0].get("consumptions", [])[0]["quantity_consumed"], str)
    document: histio.HistoryDocument = {"version": "1.0", "production_runs": runs}
    assert_type(history.import_document(document), histio.ImportReport)
    assert_type(history.check(document), list[histio.Problem])
    assert_type(histio.import_production_history(document), histio.ImportSummary)
    document["$schema"] = "./history-1.0.schema.json"
    assert_type(history.json_schema(openapi=True), dict[str, Any])
    runs[0]["recipe"] = "scones"  # type: ignore[typeddict-unknown-key]


def records_of_bundled_kinds(engine: Engine, session: Session) -> None:
    history = histio.History(engine)
    since = dt.date(2025, 1, 1)
    assert_type(history.iter_runs("production_run"), Iterator[histio.ProductionRunRecord])
    assert_type(
        history.iter_runs("assembly_run", since=since, session=session), Iterator[histio.AssemblyRunRecord]
    )
    assert_type([run["recipe_slug"] for run in history.iter_runs("production_run")], list[str])
    document = history.export_document(since=since, catalog="used", session=session)
    assert_type(document, histio.CompleteHistory)
    assert_type(document["production_runs"], list[histio.ProductionRunRecord])
    assert_type(document.get("recipes"), list[histio.RecipeRecord] | None)
    assert_type(history.export_document(kinds="production_run"), dict[str, Any])
    history.import_document(document)
    history.iter_runs("production_run", till=since)  # type: ignore[call-overload]


def records_of_other_kinds(engine: Engine) -> None:
    # A host's kind of the same name may have further members.
    history = histio.History(engine, AuditedSchema)
    assert_type(history.iter_runs("production_run"), Iterator[dict[str, Any]])
    way_out(histio.History(engine), Session())


def files(history: histio.History, path: Path, file: BinaryIO) -> None:
    for given in (path, "runs.jsonl", file):
        assert_type(histio.check_file(given, history=history, max_depth=9), Iterator[histio.Problem])
        assert_type(histio.inspect_file(given), histio.Inspection)
        assert_type(histio.references(given, history=history), Iterator[histio.ReferencedRow])
    for audited in (history, path):
        assert_type(histio.audit(audited), Iterator[histio.Problem])
    histio.check_file(history)  # type: ignore[arg-type]
    histio.references(path, history)  # type: ignore[call-arg]


class Rule:
    members = ("notes",)

    def findings(self, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield "notes", str(record)


class AuditedSchema(histio.ProductionRunSchema):
    class Meta(histio.ProductionRunSchema.Meta):
        audits = (AtMost("actual_yield", "expected_yield"), Rule())


async def for_asyncio(
    engine: AsyncEngine,
    maker: async_sessionmaker[AsyncSession],
    session: AsyncSession,
    connection: AsyncConnection,
    document: dict[str, Any],
) -> None:
    for bind in ("sqlite+aiosqlite://", engine, maker, session, connection, None):
        assert_type(histio.AsyncHistory(bind), histio.AsyncHistory[BundledKinds])
    async with histio.AsyncHistory(engine, histio.ProductionRunSchema, version="2.0") as history:
        assert_type(history.kinds, tuple[str, ...])
    assert_type(await history.export_document(session=session), dict[str, Any])
    assert_type(history.iter_runs("production_run"), AsyncGenerator[dict[str, Any], None])
    bundled = histio.AsyncHistory(engine)
    assert_type(await bundled.export_document(), histio.CompleteHistory)
    assert_type(bundled.iter_runs("assembly_run", exact=True), AsyncGenerator[histio.AssemblyRunRecord, None])
    assert_type(await history.import_document(document, session=connection), histio.ImportReport)
    assert_type(await history.check(document, catalog="create"), list[histio.Problem])
    histio.AsyncHistory(5)  # type: ignore[call-overload]
    histio.History(engine)  # type: ignore[call-overload]


async def not_for_asyncio(engine: Engine, session: Session, history: histio.AsyncHistory) -> None:
    histio.AsyncHistory(engine)  # type: ignore[call-overload]
    await history.export_document(session=session)  # type: ignore[arg-type]
