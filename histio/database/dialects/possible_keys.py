"""Find keys that no row can have, because the character set of their column lacks a character.

The database refuses the whole look-up of which such a key is a part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from histio.database.dialects.charsets import can_encode, is_exact
from histio.database.dialects.faults import row_fault
from histio.database.dialects.names import MYSQL
from histio.database.dialects.stored import stored_columns
from histio.database.dialects.transactions import savepoint
from histio.log import log_handled

_ASKED = 100
"""The largest number of texts about which one statement asks."""


class CharacterSets:
    """The character sets of columns.

    The database is asked for them only once, and only about keys that are not ASCII.

    Args:
        connect: Returns the connection.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._charsets: dict[sa.Column[Any], str | None] = {}

    def select_possible(
        self, keys: Iterable[Any], find_columns: Callable[[], Sequence[sa.Column[Any]]]
    ) -> list[Any]:
        """Those of *keys* that rows may have.

        Args:
            keys: Values of one column, or tuples of the values of several.
            find_columns: Returns these columns.
        """
        some = list(keys)
        if all(part.isascii() for key in some for part in _parts(key) if isinstance(part, str)):
            return some
        for place, column in enumerate(find_columns()):
            lacking = self._find_lacking(column, {_parts(key)[place] for key in some})
            some = [key for key in some if _parts(key)[place] not in lacking]
        return some

    def _find_lacking(self, column: sa.Column[Any], values: Iterable[Any]) -> set[Any]:
        """Those of *values* with a character that the character set of *column* lacks."""
        connection = self._connect()
        if column not in self._charsets:
            found = stored_columns(connection, [column]).get(column)
            self._charsets[column] = None if found is None else found.charset
        charset = self._charsets[column]
        if charset is None:
            return set()
        texts = _as_stored(connection, column, values)
        lacking = _select_lacking(connection, charset, {*texts.values()})
        return {value for value, text in texts.items() if text in lacking}


def _parts(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _as_stored(connection: Connection, column: sa.Column[Any], values: Iterable[Any]) -> dict[Any, str]:
    """The texts that are sent for *values* of *column*, by value."""
    bind = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    texts: dict[Any, str] = {}
    for value in values:
        # A host's type may refuse the value; then its look-up raises the error.
        with contextlib.suppress(Exception):
            text = value if bind is None else bind(value)
            texts |= {value: text} if isinstance(text, str) else {}
    return texts


def _select_lacking(connection: Connection, charset: str, texts: Iterable[str]) -> set[str]:
    """Those of *texts* with a character that the database's *charset* lacks."""
    if is_exact(charset):
        return {text for text in texts if not can_encode(text, charset)}
    some = list(texts)
    find = _lacking_in_mysql if connection.dialect.name in MYSQL else _lacking_in_postgresql
    parts = (some[start : start + _ASKED] for start in range(0, len(some), _ASKED))
    return {text for part in parts for text in find(connection, charset, part)}


def _lacking_in_mysql(connection: Connection, charset: str, texts: Sequence[str]) -> Iterator[str]:
    """Those of *texts* that change if the server converts them to *charset* and back."""
    converted = (
        f"CONVERT(CONVERT(:text{place} USING {charset}) USING utf8mb4)" for place in range(len(texts))
    )
    statement = sa.text(f"SELECT {', '.join(converted)}")
    given = {f"text{place}": text for place, text in enumerate(texts)}
    kept = connection.execute(statement, given).one()
    return (text for text, each in zip(texts, kept, strict=True) if text != each)


def _lacking_in_postgresql(connection: Connection, charset: str, texts: Sequence[str]) -> Iterator[str]:
    """Those of *texts* that the server cannot convert to *charset*, found by halving."""
    encoded = sa.literal("".join(texts).encode(), sa.LargeBinary)
    try:
        with savepoint(connection):
            connection.execute(sa.select(sa.func.convert(encoded, "UTF8", charset)))
    except exc.DBAPIError as error:
        if row_fault(error, (), connection) is None:
            raise
        log_handled("characters are not in the character set", error)
        half = len(texts) // 2
        if half == 0:
            yield texts[0]
            return
        yield from _lacking_in_postgresql(connection, charset, texts[:half])
        yield from _lacking_in_postgresql(connection, charset, texts[half:])
