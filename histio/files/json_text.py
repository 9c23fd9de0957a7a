"""Rewrite JSON text without decoding it, so that its numbers and escapes stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

_STRING = r'"(?:[^"\\]++|\\.)*+"'
_SPACE = r"[ \t\r\n]"
_SPACES = re.compile(rf"({_STRING})|{_SPACE}+")
_PARTS = re.compile(rf'{_STRING}|[\[\]{{}},:]|[^\[\]{{}},:" \t\r\n]+')
_MEMBERS = re.compile(
    rf"({_STRING})({_SPACE}*:{_SPACE}*)({_STRING}|\[{_SPACE}*{_STRING}(?:[ \t\r\n,]++{_STRING})*+{_SPACE}*\])"
    rf"|{_STRING}"
)
_NAME = re.compile(rf"{_SPACE}*,?{_SPACE}*({_STRING}){_SPACE}*:{_SPACE}*")
_STRINGS = re.compile(_STRING)
_decoder = json.JSONDecoder()
_CLOSING = {"{": "}", "[": "]"}


def compact(text: str) -> str:
    """JSON *text* without the white space between its values."""
    return _SPACES.sub(lambda found: found[1] or "", text)


def indent(text: str) -> str:
    """JSON *text* with each member and item on a line of its own.

    In strings, only characters that nobody sees, or that could steer a terminal, are escapes.
    """
    return "".join(_indented(_PARTS.findall(text)))


def _indented(parts: list[str]) -> Iterator[str]:
    depth = 0
    for at, part in enumerate(parts):
        if part in _CLOSING.values():
            depth -= 1
            yield "" if parts[at - 1] in _CLOSING else "\n" + "  " * depth
        yield _visible(part)
        if part in _CLOSING:
            depth += 1
        if part == "," or (part in _CLOSING and parts[at + 1] != _CLOSING[part]):
            yield "\n" + "  " * depth
        elif part == ":":
            yield " "


def _visible(part: str) -> str:
    if not part.startswith('"'):
        return part
    text = json.dumps(json.loads(part), ensure_ascii=False)
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1].replace("\x7f", "\\u007f")


def rename_strings(text: str, renames: Mapping[str, Mapping[str, str]]) -> str:
    """JSON *text* in which the values of some members are replaced.

    Args:
        text: The text.
        renames: By the name of a member, new values by old values. In a list of strings, each is replaced.
    """

    def rename(found: re.Match[str]) -> str:
        new = renames.get(json.loads(found[1])) if found[1] else None
        if new is None:
            return found[0]
        value = _STRINGS.sub(lambda old: _rename(old[0], new), found[3])
        return f"{found[1]}{found[2]}{value}"

    return _MEMBERS.sub(rename, text)


def _rename(old: str, new: Mapping[str, str]) -> str:
    value = json.loads(old)
    return json.dumps(new[value]) if value in new else old


def split_members(text: str) -> dict[str, str]:
    """The JSON text of each member's value in the JSON *text* of an object; of a repeated name, the last."""
    members: dict[str, str] = {}
    at = text.index("{") + 1
    while found := _NAME.match(text, at):
        _, at = _decoder.raw_decode(text, found.end())
        members[json.loads(found[1])] = text[found.end() : at]
    return members
