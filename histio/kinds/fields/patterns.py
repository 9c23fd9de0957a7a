r"""Patterns that mean the same in every regular expression engine.

Engines differ in what ``^``, ``$`` and ``.`` do at line ends: ``$`` also matches before a final line feed in
Python, Perl and PHP, before any final line terminator in Java, and before each line feed in Ruby. So a rule
with ``$`` also refuses, with ``not``, all characters that its texts do not have, line ends among them; if all
its texts have the same length, a maximum length does that, too. Patterns use nothing that an engine may lack
or read in another way:

- no look-around, no modifiers, no ``\d``, ``\s``, ``\w``, ``\b``, ``\A`` or ``\z``;
- ``\x`` for ASCII only, because it escapes a byte in Ruby;
- classes of ASCII only, because engines that match bytes see several members in another character: such
  characters are alternatives;
- ``-`` and ``/`` are escaped in classes, as the flag ``v`` of ECMAScript demands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from histio.wire import JsonSchema


def lacks(pattern: str) -> JsonSchema:
    """The rule that *pattern* matches no part of a text."""
    return {"not": {"pattern": pattern}}


NO_NUL = lacks(r"\x00")
"""The rule that a text has no NUL."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A rule for text: all of it must match a pattern.

    Args:
        whole: The pattern, from ``^`` to ``$``.
        characters: The characters that it may have, written as in a class, without brackets.
        unless: A pattern that must not match any part of it; empty: there is none.
    """

    whole: str
    characters: str
    unless: str = ""

    @property
    def refused(self) -> str:
        """A pattern that matches other characters, and what *unless* matches."""
        return f"[^{self.characters}]" + (f"|{self.unless}" if self.unless else "")

    def allows(self, text: str) -> bool:
        return bool(re.fullmatch(self.whole, text)) and not re.search(self.refused, text)

    def assertions(self) -> JsonSchema:
        return {"type": "string", "pattern": self.whole, **lacks(self.refused)}
