"""Select values of any column, and convert them as SQLAlchemy does, a whole column at a time."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from histio.database.dialects.raw import as_it_is, raw
from histio.database.dialects.readable import Condition, altered, unreadable
from histio.kinds.column_types import declared

Convert: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]
"""Converts values of the driver to those of the application; raises what the column's type raises."""


class Loaded(NamedTuple):
    """How values of a column are read as the application reads them.

    Attributes:
        value: The expression to select.
        convert: Converts its values.
        is_text: Whether the driver returns text.
        is_json: Whether that text is JSON, whose numbers may be rounded by *convert*.
        odd: A condition for values that SQLAlchemy cannot read, or reads as others; None: there are none, or
            they are in JSON.
    """

    value: Any
    convert: Convert
    is_text: bool
    is_json: bool
    odd: Condition


def loaded(dialect: sa.Dialect, column: Any, *, may_be_json: bool) -> Loaded:
    """How values of *column*, an attribute of a model, are read.

    *may_be_json*: whether a column of text may keep JSON.
    """
    column_type: TypeEngine[Any] = column.type
    arriving = raw(dialect, column_type, column)
    if arriving is not None and arriving[1] == "json":
        return Loaded(arriving[0], _decode, is_text=True, is_json=True, odd=None)
    stored = declared(column_type, dialect)
    is_text = isinstance(stored, sa.String)
    value = arriving[0] if arriving is not None and is_text else as_it_is(_expression(dialect, column))
    conditions = unreadable(dialect, column), altered(dialect, column, is_json=may_be_json)
    found = [each for each in conditions if each is not None]
    convert = _converter(dialect, column_type, stored)
    return Loaded(value, convert, is_text, is_json=False, odd=sa.or_(*found) if found else None)


def _expression(dialect: sa.Dialect, column: Any) -> Any:
    """*column*, within the SQL functions by which its type reads it."""
    used: Any = column.type.dialect_impl(dialect)
    return used.column_expression(column) if used._has_column_expression else column  # noqa: SLF001 - the compiler reads it too


def _decode(values: Sequence[Any]) -> list[Any]:
    """JSON; SQLite returns a single number as a number, all else as text."""
    return [json.loads(value) if isinstance(value, str) else value for value in values]


# PostgreSQL's types of numbers, by the classes that its drivers return for them.
_NUMBERS = {Decimal: 1700, float: 701, int: 23}


def _converter(dialect: sa.Dialect, column_type: TypeEngine[Any], stored: TypeEngine[Any]) -> Convert:
    used = column_type.dialect_impl(dialect)
    item = stored.item_type if isinstance(stored, sa.ARRAY) else stored
    if dialect.name == "postgresql" and isinstance(item, sa.Numeric | sa.Float):
        return functools.partial(_convert_numbers, used, dialect)
    convert = used.result_processor(dialect, None)
    return _same if convert is None else lambda values: list(map(convert, values))


def _convert_numbers(used: TypeEngine[Any], dialect: sa.Dialect, values: Sequence[Any]) -> Sequence[Any]:
    """Convert numbers, which SQLAlchemy does by the type that they have in the database."""
    classes = set(map(type, _leaves(values))) - {type(None)}
    if not classes:
        classes = {Decimal}
    [only] = classes
    convert = used.result_processor(dialect, _NUMBERS[only])
    return values if convert is None else list(map(convert, values))


def _leaves(value: Any) -> Iterator[Any]:
    """What is in nested lists."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _same(values: Sequence[Any]) -> Sequence[Any]:
    return values
