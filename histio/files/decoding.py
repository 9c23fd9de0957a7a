"""JSON text → values: strictly, and within limits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from histio.report import Fault

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
