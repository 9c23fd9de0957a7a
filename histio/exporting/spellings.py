"""Find runs whose stored identity no look-up finds, so that an import would write them twice."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import as_it_is, other_spelling
from histio.exporting.counts import ExportTally
from histio.kinds.fields import RunUUID
from histio.kinds.identity import Part
from histio.kinds.table import Kind
from histio.pointer import pointer
from histio.report import Problem
from histio.wire import shown

_EXAMPLE = UUID("7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11")


def refuse_misspelled(
    connection: Connection, kind: Kind, criteria: list[Any], tally: ExportTally
) -> list[sa.ColumnElement[bool]]:
    """Refuse runs that a look-up of their identity would miss.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        criteria: Conditions for the runs to check.
        tally: Gets a problem for each refused run.

    Returns:
        Conditions that exclude the refused runs.
    """
    problems, others = misspelled(connection, kind, criteria)
    tally.refuse(problems)
    tally.skipped += len(problems)
    return others


def misspelled(
    connection: Connection, kind: Kind, criteria: list[Any]
) -> tuple[list[Problem], list[sa.ColumnElement[bool]]]:
    """A problem for each run that a look-up of its identity would miss, and conditions that exclude them.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        criteria: Conditions for the runs to check.
    """
    problems: list[Problem] = []
    others: list[sa.ColumnElement[bool]] = []
    for part in kind.identity.parts:
        if part.relation is None:
            found, other = _misspelled(connection, kind, part, criteria)
            problems += found
            others += other
    return problems, others


def _misspelled(
    connection: Connection, kind: Kind, part: Part, criteria: list[Any]
) -> tuple[list[Problem], list[sa.ColumnElement[bool]]]:
    """As `misspelled`, of one part of the identity."""
    identity, field, name = kind.table.attribute(part.member), part.field, part.name
    example = field.from_wire(str(_EXAMPLE)) if isinstance(field, RunUUID) else None
    other = other_spelling(connection, identity, example)
    if other is None:
        return [], []
    found = connection.execute(sa.select(as_it_is(identity)).where(other, *criteria)).scalars().all()
    problems = []
    for stored in found:
        text = (
            f"{kind.name} {stored}: {name} is stored as {shown(stored)}, a spelling that no look-up finds: "
            "an import would write the run a second time. Store it as the application's models do."
        )
        problems.append(Problem("error", "schema", text, pointer(name), kind.name, str(stored)))
    return problems, [sa.not_(other)] if found else []
