"""JSON text → values: strictly, and within limits."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from histio.report import Fault
from histio.wire import shown

MAX_DEPTH = 64
"""How deeply objects and lists may be nested, unless the caller says otherwise. A run of the bundled kinds
needs four levels."""

MAX_LINE_BYTES = 2**27
"""Bytes of one run, unless the caller says otherwise: 128 MiB, a run with some 400,000 ledger entries."""


class NotJsonError(ValueError):
    """Text is no JSON, or more of it than is allowed; the message says why, without the text."""


def _refuse(constant: str) -> NoReturn:
    raise NotJsonError(f"{constant} is no JSON")


decoder = json.JSONDecoder(parse_constant=_refuse)
"""Takes JSON alone: NaN and infinities, which Python would write and read, are refused."""

# Nothing is tried twice: neither a long string nor one without an end may cost more than to read it.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def check_positive(**options: object) -> None:
    """Raise ValueError where one of the *options* is not a positive integer."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < sys.maxsize:
            raise ValueError(f"{name} must be a positive integer, not {shown(value)}")


def decode(text: str, max_depth: int) -> Any:
    """The value that *text* stands for.

    Raises:
        NotJsonError: It is no JSON, or nested too deeply.
    """
    check_depth(text, max_depth)
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise NotJsonError(f"{error.msg} (column {error.pos + 1})") from None
    except RecursionError:
        raise NotJsonError("nested too deeply") from None
    except NotJsonError:
        raise
    except ValueError as error:  # an integer of more digits than Python takes
        raise NotJsonError(str(error)) from None


def check_depth(text: str, max_depth: int) -> None:
    """Raise NotJsonError where *text* is nested more than *max_depth* levels deep."""
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for found in _STRUCTURE.finditer(text):
        depth += _STEPS.get(found[0], 0)
        if depth > max_depth:
            raise NotJsonError(f"nested more than {max_depth} levels deep")


_SPACE = re.compile(r"[ \t\r\n]*")


def lines_before(text: str, steps: Sequence[str | int]) -> int:
    """How many lines of JSON *text* end before the value at *steps*, or before the nearest one above it."""
    at = _after(text, 0)
    for step in steps:
        found = next((place for name, place in reversed(list(_inside(text, at))) if name == step), None)
        if found is None:
            break
        at = found
    return text.count("\n", 0, at)


def _inside(text: str, at: int) -> Iterator[tuple[str | int, int]]:
    """The names or places of what the value that begins *at* there is made of, and where each begins."""
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
    """Where the space that begins *at* there ends."""
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


class _Pairs(list[tuple[str, Any]]):
    """An object with its members as they stand there."""


def repeated_in(text: str) -> Iterator[tuple[str | int, ...]]:
    """The steps to each name that comes again in its object; *text* is JSON."""
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


def repeated_name(name: str | int) -> Fault:
    """What there is to say of a *name* that comes again."""
    text = f"The name {name} comes more than once in its object; the last one counts."
    return Fault(text, "duplicate-member")
