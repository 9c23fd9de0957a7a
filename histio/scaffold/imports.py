"""Write the imports of a binding: names of histio, and the models."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

_WIDTH = 88
_OF_MARSHMALLOW = {"Nested", "UUID"}
_AUTO = "auto_field"


def import_names(body: str) -> Iterator[str]:
    """Write the imports of what *body* uses, without the models."""
    used = set(re.findall(r"= (\w+)\(", body))
    yield "import histio"
    yield from _import("histio", {*used - _OF_MARSHMALLOW - {_AUTO}, "testing"})
    if used & _OF_MARSHMALLOW:
        yield from _import("marshmallow.fields", used & _OF_MARSHMALLOW)
    if _AUTO in used:
        yield "from marshmallow_sqlalchemy import auto_field"


def import_models(models: Sequence[type[Any]], import_paths: Mapping[type[Any], str]) -> Iterator[str]:
    """Write the imports of *models*; a model that is in no module is found through the mappers of another.

    Args:
        models: Mapped classes.
        import_paths: Where some of them can be imported from, as ``module:Name``.
    """
    places = {model: place for model in models if (place := _place(model, import_paths)) is not None}
    by_module: dict[str, set[str]] = {}
    attributes: list[tuple[str, str, str]] = []
    for model, (module, path) in places.items():
        if "." in path:
            attributes.append((model.__name__, module, path))
        else:
            alias = "" if path == model.__name__ else f" as {model.__name__}"
            by_module.setdefault(module, set()).add(f"{path}{alias}")
    yield from (f"import {module}" for module in sorted({module for _, module, _ in attributes}))
    for module, names in sorted(by_module.items()):
        yield from _import(module, names)
    if attributes:
        yield ""
        yield from (f"{name} = {module}.{path}" for name, module, path in attributes)
    yield from _find_hidden([model for model in models if model not in places], list(places))


def _find_hidden(hidden: Sequence[type[Any]], found: Sequence[type[Any]]) -> Iterator[str]:
    """Write lines that find *hidden* models through the mappers of a model that can be imported."""
    if not hidden:
        return
    yield ""
    yield "# Models that cannot be imported by name."
    near = [model for model in hidden if found and _registry(model) is _registry(found[-1])]
    if near:
        mappers = f"{found[-1].__name__}.registry.mappers"
        yield f"mappers = {{mapper.class_.__name__: mapper for mapper in {mappers}}}"
    for model in hidden:
        name = model.__name__
        known = model in near
        yield (
            f'{name} = mappers["{name}"].class_'
            if known
            else f"# {name}: import it from where it is defined."
        )


def _registry(model: type[Any]) -> Any:
    return sa.inspect(model).registry


def _place(model: type[Any], import_paths: Mapping[type[Any], str]) -> tuple[str, str] | None:
    """The module and the attribute where the *model* is; None: not found."""
    if model in import_paths:
        module, _, path = import_paths[model].partition(":")
        return module, path
    if getattr(sys.modules.get(model.__module__), model.__name__, None) is model:
        return model.__module__, model.__name__
    for module in dict.fromkeys(place.partition(":")[0] for place in import_paths.values()):
        names = [name for name, value in vars(sys.modules[module]).items() if value is model]
        if names:
            return module, model.__name__ if model.__name__ in names else names[0]
    return None


def _import(module: str, names: Iterable[str]) -> Iterator[str]:
    """Write an import of *names*, on one line if they fit."""
    line = f"from {module} import {', '.join(sorted(names, key=str.lower))}"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield f"from {module} import ("
        yield from (f"    {name}," for name in sorted(names, key=str.lower))
        yield ")"
