"""Run an import on either path, and compare what it reports and stores."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from histio import History
from histio.models import Base

MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)


def _is_key(column: sa.Column[Any]) -> bool:
    return column.name == "id" or column.name.endswith("_run_id")


def stored(connection: sa.Connection) -> dict[str, list[str]]:
    """All rows of runs and entries, without their keys, which the order of writing gives."""
    tables = [
        table for table in Base.metadata.sorted_tables if "runs" in table.name or "consumptions" in table.name
    ]
    found = {}
    for table in tables:
        columns = [sa.type_coerce(column, sa.types.NullType()) for column in table.c if not _is_key(column)]
        found[table.name] = sorted(map(repr, connection.execute(sa.select(*columns))))
    return found


def imported(engine: sa.Engine, action: Callable[[sa.Connection], Any]) -> tuple[dict[str, Any], str]:
    """What *action* reports and stores, with one time of import; it is rolled back."""
    with engine.connect() as connection, connection.begin() as transaction:
        report = action(connection)
        rows = stored(connection), History(connection).export_document(exported_at=MOMENT)
        transaction.rollback()
    return report.to_dict(), without_import_time(repr(rows))


def without_import_time(text: str) -> str:
    """*text* without timestamps of today: absent times become the time of the import."""
    now = dt.datetime.now(dt.UTC)
    days = "|".join(f"{day:%Y-%m-%d}" for day in (now, now - dt.timedelta(days=1)))
    return re.sub(rf"({days})[ T][0-9:.]+", "now", text)
