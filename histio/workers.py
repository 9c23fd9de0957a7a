"""Describe a history so that another process, perhaps on another machine, can open it."""

from __future__ import annotations

import functools
import importlib
import os
import pickle
import sys
import weakref
from dataclasses import dataclass, field
from typing import Any

from histio.binding import bind_kinds
from histio.bound import Bound
from histio.database.portable import find_url
from histio.errors import BindingError

_ADVICE = "say where the history is imported: History(…, location='package.module:attribute')"


@dataclass(frozen=True, slots=True)
class PickledHistory:
    """What another process needs to open a history: never a connection. It can be pickled.

    Attributes:
        data: The pickled description: the location of the history or its schemas and options, and the URL of
            the database with its password.
    """

    data: bytes = field(repr=False)

    def open(self) -> Bound:
        """The history; a process opens it once. Connections are made when they are needed.

        Raises:
            BindingError: This process cannot import what the history consists of.
        """
        return _open(self.data)


def pickle_history(bound: Bound) -> PickledHistory:
    """Describe a history for other processes.

    Raises:
        BindingError: Another process could not open it as it is; the error says what to do.
    """
    if bound.location is not None:
        _check_location(bound, bound.location)
        url = bound.database.own_url
        return PickledHistory(pickle.dumps((bound.location, url)))
    options = {
        "catalog": tuple(map(_pickle_schema, bound.catalog)),
        "version": bound.versions.current,
        "upgrades": bound.versions.upgrades,
        "values": bound.values,
    }
    kinds = tuple(map(_pickle_schema, bound.kinds))
    url = find_url(bound.database.bind)
    try:
        data = pickle.dumps((kinds, options, url))
        pickle.loads(data)  # noqa: S301 - our own
    except Exception as error:  # whatever the parts of a host raise when they are pickled
        raise BindingError(f"other processes cannot open this history: {error}", advice=_ADVICE) from error
    return PickledHistory(data)


def _pickle_schema(kind: Any) -> tuple[Any, ...]:
    """The schema class of a *kind*; for one that `bind` has made, what it was made from."""
    schema = type(kind.table.schema)
    origin = vars(schema).get("bound_from")
    return (schema,) if origin is None else (origin, schema.opts.model)


def _unpickle_schema(schema: Any, model: Any = None) -> Any:
    return schema if model is None else schema.bind(model)


@functools.lru_cache(maxsize=8)
def _open(data: bytes) -> Bound:
    try:
        described: tuple[Any, ...] = pickle.loads(data)  # noqa: S301 - of `pickle_history`
    except Exception as error:  # whatever importing the modules of a host raises
        raise BindingError(f"this process cannot open the history: {error}", advice=_ADVICE) from error
    if isinstance(described[0], str):
        location, url = described
        found = find_history(location)
        return found if url is None else _close_when_forgotten(found.on(url))
    kinds, options, url = described
    catalog = [_unpickle_schema(*each) for each in options.pop("catalog")]
    bound = bind_kinds(url, [_unpickle_schema(*each) for each in kinds], catalog=catalog, **options)
    return _close_when_forgotten(bound)


def _close_when_forgotten(bound: Bound) -> Bound:
    """Let the connections of *bound* be closed when no task of this process needs it any more."""
    weakref.finalize(bound.database, bound.database.find_engine().dispose).atexit = False
    return bound


def _check_location(bound: Bound, location: str) -> None:
    found = find_history(location)
    ours, theirs = ([kind.name for kind in each.all_kinds] for each in (bound, found))
    if ours != theirs:
        raise BindingError(f"location: {location} has the kinds {', '.join(theirs)}, not {', '.join(ours)}")
    if bound.database.own_url is None and not found.has_database:
        raise BindingError(f"location: {location} has no database")


def find_history(location: str) -> Bound:
    """What the history at *location*, or that a function there returns, consists of.

    Raises:
        BindingError: There is no history.
    """
    try:
        found = import_object(location)
        if callable(found):
            found = found()
    except Exception as error:  # importing runs code of the host
        text = f"location: {location} cannot be imported: {type(error).__name__}: {error}"
        raise BindingError(text) from error
    bound = getattr(found, "bound", None)
    if not isinstance(bound, Bound):
        raise BindingError(f"location: {location} is a {type(found).__name__}, not a History")
    return bound


def import_object(name: str) -> Any:
    """Import the object that ``module:attribute`` names; the working directory is searched too."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as python -m does
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    finally:
        sys.path.pop(0)
    return found
