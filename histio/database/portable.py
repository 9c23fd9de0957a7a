"""Find the URL by which another process can open a database as this one has."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, sessionmaker

from histio.database.dialects import create_engine, for_other_processes
from histio.database.sessions import read_habits
from histio.errors import BindingError

_HARMLESS = {"bind", "autoflush", "expire_on_commit"}
"""Options of a sessionmaker that are of no consequence to exports and imports."""


def find_url(bind: Any) -> sa.URL:
    """The URL, with its password, of what a history is bound to.

    Raises:
        BindingError: A URL does not say everything about *bind*: it belongs to the caller, has listeners or
            options, or its database is in memory.
    """
    if not isinstance(bind, sessionmaker):
        what = "it has no database" if bind is None else f"its {type(bind).__name__} has a transaction"
        raise BindingError(f"other processes cannot open this history: {what}", advice="bind it to a URL")
    engine = bind.kw.get("bind")
    if not isinstance(engine, Engine):
        raise _unportable("its sessionmaker has no engine")
    for found in (*_differences_of_sessions(bind), *_differences_of_engines(engine)):
        raise _unportable(found)
    url = for_other_processes(engine.url)
    if url is None:
        raise BindingError("other processes cannot open a database in the memory of this one")
    return url


def _unportable(why: str) -> BindingError:
    advice = "bind it to a URL, or say where it is imported: History(…, location='package.module:attribute')"
    return BindingError(f"other processes cannot open this history: {why}", advice=advice)


def _differences_of_sessions(maker: sessionmaker[Any]) -> Iterator[str]:
    """What sessions of *maker* have that those of other processes would lack."""
    for option, value in maker.kw.items():
        if option not in _HARMLESS and value:
            yield f"its sessionmaker has the option {option}"
    if maker.class_.__bases__ != (Session,):
        yield f"its sessions are of the class {maker.class_.__bases__[0].__name__}"
    with maker() as session:
        for event in read_habits(session).listeners:
            yield f"its sessions have a listener of {event}"


def _differences_of_engines(engine: Engine) -> Iterator[str]:
    """What *engine* has that one with the same URL would lack, as far as that can be seen."""
    if engine.dialect.is_async:
        yield "its engine is for asyncio"
        return
    for option in engine.get_execution_options():
        yield f"its engine has the execution option {option}"
        return
    plain = create_engine(engine.url)
    for ours, theirs in ((engine, plain), (engine.pool, plain.pool), (engine.dialect, plain.dialect)):
        usual = set(_listeners(theirs))
        for event, name in _listeners(ours):
            if (event, name) not in usual:
                yield f"its engine has a listener of {event}, {name}"
    arguments = _arguments(engine)
    if arguments is None:
        yield "its engine has a creator"
    elif arguments != _arguments(plain):
        yield "its engine has connect_args"
    for option in ("json_serializer", "json_deserializer"):
        if getattr(engine.dialect, f"_{option}", None) is not None:
            yield f"its engine has a {option}"


def _listeners(target: Any) -> Iterator[tuple[str, str]]:
    """The events that *target* has listeners of, each with the name of a listener."""
    dispatch = target.dispatch
    for event in dispatch._event_names:  # noqa: SLF001 - SQLAlchemy has no public name
        for listener in getattr(dispatch, event):
            yield event, f"{listener.__module__}.{getattr(listener, '__qualname__', listener)}"


def _arguments(engine: Engine) -> tuple[Any, Mapping[str, Any]] | None:
    """What *engine* passes to its driver to connect; None: a function of the host connects."""
    connect: Any = engine.pool._creator  # noqa: SLF001 - SQLAlchemy has no public name
    if not inspect.isfunction(connect) or connect.__module__ != sa.create_engine.__module__:
        return None
    kept = inspect.getclosurevars(connect).nonlocals
    plain = str | int | float | None
    named = {name: each if isinstance(each, plain) else type(each) for name, each in kept["cparams"].items()}
    positional = next(kept[name] for name in ("cargs_tup", "cargs") if name in kept)  # as of 2.1, and before
    return tuple(positional), named
