"""Decode JSON strictly, within limits of size and depth."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from histio.doubles import read_double
from histio.kinds.gate import Gate
from histio.pointer import parse
from histio.report import Fault


class NotJsonError(ValueError):
    """A text is not JSON, or exceeds a limit; the message does not quote the text."""


def _refuse(constant: str) -> NoReturn:
    raise NotJsonError(f"{constant} is not JSON")


decoder: json.JSONDecoder = json.JSONDecoder(parse_constant=_refuse)
"""Decodes JSON, without the NaN and infinities that Python accepts."""

_exact_decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=read_double)


def decoder_for(gate: Gate) -> json.JSONDecoder:
    """The decoder for a file of the kinds of *gate*: with JSON values, it returns `RoundedNumber` too."""
    return _exact_decoder if gate.has_json else decoder


# Without backtracking: a long or unterminated string takes linear time.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def decode(text: str, max_depth: int, by: json.JSONDecoder = decoder) -> Any:
    """Decode JSON *text*.

    Args:
        text: The text.
        max_depth: The maximum depth of nesting.
        by: The decoder.

    Raises:
        NotJsonError: It is not JSON, or nested too deeply.
    """
    check_depth(text, max_depth)
    try:
        return by.decode(text)
    except json.JSONDecodeError as error:
        raise NotJsonError(f"{error.msg} (column {error.pos + 1})") from None
    except RecursionError:
        raise NotJsonError("nested too deeply") from None
    except NotJsonError:
        raise
    except ValueError as error:  # an integer of more digits than Python takes
        raise NotJsonError(str(error)) from None


def check_depth(text: str, max_depth: int) -> None:
    """Raise NotJsonError if *text* is nested more than *max_depth* levels deep."""
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for found in _STRUCTURE.finditer(text):
        depth += _STEPS.get(found[0], 0)
        if depth > max_depth:
            raise NotJsonError(f"nested more than {max_depth} levels deep")


_SPACE = re.compile(r"[ \t\r\n]*")
_DEEPEST = 100
"""The number of steps of a pointer that are followed."""


def find_line_numbers(text: str, pointers: Iterable[str]) -> dict[str, int]:
    """By JSON pointer, the number of line ends in JSON *text* before its value, or the nearest one above it.

    Reads the text once, whatever the number of pointers.
    """
    wanted: _Steps = {}
    steps_of = {each: parse(each)[:_DEEPEST] for each in pointers}
    for steps in steps_of.values():
        functools.reduce(lambda below, step: below.setdefault(step, {}), steps, wanted)
    found = _Place(_after(text, 0))
    _locate(text, found, wanted)
    starts = {each: _start(found, steps) for each, steps in steps_of.items()}
    numbers: dict[int, int] = {}
    number = before = 0
    for start in sorted(set(starts.values())):
        number += text.count("\n", before, start)
        before = start
        numbers[start] = number
    return {each: numbers[start] for each, start in starts.items()}


_Steps: TypeAlias = dict[str, "_Steps"]
"""Steps of pointers, as a tree."""


@dataclass(slots=True)
class _Place:
    """The start of a value in JSON text, and the places of some values in it."""

    start: int
    below: dict[str, _Place] = field(default_factory=dict)


def _start(place: _Place, steps: Sequence[str]) -> int:
    for step in steps:
        if step not in place.below:
            break
        place = place.below[step]
    return place.start


def _locate(text: str, place: _Place, wanted: _Steps) -> int:
    """Add the places of *wanted* values below *place*; return the end of its value."""
    at = place.start
    closing, number = {"{": "}", "[": "]"}.get(text[at]), 0
    if closing is None or not wanted:
        return decoder.raw_decode(text, at)[1]
    at = _after(text, at + 1)
    while text[at] != closing:
        name = str(number)
        if closing == "}":
            name, at = decoder.raw_decode(text, at)
            at = _after(text, _after(text, at) + 1)
        if name in wanted:  # the last one of a repeated name counts
            place.below[name] = _Place(at)
            at = _locate(text, place.below[name], wanted[name])
        else:
            _, at = decoder.raw_decode(text, at)
        at, number = _after(text, at), number + 1
        at = _after(text, at + 1) if text[at] == "," else at
    return at + 1


def _after(text: str, at: int) -> int:
    """The end of the white space that starts *at* an index."""
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


class _Pairs(list[tuple[str, Any]]):
    """An object as a list of its members, including repeated names."""


def find_repeated_names(text: str) -> Iterator[tuple[str | int, ...]]:
    """The steps to each name that is repeated in its object in JSON *text*."""
    found = False

    def notice(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        taken = dict(members)
        found = found or len(taken) < len(members)
        return taken

    json.loads(text, object_pairs_hook=notice)
    left: list[tuple[tuple[str | int, ...], Any]] = []
    if found:
        left.append(((), json.loads(text, object_pairs_hook=_Pairs)))
    while left:
        steps, value = left.pop()
        names: set[str | int] = set()
        below = []
        is_object = isinstance(value, _Pairs)
        for name, inner in value if is_object else enumerate(value):
            if name in names:
                yield (*steps, name)
            if is_object:
                names.add(name)
            if isinstance(inner, list):
                below.append(((*steps, name), inner))
        left += reversed(below)


def describe_repeated_name(name: str | int) -> Fault:
    """The fault of a repeated *name*."""
    text = f"The name {name} is repeated in its object; the last one counts."
    return Fault(text, "duplicate-member")
