"""What the peers that use SQLAlchemy share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def engine(url: str) -> sa.Engine:
    """An engine on which SQLite enforces foreign keys, as it does for histio."""
    created = sa.create_engine(url)
    if created.dialect.name == "sqlite":
        sa.event.listen(created, "connect", _enforce)
    return created


def _enforce(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def warm(url: str) -> list[str]:
    """Connect once, and return a list to which all later statements are added."""
    once = engine(url)
    once.connect().close()
    once.dispose()
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    return statements
