"""Templates for the JSON of records."""

from __future__ import annotations

import json

from histio.exporting.fast.obstacles import FullPathError

PLACE = "\0"
"""The place of a value in a template; JSON has no such character."""


class Template:
    """A template for the JSON of an object, built member by member."""

    def __init__(self) -> None:
        self._text = ""
        self._has_member = False

    def add(self, member: str) -> None:
        """Add a *member* that every object has."""
        self._text += f",{member}" if self._has_member else member
        self._has_member = True

    def add_spare(self, member: str) -> str:
        """Add a place for a *member* that may be left out, and return the member with its comma."""
        self._text += PLACE
        return f",{member}" if self._has_member else f"{member},"

    def finish(self) -> str:
        """The template.

        Raises:
            FullPathError: Every member may be left out, so the commas are not known.
        """
        if not self._has_member:
            raise FullPathError("every member may be left out")
        return f"{{{self._text}}}"


def quoted(name: str) -> str:
    """*name* as JSON."""
    return json.dumps(name, ensure_ascii=False)
