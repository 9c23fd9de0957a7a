"""Find the listeners that a host registers on its models, and notice when they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from sqlalchemy.orm import Mapper

Place: TypeAlias = tuple[Any, str]
"""What dispatches an event, and the event's name."""


class Listeners:
    """The listeners at some places.

    Args:
        places: The places.
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self._places = tuple(dict.fromkeys(places))

    def current(self) -> list[tuple[Callable[..., Any], ...]]:
        """The listeners that are registered now, for each place; equal until somebody changes them."""
        return [tuple(getattr(dispatch, event)) for dispatch, event in self._places]


def loading(mapper: Mapper[Any]) -> Iterator[Place]:
    """The places of listeners that are called when an object is loaded."""
    for event in ("load", "refresh"):
        yield mapper.class_manager.dispatch, event


def construction(mapper: Mapper[Any]) -> Iterator[Place]:
    """The places of listeners that are called when an object is created, changed and written."""
    for event in ("before_insert", "after_insert"):
        yield mapper.dispatch, event
    yield mapper.class_manager.dispatch, "init"
    for prop in mapper.column_attrs:
        attribute = getattr(mapper.class_, prop.key, None)  # a column that inheritance uses may have none
        if attribute is not None:
            yield attribute.dispatch, "set"
    for name in mapper.relationships.keys():  # noqa: SIM118 - no dict
        for event in ("append", "set", "bulk_replace"):
            yield getattr(mapper.class_, name).dispatch, event


def composite_listeners(mapper: Mapper[Any], event: str) -> int:
    """The number of listeners for *event* that SQLAlchemy registers to create the objects of composites."""
    mine = [each for each in mapper.composites if event != "after_insert" or each.parent is mapper]
    return len(mine) if event in ("after_insert", "load", "refresh") else 0
