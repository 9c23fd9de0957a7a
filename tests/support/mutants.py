"""Histories that are changed at random, by their structure or by their bytes."""

from __future__ import annotations

import copy
import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import zstandard

Chance = random.Random

VALUES: list[Any] = [
    *[None, True, False, 0, -1, 1, 2.0, 1.5, -0.0, 2**31 - 1, 2**31, 2**53 - 1, 2**53, 2**63, 10**30],
    *["", " ", "0", "00.1", "-0.0000", "0.00001", "1.50000000", "1e3", "+1", "\u0661"],
    *["999999.9999", "1000000.0000", "9999999.999", "10000000.000"],
    *["\0", "\ud800", "\udc00\ud800", "a\u0301", "\u00e1", "\u202e", "\x7f", "\x85", "\ufeff"],
    *["x" * 50, "x" * 51, "x" * 200, "x" * 201, "\U0001f36a" * 50],
    *["2025-02-29T00:00:00Z", "2024-02-29T12:00:00+14:00", "2025-12-08T10:00:00.1234567Z"],
    *["9998-12-31T23:59:59-01:00", "9998-12-31T23:59:59Z", "1000-01-01T00:00:00Z"],
    *["2025-12-08T10:00:00", "2025-12-08T24:00:00Z", "2025-12-08t10:00:00z", "2025-12-08"],
    *["cookies", "Cookies", "cookies ", "bread", "loaf", "flour", "no-such-slug", "cookie\n"],
    *["00000000-0000-0000-0000-00000000000A", "{00000000-0000-0000-0000-00000000000a}", "0" * 32],
    *[[], {}, [[]], [None], {"a": 1}, ["x"]],
]
"""What a value is replaced by; add what has once been taken for something else."""

NUMBERS = [
    *["1e400", "-1e400", "1e-400", "1E2", "2.0000000000000000000001", "-0", "0.1e1", "4.5e0"],
    *["2147483647.0000000001", "2147483648.0", "9007199254740991.0", "9007199254740992.0", "9" * 400],
    *["NaN", "Infinity", "9" * 5000, "01", "+1", "1.", ".5", "0x10", "1_000"],
]
"""What Python does not write as a number, or writes otherwise."""

_MARK = "a number, as it is spelled: "


def spelled(number: str) -> str:
    """What `write` writes as this *number*, as it is spelled here."""
    return _MARK + number


def write(tree: Any, **options: Any) -> str:
    """*tree* as JSON, with numbers as they are `spelled`; *options* are those of `json.dumps`."""
    return re.sub(rf'"{_MARK}([^"]*)"', r"\1", json.dumps(tree, **options))


TEXTS = [
    *["", " ", "\0", "\n", "\x7f", "\x85", "\ud800", "\u0301", "\u200b", "\u2028", "\u202e"],
    *["\xe9", "\uff10", "\U0001f36a", "'", '"', "\\", "%s", ":x", "{x}", ";"],
]
"""What is inserted into texts."""


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """All values below *tree*, each as a container and its key or index there."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from places(value)


def _drop(chance: Chance, tree: Any) -> None:
    container, key = chance.choice([*places(tree)])
    del container[key]


def _repeat(chance: Chance, tree: Any) -> None:
    lists = [value for container, key in places(tree) if isinstance(value := container[key], list) and value]
    items = chance.choice(lists)
    items.insert(chance.randint(0, len(items)), copy.deepcopy(chance.choice(items)))


def _swap(chance: Chance, tree: Any) -> None:
    """Exchange two values, of which neither may be within the other."""
    leaves = [
        (container, key) for container, key in places(tree) if not isinstance(container[key], (dict, list))
    ]
    (one, a), (other, b) = chance.sample(leaves, 2)
    one[a], other[b] = other[b], one[a]


def _move(chance: Chance, tree: Any) -> None:
    """Move a value to where it does not belong."""
    container, key = chance.choice([*places(tree)])
    value = container.pop(key)
    targets = [target for target, _ in places(tree)] or [tree]
    target = chance.choice(targets)
    if isinstance(target, list):
        target.insert(chance.randint(0, len(target)), value)
    else:
        target[str(key)] = value


def _retype(chance: Chance, tree: Any) -> None:
    container, key = chance.choice([*places(tree)])
    container[key] = copy.deepcopy(chance.choice(VALUES))


def _respell(chance: Chance, tree: Any) -> None:
    container, key = chance.choice([*places(tree)])
    container[key] = spelled(chance.choice(NUMBERS))


SPELLINGS = [
    *["{}.0", "{}e0", "{}0E-1", "{}.00e+0", "{}.0000000000000000000001", "0.{}e1", "{}.5", "-{}", "-{}.0"],
]
"""What JSON may write for an integer, or for one near it."""


def _respell_integer(chance: Chance, tree: Any) -> None:
    """Write an integer with a point, an exponent or a sign."""
    leaves = [(container, key) for container, key in places(tree) if type(container[key]) is int]
    container, key = chance.choice(leaves)
    container[key] = spelled(chance.choice(SPELLINGS).format(container[key]))


def _rename(chance: Chance, tree: Any) -> None:
    members = [(container, key) for container, key in places(tree) if isinstance(container, dict)]
    container, key = chance.choice(members)
    names = [str(name) for _, name in members] + [f"{key}x", key.upper(), "", "__proto__", "uuid"]
    container[chance.choice(names)] = container.pop(key)


def _edit(chance: Chance, tree: Any) -> None:
    """Change a digit of a text or a number, or insert something."""
    leaves = [
        (container, key)
        for container, key in places(tree)
        if isinstance(container[key], (str, int)) and not isinstance(container[key], bool)
    ]
    container, key = chance.choice(leaves)
    text = str(container[key])
    place = chance.randint(0, len(text))
    if isinstance(container[key], int):
        container[key] = int(re.sub("[0-9]", lambda _: str(chance.randint(0, 9)), text, count=1))
    elif chance.random() < 0.5:
        container[key] = text[:place] + chance.choice(TEXTS) + text[place:]
    else:
        container[key] = text[:place] + str(chance.randint(0, 9)) + text[place + 1 :]


def _nest(chance: Chance, tree: Any) -> None:
    container, key = chance.choice([*places(tree)])
    for _ in range(chance.choice([1, 2, 50, 80, 300])):
        container[key] = [container[key]]


STRUCTURAL: list[Callable[[Chance, Any], None]] = [
    *[_drop, _repeat, _swap, _move, _rename, _respell, _respell_integer, _nest],
    *[_retype, _retype, _retype, _edit, _edit, _edit, _edit],
]
"""Each changes a tree."""


def mutated(chance: Chance, tree: Any) -> Any:
    """A changed copy of *tree*."""
    changed = copy.deepcopy(tree)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        if [*places(changed)]:
            with suppress(IndexError, ValueError):  # there may be nothing of what it changes
                chance.choice(STRUCTURAL)(chance, changed)
    return changed


def to_text(chance: Chance, tree: Any, *, indent: int | None = None) -> str:
    """*tree* as JSON, in some spelling; sometimes, a member comes twice."""
    text = write(tree, ensure_ascii=chance.random() < 0.5, indent=indent)
    if chance.random() < 0.1:
        members = [*re.finditer(r'"[a-z_]+": ?', text)]
        found = chance.choice(members or [None])
        if found:
            value = json.dumps(chance.choice(VALUES))
            text = f"{text[: found.start()]}{found[0]}{value}, {text[found.start() :]}"
    return text


def _flip(chance: Chance, data: bytearray) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(chance: Chance, data: bytearray) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice([1, 2, 10, 1000, len(data)])]


def _insert(chance: Chance, data: bytearray) -> None:
    start = chance.randint(0, len(data))
    other = chance.randrange(len(data))
    pieces = [
        bytes([chance.randrange(256)]),
        b"\n",
        b" ",
        b"\0" * 50,
        data[other : other + 200],
        b"\xef\xbb\xbf",
        b'"',
    ]
    data[start:start] = chance.choice(pieces)


def _exchange(chance: Chance, data: bytearray) -> None:
    """Exchange two lines."""
    lines = bytes(data).splitlines(keepends=True)
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    data[:] = b"".join(lines)


BYTEWISE: list[Callable[[Chance, bytearray], None]] = [_flip, _flip, _flip, _cut, _insert, _insert, _exchange]
"""Each changes bytes."""


def mutated_bytes(chance: Chance, data: bytes) -> bytes:
    """A changed copy of *data*."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        if changed:
            chance.choice(BYTEWISE)(chance, changed)
    return bytes(changed)


COMPRESSIONS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "plain": (bytes, bytes),
    "gz": (gzip.compress, gzip.decompress),
    "zst": (
        lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
        lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    ),
}
"""How bytes are compressed, and how others decompress them."""
