"""Keep SQLite's rules with ON CONFLICT from replacing rows, or leaving them out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.kinds.table import Kind

_WRITES = (("INSERT INTO ", "INSERT OR ABORT INTO "), ("UPDATE ", "UPDATE OR ABORT "))


@contextmanager
def refusing_conflicts(
    connection: Connection, kinds: Collection[Kind], resolved: Collection[str]
) -> Iterator[None]:
    """In this block, no row in the tables of *kinds* is left out or replaces another one.

    With `UNIQUE (…) ON CONFLICT REPLACE`, SQLite would delete the row that had the value before, without a
    word. Statements for other tables than those *resolved* stay as they are, because OR ABORT also holds in
    triggers.
    """
    quote = connection.dialect.identifier_preparer.format_table
    tables = {core for kind in kinds for table in kind.table.all() for core in table.core_tables}
    names = [re.escape(quote(table)) for table in tables if table.name.lower() in resolved]
    target = re.compile(f"(?:{'|'.join(names)})[ (]" if names else "(?!)")

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
