"""Create objects of a host's models by calling the model, as the host does."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.orm.attributes import init_collection
from sqlalchemy.orm.collections import collection_adapter

from histio.kinds.mapping import mapper_of
from histio.kinds.relations import Relation, relation
from histio.log import log_handled

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_PLACE = inspect.Parameter.POSITIONAL_ONLY


def construct(model: type[Any], values: Mapping[str, Any]) -> Any:
    """Create an object of *model* with *values* by attribute, like ``model(**values)``.

    The constructor gets the values that it has parameters for, and None for required parameters without a
    value. All other attributes are set afterwards, and also those that the constructor has changed. A
    constructor with a required parameter that is not an attribute is not called, as when rows are loaded.
    """
    constructor = _constructor_of(model)  # type: ignore[arg-type]
    if constructor is None:
        row, passed = mapper_of(model).class_manager.new_instance(), frozenset[str]()
    else:
        row, passed = constructor.make(model, values)
    for name, value in values.items():
        if name not in passed or not _has(row, name, value):
            assign(row, name, value)
    return row


def construct_silently(model: type[Any], values: Mapping[str, Any]) -> Any:
    """Create an object of *model* with *values* by attribute, without calling code of the host.

    For models with SQLAlchemy's constructor and without listeners. The columns get no history.
    """
    mapper = mapper_of(model)
    row = mapper.class_manager.new_instance()
    assigned = _assigned_relationships(mapper)
    vars(row).update(
        {name: value for name, value in values.items() if name not in assigned} if assigned else values
    )
    for name in assigned:
        if name in values:
            assign(row, name, values[name])
    return row


@functools.cache
def _assigned_relationships(mapper: Mapper[Any]) -> frozenset[str]:
    """The relationships that have to be assigned: related objects hear of it, or it is a collection."""
    ways = mapper.relationships
    return frozenset(way.key for way in ways if way.uselist or way._reverse_property)  # noqa: SLF001 - SQLAlchemy has no public name for it


def _has(row: Any, name: str, value: Any) -> bool:
    """Whether the attribute *name* of a new *row* has *value* already."""
    found = vars(row).get(name, _MISSING)
    if found is value:
        return True
    both = isinstance(found, list) and isinstance(value, list) and len(found) == len(value)
    return both and all(map(operator.is_, found, value))


_MISSING = object()


@dataclass(frozen=True, slots=True)
class _Constructor:
    """The parameters of a model's constructor.

    Attributes:
        places: Positional-only parameters, in order.
        names: All other parameters; None: any keyword.
        apart: Attributes that are set afterwards, because their collections are not lists.
        related: The attributes that are relationships.
        required: Required parameters, each with a function that returns an empty value.
    """

    places: tuple[str, ...]
    names: frozenset[str] | None
    apart: frozenset[str]
    related: frozenset[str]
    required: Mapping[str, Callable[[], Any]]

    def make(self, model: type[Any], values: Mapping[str, Any]) -> tuple[Any, frozenset[str]]:
        """A new object, and the names of the *values* that were passed to its constructor.

        A constructor that takes any keyword may expect only columns and fail for a relationship.
        """
        try:
            return self._call(model, values)
        except (AttributeError, TypeError) as error:
            if self.names is not None or self.related.isdisjoint(values):
                raise
            log_handled(f"{model.__name__} is created without its relationships", error)
        columns = {name: value for name, value in values.items() if name not in self.related}
        return self._call(model, columns)

    def _call(self, model: type[Any], values: Mapping[str, Any]) -> tuple[Any, frozenset[str]]:
        known = None if self.names is None else self.names.union(self.places)
        passed = {
            name: value
            for name, value in values.items()
            if name not in self.apart and (known is None or name in known)
        }
        names = frozenset(passed)
        for name, make in self.required.items():
            if name not in passed:
                passed[name] = make()
        by_place = [passed.pop(name) for name in self.places if name in passed]
        return model(*by_place, **passed), names


@functools.cache
def _constructor_of(model: type[Any]) -> _Constructor | None:
    """The constructor of *model*; None: it has a required parameter that is not an attribute."""
    mapper = mapper_of(model)
    parameters = inspect.signature(model).parameters.values()
    named = [each for each in parameters if each.kind in (*_BY_NAME, _BY_PLACE)]
    required = [each.name for each in named if each.default is inspect.Parameter.empty]
    if not set(required) <= set(mapper.all_orm_descriptors.keys()):
        return None
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    return _Constructor(
        tuple(each.name for each in named if each.kind is _BY_PLACE),
        None if takes_any else frozenset(each.name for each in named if each.kind in _BY_NAME),
        frozenset(each.key for each in mapper.relationships if not _takes_list(each)),
        frozenset(mapper.relationships.keys()),
        {name: _empty(mapper.relationships.get(name)) for name in required},
    )


def _takes_list(way: RelationshipProperty[Any]) -> bool:
    """Whether the constructor may set the relationship, because it is a list or not a collection."""
    return way.collection_class in (None, list) and way.lazy not in ("dynamic", "write_only")


def _empty(way: RelationshipProperty[Any] | None) -> Callable[[], Any]:
    """A function that returns an empty value for the attribute."""
    if way is None or not way.uselist:
        return _nothing
    return way.collection_class or list


def _nothing() -> None:
    return None


def custom_constructors(model: type[Any]) -> Iterator[str]:
    """Describe the constructors that a host's model defines, because each may do anything."""
    if has_dataclass_init(model):
        if hasattr(model, "__post_init__"):
            yield "has a __post_init__"
    elif _is_of_host(_init_of(model)):
        yield "has an __init__ of its own"
    if any("__new__" in vars(each) for each in model.__mro__[:-1]):
        yield "has a __new__ of its own"


def has_dataclass_init(model: type[Any]) -> bool:
    """Whether the ``__init__`` of *model* was generated by `dataclasses`."""
    code = getattr(_init_of(model), "__code__", None)
    # Generated code has no file.
    return dataclasses.is_dataclass(model) and code is not None and code.co_filename.startswith("<")


def has_own_init(model: type[Any]) -> bool:
    """Whether ``__init__`` of *model* is not SQLAlchemy's, which sets the attributes in their order."""
    return _is_of_host(_init_of(model))


def _is_of_host(init: Any) -> bool:
    return init is not object.__init__ and not str(init.__module__).startswith("sqlalchemy.")


def _init_of(model: type[Any]) -> Any:
    """The ``__init__`` of *model* below SQLAlchemy's wrappers, one for each mapped base class."""
    found: Any = model.__init__
    while hasattr(found, "_sa_original_init"):
        found = found._sa_original_init  # noqa: SLF001 - SQLAlchemy has no public name for it
    return found


def assign(row: Any, name: str, value: Any) -> None:
    """Set the attribute *name* to *value*; a collection other than a list gets the members of *value*."""
    state = sa.inspect(row)
    relationship = state.mapper.relationships.get(name)
    if relationship is None:
        setattr(row, name, value)
        return
    way = relation(state.mapper, name)
    way.load_withheld(row)
    if relationship.lazy == "write_only" and state.persistent:
        _replace(way, row, value)
    elif relationship.collection_class in (None, list):
        setattr(row, name, value)
    else:
        adapter = init_collection(row, name) if state.transient else collection_adapter(getattr(row, name))
        adapter.clear_with_event()
        for member in value:
            adapter.append_with_event(member)


def _replace(way: Relation, row: Any, value: Iterable[Any]) -> None:
    """Add and remove related rows of a stored *row* until they are those of *value*."""
    collection, stored, wanted = getattr(row, way.name), way.follow(row), list(value)
    for each in stored:
        if each not in wanted:
            collection.remove(each)
    for each in wanted:
        if each not in stored:
            collection.add(each)
