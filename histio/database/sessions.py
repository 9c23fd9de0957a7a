"""Open histio's own sessions, with the listeners of the host's session."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import ORMExecuteState, Session

from histio.database.dialects import latest

EVENTS = (
    "before_flush",
    "after_flush",
    "after_flush_postexec",
    "before_attach",
    "after_attach",
    "transient_to_pending",
    "pending_to_persistent",
)


@dataclass(frozen=True, slots=True)
class Habits:
    """The listeners of a host's session that are called when objects are added and flushed.

    Attributes:
        listeners: By event.
        info: The session's `info`, which listeners may use.
    """

    listeners: Mapping[str, Sequence[Callable[..., Any]]] = field(default_factory=dict)
    info: Mapping[Any, Any] = field(default_factory=dict)


def read_habits(session: Session | None) -> Habits:
    """The habits of *session*; None: those that every session has."""
    source = Session() if session is None else session
    found = {event: tuple(getattr(source.dispatch, event)) for event in EVENTS}
    return Habits({event: listeners for event, listeners in found.items() if listeners}, source.info)


@contextmanager
def own_session(
    connection: Connection, habits: Habits | None = None, *, now: bool = False
) -> Iterator[Session]:
    """Open a session on *connection*, separate from the caller's session and its objects.

    Listeners that add criteria to every query, such as those that hide deleted rows, are not called.

    Args:
        connection: The connection.
        habits: The habits of the caller's session; None: it has none.
        now: Whether to read what is committed now, even in an older snapshot, and lock it.
    """
    with Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session:
        reads = (functools.partial(_read_latest, connection),) if now else ()
        session.dispatch.do_orm_execute = reads  # type: ignore[attr-defined]
        for event, listeners in habits.listeners.items() if habits else ():
            for listener in set(listeners).difference(getattr(session.dispatch, event)):
                sa.event.listen(session, event, listener, raw=True)  # already wrapped by SQLAlchemy
        if habits:
            session.info.update(habits.info)
        yield session


def _read_latest(connection: Connection, state: ORMExecuteState) -> None:
    if isinstance(state.statement, sa.Select):
        state.statement = latest(connection, state.statement)
