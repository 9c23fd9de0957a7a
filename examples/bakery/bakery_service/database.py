"""The database, PostgreSQL or SQLite, as an asynchronous engine."""

from __future__ import annotations

from typing import Any

import histio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine


def engine_of(url: str) -> AsyncEngine:
    """An engine for *url*, such as ``sqlite+aiosqlite:///bakery.db`` or ``postgresql+psycopg://…``."""
    engine = histio.create_async_engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _log_ahead)
    return engine


def _log_ahead(dbapi_connection: Any, _record: Any) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # or a slow download would stop all writing
    cursor.close()


def snapshot_of(engine: AsyncEngine) -> AsyncEngine:
    """*engine* with transactions that see one moment, however many SELECTs they make."""
    if engine.dialect.name == "sqlite":
        return engine  # whose transactions always do
    return engine.execution_options(isolation_level="REPEATABLE READ")
