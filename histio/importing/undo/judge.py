"""Decide what to do about each run of a receipt, by what is stored of it now."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import latest, locks_rows
from histio.exporting.pages import read_known
from histio.importing.receipt import digest
from histio.importing.undo.notes import Line, Notes, Step
from histio.importing.undo.references import Key, places_of, run_key
from histio.kinds.table import Kind
from histio.tuning import with_pauses

_CHANGED = "Has changed since the import."
_REMOVED = "Was updated by the import, and has been removed since."
_UNREADABLE = "Cannot be read as it is stored, so it may have changed since the import."


class Judge:
    """Decides about runs.

    Args:
        connection: In a transaction.
        notes: The lines of a receipt; receives the decisions.
    """

    def __init__(self, connection: Connection, notes: Notes) -> None:
        self._connection = connection
        self._notes = notes

    def judge(self, kind: Kind, within: Mapping[sa.Column[Any], Any]) -> None:
        """Lock the runs of *kind*, compare them with the receipt, and note what to do about each.

        Args:
            kind: The kind.
            within: Columns that identify a run together with its identity, and their values.
        """
        for page in self._notes.runs(kind.name, Step.UNREAD):
            identities = {number: kind.identity.from_json(json.loads(text)) for number, text in page}
            keys = self._lock(kind, list(identities.values()), within)
            stored = read_known(self._connection, kind, list(keys), within=within, now=True)
            lines = self._notes.lines(kind.name, [text for _, text in page])
            for number, text in with_pauses(page):
                identity = identities[number]
                found = keys.get(identity, [])
                sha256 = digest(stored.get(kind.format_identity(identity)))
                self._decide(number, lines[text], found, sha256)

    def _lock(
        self, kind: Kind, identities: Collection[Any], within: Mapping[sa.Column[Any], Any]
    ) -> dict[Any, list[Key]]:
        """Lock the runs with these *identities*, and their entries; return their keys, by identity."""
        scope = [column == value for column, value in within.items()]
        core = kind.identity.sql()
        rows = core.select().where(core.among(identities), *scope).order_by(*core.parts)
        # Related rows that hold a part of the identity are not locked, if the database can leave them out.
        locked = kind.identity.columns[0].table if core.is_joined else None
        self._connection.execute(rows.with_for_update(of=locked)).close()
        own = kind.identity.sql(kind.table.mapper.class_)
        select = own.select(*run_key(kind)).where(own.among(identities), *scope)
        found: dict[Any, list[Key]] = {}
        width, wanted = len(run_key(kind)), set(identities)
        for row in self._connection.execute(latest(self._connection, select)):
            identity = kind.identity.normalize(kind.identity.join_parts(row[width:]))
            if identity in wanted:  # a collation may treat others as equal
                found.setdefault(identity, []).append(tuple(row[:width]))
        runs = [key for keys in found.values() for key in keys]
        for place in places_of(kind) if runs and locks_rows(self._connection) else ():
            # A database refuses to lock rows of unions and outer joins.
            if place.path and not (place.links or place.table.mapper.with_polymorphic_mappers):
                place.lock(self._connection, runs)
        return found

    def _decide(self, number: int, lines: Sequence[Line], keys: Sequence[Key], sha256: str | None) -> None:
        if not keys:
            was_created = any(line.before is None for line in lines)
            if was_created:
                self._notes.decide(number, Step.GONE)
            else:
                self._leave(number, _REMOVED)
        elif sha256 is None or len(keys) > 1:
            self._leave(number, _UNREADABLE)
        elif (first := find_first(lines, sha256)) is not None:
            if first.before is None:
                self._notes.decide(number, Step.REMOVE, key=keys[0])
            else:
                self._notes.decide(number, Step.RESTORE, before=first.before)
        elif any(digest(line.before) == sha256 for line in lines):
            self._notes.decide(number, Step.GONE)
        else:
            self._leave(number, _CHANGED)

    def _leave(self, number: int, text: str) -> None:
        self._notes.decide(number, Step.LEFT)
        self._notes.add_obstacle(number, "changed", text)


def find_first(lines: Sequence[Line], sha256: str) -> Line | None:
    """The first of the imports of a run that have led to what is stored now.

    Not every line counts: a transaction may have failed after its lines were written.

    Args:
        lines: The lines about the run, in order.
        sha256: The digest of what is stored.

    Returns:
        Its line; None: what is stored is not what an import has written.
    """
    first, wanted = None, sha256
    for line in reversed(lines):
        if line.sha256 == wanted:
            first = line
            if line.before is None:
                break
            wanted = digest(line.before) or ""
    return first
