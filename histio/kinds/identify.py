"""Find the identity of a schema's records: the fields that ``Meta.identity`` names, or the `RunUUID`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper

from histio.errors import BindingError
from histio.kinds.base import BaseSchema, binding_error
from histio.kinds.fields import RunUUID, Slug
from histio.kinds.identity import Identity, IdentityPart
from histio.kinds.mapping import column_of
from histio.kinds.relations import relation
from histio.wire import wire_name

_OPTION = "Meta.identity"


def identity_fields(schema: BaseSchema) -> tuple[str, ...]:
    """The names of the fields that identify a record; empty for ledger entries without an identity.

    Raises:
        BindingError: ``Meta.identity`` names a field that cannot identify a record, or there are several
            `RunUUID` fields and it names none.
    """
    names = schema.opts.identity
    for name in names:
        field = schema.load_fields.get(name)
        if field is None or not field.required:
            raise binding_error(schema, f"{name!r} is not a required member", field=_OPTION)
        _check_not_null(schema, name)
    return names or _uuid_field(schema)


def _uuid_field(schema: BaseSchema) -> tuple[str, ...]:
    """The `RunUUID` that identifies a record: the one called ``uuid``, or the only one."""
    uuids = [name for name, field in schema.load_fields.items() if isinstance(field, RunUUID)]
    called_uuid = [name for name in uuids if wire_name(name, schema.load_fields[name]) == "uuid"]
    if len(uuids) > 1 and not called_uuid:
        text = f"must have one RunUUID field; it has {len(uuids)}"
        raise binding_error(schema, text, advice="let Meta.identity say which one identifies a record")
    names = (called_uuid or uuids)[:1]
    for name in names:
        if not schema.load_fields[name].required:
            text = "identifies a record, so it must be required"
            raise binding_error(schema, text, field=name, advice="write required=True")
        _check_not_null(schema, name)
    return tuple(names)


def _check_not_null(schema: BaseSchema, name: str) -> None:
    """Raise BindingError if the field that identifies a record may be null."""
    if schema.load_fields[name].allow_none:
        text = "identifies a record, so it must not be null"
        raise binding_error(schema, text, field=name, advice="write allow_none=False")


def identity_of(
    schema: BaseSchema, mapper: Mapper[Any], columns: Mapping[str, sa.Column[Any]]
) -> Identity | None:
    """The identity of a schema's records; None for ledger entries without one.

    Args:
        schema: The schema.
        mapper: The mapper of its model.
        columns: The column of each plain member.

    Raises:
        BindingError: A field that should identify a record cannot.
    """
    names = identity_fields(schema)
    if not names:
        return None
    parts: list[IdentityPart] = []
    own: list[sa.Column[Any]] = []
    for name in names:
        field, member = schema.load_fields[name], schema.member(name)
        if member in columns:
            parts.append(IdentityPart(member, wire_name(name, field), field, None, columns[member], None, ""))
            own.append(columns[member])
        elif isinstance(field, Slug) and field.relationship is not None and not field.many:
            parts += _parts_of_slug(mapper, member, wire_name(name, field), field)
            own += relation(mapper, field.relationship).local
        else:
            raise binding_error(schema, f"{name!r} is not a member with a column", field=_OPTION)
    if len({column.table for column in own}) > 1:
        text = f"{' and '.join(names)} are kept in several tables"
        raise binding_error(schema, text, field=_OPTION)
    return Identity(mapper, tuple(map(schema.member, names)), tuple(parts), tuple(own))


def _parts_of_slug(mapper: Mapper[Any], member: str, name: str, field: Slug) -> Iterator[IdentityPart]:
    """The parts of an identity that are the values of a slug."""
    way = relation(mapper, field.relationship or "")
    if field.fallback:
        text = f"{name!r} is part of Meta.identity, so it needs one key alone"
        raise BindingError(text, advice="leave out fallback=")
    for place, path in enumerate(field.key):
        at = place if len(field.key) > 1 else None
        yield IdentityPart(member, name, field.rules[path], at, column_of(way.mapper, path), way, path)
