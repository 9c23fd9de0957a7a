"""SELECTs of the rows of a host's models, by their keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import lazyload

NOT_EAGERLY = lazyload("*")
"""Loads only the relationships that other options of the query name, whatever the host's strategy is."""


def select_rows(model: type[Any], *further: Any) -> sa.Select[Any]:
    """A SELECT of the rows of *model* and *further* columns; only options load relationships."""
    return sa.select(model, *further).options(NOT_EAGERLY)


KEYS_PER_STATEMENT = 5_000
"""The number of keys in one statement; every driver accepts that many parameters."""


def is_among(columns: Sequence[Any], keys: Iterable[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
    """Whether the *columns* have the values of one of the *keys*."""
    if len(columns) == 1:
        return columns[0].in_([key for (key,) in keys])  # type: ignore[no-any-return]
    return sa.tuple_(*columns).in_(list(keys))
