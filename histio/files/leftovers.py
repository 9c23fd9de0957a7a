"""Name what follows the end of a file's content."""

from __future__ import annotations

import json
import re

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

_FIRST_MEMBER = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"((?:[^"\\]++|\\.)*+)"')
_MEMBERS = {
    "header": "another stream",
    "trailer": "another trailer",
    "version": "another document",
    "$schema": "another document",
}


def first_member(line: bytes) -> str | None:
    """The name of the first member of the object at the beginning of *line*; None: there is none."""
    found = _FIRST_MEMBER.match(line)
    if found is None:
        return None
    name = found[1].decode("utf-8", "replace")
    if "\\" not in name:
        return name
    try:
        return str(json.loads(f'"{name}"'))
    except ValueError:
        return None


def is_blank(line: bytes) -> bool:
    """Whether a *line* has only white space and NUL bytes."""
    return not line.strip(b"\0 \t\r\n")


def describe_leftover(data: bytes) -> str:
    """What the *data* are, in words that go after "is followed by"."""
    if not data.strip(b"\0"):
        return "NUL bytes"
    if is_blank(data):
        return "a blank line" if data.strip(b" \t") else "white space"
    if data.startswith((GZIP, ZSTD)):
        return "compressed data"
    member = first_member(data)
    return "other data" if member is None else _MEMBERS.get(member, "a run")
