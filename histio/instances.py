"""Loaded values → ORM objects: what `schema.load(record, session=session)` gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from marshmallow import ValidationError
from sqlalchemy.orm import Mapper, Session, selectinload
from sqlalchemy.orm.attributes import flag_modified

from histio.kinds import Reference, Table, table_of
from histio.resolver import CHUNK, Resolver, Values

if TYPE_CHECKING:
    from histio.schemas import RecordSchema


def make(
    schema: RecordSchema,
    data: Values | Sequence[Values],
    *,
    many: bool,
    session: Session | None,
    instance: Any = None,
) -> list[Any]:
    """A row for each record: the known row of its UUID, changed, or a new one in no session.

    Args:
        schema: The schema that loaded the values.
        data: Loaded values: of one record, or a list of them.
        many: Whether it is a list.
        session: Where references are resolved and known rows found; None: related rows are made up,
            with nothing but their keys.
        instance: The row to change, for a single record.

    Raises:
        ValidationError: References that lead to no row, or to several, at their members.
    """
    table = table_of(type(schema))
    records = cast("Sequence[Values]", data if many else [data])
    if session is None:
        return [_build(table, record, instance, None) for record in records]
    resolver = Resolver(session.execute, table.all(), entities=True)
    resolver.collect(table, records)
    resolver.fetch()
    errors = {
        index: found
        for index, record in enumerate(records)
        if (found := _unresolved(table, record, resolver))
    }
    if errors:
        raise ValidationError(errors if many else errors[0])
    known = {} if instance else _known(table, [record.get(table.uuid) for record in records], session)
    return [
        _build(table, record, instance or known.get(record.get(table.uuid)), resolver) for record in records
    ]


def _unresolved(table: Table, record: Values, resolver: Resolver) -> dict[Any, Any]:
    errors: dict[Any, Any] = {}
    for reference in table.references:
        for finding in resolver.resolve(reference, record)[1]:
            if not finding.warning:
                errors.setdefault(finding.member, []).append(finding.fault)
    for ledger in table.ledgers:
        entries = enumerate(record.get(ledger.member) or ())
        if inner := {
            index: found for index, entry in entries if (found := _unresolved(ledger.table, entry, resolver))
        }:
            errors[ledger.member] = inner
    return errors


def _known(table: Table, uuids: list[Any], session: Session) -> dict[Any, Any]:
    """Rows by UUID, with their ledgers, in one SELECT per table and chunk."""
    attribute = table.attribute(table.uuid)
    ledgers = [selectinload(ledger.relationship.class_attribute) for ledger in table.ledgers]
    known = {}
    for start in range(0, len(uuids), CHUNK):
        statement = sa.select(table.mapper.class_, attribute).where(
            attribute.in_(uuids[start : start + CHUNK])
        )
        known.update({uuid: row for row, uuid in session.execute(statement.options(*ledgers))})
    return known


def _build(table: Table, record: Values, row: Any, resolver: Resolver | None) -> Any:
    row = table.mapper.class_() if row is None else row
    for member, column in table.columns.items():
        if member in record:
            key = table.attribute(member).key
            setattr(row, key, record[member])
            if column.onupdate is not None:
                flag_modified(row, key)  # or the model's onupdate would speak where the record has spoken
    for reference in table.references:
        if reference.named_by(record):
            found = resolver.resolve(reference, record)[0] if resolver else None
            setattr(row, reference.relationship.key, found.row if found else _made_up(reference, record))
    for ledger in table.ledgers:
        if ledger.member in record:
            uuid = ledger.table.attribute(ledger.table.uuid).key
            known = {getattr(entry, uuid): entry for entry in getattr(row, ledger.member)}
            entries = record[ledger.member]
            made = [
                _build(ledger.table, entry, known.get(entry.get(ledger.table.uuid)), resolver)
                for entry in entries
            ]
            setattr(row, ledger.relationship.key, made)
    return row


def _made_up(reference: Reference, record: Values) -> Any:
    row = reference.model()
    for member, path in reference.named_by(record):
        _set(row, reference.relationship.mapper, path, record[member])
    return row


def _set(row: Any, mapper: Mapper[Any], path: str, value: str) -> None:
    step, _, rest = path.partition(".")
    if rest:
        related = mapper.relationships[step].mapper
        if getattr(row, step) is None:
            setattr(row, step, related.class_())
        _set(getattr(row, step), related, rest, value)
    else:
        setattr(row, step, value)
