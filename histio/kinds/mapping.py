"""Find the columns that the attributes of a host's models are mapped to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import (
    ColumnProperty,
    CompositeProperty,
    InstrumentedAttribute,
    Mapper,
    RelationshipProperty,
)

from histio.errors import BindingError
from histio.similar import find_similar

Columns = tuple[sa.Column[Any], ...]


def attribute(mapper: Mapper[Any], column: sa.Column[Any]) -> InstrumentedAttribute[Any]:
    """The model's attribute of *column*."""
    return getattr(mapper.class_, mapper.get_property_by_column(column).key)  # type: ignore[no-any-return]


def key_attributes(mapper: Mapper[Any]) -> list[InstrumentedAttribute[Any]]:
    """The model's attributes of its primary key."""
    columns: Any = mapper.primary_key
    return [attribute(mapper, column) for column in columns]


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
    """Whether the attribute *name* is a ``query_expression``, which only has a value if a query gives it."""
    found: Any = mapper.attrs.get(name)
    return isinstance(found, ColumnProperty) and ("query_expression", True) in found.strategy_key


def column_of(mapper: Mapper[Any], path: str) -> sa.Column[Any]:
    """The column at the end of *path*, whose steps before the last are relationships.

    Raises:
        BindingError: A step is not a relationship, or the last one is not a column.
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


def no_such(mapper: Mapper[Any], what: str, name: str, names: Iterable[str]) -> BindingError:
    """An error that a model has no *what* called *name*, with close matches among its *names*."""
    close = find_similar(name, names)
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
        raise BindingError(f"{model!r} is not a mapped class: {error}") from error
    if not isinstance(found, Mapper):
        raise BindingError(f"{model!r} is not a mapped class")
    return found
