"""Dump rows to records through marshmallow, and name the rows that the format cannot hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.engine import Connection

from histio.database.dialects import is_conversion_error, savepoint
from histio.database.sessions import own_session
from histio.errors import ExportError
from histio.kinds.identity import IdentitySql
from histio.kinds.selects import select_rows
from histio.kinds.table import Kind
from histio.pointer import pointer
from histio.records import RecordSchema
from histio.report import Fault, Problem
from histio.resolving.eager import eager_options, fetch_apart
from histio.tuning import with_pauses
from histio.wire import faults_in, is_list, nested_in, wire_name


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, in order.

    Attributes:
        records: Their records.
        problems: What the format cannot hold; these rows have no records.
        last: The sort keys of the last row of a full page; None: no row follows.
        identities: The identities of the records, as the model has them.
        skipped: How many rows have no records.
        texts: The JSON of the records, which are empty then; None: *records* has them.
    """

    records: list[dict[str, Any]]
    problems: list[Problem]
    last: tuple[Any, ...] | None
    identities: Sequence[Any] = ()
    skipped: int = 0
    texts: list[str] | None = None


def select_runs(kind: Kind) -> sa.Select[Any]:
    """A SELECT of the runs of *kind*, with all that their records need."""
    return select_rows(kind.table.mapper.class_).options(*eager_options(kind.table))


def dump_page(
    connection: Connection,
    kind: Kind,
    identity: IdentitySql,
    statement: sa.Select[Any],
    size: int,
    *,
    now: bool = False,
) -> Page:
    """The records of the rows that *statement* selects.

    Args:
        connection: In a transaction; only read from.
        kind: The kind of run.
        identity: The identity in *statement*.
        statement: A SELECT of the runs, and of their sort keys.
        size: How many rows a full page has.
        now: Whether to read what is committed now, even where the transaction reads an older moment.

    Raises:
        ExportError: A stored identity cannot be read.
    """
    try:
        return _dump_together(connection, kind, statement, size, now=now)
    except Exception as error:  # the types of a host may refuse a stored value in any way
        if _is_of_the_database(error):
            raise
        return _dump_apart(connection, kind, identity, statement, size, error)


def _is_of_the_database(error: Exception) -> bool:
    """Whether the database has raised *error*, not the conversion of a value that it returned."""
    return isinstance(error, sa.exc.DBAPIError) and not is_conversion_error(error)


def _dump_apart(
    connection: Connection,
    kind: Kind,
    identity: IdentitySql,
    statement: sa.Select[Any],
    size: int,
    error: Exception,
) -> Page:
    """Dump each run by itself, because a row of the page cannot be read; see `dump_page`."""
    sorted_by = statement.selected_columns[len(select_runs(kind).selected_columns) :]
    try:
        keys = connection.execute(statement.with_only_columns(*sorted_by, *identity.parts)).all()
    except ValueError as own:
        text = f"{kind.name}: a stored {kind.identity.title} cannot be read: {own}"
        problem = Problem("error", "schema", text, pointer(*kind.identity.steps), kind.name)
        raise ExportError((problem,)) from own
    records: list[dict[str, Any]] = []
    problems: list[Problem] = []
    identities: list[Any] = []
    for key in keys:
        one = kind.identity.join_parts(key[len(sorted_by) :])
        alone = statement.where(identity.equals(one))
        try:
            page = _dump_together(connection, kind, alone, size)
        except Exception as own:
            if _is_of_the_database(own):
                raise
            uuid, cause = kind.format_identity(one), getattr(own, "orig", None) or own
            text = f"{kind.name} {uuid}: cannot be read: {type(cause).__name__}: {cause}"
            problems.append(Problem("error", "schema", text, "", kind.name, uuid))
        else:
            records += page.records
            problems += page.problems
            identities += page.identities
    if not problems:
        raise error  # no single row is at fault
    last = tuple(keys[-1][: len(sorted_by)]) if len(keys) == size else None
    return Page(records, problems, last, identities, len(keys) - len(records))


def _dump_together(
    connection: Connection, kind: Kind, statement: sa.Select[Any], size: int, *, now: bool = False
) -> Page:
    records: list[dict[str, Any]] = []
    problems: list[Problem] = []
    identities: list[Any] = []
    # A session of its own leaves the caller's objects alone, and forgets the page with the block.
    with savepoint(connection), own_session(connection, now=now) as session:
        rows = session.execute(statement).all()
        fetch_apart(session, kind.table, [row for row, *_ in rows])
        for row, *_ in with_pauses(rows):
            if type(row) is not kind.table.mapper.class_:
                problems.append(_subclass_problem(kind, row))
                continue
            try:
                record = kind.table.schema.dump(row)
                unclear = _problems(kind, row, _choice_faults(kind.table.schema, record))
                problems += unclear
                if not unclear:
                    records.append(record)
                    identities.append(kind.identity.read_row(row))
            except ValidationError as error:
                problems += list(_problems_in(kind, row)) or _problems(kind, row, faults_in(error.messages))
        last = tuple(rows[-1][1:]) if len(rows) == size else None
    return Page(records, problems, last, identities, len(rows) - len(records))


def _identity_of(kind: Kind, row: Any) -> str:
    return kind.format_identity(kind.identity.read_row(row))


def _subclass_problem(kind: Kind, row: Any) -> Problem:
    model, uuid = type(row).__name__, _identity_of(kind, row)
    if kind.is_catalog:
        advice = f"make {model}, and each other subclass, a catalog kind of its own, in place of this one"
    else:
        advice = f"make {model} a kind of its own, and leave out its rows here with where="
    text = f"{kind.name} {uuid}: is a {model}, which this kind describes only in part: {advice}."
    return Problem("error", "schema", text, "", kind.name, uuid)


def _problems_in(kind: Kind, row: Any) -> list[Problem]:
    """A problem for each field of *row* and its ledgers that the format cannot hold."""
    return _problems(kind, row, _row_faults(kind.table.schema, row))


def _problems(kind: Kind, row: Any, faults: Iterable[tuple[tuple[str | int, ...], Fault]]) -> list[Problem]:
    uuid = _identity_of(kind, row)
    return [
        Problem("error", fault.code, f"{kind.name} {uuid}: {fault}", pointer(*steps), kind.name, uuid)
        for steps, fault in faults
    ]


def _choice_faults(
    schema: Any, record: Mapping[str, Any], *steps: str | int
) -> Iterator[tuple[tuple[str | int, ...], Fault]]:
    """What is wrong with the choices of a dumped *record* and its ledgers."""
    for name, fault in schema.slug_groups.choice_faults(record):
        yield (*steps, name), fault
    for name, field in schema.dump_fields.items():
        nested, wire = nested_in(field), wire_name(name, field)
        if nested is not None and isinstance(nested.schema, RecordSchema) and record.get(wire) is not None:
            for index, entry in enumerate(record[wire]) if is_list(field) else [(None, record[wire])]:
                at = (wire,) if index is None else (wire, index)
                yield from _choice_faults(nested.schema, entry, *steps, *at)


def _row_faults(schema: Any, row: Any) -> Iterator[tuple[tuple[str | int, ...], Fault]]:
    for name, field in schema.dump_fields.items():
        nested, wire = nested_in(field), wire_name(name, field)
        if nested is not None and isinstance(nested.schema, RecordSchema):
            try:
                entries = schema.get_attribute(row, field.attribute or name, None)
            except ValidationError as error:
                yield from faults_in(error.messages, wire)
                continue
            if entries is not None:
                for index, entry in enumerate(entries) if is_list(field) else [(None, entries)]:
                    at = (wire,) if index is None else (wire, index)
                    yield from (
                        ((*at, *steps), message) for steps, message in _row_faults(nested.schema, entry)
                    )
            continue
        try:
            field.serialize(name, row, accessor=schema.get_attribute)
        except ValidationError as error:
            yield from faults_in(error.messages, wire)
