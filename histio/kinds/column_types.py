"""The types of columns: the type that is stored, and the Python values that it takes and returns."""

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
"""The base class of `sqlalchemy.Interval` and of the databases' own intervals."""

# Types of scalar values, and the Python classes that drivers accept for them.
_PLAIN: tuple[type[TypeEngine[Any]], ...] = (
    *(sa.Integer, sa.Numeric, sa.Float, sa.Boolean, sa.Date, sa.DateTime, sa.Time, sa.Interval, sa.Uuid),
    sa.types._Binary,  # noqa: SLF001 - what BINARY and LargeBinary share
)
_SCALARS = (str, bytes, bytearray, memoryview, int, float, Decimal, dt.date, dt.time, dt.timedelta, UUID)

_DIALECT: sa.Dialect = DefaultDialect()

# Types without a stored form: decorators over them choose a type for each dialect.
_ABSTRACT = (TypeEngine, sa.types.NullType, sa.types.UserDefinedType)

_logger = logging.getLogger(__name__)


@functools.cache
def _dialects() -> tuple[sa.Dialect, ...]:
    """The default dialect and all dialects of SQLAlchemy, which work without drivers."""
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
    """The type below *decorator*, for the first dialect for which it names one."""
    for dialect in _dialects():
        try:
            found = decorator.load_dialect_impl(dialect)
        except Exception:  # a host's decorator may raise anything for a database that it does not support
            _logger.debug("%r has no type for %s", decorator, dialect.name, exc_info=True)
            continue
        if type(found) not in _ABSTRACT:
            return found
    return decorator.impl_instance


def _layers(column_type: TypeEngine[Any], dialect: sa.Dialect | None) -> Iterator[TypeEngine[Any]]:
    """*column_type* and the types below its decorators, from the outermost in.

    If *dialect* is None, the types are not specific to a database. With a dialect, `sqlalchemy.Interval` is
    replaced by the database's own interval type; if it has none, SQLAlchemy stores times since 1970.
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


def is_renewed(column: sa.Column[Any]) -> bool:
    """Whether *column* may get another value when other columns of its row are updated.

    MariaDB and MySQL renew times with ``ON UPDATE CURRENT_TIMESTAMP``, even if the model does not say so.
    """
    moves = column.onupdate is not None or column.server_onupdate is not None
    return column.computed is None and (moves or isinstance(underlying(column.type), sa.DateTime))


def underlying(column_type: TypeEngine[Any]) -> TypeEngine[Any]:
    """The database's type below all decorators."""
    *_, stored = _layers(column_type, None)
    return stored


def declared(column_type: TypeEngine[Any], dialect: sa.Dialect) -> TypeEngine[Any]:
    """The type below all decorators, as the host declared it for *dialect*."""
    *_, stored = _layers(column_type, dialect)
    return stored


def is_decorated(column_type: TypeEngine[Any], dialect: sa.Dialect | None = None) -> bool:
    """Whether a decorator, or a subclass of a type, converts the values of the column.

    Args:
        column_type: The type of the column.
        dialect: The database's. None: no database in particular.
    """
    return any(map(converts, _layers(column_type, dialect)))


def converts(column_type: TypeEngine[Any]) -> bool:
    """Whether *column_type* itself converts values, apart from the type that it decorates."""
    kinds = (kind for kind in type(column_type).__mro__ if kind.__module__.startswith("sqlalchemy."))
    of_host = isinstance(column_type, TypeDecorator) and not isinstance(column_type, sa.Interval)
    plain = TypeDecorator if of_host else next(kinds)
    own = ("process_bind_param", "process_result_value", "bind_processor", "result_processor")
    return any(getattr(type(column_type), name, None) is not getattr(plain, name, None) for name in own)


def keeps_objects(column_type: TypeEngine[Any]) -> bool:
    """Whether a decorator keeps any Python object, like `sqlalchemy.PickleType`."""
    return is_decorated(column_type) and python_form(column_type, [("tuple",)]) is not None


def python_form(column_type: TypeEngine[Any], candidates: Sequence[Any]) -> Any:
    """The first of *candidates* that *column_type* writes and reads back unchanged; None: no candidate.

    A decorator is tried with every dialect. A candidate must be unchanged with all dialects for which the
    decorator keeps any candidate.
    """
    dialects = _dialects() if is_decorated(column_type) else (_DIALECT,)
    kept = [found for each in dialects if (found := _find_kept(column_type, each, candidates))]
    places = set.intersection(*kept) if kept else ()
    return candidates[min(places)] if places else None


def _find_kept(column_type: TypeEngine[Any], dialect: sa.Dialect, candidates: Sequence[Any]) -> set[int]:
    """The indices of the *candidates* that *column_type* writes and reads back unchanged with *dialect*."""
    try:
        adapted = column_type.dialect_impl(dialect)
        if isinstance(column_type, TypeDecorator) and not isinstance(adapted, TypeDecorator):
            return set()  # replaced by a type of the database, so the decorator cannot be tried
        write = adapted.bind_processor(dialect) or _same
        read = adapted.result_processor(dialect, None) or _same
        written = _written(declared(column_type, dialect))
    except Exception:  # a host's type may raise anything for a database that it does not support
        _logger.debug("%r has nothing for %s", column_type, dialect.name, exc_info=True)
        return set()
    return {place for place, candidate in enumerate(candidates) if _keeps(write, read, candidate, written)}


def _written(stored: TypeEngine[Any]) -> tuple[type[Any], ...]:
    """The classes of values that drivers accept for a column of the *stored* type."""
    if isinstance(stored, sa.String):
        return (str,)
    return _SCALARS if isinstance(stored, _PLAIN) else (object,)


def _keeps(write: _Processor, read: _Processor, candidate: Any, written: tuple[type[Any], ...]) -> bool:
    """Whether *candidate* is stored as one of the *written* classes and read back unchanged."""
    try:
        stored = write(candidate)
        returned = read(stored)
    except Exception:  # a host's type may raise anything for a value that it does not take
        _logger.debug("a type refuses %s", type(candidate).__name__, exc_info=True)
        return False
    return isinstance(stored, written) and type(returned) is type(candidate) and bool(returned == candidate)


def _same(value: Any) -> Any:
    return value
