"""What tests compare of reports and databases."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from histio import History
from histio.models import Base, ProductionRun


def codes_of(problems):
    """The pointer and the code of each problem."""
    return [(problem.pointer, problem.code) for problem in problems]


def outcomes(report):
    """How many runs were imported, skipped and rejected."""
    return report.imported, report.skipped, report.rejected


def rows(engine, model=ProductionRun):
    with Session(engine) as session:
        return session.scalar(sa.select(sa.func.count()).select_from(model))


def runs_by_uuid(given, *names):
    """The runs of a document."""
    names = names or ("production_runs", "assembly_runs")
    return {run["uuid"]: run for name in names for run in given[name]}


def stored(engine):
    """The stored runs by UUID, after a check that there is no row but theirs."""
    runs = runs_by_uuid(History(engine).export_document())
    ledgers = [value for run in runs.values() for value in run.values() if isinstance(value, list)]
    names = [name for name in Base.metadata.tables if name.endswith(("_runs", "consumptions"))]
    with engine.connect() as connection:
        counts = [connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name))) for name in names]
    assert sum(counts) == len(runs) + sum(map(len, ledgers))
    return runs
