"""The identity of records: the value of one member, or the values of several."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from marshmallow import ValidationError
from marshmallow.fields import Field
from sqlalchemy.orm import Mapper, aliased

from histio.kinds.fields import Integer, RunUUID
from histio.kinds.fields.references import value_at
from histio.kinds.keys import is_unique
from histio.kinds.mapping import Columns, attribute
from histio.kinds.relations import Relation
from histio.kinds.selects import is_among
from histio.wire import WireField


@dataclass(frozen=True, slots=True, eq=False)
class IdentityPart:
    """One of the values that form an identity.

    Attributes:
        member: The member that has the value.
        name: Its name on the wire.
        field: The rule of the value.
        place: The index of the value in a member that is a key of several columns; None: the member has no
            other value.
        column: The column of the value, in the record's own row or in a related one.
        relation: The relation to the related row that has the column; None: the record's own row has it.
        path: The dotted path from the related row to the column: relationships, then the attribute.
    """

    member: str
    name: str
    field: Field[Any]
    place: int | None
    column: sa.Column[Any]
    relation: Relation | None
    path: str

    def read(self, values: Mapping[str, Any]) -> Any:
        """The value in loaded *values*; None: they lack it."""
        value = values.get(self.member)
        return value if value is None or self.place is None else value[self.place]

    def read_wire(self, record: Mapping[str, Any]) -> Any:
        """The value in wire form."""
        value = record.get(self.name)
        return value.get(self.path) if self.place is not None and isinstance(value, Mapping) else value

    def wire(self, value: Any) -> Any:
        """A loaded *value* in wire form."""
        return self.field.to_wire(value) if isinstance(self.field, WireField) and value is not None else value

    def to_json(self, value: Any) -> Any:
        """A loaded *value* in wire form, whatever its field is."""
        return self.field.serialize(self.member, {self.member: value})

    def from_json(self, value: Any) -> Any:
        """The loaded value of one in wire form.

        Raises:
            ValidationError: It has not the form.
        """
        return self.field.deserialize(value)

    def normalize(self, value: Any) -> Any:
        """A *value* from the database in the form of loaded ones, without padding, in the same time zone."""
        if isinstance(self.field, RunUUID | Integer) or not isinstance(self.field, WireField):
            return value
        return value if value is None else self.field.from_wire(self.field.to_wire(value))


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """The members that together identify the records of a table.

    The identity of a record is the loaded value of its only part, or a tuple of the values of its parts.

    Attributes:
        mapper: The mapper of the table's model.
        members: The names of the members.
        parts: The values of the members; a slug with a key of several columns has several parts.
        columns: The columns of the record's own row that have the parts, or are foreign keys to them.
    """

    mapper: Mapper[Any]
    members: tuple[str, ...]
    parts: tuple[IdentityPart, ...]
    columns: Columns

    @property
    def is_uuid(self) -> bool:
        """Whether a UUID is the only part."""
        first, *others = self.parts
        return not others and first.relation is None and isinstance(first.field, RunUUID)

    @property
    def is_unique(self) -> bool:
        """Whether the database ensures that no two rows have the same identity."""
        related: dict[str, list[IdentityPart]] = {}
        for part in self.parts:
            related.setdefault("" if part.relation is None else part.relation.name, []).append(part)
        related.pop("", None)
        return is_unique(*self.columns) and not any(
            any("." in part.path for part in parts) or not is_unique(*(part.column for part in parts))
            for parts in related.values()
        )

    @property
    def part_columns(self) -> list[sa.Column[Any]]:
        """The column of each part, in the record's own row or in a related one."""
        return [part.column for part in self.parts]

    @property
    def names(self) -> list[str]:
        """The names of the members on the wire."""
        return list(dict.fromkeys(part.name for part in self.parts))

    @property
    def title(self) -> str:
        """What messages call the identity."""
        return "UUID" if self.is_uuid else " and ".join(self.names)

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps from a record to its identity; empty if the identity has several members."""
        return (self.names[0],) if len(self.members) == 1 else ()

    def read(self, values: Mapping[str, Any]) -> Any:
        """The identity of loaded *values*; None: a member of it is missing."""
        parts = [part.read(values) for part in self.parts]
        return None if any(part is None for part in parts) else self.join_parts(parts)

    def read_row(self, row: Any) -> Any:
        """The identity of an ORM object, with None for each part that is missing."""
        fields: dict[str, Any] = {}
        for part in self.parts:
            if part.relation is None:
                fields[part.member] = getattr(row, attribute(self.mapper, part.column).key)
            elif part.member not in fields:
                fields[part.member] = part.relation.follow(row)
        return self.join_parts(
            [
                fields[part.member] if part.relation is None else value_at(fields[part.member], part.path)
                for part in self.parts
            ]
        )

    def join_parts(self, values: Sequence[Any]) -> Any:
        """The identity with these *values* of its parts."""
        return values[0] if len(self.parts) == 1 else tuple(values)

    def values(self, identity: Any) -> Sequence[Any]:
        """The values of the parts of an *identity*."""
        return (identity,) if len(self.parts) == 1 else identity

    def normalize(self, identity: Any) -> Any:
        """An *identity* from the database in the form of loaded ones."""
        if len(self.parts) == 1:
            return self.parts[0].normalize(identity)
        return tuple(part.normalize(each) for part, each in zip(self.parts, identity, strict=True))

    def normalize_columns(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Values from the database, of the identity's columns and others, in the form of loaded values."""
        normal = {part.column: part.normalize for part in self.parts if part.relation is None}
        own = zip(self.columns, values, strict=False)
        return (
            *(normal[column](value) if column in normal else value for column, value in own),
            *values[len(self.columns) :],
        )

    def to_json(self, identity: Any) -> Any:
        """A loaded *identity* in wire form; of several parts, a list."""
        wired = [part.to_json(each) for part, each in zip(self.parts, self.values(identity), strict=True)]
        return wired[0] if len(wired) == 1 else wired

    def from_json(self, wired: Any) -> Any:
        """The loaded identity of one in wire form.

        Raises:
            ValidationError: It has not the form.
        """
        values = [wired] if len(self.parts) == 1 else wired if isinstance(wired, list) else []
        if len(values) != len(self.parts):
            raise ValidationError(f"Not a list of {len(self.parts)} values.")
        return self.join_parts([part.from_json(each) for part, each in zip(self.parts, values, strict=True)])

    def from_record(self, record: Mapping[str, Any]) -> Any:
        """The loaded identity of a *record* in wire form.

        Raises:
            ValidationError: It has none, or not the form.
        """
        return self.join_parts([part.from_json(part.read_wire(record)) for part in self.parts])

    def format(self, identity: Any) -> str:
        """An *identity* as unique text, in wire form if it has one, otherwise as it is stored."""
        wired = []
        for part, value in zip(self.parts, self.values(identity), strict=True):
            try:
                wired.append(part.wire(value))
            except (ValidationError, TypeError, ValueError, ArithmeticError):
                wired.append(value)
        return self._format_parts(wired)

    def format_record(self, record: Mapping[str, Any]) -> str:
        """The identity of a *record* in wire form, as the same text as `format`."""
        return self._format_parts([part.read_wire(record) for part in self.parts])

    def _format_parts(self, wired: Sequence[Any]) -> str:
        return str(wired[0]) if len(wired) == 1 else " ".join(map(_quoted, wired))

    def sql(self, entity: Any = None, *, apart: bool = False) -> IdentitySql:
        """The identity in SELECTs of *entity*.

        Args:
            entity: The model, or an alias of it; None: the Core table.
            apart: Whether parts in related rows are subqueries, which can be used in any condition, and are
                NULL if there is no related row. False: the related rows are joined, so look-ups are fast.
        """
        return IdentitySql(self, entity, apart=apart)


def _quoted(wire: Any) -> str:
    """A part as text, quoted if it could be confused with its neighbours."""
    text = "null" if wire is None else str(wire)
    plain = text and '"' not in text and not any(map(str.isspace, text))
    return text if plain else json.dumps(text, ensure_ascii=False)


class IdentitySql:
    """The parts of an identity in SELECTs of one entity, with joins to the related rows that have parts.

    Args:
        identity: The identity.
        entity: The model, or an alias of it; None: the Core table of its columns, with the rows of all
            models.
        apart: Whether parts in related rows are subqueries.

    Attributes:
        identity: The identity.
        parts: An expression for each part.
    """

    def __init__(self, identity: Identity, entity: Any = None, *, apart: bool = False) -> None:
        self.identity = identity
        self._base = identity.columns[0].table if entity is None else entity
        self._of_core = entity is None
        self._joins: list[tuple[Any, Any, Any]] = []
        self._related: dict[tuple[str, ...], Any] = {}
        self.parts: list[Any] = [self._part(part) for part in identity.parts]
        if apart:
            self.parts = [self._apart(*each) for each in zip(identity.parts, self.parts, strict=True)]
            self._joins.clear()

    def _own(self, column: sa.Column[Any]) -> Any:
        if self._of_core:
            return column
        return getattr(self._base, attribute(self.identity.mapper, column).key)

    def _part(self, part: IdentityPart) -> Any:
        if part.relation is None:
            return self._own(part.column)
        *steps, last = part.path.split(".")
        entity = self._join(part.relation)
        for depth, step in enumerate(steps, 1):
            way = (part.relation.name, *steps[:depth])
            if way not in self._related:
                relationship = getattr(entity, step)
                self._related[way] = aliased(relationship.property.mapper.class_)
                self._joins.append((entity, self._related[way], relationship.of_type(self._related[way])))
            entity = self._related[way]
        return getattr(entity, last)

    def _join(self, relation: Relation) -> Any:
        """The related row of *relation*, joined once."""
        way = (relation.name,)
        if way not in self._related:
            related = self._related[way] = aliased(relation.model)
            tied = [
                self._own(local) == getattr(related, attribute(relation.mapper, remote).key)
                for local, remote in zip(relation.local, relation.remote, strict=True)
            ]
            self._joins.append((self._base, related, sa.and_(*tied)))
        return self._related[way]

    def _apart(self, part: IdentityPart, value: Any) -> Any:
        if part.relation is None:
            return value
        (_, related, tied), *further = [join for join in self._joins if join[1] in self._ways(part)]
        statement = sa.select(value).select_from(related).where(tied)
        for _, _, step in further:
            statement = statement.join(step)
        return statement.correlate(self._base).scalar_subquery()

    def _ways(self, part: IdentityPart) -> list[Any]:
        """The related rows on the way to a part, in order."""
        assert part.relation is not None  # noqa: S101 - called for parts in related rows only
        steps = part.path.split(".")[:-1]
        return [self._related[part.relation.name, *steps[:depth]] for depth in range(len(steps) + 1)]

    @property
    def is_joined(self) -> bool:
        """Whether some parts are columns of related rows."""
        return bool(self._joins)

    def join(self, statement: sa.Select[Any], *, outer: bool = False) -> sa.Select[Any]:
        """Join the related rows that have parts to *statement*, which selects from the entity.

        *outer*: keep rows without a related row; their parts are NULL.
        """
        for left, related, tied in self._joins:
            if isinstance(tied, sa.ColumnElement):
                statement = statement.join_from(left, related, tied, isouter=outer)
            else:
                statement = statement.join(tied, isouter=outer)
        return statement

    def select(self, *others: Any) -> sa.Select[Any]:
        """A SELECT of *others* and the parts, of rows that have all parts."""
        return self.join(sa.select(*others, *self.parts).select_from(self._base))

    def among(self, identities: Collection[Any]) -> sa.ColumnElement[bool]:
        """Whether a row has one of *identities*, as the database compares them."""
        if len(self.parts) == 1:
            return self.parts[0].in_(list(identities))  # type: ignore[no-any-return]
        keys = list(identities)
        if not self.is_joined:
            return is_among(self.parts, keys)
        # No index has the columns of several tables: each column is also looked up alone.
        alone = (
            part.in_(set(values)) for part, values in zip(self.parts, zip(*keys, strict=True), strict=False)
        )
        return sa.and_(*alone, is_among(self.parts, keys))

    def equals(self, identity: Any) -> sa.ColumnElement[bool]:
        """Whether a row has this *identity*."""
        values = self.identity.values(identity)
        return sa.and_(*(part == value for part, value in zip(self.parts, values, strict=True)))
