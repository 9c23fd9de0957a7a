"""What SQLAlchemy says of a host's models, in whatever way they are mapped."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute, Mapper, RelationshipProperty
from sqlalchemy.orm.attributes import init_collection
from sqlalchemy.orm.collections import collection_adapter
from sqlalchemy.types import TypeDecorator, TypeEngine

from histio.errors import BindingError

Columns = tuple[sa.Column[Any], ...]

_DIALECT: sa.Dialect = DefaultDialect()

# Loading strategies that no option can replace: their rows are fetched apart.
_APART = {"dynamic", "write_only"}


def underlying(column_type: TypeEngine[Any]) -> TypeEngine[Any]:
    """The database's type below all decorators."""
    while isinstance(column_type, TypeDecorator):
        column_type = column_type.impl_instance
    return column_type


def declared(column_type: TypeEngine[Any], dialect: sa.Dialect) -> TypeEngine[Any]:
    """The type below all decorators as the host declared it for databases of *dialect*."""
    while True:
        column_type = column_type._variant_mapping.get(dialect.name, column_type)  # noqa: SLF001
        if not isinstance(column_type, TypeDecorator):
            return column_type
        column_type = column_type.load_dialect_impl(dialect)


def python_form(column_type: TypeEngine[Any], candidates: Sequence[Any]) -> Any:
    """The first of *candidates* that *column_type* takes and gives back the same; None: none of them."""
    write = column_type.bind_processor(_DIALECT) or _same
    read = column_type.result_processor(_DIALECT, None) or _same
    for candidate in candidates:
        try:
            returned = read(write(candidate))
        except Exception:  # noqa: BLE001, S112 - a host's type may say no in any way
            continue
        if type(returned) is type(candidate) and returned == candidate:
            return candidate
    return None


def _same(value: Any) -> Any:
    return value


def is_decorated(column_type: TypeEngine[Any]) -> bool:
    """Whether the host converts the values of the column in ways of its own."""
    own = ("process_bind_param", "process_result_value", "bind_processor", "result_processor")
    return isinstance(column_type, TypeDecorator) and any(
        getattr(type(column_type), name) is not getattr(TypeDecorator, name) for name in own
    )


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

    def follow(self, row: Any) -> Any:
        """The related row or rows of *row*; for those fetched apart, what `keep` was given."""
        if not self.apart:
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

    def _fetched(self, session: Any, row: Any) -> list[Any]:
        if session is not None:
            return list(session.scalars(self.select([self.key(row)])))
        # In no session, what was assigned is all that there is.
        return [] if self.relationship is None else list(getattr(row, self.name))

    def key(self, row: Any) -> tuple[Any, ...]:
        """The values of *row* that lead to the related rows."""
        mapper = sa.inspect(row).mapper
        return tuple(getattr(row, mapper.get_property_by_column(column).key) for column in self.local)

    def select(self, keys: Iterable[tuple[Any, ...]]) -> sa.Select[Any]:
        """A SELECT of the related rows of the rows with *keys*."""
        return sa.select(self.model).where(is_among(self.remote, keys))


def is_among(columns: Sequence[Any], keys: Iterable[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
    """Whether the *columns* have the values of one of the *keys*."""
    if len(columns) == 1:
        return columns[0].in_([key for (key,) in keys])  # type: ignore[no-any-return]
    return sa.tuple_(*columns).in_(list(keys))


def construct(model: type[Any], values: Mapping[str, Any]) -> Any:
    """A new object of *model* with *values* by attribute, through its own ``__init__``.

    What ``__init__`` insists on is passed to it, None where *values* lack it; the rest is set afterwards. An
    ``__init__`` that insists on what is no attribute is passed over, as when SQLAlchemy loads a row.
    """
    mapper = mapper_of(model)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    demanded = {
        name: values.get(name)
        for name, parameter in inspect.signature(model).parameters.items()
        if parameter.kind in kinds and parameter.default is inspect.Parameter.empty
    }
    known = demanded.keys() <= set(mapper.all_orm_descriptors.keys())
    row = model(**demanded) if known else mapper.class_manager.new_instance()
    for name, value in values.items():
        if name not in demanded or not known:
            assign(row, name, value)
    return row


def assign(row: Any, name: str, value: Any) -> None:
    """Set the attribute *name*; to a collection of another class than list, its members."""
    relationship = sa.inspect(row).mapper.relationships.get(name)
    if relationship is None or relationship.collection_class in (None, list):
        setattr(row, name, value)
        return
    made = sa.inspect(row).transient
    adapter = init_collection(row, name) if made else collection_adapter(getattr(row, name))
    adapter.clear_with_event()
    for member in value:
        adapter.append_with_event(member)


def attribute(mapper: Mapper[Any], column: sa.Column[Any]) -> InstrumentedAttribute[Any]:
    """The model's attribute of *column*."""
    return getattr(mapper.class_, mapper.get_property_by_column(column).key)  # type: ignore[no-any-return]


def find_column(mapper: Mapper[Any], name: str) -> sa.Column[Any] | None:
    """The column that the attribute *name* is mapped to; None where it is no column, or there is none."""
    if name in mapper.synonyms:
        name = mapper.synonyms[name].name
    found = mapper.attrs.get(name)
    column = found.columns[0] if isinstance(found, ColumnProperty) else None
    return column if isinstance(column, sa.Column) else None


def column_of(mapper: Mapper[Any], path: str) -> sa.Column[Any]:
    """The column at the end of *path*, whose steps before the last are relationships.

    Raises:
        BindingError: A step leads nowhere.
    """
    *steps, last = path.split(".")
    for step in steps:
        if step not in mapper.relationships:
            raise BindingError(no_such(mapper, "relationship", step, mapper.relationships.keys()))
        mapper = mapper.relationships[step].mapper
    column = find_column(mapper, last)
    if column is None:
        raise BindingError(no_such(mapper, "column", last, mapper.column_attrs.keys()))
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
    raise BindingError(no_such(mapper, "relationship", name, mapper.relationships.keys()))


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
    """Whether *column* is a primary key of whole numbers that the database or the application counts up."""
    if not column.primary_key or column.foreign_keys or not isinstance(underlying(column.type), sa.Integer):
        return False
    counted = (column.default, column.server_default, column.identity) != (None, None, None)
    return counted or getattr(column.table, "autoincrement_column", None) is column


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


def no_such(mapper: Mapper[Any], what: str, name: str, names: Iterable[str]) -> str:
    """A sentence that *name* is missing, with what may have been meant."""
    close = difflib.get_close_matches(name, list(names))
    meant = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"{mapper.class_.__name__} has no {what} {name!r}{meant}"


def mapper_of(model: Any) -> Mapper[Any]:
    """The mapper of *model*.

    Raises:
        BindingError: It is no mapped class.
    """
    try:
        found: Any = sa.inspect(model)
    except SQLAlchemyError as error:
        raise BindingError(f"{model!r} is no mapped class: {error}") from error
    if not isinstance(found, Mapper):
        raise BindingError(f"{model!r} is no mapped class")
    return found
