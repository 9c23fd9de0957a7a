"""What SQLAlchemy says of a host's models, in whatever way they are mapped."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import (
    ColumnProperty,
    CompositeProperty,
    InstrumentedAttribute,
    Mapper,
    RelationshipProperty,
    lazyload,
    with_parent,
)
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.collections import collection_adapter

from histio.errors import BindingError
from histio.kinds.column_types import underlying

Columns = tuple[sa.Column[Any], ...]

# Loading strategies that no option can replace: their rows are fetched apart.
_APART = {"dynamic", "write_only"}

# Loading strategies with which an attribute holds nothing, or raises.
_NEVER_LOADED = {"noload", None}
_WITHHELD = {"raise", "raise_on_sql", *_NEVER_LOADED}


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """The way from the rows of one model to those of another.

    Attributes:
        name: The attribute that leads there: a relationship, or the column of a foreign key.
        mapper: The mapper of the related model.
        local: Columns of the row …
        remote: … and the columns of the related row that are equal to them. Over an association table, its
            columns that are equal to those of *local*.
        many: Whether there may be several related rows.
        relationship: None where the model has none, and a foreign key leads the way.
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
        """The relationship, where assigning to it has an effect."""
        return None if self.relationship is None or self.relationship.viewonly else self.relationship

    @property
    def apart(self) -> bool:
        """Whether the related rows have to be fetched by a SELECT of histio's own."""
        return self.relationship is None or self.relationship.lazy in _APART

    @property
    def is_withheld(self) -> bool:
        """Whether the host's strategy leaves the related rows out, or refuses to load them late."""
        return self.relationship is not None and self.relationship.lazy in _WITHHELD

    @property
    def never_loaded(self) -> bool:
        """Whether the attribute of a stored row says that there are no related rows, true or not."""
        return self.relationship is not None and self.relationship.lazy in _NEVER_LOADED

    def follow(self, row: Any) -> Any:
        """The related row or rows of *row*; for those fetched apart, what `keep` was given."""
        if not self.apart:
            self.load_withheld(row)
            found = getattr(row, self.name)
            # Of a mapped dictionary or set, its members.
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
        """Load the related rows of *row* where the host's strategy left them out, or would raise."""
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
        """Remember that the attribute of *row* can be relied on, though its strategy loads nothing."""
        if self.never_loaded:
            sa.inspect(row).info[self] = ()

    def _fetched(self, session: Any, row: Any) -> list[Any]:
        if self.relationship is None:
            return [] if session is None else list(session.scalars(self.select([self.key(row)])))
        if session is None:  # what was assigned is all that there is
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


NOT_EAGERLY = lazyload("*")
"""Loads no relationship that another option of the same query does not name, whatever the host's strategy."""


def select_rows(model: type[Any], *further: Any) -> sa.Select[Any]:
    """A SELECT of the rows of *model*, and *further* columns; relationships are loaded by options only."""
    return sa.select(model, *further).options(NOT_EAGERLY)


KEYS_PER_STATEMENT = 5_000
"""How many keys one statement looks for: every driver takes as many parameters."""


def is_among(columns: Sequence[Any], keys: Iterable[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
    """Whether the *columns* have the values of one of the *keys*."""
    if len(columns) == 1:
        return columns[0].in_([key for (key,) in keys])  # type: ignore[no-any-return]
    return sa.tuple_(*columns).in_(list(keys))


def attribute(mapper: Mapper[Any], column: sa.Column[Any]) -> InstrumentedAttribute[Any]:
    """The model's attribute of *column*."""
    return getattr(mapper.class_, mapper.get_property_by_column(column).key)  # type: ignore[no-any-return]


def find_column(mapper: Mapper[Any], name: str) -> sa.Column[Any] | None:
    """The column that the attribute *name* is mapped to; None if it is not a column, or does not exist."""
    if name in mapper.synonyms:
        name = mapper.synonyms[name].name
    found = mapper.attrs.get(name)
    column = found.columns[0] if isinstance(found, ColumnProperty) else None
    return column if isinstance(column, sa.Column) else None


def column_named(mapper: Mapper[Any], name: str) -> sa.Column[Any]:
    """The column that the attribute *name* is mapped to.

    Raises:
        BindingError: It is not a column, or does not exist.
    """
    column = find_column(mapper, name)
    if column is None:
        error = no_such(mapper, "column", name, mapper.column_attrs.keys())
        error.advice = _instead_of_column(mapper, name) or error.advice
        raise error
    return column


def _instead_of_column(mapper: Mapper[Any], name: str) -> str | None:
    """What to write for the attribute *name*, which is not a column; None: there is no such attribute."""
    found = mapper.attrs.get(name)
    if isinstance(found, CompositeProperty):
        lines = ", ".join(f"{each.key} = auto_field()" for each in found.props)
        return f"it is a composite: declare its columns, {lines}"
    if isinstance(found, RelationshipProperty):
        return f"it is a relationship: name its row by Slug({name!r}), or its rows by Nested(…, many=True)"
    if not hasattr(mapper.class_, name):
        return None
    return "other attributes can be exported with dump_only=True"


def is_query_expression(mapper: Mapper[Any], name: str) -> bool:
    """Whether the attribute *name* is a ``query_expression``: only queries that say so give it a value."""
    found: Any = mapper.attrs.get(name)
    return isinstance(found, ColumnProperty) and ("query_expression", True) in found.strategy_key


def column_of(mapper: Mapper[Any], path: str) -> sa.Column[Any]:
    """The column at the end of *path*, whose steps before the last are relationships.

    Raises:
        BindingError: A step leads nowhere.
    """
    *steps, last = path.split(".")
    for step in steps:
        if step not in mapper.relationships:
            raise no_such(mapper, "relationship", step, mapper.relationships.keys())
        mapper = mapper.relationships[step].mapper
    column = find_column(mapper, last)
    if column is None:
        raise no_such(mapper, "column", last, mapper.column_attrs.keys())
    return column


@functools.cache
def relation(mapper: Mapper[Any], name: str, *, target: Mapper[Any] | None = None) -> Relation:
    """The relation *name* of a model.

    Args:
        mapper: The model's mapper.
        name: A relationship, or a column with a foreign key.
        target: The model that a ledger's schema names; where *name* is neither, the one foreign key that
            leads back from it serves.

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


def unique_rules(table: Any) -> list[Any]:
    """The unique constraints and indexes of *table*."""
    rules = (*table.constraints, *table.indexes)
    return [rule for rule in rules if isinstance(rule, sa.UniqueConstraint) or getattr(rule, "unique", False)]


def unique_on(*columns: sa.Column[Any]) -> set[str]:
    """The names of the constraints and indexes that make *columns* of one table unique by themselves.

    Where the host gives none, those that PostgreSQL and MariaDB give.
    """
    table, names = columns[0].table, set[str]()
    if set(table.primary_key.columns) == set(columns):
        names.add(str(table.primary_key.name or f"{table.name}_pkey"))
    for rule in unique_rules(table):
        if set(rule.columns) == set(columns):
            given = [column.name for column in rule.columns]
            own = {"_".join([table.name, *given, "key"]), given[0]}
            names |= own if rule.name is None else {str(rule.name)}
    return names


def is_unique(*columns: sa.Column[Any]) -> bool:
    """Whether no two rows may have the same values in *columns* of one table."""
    table = columns[0].table
    return any(
        rule.columns and set(rule.columns) <= set(columns)
        for rule in (table.primary_key, *unique_rules(table))
    )


def is_surrogate_key(column: sa.Column[Any]) -> bool:
    """Whether *column* is a primary key of whole numbers that the database or the application counts up.

    Beside others in a key of several columns, a number is data, such as the step of a measurement, unless the
    database counts it.
    """
    if not column.primary_key or column.foreign_keys or not isinstance(underlying(column.type), sa.Integer):
        return False
    if column.identity is not None or getattr(column.table, "autoincrement_column", None) is column:
        return True
    beside = [each for each in column.table.primary_key if each is not column and not each.foreign_keys]
    return not beside and _default_counts(column)


def _default_counts(column: sa.Column[Any]) -> bool:
    """Whether the default of *column* gives each row another number: a constant does not."""
    default: Any = column.default
    if default is not None:
        return not default.is_scalar
    if column.server_default is None:
        return False
    constant = str(getattr(column.server_default, "arg", "")).strip("'\"()")
    return not constant.lstrip("-").isdigit()


_KEY_NAMES = ("slug", "uuid", "code", "key", "name", "number", "email", "username", "title")


def natural_keys(mapper: Mapper[Any]) -> list[str]:
    """The attributes that may identify a row to people and other databases, the likeliest first.

    Columns that are unique by themselves come before others, then those with a usual name.
    """

    def rank(prop: ColumnProperty[Any]) -> tuple[bool, int]:
        place = next((at for at, name in enumerate(_KEY_NAMES) if prop.key.endswith(name)), len(_KEY_NAMES))
        return not is_unique(prop.columns[0]), place  # type: ignore[arg-type]

    candidates = [
        prop
        for prop in mapper.column_attrs
        if isinstance(column := prop.columns[0], sa.Column)
        and not (is_surrogate_key(column) or column.foreign_keys)
        and (is_unique(column) or prop.key in _KEY_NAMES)
    ]
    return [prop.key for prop in sorted(candidates, key=rank)]


def no_such(mapper: Mapper[Any], what: str, name: str, names: Iterable[str]) -> BindingError:
    """The error that a model has no *what* called *name*, with those of its *names* that come close."""
    close = difflib.get_close_matches(name, list(names))
    meant = f"did you mean {' or '.join(map(repr, close))}?" if close else None
    model = mapper.class_.__name__
    return BindingError(f"{model} has no {what} {name!r}", model=model, advice=meant)


def mapper_of(model: Any) -> Mapper[Any]:
    """The mapper of *model*.

    Raises:
        BindingError: It is not a mapped class.
    """
    try:
        found: Any = sa.inspect(model)
    except SQLAlchemyError as error:
        raise BindingError(f"{model!r} is no mapped class: {error}") from error
    if not isinstance(found, Mapper):
        raise BindingError(f"{model!r} is no mapped class")
    return found
