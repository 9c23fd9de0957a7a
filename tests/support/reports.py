"""What tests compare of reports and databases."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from histio.models import (
    ProductionRun,
)


def codes_of(problems):
    """The pointer and the code of each problem."""
    return [(problem.pointer, problem.code) for problem in problems]


def outcomes(report):
    """How many runs were imported, skipped and rejected."""
    return report.imported, report.skipped, report.rejected


def rows(engine, model=ProductionRun):
    with Session(engine) as session:
        return session.scalar(sa.select(sa.func.count()).select_from(model))
