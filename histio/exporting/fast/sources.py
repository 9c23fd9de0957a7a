"""Where the fast path of exports reads the values of fields: columns of the row, and keys of related rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from marshmallow.fields import Field
from sqlalchemy.orm import RelationshipDirection, aliased

from histio.exporting.fast.columns import Column, DeclinedError
from histio.exporting.fast.obstacles import FullPathError
from histio.exporting.fast.template import PLACE
from histio.kinds.column_types import underlying
from histio.kinds.fields import Slug
from histio.kinds.mapping import attribute, column_of, find_column
from histio.kinds.table import Table


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The source of a field's values.

    Attributes:
        column: Their column.
        marked: For the key of a related row, an expression that is null if there is no foreign key, empty if
            the related row is missing or its key is null, otherwise an equals sign and the key. None: the
            column itself is selected.
        dangling: A condition for rows whose foreign key is not null, but whose related row is missing or has
            no key; None: null is not allowed anyway.
        is_spare: Whether the field is left out if the related row has no such key.
    """

    column: Any
    marked: Any = None
    dangling: Any = None
    is_spare: bool = False

    @property
    def value(self) -> Any:
        """The expression to select."""
        return self.column if self.marked is None else self.marked


class Sources:
    """The sources of the fields of one table, with the joins to related rows that they need."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._joins: dict[str, tuple[Any, Any]] = {}

    def find(self, name: str, field: Field[Any]) -> Source:
        """The source of the *field* with this *name*.

        Raises:
            FullPathError: It is not a single column.
        """
        if isinstance(field, Slug) and field.relationship is not None:
            return self._key(field)
        mapper = self._table.mapper
        column = find_column(mapper, field.attribute or name)
        if column is None:
            raise FullPathError(f"{type(self._table.schema).__name__}.{name} is not a column")
        return Source(attribute(mapper, column))

    def select(self, *columns: Any) -> sa.Select[Any]:
        """A SELECT of *columns* of the table and of the related rows."""
        statement = sa.select(*columns).select_from(self._table.mapper.class_)
        for relationship, entity in self._joins.values():
            statement = statement.outerjoin(relationship.of_type(entity))
        return statement

    def _key(self, slug: Slug) -> Source:
        """The source of the key of a related row."""
        references = self._table.references
        ways = [each.relation for each in references if each.relation.name == slug.relationship]
        if len(slug.key) > 1 or not ways or ways[0].relationship is None:
            several = "has a key of several columns" if len(slug.key) > 1 else "follows no relationship"
            raise FullPathError(f"{slug.relationship} {'is a list' if slug.many else several}")
        [way] = ways
        *steps, last = slug.key[0].split(".")
        entity, may_lack = self._join([way.name, *steps])
        key = getattr(entity, last)
        may_lack = may_lack or bool(column_of(way.mapper, slug.key[0]).nullable)
        is_spare = bool(slug.alternatives) and may_lack and not slug.required
        if not (slug.allow_none or is_spare):
            return Source(key)
        nothing = sa.or_(*(attribute(self._table.mapper, each).is_(None) for each in way.local))
        marked = sa.func.coalesce(sa.literal_column("'='", sa.String).concat(key), "")
        dangling = sa.and_(sa.not_(nothing), key.is_(None))
        if not isinstance(underlying(key.type), sa.String) or isinstance(key.type, sa.Enum):
            return Source(key, dangling=dangling, is_spare=is_spare)
        return Source(key, sa.case((nothing, key), else_=marked), dangling, is_spare=is_spare)

    def _join(self, steps: Sequence[str]) -> tuple[Any, bool]:
        """The entity at the end of a path of relationships, and whether it may lack a row.

        The row of the first step does not count: a null foreign key means that the record names nothing.
        """
        entity: Any = self._table.mapper.class_
        path, may_lack = "", False
        for step in steps:
            relationship = getattr(entity, step)
            may_lack = may_lack or (path != "" and _may_lead_nowhere(relationship.property))
            path = f"{path}.{step}"
            if path not in self._joins:
                self._joins[path] = relationship, aliased(relationship.property.mapper.class_)
            _, entity = self._joins[path]
        return entity, may_lack


def _may_lead_nowhere(relationship: Any) -> bool:
    """Whether a row may have no related row, apart from broken foreign keys."""
    many_to_one = relationship.direction is RelationshipDirection.MANYTOONE
    return not many_to_one or any(column.nullable for column in relationship.local_columns)


def unmarked(fill: Column, values: Sequence[Any]) -> Iterable[str]:
    """JSON of marked keys; see `Source.marked`.

    Raises:
        DeclinedError: A related row is missing, or its key is null.
    """
    if "" in values:
        raise DeclinedError
    return fill([None if value is None else value[1:] for value in values])


def spare_members(member: str, fill: Column, values: Sequence[Any]) -> list[str]:
    """The members with marked keys, see `Source.marked`; empty where the related row has no key.

    *member* is the JSON of the member, with a place for the key.
    """
    before, after = member.split(PLACE)
    keys = iter(fill([None if value is None else value[1:] for value in values if value != ""]))
    return ["" if value == "" else f"{before}{next(keys)}{after}" for value in values]
