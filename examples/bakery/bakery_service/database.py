"""The database, PostgreSQL or SQLite, as an asynchronous engine whose waits end."""

from __future__ import annotations

from typing import Any

import histio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from bakery_service.transfer import Limits


# In docs/how-to/service.md:
def engine_of(url: str, limits: Limits) -> AsyncEngine:
    """An engine for *url*, such as ``sqlite+aiosqlite:///bakery.db`` or ``postgresql+psycopg://…``."""
    is_sqlite = sa.make_url(url).get_backend_name() == "sqlite"
    milliseconds = int(limits.lock * 1000)
    engine = histio.create_async_engine(
        url,
        pool_size=limits.connections,
        max_overflow=0,
        pool_timeout=limits.pool,
        hide_parameters=True,  # errors are logged
        connect_args={"timeout": limits.lock}
        if is_sqlite
        else {"options": f"-c lock_timeout={milliseconds}", "connect_timeout": 5},
    )
    if is_sqlite:
        sa.event.listen(engine.sync_engine, "connect", _log_ahead)
    return engine


# So far in docs/how-to/service.md.
def _log_ahead(dbapi_connection: Any, _record: Any) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # or a download would stop all writing
    cursor.close()
