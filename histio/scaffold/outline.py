"""The plan of a schema, before it becomes source code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Mapper


@dataclass(slots=True)
class Line:
    """One field of a schema.

    Attributes:
        name: The field's name.
        source: The expression that creates the field.
        comment: A comment, such as alternative keys; may be empty.
    """

    name: str
    source: str
    comment: str = ""


@dataclass(slots=True, eq=False)
class Plan:
    """The plan of the schema of one model.

    Attributes:
        mapper: The model's mapper.
        base: The base class: of a run, a catalog row, or a ledger entry.
        owner: The columns of a ledger entry that its owner fills.
        lines: The fields, in the mapper's order, ledgers last.
        meta: The options of ``Meta``, as source, each with a comment.
        excluded: Attributes that are left out, each with the reason.
        unfilled: Columns without null and default that are left out.
        machinery: Attributes that are not moved, each with the reason.
        ledgers: The schemas of the ledgers.
        referrers: Models whose rows refer to rows of this one, without a relationship.
    """

    mapper: Mapper[Any]
    base: Literal["RunSchema", "CatalogSchema", "RecordSchema"]
    owner: frozenset[Any] = frozenset()
    lines: list[Line] = field(default_factory=list)
    meta: list[tuple[str, str, str]] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    unfilled: dict[str, None] = field(default_factory=dict)
    machinery: dict[str, str] = field(default_factory=dict)
    ledgers: list[Plan] = field(default_factory=list)
    referrers: list[str] = field(default_factory=list)

    @property
    def model(self) -> type[Any]:
        """The mapped class."""
        return self.mapper.class_

    @property
    def name(self) -> str:
        """The name of the schema."""
        return f"{self.model.__name__}Schema"

    def leave_out(self, name: str, reason: str) -> bool:
        """Leave out the field or attribute *name*; return whether that changes anything.

        If it is left out already, it must be a column without null that nothing fills.
        """
        names = self._attributes_of(name)
        kept = [line for line in self.lines if line.name not in (name, *names)]
        if len(kept) < len(self.lines) or not self.excluded.keys() >= set(names):
            self.lines = kept
            self.machinery = {each: why for each, why in self.machinery.items() if each not in names}
            reasons = self.excluded if names else self.machinery  # a ledger may have the name of its table
            reasons |= dict.fromkeys(names or [name], reason)
            return True
        new = name not in self.unfilled
        self.unfilled[name] = None
        return new

    def _attributes_of(self, name: str) -> list[str]:
        """The mapped attributes of the field *name*; *name* itself if there is no such field."""
        carried = [key for key, why in self.machinery.items() if why == f"carried by {self._way(name)}"]
        mapped = [name] if name.partition(".")[0] in self.mapper.attrs else []
        return carried or mapped

    def _way(self, name: str) -> str:
        """The relationship or foreign key of the field *name*; *name* itself if it has none."""
        source = next((line.source for line in self.lines if line.name == name), "")
        found = re.match(r'\w+\("(\w+)"', source)
        return name if found is None else found[1]

    def all(self) -> Iterator[Plan]:
        """This plan and those of its ledgers, ledgers first."""
        for ledger in self.ledgers:
            yield from ledger.all()
        yield self


def quoted(names: Sequence[str]) -> str:
    """Source code for *names*: a string, or a tuple of several."""
    texts = ", ".join(f'"{name}"' for name in names)
    return f"({texts})" if len(names) > 1 else texts
