"""The rule of slugs: texts without control characters or surrounding white space."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError

from histio.kinds.fields.patterns import lacks
from histio.kinds.fields.texts import Text
from histio.wire import JsonSchema, WireField

_CONTROL = "|".join((r"[\x00-\x1f\x7f]", *map(chr, range(0x80, 0xA0))))
# Unicode White_Space beyond the control characters (PropList.txt, Unicode 15).
_SPACES = (" \xa0\u1680", *map(chr, range(0x2000, 0x200B)), "\u2028\u2029\u202f\u205f\u3000")
_SPACE = "|".join("".join(_SPACES))
LONGEST_SLUG = 200
"""The maximum length of a slug, in code points, unless the column holds more."""


class SlugText(Text):
    """A non-empty text without control characters or white space around it."""

    definition: str | None = "slug"
    default_error_messages: dict[str, Any] = {
        "form": "Has control characters, white space around it, or a lone surrogate.",
        "out-of-range": "Must be 1 to {maximum} characters, not {length}.",
    }
    min_length = 1

    _malformed = f"^({_SPACE})|({_SPACE})$|{_CONTROL}"

    def assertions(self) -> JsonSchema:
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": self.max_length,
            **lacks(self._malformed),
        }

    def well_formed(self, text: str) -> bool:
        return re.search(self._malformed, text) is None


def is_slug(text: str) -> bool:
    """Whether *text* has the form of a slug."""
    return _has_form(_SLUG, text)


def is_free_text(text: str) -> bool:
    """Whether *text* is a valid text, but not a slug."""
    return _has_form(_TEXT, text) and not is_slug(text)


def _has_form(rule: WireField, text: str) -> bool:
    try:
        rule.check(text)
    except ValidationError:
        return False
    return True


_SLUG, _TEXT = SlugText(max_length=LONGEST_SLUG), Text()
