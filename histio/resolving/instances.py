"""Convert loaded values to ORM objects, as `schema.load(record, session=session)` returns them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from marshmallow import ValidationError
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import flag_modified

from histio.database.dialects import CharacterSets
from histio.errors import BindingError
from histio.kinds.base import BaseSchema
from histio.kinds.bind import table_of
from histio.kinds.mapping import attribute
from histio.kinds.selects import KEYS_PER_STATEMENT, select_rows
from histio.kinds.table import Ledger, Reference, Table
from histio.kinds.walk import walk_values
from histio.resolving.construct import assign, construct
from histio.resolving.eager import eager_options
from histio.resolving.resolve import Resolver, Values


def make(
    schema: BaseSchema,
    data: Values | Sequence[Values],
    *,
    many: bool,
    session: Session | None,
    instance: Any = None,
) -> list[Any]:
    """A row for each record: the stored row with its identity, with changes, or a new row in no session.

    Args:
        schema: The schema that loaded the values.
        data: Loaded values: of one record, or a list of them.
        many: Whether it is a list.
        session: The session in which references and stored rows are looked up. None: related rows are created
            with nothing but their keys.
        instance: The row to change, for a single record.

    Raises:
        ValidationError: References name no row, or several; the messages are at their members.
    """
    table = table_of(type(schema))
    records = cast("Sequence[Values]", data if many else [data])
    if session is None:
        return [_build(table, record, instance, None) for record in records]
    bind = {"mapper": table.mapper}
    character_sets = CharacterSets(lambda: session.connection(bind_arguments=bind))
    resolver = Resolver(session.execute, character_sets, table.all(), entities=True)
    resolver.collect(table, records)
    resolver.fetch()
    errors = {
        index: found
        for index, record in enumerate(records)
        if (found := _unresolved(table, record, resolver))
    }
    if errors:
        raise ValidationError(errors if many else errors[0])
    known = {} if instance else _known(table, records, session, character_sets)
    return [
        _build(table, record, instance or known.get(_identity(table, record)), resolver) for record in records
    ]


def _identity(table: Table, record: Values) -> Any:
    return None if table.identity is None else table.identity.read(record)


def _unresolved(table: Table, record: Values, resolver: Resolver) -> dict[Any, Any]:
    """The faults of the references of *record*, nested as marshmallow nests its messages."""
    errors: dict[Any, Any] = {}
    for below, values, steps in walk_values(table, record):
        for finding in resolver.find_faults(below, values):
            if not finding.warning:
                at = errors
                for step in steps:
                    at = at.setdefault(step, {})
                at.setdefault(below.names[finding.member], []).append(finding.fault)
    return errors


def _known(
    table: Table, records: Iterable[Values], session: Session, character_sets: CharacterSets
) -> dict[Any, Any]:
    """The stored rows of *records* by identity, with their ledgers, in one SELECT per table and chunk."""
    identity = table.identity
    if identity is None:
        return {}
    own = identity.sql(table.mapper.class_)
    given = (identity.read(record) for record in records)
    found = [value for value in given if value is not None]
    identities = character_sets.select_possible(found, lambda: identity.part_columns)
    known = {}
    size = KEYS_PER_STATEMENT // len(own.parts)
    for start in range(0, len(identities), size):
        statement = own.join(select_rows(table.mapper.class_, *own.parts)).options(*eager_options(table))
        among = own.among(identities[start : start + size])
        for row, *values in session.execute(statement.where(among)):
            known[identity.join_parts(values)] = row
    return known


def _build(table: Table, record: Values, row: Any, resolver: Resolver | None) -> Any:
    members = [member for member in table.columns if member in record and member not in table.computed]
    values = {table.attribute(member).key: record[member] for member in members}
    _add_related(values, table, record, resolver)
    for ledger in table.ledgers:
        if ledger.member in record:
            values[ledger.relation.name] = _entries(table, ledger, record, row, resolver)
    if row is None:
        return construct(table.mapper.class_, values)
    for key, value in values.items():
        assign(row, key, value)
    for member in members:
        if table.columns[member].onupdate is not None:
            # Otherwise the model's onupdate would overwrite an unchanged value.
            flag_modified(row, table.attribute(member).key)
    return row


def _add_related(values: dict[str, Any], table: Table, record: Values, resolver: Resolver | None) -> None:
    for reference in table.references:
        if reference.present_members(record):
            found = resolver.resolve(reference, record)[0] if resolver else None
            _relate(values, table, reference, found.row if found else _make_up(reference, record))
        elif any(member in record for member in reference.slugs):
            _relate(values, table, reference, None)
    for links in table.links:
        if links.member in record and resolver:
            values[links.relation.name] = [found.row for found in resolver.resolve_links(links, record)[0]]


def _entries(table: Table, ledger: Ledger, record: Values, row: Any, resolver: Resolver | None) -> Any:
    """The rows of a ledger: stored entries of *row* that are in *record*, with changes, and new ones."""
    if ledger.relation.writable is None:
        name = table.mapper.class_.__name__
        raise BindingError(f"{name} has no relationship {ledger.relation.name!r} that can be assigned to")
    own = None if row is None else ledger.relation.follow(row)
    stored = own or () if ledger.many else filter(None, [own])
    known = {_stored_identity(ledger.table, entry): entry for entry in stored}
    known.pop(None, None)
    entries = [
        _build(ledger.table, entry, known.get(_identity(ledger.table, entry)), resolver)
        for _, entry in ledger.entries(record, ledger.member)
    ]
    return ledger.collect(entries)


def _stored_identity(table: Table, row: Any) -> Any:
    return None if table.identity is None else table.identity.read_row(row)


def _relate(values: dict[str, Any], table: Table, reference: Reference, related: Any) -> None:
    """Add the *related* row to *values*, or its key if there is only a foreign key."""
    way = reference.relation
    if way.writable is not None:
        values[way.name] = related
        return
    for local, remote in zip(way.local, way.remote, strict=True):
        value = None if related is None else getattr(related, attribute(way.mapper, remote).key)
        values[attribute(table.mapper, local).key] = value


def _make_up(reference: Reference, record: Values) -> Any:
    known: dict[str, Any] = {}
    for member in reference.present_members(record):
        key, *_ = reference.slugs[member]
        values = record[member] if len(key) > 1 else [record[member]]
        known |= zip(key, values, strict=True)
    row = construct(reference.relation.model, {path: known[path] for path in known if "." not in path})
    for path, value in known.items():
        _set(row, reference.relation.mapper, path, value)
    return row


def _set(row: Any, mapper: Mapper[Any], path: str, value: Any) -> None:
    step, _, rest = path.partition(".")
    if rest:
        related = mapper.relationships[step].mapper
        if getattr(row, step) is None:
            setattr(row, step, construct(related.class_, {}))
        _set(getattr(row, step), related, rest, value)
    else:
        setattr(row, step, value)
