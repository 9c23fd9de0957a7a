"""Find names that are similar to a text, and explain how two texts differ that look the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

LONGEST = 200
"""The number of characters beyond which nothing is similar to a text; slugs are not longer."""

_SIMILARITY = 0.6
"""From 0 to 1; as in difflib, the part of both texts that they have in common, in the same order."""

# Cyrillic and Greek letters that look like Latin ones, after case folding.
_LETTERS = str.maketrans("авекмнорстухіјѕԁһԛԝαβεηικνορτυχ", "abekmhopctyxijsdhqwabenikvoptux")

_INVISIBLE = {"\u034f", "\u115f", "\u1160", "\u3164", *map(chr, range(0xFE00, 0xFE10))}
"""Invisible characters whose category does not say so."""


class Vocabulary:
    """Names among which similar ones can be found.

    Args:
        names: The names; those that are too long are left out.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = [name for name in names if len(name) <= LONGEST]
        self._skeletons = list(map(_skeleton, self._names))

    def find(self, text: str, *, most: int = 3) -> list[str]:
        """At most *most* names that are similar to *text*, the most similar first; case is ignored.

        Takes at most some microseconds for each name, whatever the text is.
        """
        if len(text) > LONGEST:
            return []
        # Imported here, because that takes long, and most processes never need it.
        from rapidfuzz import process  # noqa: PLC0415
        from rapidfuzz.distance import Indel  # noqa: PLC0415

        found = process.extract(
            _skeleton(text),
            self._skeletons,
            scorer=Indel.normalized_similarity,
            score_cutoff=_SIMILARITY,
            limit=most,
        )
        return [self._names[index] for _, _, index in found]


def find_similar(text: str, names: Iterable[str], *, most: int = 3) -> list[str]:
    """At most *most* of *names* that are similar to *text*, the most similar first; case is ignored."""
    return Vocabulary(names).find(text, most=most)


def describe_look_alike(here: object, there: object, names: tuple[str, str] | None = None) -> str | None:
    """How two different texts differ that look the same, as a phrase; None: people can see it.

    Args:
        here: A text.
        there: The other one.
        names: What the phrase calls them; None: "here" and "there".
    """
    if not isinstance(here, str) or not isinstance(there, str):
        return None
    if max(len(here), len(there)) > LONGEST or _skeleton(here) != _skeleton(there):
        return None
    for ours, theirs in _unequal(here, there):
        aspect = _aspect(ours, theirs)
        if aspect is not None:
            one, other = _points(ours), _points(theirs)
            pair = f"{one} here, {other} there" if names is None else f"{names[0]} {one}, {names[1]} {other}"
            return f"differs in {aspect}: {pair}"
    return None


def _skeleton(text: str) -> str:
    """A text that is equal for texts that look the same, or differ in case only."""
    if text.isascii():
        return text.lower()
    visible = "".join(character for character in text if not _is_invisible(character))
    return unicodedata.normalize("NFKC", visible).casefold().translate(_LETTERS)


def _is_invisible(character: str) -> bool:
    return character[:1] in _INVISIBLE or (bool(character) and unicodedata.category(character[0]) == "Cf")


def _unequal(here: str, there: str) -> Iterator[tuple[str, str]]:
    """The characters, each with its combining marks, that differ between texts with the same skeleton."""
    while here or there:
        ours, theirs = _first(here), _first(there)
        if ours != theirs and _is_invisible(ours):
            theirs = ""
        elif ours != theirs and _is_invisible(theirs):
            ours = ""
        if ours != theirs:
            yield ours, theirs
        here, there = here[len(ours) :], there[len(theirs) :]


def _first(text: str) -> str:
    """The first character of *text*, with the marks that are combined with it."""
    end = 1
    while text[end : end + 1] and unicodedata.combining(text[end]):
        end += 1
    return text[:end]


def _aspect(ours: str, theirs: str) -> str | None:
    """What two characters differ in; None: people can see it, as upper and lower case."""
    if not ours or not theirs:
        return "an invisible character" if _is_invisible(ours or theirs) else None
    if ours.isspace() and theirs.isspace():
        return "white space"
    if unicodedata.normalize("NFKC", ours) == unicodedata.normalize("NFKC", theirs):
        return "Unicode normalization"
    folded = [unicodedata.normalize("NFKC", each).casefold() for each in (ours, theirs)]
    same = folded[0].translate(_LETTERS) == folded[1].translate(_LETTERS)
    return "script" if same and folded[0] != folded[1] else None


def _points(characters: str) -> str:
    named = (f"U+{ord(each):04X} {unicodedata.name(each, '')}".rstrip() for each in characters)
    return " + ".join(named) or "nothing"
