"""Look up the rows of one related model by their keys, a set at a time, and remember them."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, aliased

from histio.database.dialects import CharacterSets
from histio.kinds.column_types import is_decorated, underlying
from histio.kinds.fields.references import Key
from histio.kinds.fields.times import as_utc
from histio.kinds.mapping import attribute, column_of
from histio.kinds.selects import KEYS_PER_STATEMENT, NOT_EAGERLY, is_among

KeyValue = tuple[Key, Any]
"""A key and its value; for a key of several columns, the value is a tuple."""

Execute = Callable[..., Any]
"""The `execute` of a Connection or a Session."""

_MOST_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A related row: the columns that references need, its keys, and the ORM object if it was requested."""

    columns: Mapping[sa.Column[Any], Any]
    keys: Mapping[Key, Any]
    row: Any = None


@dataclass(slots=True, eq=False)
class Lookup:
    """The rows of one related model, by key and value.

    Attributes:
        mapper: The mapper of the model.
        scope: Values by attribute; only rows with these values are found.
        keys: The keys by which rows are named.
        columns: The columns of a row that references need.
        wanted: Values to look up next.
        found: The rows of values that were looked up; an empty list if there are none.
        missing: Values that were looked up and have no row.
        expected: Values that count as found although they have no row yet.
        latest: Changes a SELECT so that it sees what others have committed since; None: it need not.
    """

    mapper: Mapper[Any]
    scope: Mapping[str, Any]
    keys: dict[Key, None] = field(default_factory=dict)
    columns: dict[sa.Column[Any], None] = field(default_factory=dict)
    wanted: dict[KeyValue, None] = field(default_factory=dict)
    found: dict[KeyValue, list[Found]] = field(default_factory=dict)
    missing: set[KeyValue] = field(default_factory=set)
    expected: set[KeyValue] = field(default_factory=set)
    latest: Callable[[sa.Select[Any]], sa.Select[Any]] | None = None

    def rows(self, chain: tuple[Key, ...], value: Any) -> list[Found]:
        """The rows with *value* in the first key of *chain* in which any row has it."""
        return next(filter(None, (self.found[key, value] for key in chain)), [])

    def is_expected(self, chain: tuple[Key, ...], value: Any) -> bool:
        """Whether a row with *value* in a key of *chain* counts as found."""
        return any((key, value) in self.expected for key in chain)

    def forget(self) -> None:
        """Forget all rows, so that they are looked up again."""
        self.found.clear()
        self.missing.clear()

    def forget_missing(self) -> None:
        """Forget values without a row, so that they are looked up again."""
        for key_value in self.missing:
            del self.found[key_value]
        self.missing.clear()

    def trim(self) -> None:
        """Forget everything if there are too many values to remember."""
        if len(self.found) > _MOST_REMEMBERED:
            self.forget()
            self.expected.clear()

    def fetch(self, execute: Execute, character_sets: CharacterSets, *, entities: bool) -> None:
        """Look up the wanted values, in one SELECT per chunk; *entities*: with the ORM objects."""
        wanted, self.wanted = self.wanted, {}
        self.found |= {key_value: [] for key_value in wanted}
        seen = set()
        for found in self._read(execute, self._possible(wanted, character_sets), entities=entities):
            for key_value in found.keys.items():
                # Two chunks can return the same row, by two of its keys.
                once = (key_value, tuple(found.columns.values()))
                if key_value in wanted and once not in seen:
                    seen.add(once)
                    self.found[key_value].append(found)
        self.missing |= {key_value for key_value in wanted if not self.found[key_value]}

    def _possible(self, wanted: Iterable[KeyValue], character_sets: CharacterSets) -> Iterator[KeyValue]:
        """Those of the *wanted* values that rows may have, key by key."""
        for key in self.keys:
            values = [value for other, value in wanted if other == key]
            find_columns = functools.partial(self._find_columns, key)
            yield from ((key, value) for value in character_sets.select_possible(values, find_columns))

    def _find_columns(self, key: Key) -> list[sa.Column[Any]]:
        return [column_of(self.mapper, path) for path in key]

    def _read(self, execute: Execute, wanted: Iterable[KeyValue], *, entities: bool) -> Iterator[Found]:
        """Read the rows that have one of the *wanted* values."""
        remaining = iter(wanted)
        while chunk := list(islice(remaining, KEYS_PER_STATEMENT)):
            statement, paths = self.select()
            statement = statement.where(self._has_any(paths, chunk))
            if entities:
                statement = statement.add_columns(self.mapper.class_).options(NOT_EAGERLY)
            if self.latest is not None:
                statement = self.latest(statement)
            readers = {path: _reader_of(column) for path, column in paths.items()}
            for row in execute(statement):
                keys = self._keys_of(row, readers)
                yield Found(dict(zip(self.columns, row, strict=False)), keys, row[-1] if entities else None)

    def select(self) -> tuple[sa.Select[Any], dict[str, Any]]:
        """A SELECT of the columns and all parts of keys, and the expression of each part by its path."""
        model = self.mapper.class_
        statement = sa.select(*(attribute(self.mapper, column) for column in self.columns)).select_from(model)
        paths: dict[str, Any] = {}
        for path in dict.fromkeys(path for key in self.keys for path in key):
            *steps, last = path.split(".")
            entity = model
            for step in steps:
                relationship = getattr(entity, step)
                entity = aliased(relationship.property.mapper.class_)
                statement = statement.outerjoin(relationship.of_type(entity))
            paths[path] = getattr(entity, last)
        within = [getattr(model, name) == value for name, value in self.scope.items()]
        return statement.add_columns(*paths.values()).where(*within), paths

    def _has_any(self, paths: Mapping[str, Any], chunk: list[KeyValue]) -> sa.ColumnElement[bool]:
        """A condition: the row has one of the values in a *chunk*."""
        conditions = []
        for key in self.keys:
            values = [value if len(key) > 1 else (value,) for wanted_key, value in chunk if wanted_key == key]
            if values:
                conditions.append(is_among([paths[path] for path in key], values))
        return sa.or_(*conditions)

    def _keys_of(self, row: Any, readers: Mapping[str, Callable[[Any], Any]]) -> dict[Key, Any]:
        """The keys of a row that `select` has read, in the form of loaded ones."""
        parts = {
            path: read(row[index]) for index, (path, read) in enumerate(readers.items(), len(self.columns))
        }
        return {
            key: tuple(parts[path] for path in key) if len(key) > 1 else parts[key[0]] for key in self.keys
        }


def strip_padding(column: Any, value: Any) -> Any:
    """*value* without the trailing spaces that a column of CHAR(n) adds."""
    return _strip(value) if isinstance(underlying(column.type), sa.CHAR) else value


def _reader_of(column: Any) -> Callable[[Any], Any]:
    """A function that converts values of *column* to the form of loaded ones."""
    stored = underlying(column.type)
    if isinstance(stored, sa.DateTime) and stored.timezone and not is_decorated(column.type):
        return _as_utc  # some databases return times without a time zone
    return _strip if isinstance(stored, sa.CHAR) else _same


def _as_utc(value: Any) -> Any:
    return as_utc(value) if isinstance(value, dt.datetime) else value


def _strip(value: Any) -> Any:
    return value.rstrip(" ") if isinstance(value, str) else value


def _same(value: Any) -> Any:
    return value
