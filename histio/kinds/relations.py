"""The relations of a host's models: relationships, and foreign keys without one."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, RelationshipProperty, with_parent
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.collections import collection_adapter

from histio.errors import BindingError
from histio.kinds.mapping import Columns, find_column, no_such
from histio.kinds.selects import is_among, select_rows

# Loading strategies that no option can replace: histio fetches these rows itself.
_APART = {"dynamic", "write_only"}

# Loading strategies that leave an attribute empty, or raise.
_NEVER_LOADED = {"noload", None}
_WITHHELD = {"raise", "raise_on_sql", *_NEVER_LOADED}


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """A relation from the rows of one model to the rows of another.

    Attributes:
        name: The attribute: a relationship, or the column of a foreign key.
        mapper: The mapper of the related model.
        local: Columns of the row …
        remote: … and the columns of the related row that are equal to them. Over an association table, its
            columns that are equal to those of *local*.
        many: Whether there may be several related rows.
        relationship: The relationship; None: there is only a foreign key.
        link: Over an association table: its columns, and those of the related row that are equal to them.
    """

    name: str
    mapper: Mapper[Any]
    local: Columns
    remote: Columns
    many: bool
    relationship: RelationshipProperty[Any] | None
    link: tuple[Columns, Columns] | None = None

    @property
    def model(self) -> type[Any]:
        """The related model."""
        return self.mapper.class_

    @property
    def writable(self) -> RelationshipProperty[Any] | None:
        """The relationship if it can be assigned to; None: it cannot, or there is none."""
        return None if self.relationship is None or self.relationship.viewonly else self.relationship

    @property
    def apart(self) -> bool:
        """Whether histio has to fetch the related rows by a SELECT of its own."""
        return self.relationship is None or self.relationship.lazy in _APART

    @property
    def is_withheld(self) -> bool:
        """Whether the host's strategy leaves the related rows out, or refuses to load them late."""
        return self.relationship is not None and self.relationship.lazy in _WITHHELD

    @property
    def never_loaded(self) -> bool:
        """Whether the attribute of a stored row is always empty, even if there are related rows."""
        return self.relationship is not None and self.relationship.lazy in _NEVER_LOADED

    def follow(self, row: Any) -> Any:
        """The related row or rows of *row*; if they are fetched apart, those passed to `keep`."""
        if not self.apart:
            self.load_withheld(row)
            found = getattr(row, self.name)
            # The members, if the collection is a dictionary or set.
            return list(collection_adapter(found)) if self.many and not isinstance(found, list) else found
        state = sa.inspect(row)
        if self in state.info:
            return state.info[self]
        fetched = self._fetched(state.session, row)
        return fetched if self.many else next(iter(fetched), None)

    def keep(self, row: Any, related: Any) -> None:
        """Remember the *related* row or rows of *row*."""
        sa.inspect(row).info[self] = related

    def load_withheld(self, row: Any) -> None:
        """Load the related rows of *row* if the host's strategy left them out, or would raise."""
        if self.relationship is None or not self.is_withheld:
            return
        state = sa.inspect(row)
        if not state.persistent or self in state.info:
            return
        if self.never_loaded:
            missing = not state.attrs[self.name].history.has_changes()
        else:
            missing = self.name in state.unloaded
        if missing:
            found = self._fetched(state.session, row)
            set_committed_value(row, self.name, found if self.many else next(iter(found), None))
            self.note_loaded(row)

    def note_loaded(self, row: Any) -> None:
        """Remember that the attribute of *row* has been loaded, although its strategy loads nothing."""
        if self.never_loaded:
            sa.inspect(row).info[self] = ()

    def _fetched(self, session: Any, row: Any) -> list[Any]:
        if self.relationship is None:
            return [] if session is None else list(session.scalars(self.select([self.key(row)])))
        if session is None:  # only assigned rows exist
            return list(getattr(row, self.name))
        related = with_parent(row, self.relationship.class_attribute)
        return list(session.scalars(select_rows(self.model).where(related)))

    def key(self, row: Any) -> tuple[Any, ...]:
        """The values of *row* that lead to the related rows."""
        mapper = sa.inspect(row).mapper
        return tuple(getattr(row, mapper.get_property_by_column(column).key) for column in self.local)

    def select(self, keys: Iterable[tuple[Any, ...]]) -> sa.Select[Any]:
        """A SELECT of the related rows of the rows with *keys*."""
        return select_rows(self.model).where(is_among(self.remote, keys))


@functools.cache
def relation(mapper: Mapper[Any], name: str, *, target: Mapper[Any] | None = None) -> Relation:
    """The relation *name* of a model.

    Args:
        mapper: The model's mapper.
        name: A relationship, or a column with a foreign key.
        target: The model that a ledger's schema names. If *name* is neither, the only foreign key from this
            model back to the first is used.

    Raises:
        BindingError: There is no such relation.
    """
    relationship = mapper.relationships.get(name)
    if relationship is not None:
        return _by_relationship(relationship)
    column = find_column(mapper, name)
    if column is not None and column.foreign_keys:
        return _by_foreign_key(mapper, name, column)
    led = target is None or any(each.mapper is target for each in mapper.relationships)
    backwards = [] if target is None or led else _constraints(target.local_table, mapper.local_table)
    if target is not None and len(backwards) == 1:
        remote, local = _columns(backwards[0])
        return Relation(name, target, local, remote, many=True, relationship=None)
    raise no_such(mapper, "relationship", name, mapper.relationships.keys())


def _by_relationship(relationship: RelationshipProperty[Any]) -> Relation:
    pairs, link = relationship.local_remote_pairs or (), None
    if relationship.secondary is not None:
        pairs = relationship.synchronize_pairs
        related = relationship.secondary_synchronize_pairs or ()
        link = tuple(column for _, column in related), tuple(column for column, _ in related)
    local, remote = (tuple(pair[place] for pair in pairs) for place in (0, 1))
    many = bool(relationship.uselist)
    return Relation(relationship.key, relationship.mapper, local, remote, many, relationship, link)  # type: ignore[arg-type]


def _by_foreign_key(mapper: Mapper[Any], name: str, column: sa.Column[Any]) -> Relation:
    key = next(iter(column.foreign_keys))
    local, remote = ((column,), (key.column,)) if key.constraint is None else _columns(key.constraint)
    table = remote[0].table
    targets = [each for each in mapper.registry.mappers if each.local_table is table and not each.single]
    if len(targets) != 1:
        raise BindingError(f"{mapper.class_.__name__}.{name}: {len(targets)} models are mapped to {table}")
    return Relation(name, targets[0], local, remote, many=False, relationship=None)


def _constraints(table: Any, referred: Any) -> list[sa.ForeignKeyConstraint]:
    found = getattr(table, "foreign_key_constraints", ())
    return [constraint for constraint in found if constraint.referred_table is referred]


def _columns(constraint: sa.ForeignKeyConstraint) -> tuple[Columns, Columns]:
    local = tuple(constraint.columns)
    remote = tuple(element.column for element in constraint.elements)
    return local, remote
