"""Count how many records of a file refer to each row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Mapper

from histio.bound import Bound
from histio.files.raw_runs import RawRun
from histio.files.scratch import Scratch
from histio.kinds.fields.references import Key
from histio.kinds.table import Table
from histio.kinds.walk import walk_record
from histio.tuning import tuning

_MOST = 10

_SIZE = 16 * 2**20
"""Characters after which counts are moved to disk."""


@dataclass(frozen=True, slots=True, eq=False)
class ReferringMember:
    """A member that refers to rows of a model.

    Attributes:
        table: The table of the records that have it.
        member: The member.
        model: The model of the rows.
        chain: The keys to look in, one after the other.
        required: Whether records are rejected if the row does not exist.
    """

    table: Table
    member: str
    model: type[Any]
    chain: tuple[Key, ...]
    required: bool = True

    @property
    def name(self) -> str:
        """The name of the member in a record."""
        return self.table.names[self.member]

    @property
    def target(self) -> tuple[Any, ...]:
        """Equal for members of several tables that refer to the same rows in the same way."""
        return self.name, self.model, self.chain, self.required

    def values(self, record: dict[str, Any]) -> list[Any]:
        """What the member has in *record*; several values if it is a list of slugs."""
        field: Any = self.table.fields[self.member]
        value = record.get(self.name)
        return value if field.many and isinstance(value, list) else [] if value is None else [value]

    def load(self, value: Any) -> dict[str, Any]:
        """A loaded record that has only this member, with *value*.

        Raises:
            ValidationError: *value* has the wrong form.
        """
        field: Any = self.table.fields[self.member]
        return {self.member: field.deserialize([value] if field.many else value)}


class SlugCounts(Scratch):
    """How many records refer to each row; on disk where there are many.

    Args:
        bound: The kinds of run.

    Attributes:
        members: The members that are counted, one for each target.
    """

    def __init__(self, bound: Bound) -> None:
        super().__init__(
            "CREATE TABLE slugs (member INTEGER, value TEXT, uses INTEGER, PRIMARY KEY (member, value)) "
            "WITHOUT ROWID;"
        )
        self._tables = {kind.name: kind.table for kind in bound.kinds}
        runs = [kind.table.mapper for kind in bound.kinds]
        tables = [table for kind in bound.kinds for table in kind.table.all()]
        self._groups = {table: list(_find_members(table, runs)) for table in tables}
        members = (member for groups in self._groups.values() for group in groups for member in group)
        targets = {member.target: member for member in members}
        self.members: list[ReferringMember] = list(targets.values())
        self._numbers = {target: number for number, target in enumerate(targets)}
        self._held: Counter[tuple[int, str]] = Counter()
        self._size = 0

    def add(self, raw: RawRun, record: dict[str, Any]) -> None:
        """Count what the *record* of a run refers to."""
        for table, entry, _ in walk_record(self._tables[raw.kind], record):
            for group in self._groups[table]:
                # Of members for the same row, the first one that is present counts.
                member = next((each for each in group if each.values(entry)), group[0])
                number = self._numbers[member.target]
                for value in member.values(entry):
                    text = json.dumps(value, sort_keys=True)
                    self._size += len(text)
                    self._held[number, text] += 1
            if len(self._held) >= tuning().keys_in_memory or self._size >= _SIZE:
                self._keep()

    def _keep(self) -> None:
        self._database.executemany(
            "INSERT INTO slugs VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET uses = uses + excluded.uses",
            ((*key, uses) for key, uses in self._held.items()),
        )
        self._held.clear()
        self._size = 0

    def most_used(self) -> dict[str, dict[str, int]]:
        """By name of the member, the slugs that most records have, with the number of records."""
        numbers: dict[str, list[int]] = {}
        for number, member in enumerate(self.members):
            numbers.setdefault(member.name, []).append(number)
        found = {name: self._rows(own, _MOST) for name, own in numbers.items()}
        most = {name: {slug_text(value): uses for value, uses in rows} for name, rows in found.items()}
        return {name: uses for name, uses in most.items() if uses}

    def uses(self, member: ReferringMember) -> Iterator[tuple[Any, int]]:
        """Each value of *member*, with the number of records that have it; the most frequent first."""
        return self._rows([self._numbers[member.target]])

    def _rows(self, numbers: Sequence[int], limit: int = -1) -> Iterator[tuple[Any, int]]:
        self._keep()
        among = ", ".join("?" * len(numbers))
        query = (
            f"SELECT value, SUM(uses) AS total FROM slugs WHERE member IN ({among}) "  # noqa: S608 - question marks
            "GROUP BY value ORDER BY total DESC, value LIMIT ?"
        )
        for value, uses in self._database.execute(query, (*numbers, limit)):
            yield json.loads(value), uses


def slug_text(value: Any) -> str:
    """A slug as text; a key of several columns as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _find_members(table: Table, runs: Collection[Mapper[Any]]) -> Iterator[list[ReferringMember]]:
    """The members of *table* that refer to rows other than *runs*, those for the same row together."""
    for snapshot in table.snapshots:
        yield [ReferringMember(table, snapshot.member, snapshot.model, (snapshot.key,), required=False)]
    for reference in table.all_references:
        relation = reference.relation
        if not any(relation.mapper.common_parent(run) for run in runs):
            yield [
                ReferringMember(table, member, relation.model, chain)
                for member, chain in reference.slugs.items()
            ]
