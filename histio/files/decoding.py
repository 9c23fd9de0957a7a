"""Decode JSON strictly, within limits of size and depth."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from histio.kinds.gate import Gate
from histio.report import Fault
from histio.wire import quote, read_double

MAX_DEPTH = 64
"""The default limit for the depth of nested objects and lists. A run of the bundled kinds has four levels."""

MAX_LINE_BYTES = 2**27
"""The default limit for one run, in bytes: 128 MiB, about 400,000 ledger entries."""


class NotJsonError(ValueError):
    """A text is not JSON, or exceeds a limit; the message does not quote the text."""


def _refuse(constant: str) -> NoReturn:
    raise NotJsonError(f"{constant} is not JSON")


decoder = json.JSONDecoder(parse_constant=_refuse)
"""Decodes JSON, without the NaN and infinities that Python accepts."""

_exact_decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=read_double)


def decoder_for(gate: Gate) -> json.JSONDecoder:
    """The decoder for a file of the kinds of *gate*: with JSON values, it returns `RoundedNumber` too."""
    return _exact_decoder if gate.has_json else decoder


# Without backtracking: a long or unterminated string takes linear time.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def check_positive(**options: object) -> None:
    """Raise ValueError if one of the *options* is not a positive integer."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < sys.maxsize:
            raise ValueError(f"{name} must be a positive integer, not {quote(value)}")


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


def lines_before(text: str, steps: Sequence[str | int]) -> int:
    """The number of line ends in JSON *text* before the value at *steps*, or the nearest one above it."""
    at = _after(text, 0)
    for step in steps:
        found = next((place for name, place in reversed(list(_inside(text, at))) if name == step), None)
        if found is None:
            break
        at = found
    return text.count("\n", 0, at)


def _inside(text: str, at: int) -> Iterator[tuple[str | int, int]]:
    """The name or index, and the start, of each value in the object or list that starts *at* an index."""
    closing, number = {"{": "}", "[": "]"}.get(text[at]), 0
    at = _after(text, at + 1)
    while closing is not None and text[at] != closing:
        name: str | int = number
        if closing == "}":
            name, at = decoder.raw_decode(text, at)
            at = _after(text, _after(text, at) + 1)
        yield name, at
        _, at = decoder.raw_decode(text, at)
        at, number = _after(text, at), number + 1
        at = _after(text, at + 1) if text[at] == "," else at


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
        members: list[tuple[str | int, Any]] = []
        if isinstance(value, list):
            members = list(value if isinstance(value, _Pairs) else enumerate(value))
        names: set[str | int] = set()
        for name, _ in members:
            if name in names:
                yield (*steps, name)
            names.add(name)
        left += [((*steps, name), inner) for name, inner in reversed(members)]


def describe_repeated_name(name: str | int) -> Fault:
    """The fault of a repeated *name*."""
    text = f"The name {name} is repeated in its object; the last one counts."
    return Fault(text, "duplicate-member")
