"""Imports of a bound history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from histio.bound import Bound
from histio.database.connect import BorrowedSession
from histio.database.sessions import Habits
from histio.importing.counts import Tally
from histio.importing.parse import Reader, Renames
from histio.importing.spool import Spool
from histio.importing.transaction import Import


@contextmanager
def look_ups(
    bound: Bound,
    session: BorrowedSession | None = None,
    *,
    version: str | None = None,
    rename: Renames | None = None,
    truncate_times: bool = False,
) -> Iterator[Import]:
    """What an import would find in the database; writes nothing.

    Args:
        bound: The history.
        session: To be used instead of the bound database.
        version: The version of the records; None: the current one.
        rename: By member, slugs to read as other slugs.
        truncate_times: Whether times are cut to the digits of a second that their columns keep.
    """
    with bound.database.reading(session) as connection, Spool() as spool:
        yield Import(
            connection,
            bound.kinds,
            reader=Reader(bound, version or bound.versions.current, rename or {}),
            tally=Tally(bound.kinds),
            spool=spool,
            values=bound.constants(),
            habits=Habits(),
            truncate_times=truncate_times,
        )
