"""What SQLAlchemy says of the types of columns: what is stored, and what a decorator makes of it."""

from __future__ import annotations

import datetime as dt
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
import sqlalchemy.dialects
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import TypeDecorator, TypeEngine

_Processor: TypeAlias = Callable[[Any], Any]

AnyInterval = sa.sql.sqltypes._AbstractInterval  # noqa: SLF001
"""What `sqlalchemy.Interval` and the intervals of databases share."""

# Types of one value, and what drivers take for those.
_PLAIN: tuple[type[TypeEngine[Any]], ...] = (
    *(sa.Integer, sa.Numeric, sa.Float, sa.Boolean, sa.Date, sa.DateTime, sa.Time, sa.Interval, sa.Uuid),
    sa.types._Binary,  # noqa: SLF001 - what BINARY and LargeBinary share
)
_SCALARS = (str, bytes, bytearray, memoryview, int, float, Decimal, dt.date, dt.time, dt.timedelta, UUID)

_DIALECT: sa.Dialect = DefaultDialect()

# Types that say nothing of what is stored: decorators over them choose by dialect.
_ABSTRACT = (TypeEngine, sa.types.NullType, sa.types.UserDefinedType)

_logger = logging.getLogger(__name__)


@functools.cache
def _dialects() -> tuple[sa.Dialect, ...]:
    """One of no database in particular, and one of each that SQLAlchemy knows; none needs its driver."""
    found = [_DIALECT]
    for name in sqlalchemy.dialects.__all__:
        module = import_module(f"sqlalchemy.dialects.{name}.base")
        found += [
            each()
            for each in vars(module).values()
            if isinstance(each, type)
            and issubclass(each, DefaultDialect)
            and each.__module__ == module.__name__
        ]
    return tuple(found)


@functools.lru_cache(maxsize=1024)
def _implementation(decorator: TypeDecorator[Any]) -> TypeEngine[Any]:
    """The type that *decorator* converts for, in the first database for which it has one."""
    for dialect in _dialects():
        try:
            found = decorator.load_dialect_impl(dialect)
        except Exception:  # a host's decorator may refuse a database in any way
            _logger.debug("%r has no type for %s", decorator, dialect.name, exc_info=True)
            continue
        if type(found) not in _ABSTRACT:
            return found
    return decorator.impl_instance


def _layers(column_type: TypeEngine[Any], dialect: sa.Dialect | None) -> Iterator[TypeEngine[Any]]:
    """*column_type*, and the types below its decorators; *dialect* None: in no database in particular.

    `sqlalchemy.Interval` is one of those that SQLAlchemy makes of it: itself where times since 1970 stand for
    intervals, else the database's own type.
    """
    while True:
        if dialect is not None:
            column_type = column_type._variant_mapping.get(dialect.name, column_type)  # noqa: SLF001
        if dialect is not None and isinstance(column_type, sa.Interval):
            column_type = column_type.dialect_impl(dialect)
        yield column_type
        if not isinstance(column_type, TypeDecorator) or isinstance(column_type, sa.Interval):
            return
        below = _implementation(column_type) if dialect is None else column_type.load_dialect_impl(dialect)
        column_type = below


def underlying(column_type: TypeEngine[Any]) -> TypeEngine[Any]:
    """The database's type below all decorators."""
    *_, stored = _layers(column_type, None)
    return stored


def declared(column_type: TypeEngine[Any], dialect: sa.Dialect) -> TypeEngine[Any]:
    """The type below all decorators as the host declared it for databases of *dialect*."""
    *_, stored = _layers(column_type, dialect)
    return stored


def is_decorated(column_type: TypeEngine[Any], dialect: sa.Dialect | None = None) -> bool:
    """Whether the values of the column are converted by other functions than those of its plain type.

    Args:
        column_type: The type of the column.
        dialect: That of the database; None: in whatever database.
    """
    return any(map(converts, _layers(column_type, dialect)))


def converts(column_type: TypeEngine[Any]) -> bool:
    """Whether *column_type* itself has functions that convert, and not only what it decorates."""
    kinds = (kind for kind in type(column_type).__mro__ if kind.__module__.startswith("sqlalchemy."))
    of_host = isinstance(column_type, TypeDecorator) and not isinstance(column_type, sa.Interval)
    plain = TypeDecorator if of_host else next(kinds)
    own = ("process_bind_param", "process_result_value", "bind_processor", "result_processor")
    return any(getattr(type(column_type), name, None) is not getattr(plain, name, None) for name in own)


def keeps_objects(column_type: TypeEngine[Any]) -> bool:
    """Whether a decorator keeps any object of Python's, as pickles do."""
    return is_decorated(column_type) and python_form(column_type, [("tuple",)]) is not None


def python_form(column_type: TypeEngine[Any], candidates: Sequence[Any]) -> Any:
    """The first of *candidates* that *column_type* takes and gives back the same; None: none of them.

    A decorator is asked as each database asks it; one for which it keeps none does not count.
    """
    dialects = _dialects() if is_decorated(column_type) else (_DIALECT,)
    kept = [found for each in dialects if (found := _kept(column_type, each, candidates))]
    places = set.intersection(*kept) if kept else ()
    return candidates[min(places)] if places else None


def _kept(column_type: TypeEngine[Any], dialect: sa.Dialect, candidates: Sequence[Any]) -> set[int]:
    """The places of the *candidates* that *column_type* keeps as they are in databases of *dialect*."""
    try:
        adapted = column_type.dialect_impl(dialect)
        if isinstance(column_type, TypeDecorator) and not isinstance(adapted, TypeDecorator):
            return set()  # the database has a type of its own, which says nothing of the decorator
        write = adapted.bind_processor(dialect) or _same
        read = adapted.result_processor(dialect, None) or _same
        written = _written(declared(column_type, dialect))
    except Exception:  # a host's type may refuse a database in any way
        _logger.debug("%r has nothing for %s", column_type, dialect.name, exc_info=True)
        return set()
    return {place for place, candidate in enumerate(candidates) if _keeps(write, read, candidate, written)}


def _written(stored: TypeEngine[Any]) -> tuple[type[Any], ...]:
    """The classes of the values that drivers take for a column of the *stored* type."""
    if isinstance(stored, sa.String):
        return (str,)
    return _SCALARS if isinstance(stored, _PLAIN) else (object,)


def _keeps(write: _Processor, read: _Processor, candidate: Any, written: tuple[type[Any], ...]) -> bool:
    """Whether *candidate*, *written* as a value of one of those classes, is read as the same."""
    try:
        stored = write(candidate)
        returned = read(stored)
    except Exception:  # a host's type may say no in any way
        _logger.debug("a type refuses %s", type(candidate).__name__, exc_info=True)
        return False
    return isinstance(stored, written) and type(returned) is type(candidate) and bool(returned == candidate)


def _same(value: Any) -> Any:
    return value
