"""A Hypothesis strategy of documents that are nearly valid, or still valid."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histio.history import History
from histio.kinds.walk import Steps
from histio.testing.scene import Document, at
from histio.testing.strategies import Slugs, documents

_ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**33), 2**33).map(float),
    st.text(max_size=30).filter(str.isprintable),
    st.lists(st.none() | st.integers() | st.just("a"), max_size=2),
    st.dictionaries(st.sampled_from(["a", "slug", "uuid"]), st.integers(), max_size=2),
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.uuids().map(str),
    st.text("0123456789.-", max_size=12),
    st.text(" \x00\n\x7f\x85\xa0\u2003\u200bab", min_size=1, max_size=6),
)
_ODD = st.sampled_from("\n\r\x00\x85\xa0\u2028 0.-+_eETZ:٣３") | st.characters(codec="utf-8")

_PLAIN: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**33,
    1.0,
    0.5,
    "",
    "a",
    "A",
    "é",
    "٣",
    " ",
    "\n",
    "\x00",
    [],
    ["a"],
    {},
    {"a": 1},
)
_SPELLINGS: tuple[Callable[[str], Any], ...] = (
    lambda text: text + "\n",
    lambda text: " " + text,
    lambda text: text + " ",
    lambda text: text + "0",
    lambda text: "0" + text,
    lambda text: "+" + text,
    lambda text: "-" + text,
    lambda text: text + ".",
    lambda text: text + ".0",
    lambda text: text + "e0",
    lambda text: text + "\x00",
    lambda text: "\t" + text,
    str.upper,
    str.lower,
    lambda text: text.replace("-", ""),
    lambda text: "{" + text + "}",
    lambda text: "urn:uuid:" + text,
    lambda text: text.replace("T", " "),
    lambda text: text.replace("Z", "+00:00"),
    lambda text: text.replace("Z", ".1234567Z"),
    lambda text: text[:10],
    lambda text: text * 2,
    lambda text: text[:-1],
    lambda text: text + "=",
    lambda text: [text],
    lambda text: {"slug": text},
    lambda _: "",
)
_NUMBERS: tuple[Callable[[Any], Any], ...] = (
    lambda number: number + 1,
    lambda number: number - 1,
    lambda number: number + 0.5,
    lambda number: -number,
    str,
    bool,
    lambda number: [number],
)
_LISTS: tuple[Callable[[list[Any]], Any], ...] = (
    lambda items: items + items,
    lambda items: items[:-1],
    lambda items: [*items, None],
    lambda items: {str(place): item for place, item in enumerate(items)},
    lambda items: next(iter(items), None),
    lambda _: "",
)


def near_documents(history: History, *, slugs: Slugs) -> st.SearchStrategy[Document]:
    """The strategy that `histio.testing.near_documents` returns."""
    return _near(documents(history, slugs=slugs), history)


def _near(base: st.SearchStrategy[Document], history: History) -> st.SearchStrategy[Document]:
    edges = _edges_of(history)

    @st.composite
    def drawn(draw: st.DrawFn) -> Document:
        document = copy.deepcopy(draw(base))
        for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
            spots = _spots(document)
            # Every member is equally likely, however many entries have it.
            steps = draw(st.sampled_from(spots[draw(st.sampled_from(sorted(spots)))]))
            _change(draw, document, steps, edges)
        return document

    return drawn()


def _with_one_change(document: Document, history: History) -> Iterator[Document]:
    """Runs of *document* with a single change, for each member and each way to change it."""
    edges = _edges_of(history)
    lists = {name: runs for name, runs in document.items() if isinstance(runs, list)}
    for spots in _spots(lists).values():
        steps = spots[0]
        if len(steps) == 1:
            continue
        above, step = (steps[0], 0, *steps[2:-1]), steps[-1] if len(steps) > 2 else 0  # noqa: PLR2004
        run = at(lists, steps[:2])
        value = at({steps[0]: [run]}, above)
        for other in _others(value.get(step, "") if isinstance(value, dict) else value[step], edges):
            only = {"version": document["version"], str(steps[0]): [copy.deepcopy(run)]}
            holder: Any = at(only, above)
            holder[step] = copy.deepcopy(other)
            yield only
        without = {"version": document["version"], str(steps[0]): [copy.deepcopy(run)]}
        lacking: Any = at(without, above)
        if isinstance(lacking, dict) and step in lacking:
            del lacking[step]
            yield without


def _others(value: Any, edges: list[Any]) -> Iterator[Any]:
    """Yield values to replace *value* with, valid and invalid ones."""
    yield from (*_PLAIN, *edges)
    if isinstance(value, str):
        yield from (spell(value) for spell in _SPELLINGS)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from (change(value) for change in _NUMBERS)
    elif isinstance(value, list):
        yield from (change(value) for change in _LISTS)
    elif isinstance(value, dict):
        yield from ([value], list(value))


def _spots(value: Any) -> dict[tuple[str, ...], list[Steps]]:
    """Steps to all values in *value*, and to a member that an object lacks, by the names on the way."""
    found: dict[tuple[str, ...], list[Steps]] = {}
    left: list[tuple[Steps, Any]] = [((), value)]
    while left:
        above, inner = left.pop()
        below: list[tuple[Any, Any]] = list(enumerate(inner)) if isinstance(inner, list) else []
        if isinstance(inner, dict):
            below = [*inner.items(), ("unknown", None)]
        for step, each in below:
            steps = (*above, step)
            found.setdefault(tuple(name for name in steps if isinstance(name, str)), []).append(steps)
            left.append((steps, each))
    return found


def _edges_of(history: History) -> list[Any]:
    return sorted(set(_edges(history.json_schema())), key=repr)


def _edges(rule: Any) -> Iterator[Any]:
    """Values at and just beyond the limits in a *rule* of the JSON Schema."""
    if isinstance(rule, list):
        for each in rule:
            yield from _edges(each)
    if not isinstance(rule, dict):
        return
    for name, bound in rule.items():
        if name in ("minimum", "maximum") and isinstance(bound, int):
            yield from (bound - 1, bound, bound + 1)
        elif name in ("minLength", "maxLength") and isinstance(bound, int):
            yield from ("x" * bound, "x" * (bound + 1))
        else:
            yield from _edges(bound)


def _change(draw: st.DrawFn, document: Document, steps: Steps, edges: list[Any]) -> None:
    """Replace or remove the value at *steps* of *document*."""
    holder: Any = at(document, steps[:-1])
    step: Any = steps[-1]
    value = holder.get(step, "") if isinstance(holder, dict) else holder[step]
    ways: list[st.SearchStrategy[Any]] = [_ANYTHING]
    if edges:
        ways.append(st.sampled_from(edges))
    if isinstance(value, str):
        spelled = st.sampled_from(_SPELLINGS).map(lambda spell: spell(value))
        ways += [spelled, spelled, _respelled(value)]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        ways.append(st.sampled_from(_NUMBERS).map(lambda change: change(value)))
    elif isinstance(value, list):
        ways.append(st.sampled_from(_LISTS).map(lambda change: change(value)))
    elif isinstance(value, dict):
        ways.append(st.sampled_from([[value], list(value), {}]))
    holder[step] = copy.deepcopy(draw(st.one_of(ways)))
    if draw(st.integers(0, 4)) == 4:  # noqa: PLR2004 - one in five, and not the simplest
        del holder[step]


@st.composite
def _respelled(draw: st.DrawFn, text: str) -> str:
    """*text* with one character inserted or replaced."""
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(_ODD) + text[place + draw(st.integers(0, 1)) :]


def first_near_document(
    history: History, exported: Document, fault: Callable[[Document], str | None]
) -> str | None:
    """The first *fault* in documents that are nearly *exported*, or nearly what the fields allow."""
    near = _near(st.just(exported), history)
    with contextlib.suppress(TypeError):  # only the host knows the values of a field
        near |= _near(documents(history, slugs={}, catalog=True), history)
    found: list[str] = []

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(near)
    def look(document: Document) -> None:
        # Hypothesis would shrink an exception for minutes; a few changes are small enough.
        found.extend([] if found else filter(None, [fault(document)]))

    single = next(filter(None, map(fault, _with_one_change(exported, history))), None)
    if single is None:
        look()
    return next(iter(found), single)
