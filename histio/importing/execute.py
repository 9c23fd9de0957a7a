"""Imports on a bound history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from histio.bound import Bound
from histio.database.connect import BorrowedSession
from histio.importing.destination import open_destination
from histio.importing.look_ups import LookUps
from histio.importing.parse import Reader, Renames
from histio.importing.spool import Spool


@contextmanager
def open_look_ups(
    bound: Bound,
    session: BorrowedSession | None = None,
    *,
    version: str | None = None,
    rename: Renames | None = None,
    truncate_times: bool = False,
) -> Iterator[LookUps]:
    """Look-ups in the database of a history.

    Args:
        bound: The history.
        session: To be used instead of the bound database.
        version: The version of the records; None: the current one.
        rename: By member, slugs to read as other slugs.
        truncate_times: Whether to cut times to the digits of a second that their columns keep.
    """
    with bound.database.reading(session) as connection, Spool() as spool:
        yield LookUps(
            open_destination(
                connection,
                bound.kinds,
                reader=Reader(bound, version or bound.versions.current, rename or {}),
                spool=spool,
                values=bound.constants(),
                truncate_times=truncate_times,
            )
        )
