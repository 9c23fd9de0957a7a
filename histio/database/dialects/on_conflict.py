"""Let SQLite refuse rows that break a rule of their table, whatever the table's ON CONFLICT says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.kinds.table import Kind

_MADE = sa.table("sqlite_master", sa.column("name"), sa.column("sql"))
_RESOLVED = sa.select(_MADE.c.name).where(_MADE.c.sql.op("LIKE")("%CONFLICT%"))
_WRITES = (("INSERT INTO ", "INSERT OR ABORT INTO "), ("UPDATE ", "UPDATE OR ABORT "))


@contextmanager
def refusing_conflicts(connection: Connection, kinds: Collection[Kind]) -> Iterator[None]:
    """In this block, no row in the tables of *kinds* is left out or replaces another one.

    With `UNIQUE (…) ON CONFLICT REPLACE`, SQLite would delete the row that had the value before, without a
    word. Statements for other tables stay as they are, because OR ABORT also holds in triggers.
    """
    resolved = {name.lower() for name in connection.execute(_RESOLVED).scalars()}
    quote = connection.dialect.identifier_preparer.format_table
    tables = {core for kind in kinds for table in kind.table.all() for core in table.core_tables}
    names = [quote(table) for table in tables if table.name.lower() in resolved]
    if not names:
        yield
        return
    target = re.compile(f"(?:{'|'.join(map(re.escape, names))})[ (]")

    def abort(
        _connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> tuple[str, Any]:
        for plain, aborting in _WRITES:
            if statement.startswith(plain) and target.match(statement, len(plain)):
                return aborting + statement.removeprefix(plain), parameters
        return statement, parameters

    sa.event.listen(connection, "before_cursor_execute", abort, retval=True)
    try:
        yield
    finally:
        sa.event.remove(connection, "before_cursor_execute", abort)
