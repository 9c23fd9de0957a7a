"""Refuse to export runs whose identity or time is missing, shared, or misspelled."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histio.database.dialects import as_it_is, order_key, other_spelling
from histio.exporting.tally import ExportTally
from histio.kinds.fields import RunUUID
from histio.kinds.identity import IdentityPart, IdentitySql
from histio.kinds.mapping import key_attributes
from histio.kinds.table import Kind
from histio.pointer import pointer
from histio.report import Problem
from histio.wire import quote


def sort_keys(dialect: sa.Dialect, identity: IdentitySql) -> list[sa.ColumnElement[Any]]:
    """Expressions that sort rows by their identity, part by part, in the same way in all databases."""
    return [
        order_key(dialect, own, of_uuids=isinstance(part.field, RunUUID))
        for part, own in zip(identity.identity.parts, identity.parts, strict=True)
    ]


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
            found, other = _misspelled_part(connection, kind, part, criteria)
            problems += found
            others += other
    return problems, others


def _misspelled_part(
    connection: Connection, kind: Kind, part: IdentityPart, criteria: list[Any]
) -> tuple[list[Problem], list[sa.ColumnElement[bool]]]:
    """The result of `misspelled` for one part of the identity."""
    identity, field, name = kind.table.attribute(part.member), part.field, part.name
    other = other_spelling(connection.dialect, identity, field)
    if other is None:
        return [], []
    found = connection.execute(sa.select(as_it_is(identity)).where(other, *criteria)).scalars().all()
    problems = []
    for stored in found:
        text = (
            f"{kind.name} {stored}: {name} is stored as {quote(stored)}, a spelling that no look-up finds: "
            "an import would write the run a second time. Store it as the application's models do."
        )
        problems.append(Problem("error", "schema", text, pointer(name), kind.name, str(stored)))
    return problems, [sa.not_(other)] if found else []


def refuse_ambiguous(
    connection: Connection, kind: Kind, criteria: list[Any], tally: ExportTally
) -> list[sa.ColumnElement[bool]]:
    """Refuse runs that share their identity with another run, where the database allows it.

    Pages could leave out one of them.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        criteria: Conditions for the runs to check.
        tally: Gets a problem for each shared identity.

    Returns:
        Conditions that exclude the refused runs.
    """
    identity = kind.identity
    own = identity.sql(kind.table.mapper.class_, apart=True)
    complete = [part.is_not(None) for part in own.parts]
    exactly = sort_keys(connection.dialect, own)  # a collation may find several equal
    shared = own.select(sa.func.count()).where(*complete, *criteria).group_by(*own.parts, *exactly)
    problems, ambiguous = [], []
    for count, *values in connection.execute(shared.having(sa.func.count() > 1)):
        uuid, names = kind.format_identity(identity.join_parts(values)), " and ".join(identity.names)
        text = f"{kind.name} {uuid}: {count} rows have this {names}, which should identify one."
        problems.append(Problem("error", "schema", text, pointer(*identity.steps), kind.name, uuid))
        ambiguous.append(own.equals(identity.join_parts(values)))
        tally.skipped += count
    tally.refuse(problems)
    return [sa.not_(sa.func.coalesce(sa.or_(*ambiguous), sa.false()))] if problems else []


class Unplaced:
    """The runs of a kind with NULL in their identity or time, which have no place in the order.

    Args:
        kind: The kind of run.
        identity: Its identity in SELECTs of its model.
    """

    def __init__(self, kind: Kind, identity: IdentitySql) -> None:
        self._kind = kind
        self._keys = key_attributes(kind.table.mapper)
        self._names = [part.name for part in kind.identity.parts]
        self._unidentified: list[sa.ColumnElement[bool]] = [own.is_(None) for own in identity.parts]
        self._untimed: list[sa.ColumnElement[bool]] = []
        if kind.timestamp is not None and not kind.table.columns[kind.timestamp].nullable:
            time: Any = kind.table.attribute(kind.timestamp)
            # In MariaDB, "IS NULL" is true of a zero date where a column takes no null.
            self._untimed.append(sa.and_(time.is_(None), time.is_not_distinct_from(None)))
            self._names.append(kind.table.names[kind.timestamp])
        self._lacking = [*self._unidentified, *self._untimed]
        self._select = sa.select(*self._keys, *identity.parts, *self._lacking)
        self._select = self._select.select_from(kind.table.mapper.class_)

    def refuse(
        self, connection: Connection, criteria: list[Any], bounds: Sequence[Any], tally: ExportTally
    ) -> list[sa.ColumnElement[bool]]:
        """Refuse these runs.

        Args:
            connection: In a transaction; only read from.
            criteria: Conditions for the runs to check, apart from their time.
            bounds: Conditions for their time. Runs whose time is NULL are checked too: they meet none.
            tally: Gets a problem for each NULL.

        Returns:
            Conditions that exclude the refused runs.
        """
        kind, width = self._kind, len(self._keys)
        # An index finds the NULLs of one column, so that each has its own SELECT. (In a union, SQLAlchemy 2.0
        # does not take the same list of keys in several columns twice.)
        selects = [self._select.where(each, *bounds, *criteria) for each in self._unidentified]
        selects += [self._select.where(each, *criteria) for each in self._untimed]
        rows = dict.fromkeys(tuple(row) for each in selects for row in connection.execute(each))
        problems = []
        for row in rows:
            uuid = kind.format_identity(kind.identity.join_parts(row[width : -len(self._lacking)]))
            at = ", ".join(f"{key.key} {value}" for key, value in zip(self._keys, row, strict=False))
            # In a WHERE, MariaDB also takes the time 0000-00-00 for NULL: it is read later, and refused then.
            missing = list(dict.fromkeys(itertools.compress(self._names, row[-len(self._lacking) :])))
            tally.skipped += bool(missing)
            for name in missing:
                text = (
                    f"{kind.name} {uuid}: {name} is NULL in the row with {at}, "
                    "so it has no place in the order."
                )
                problems.append(Problem("error", "schema", text, pointer(name), kind.name, uuid))
        tally.refuse(problems)
        return [sa.not_(each) for each in self._lacking] if problems else []
