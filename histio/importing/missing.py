"""Say what to do about catalog rows that the runs of an import refer to and the database lacks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.bound import Constants
from histio.database.dialects import savepoint
from histio.importing.destination import find_noted
from histio.importing.run import OnCatalog
from histio.importing.spool import Spool
from histio.kinds.mapping import find_column
from histio.kinds.table import Kind
from histio.log import log_handled
from histio.resolving.lookup import KeyValue

_log = logging.getLogger("histio")


@dataclass(slots=True, eq=False)
class MissingCatalog:
    """Knows what to do about catalog rows that the database lacks.

    Attributes:
        kinds: The kinds of run.
        catalog: The catalog kinds.
        values: By attribute, what fills columns that the format leaves out.
        on_catalog: What the import does with the catalog rows of the file.
        absent: Remembers the catalog rows of the file that are ignored or rejected; None: it has none at all.
        is_empty: Whether the database has no catalog row at all that the runs may refer to; None: nothing was
            missing yet, so nobody has looked.
        advice: What to do if the database has no catalog row at all that the runs may refer to; None: it has
            some, or nobody has looked.
        is_copy: Whether the runs come from another database, not from a file.
        has_catalog: Whether the file has catalog rows that another import takes, so that *absent* has none.
    """

    kinds: Sequence[Kind]
    catalog: Sequence[Kind]
    values: Constants
    on_catalog: OnCatalog
    absent: Spool | None = None
    is_empty: bool | None = None
    advice: str | None = None
    is_copy: bool = False
    has_catalog: bool = False

    def describe(self, connection: Connection, model: type[Any], sought: KeyValue) -> str | None:
        """What to do about the row of *model* with the key *sought*; None: nothing is known."""
        place = None if self.absent is None else find_noted(self.absent, model, sought)
        if place is not None and self.on_catalog != "ignore":
            return f"{place} has it, but is rejected"
        if self.is_empty is None:
            self.is_empty = self._find_whether_empty(connection)
            self.advice = self._advise() if self.is_empty else None
            if self.advice is not None:
                _log.info(self.advice)
        return (
            'the file has it: import it with catalog="create" or --create-catalog'
            if place and not self.is_empty
            else None
        )

    def _find_whether_empty(self, connection: Connection) -> bool:
        """Whether the database has no row of any catalog kind that runs refer to."""
        referred = [kind for kind in self.catalog if any(map(kind.is_named_by, self.kinds))]
        try:
            with savepoint(connection):
                return bool(referred) and not any(self._has_rows(connection, kind) for kind in referred)
        except sa.exc.DBAPIError as error:  # runs of the other kinds need no such table, nor rights to it
            log_handled("a table of the catalog cannot be read", error)
            return False

    def _has_rows(self, connection: Connection, kind: Kind) -> bool:
        mapper = kind.table.mapper
        columns = ((find_column(mapper, name), value) for name, value in self.values.items())
        within = [column == value for column, value in columns if column is not None]
        statement = sa.select(sa.literal(1)).select_from(mapper.class_).where(*within).limit(1)
        return connection.execute(statement).first() is not None

    def _advise(self) -> str | None:
        if self.is_copy and self.absent is None:
            return (
                "The database has none of the rows that runs refer to: copy them too, with "
                'catalog="create" (--create-catalog), or create them first.'
            )
        if self.absent is None and not self.has_catalog:
            return (
                "The database has none of the rows that runs refer to, and the file has no catalog: export "
                'it again with catalog="used" (--with-catalog), and import that with catalog="create" '
                "(--create-catalog), or create the rows first."
            )
        if self.on_catalog == "ignore":
            return (
                "The database has none of the rows that runs refer to, and the file has them: import it with "
                'catalog="create" (--create-catalog).'
            )
        return None
