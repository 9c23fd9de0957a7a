"""JSON text → values: strictly, and within limits."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

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
