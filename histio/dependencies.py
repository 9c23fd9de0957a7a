"""Runs that refer to other runs: which have to be written first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from histio.errors import BindingError
from histio.fields.references import Key
from histio.identity import Part
from histio.kinds import Kind, Links, Reference, Table
from histio.mapping import column_of, find_column, relation
from histio.resolver import Sought
from histio.runs import Run, Values


def in_order(kinds: Sequence[Kind]) -> list[Kind]:
    """*kinds*, each after those whose runs it refers to, otherwise in the order given.

    Raises:
        BindingError: They refer to each other in a circle.
    """
    left, placed = list(kinds), []
    while left:
        free = next((kind for kind in left if not any(_refers(kind, other) for other in left)), None)
        if free is None:
            names = ", ".join(kind.name for kind in left)
            raise BindingError(f"these kinds refer to each other in a circle, so none can be first: {names}")
        left.remove(free)
        placed.append(free)
    return placed


def _refers(kind: Kind, other: Kind) -> bool:
    return kind is not other and any(kind.refers_to(other))


class Dependencies:
    """What runs of some kinds say of each other.

    Args:
        kinds: The kinds of run.
    """

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._references: dict[Kind, list[tuple[Table, Reference | Links, Kind]]] = {
            kind: [(table, reference, other) for other in kinds for table, reference in kind.refers_to(other)]
            for kind in kinds
        }
        # For each kind, by key: the parts of its runs that others may name.
        self._named: dict[Kind, dict[Key, list[Part]]] = {kind: {} for kind in kinds}
        for _, reference, other in (each for found in self._references.values() for each in found):
            for key in (key for chain in reference.slugs.values() for key in chain):
                parts = [part for path in key for part in itertools.islice(_parts(other.table, path), 1)]
                if len(parts) == len(key):
                    self._named[other][key] = parts

    @property
    def any(self) -> bool:
        """Whether runs of some kind name other runs."""
        return any(self._references.values())

    def keys_of(self, run: Run) -> Iterator[Sought]:
        """The keys by which other runs may name *run*."""
        for key, parts in self._named[run.kind].items():
            values = [part.of(run.values) for part in parts]
            if None not in values:
                yield key, tuple(values) if len(key) > 1 else values[0]

    def waves(self, runs: Sequence[Run]) -> Iterator[list[Run]]:
        """*runs* in groups, each of which refers only to runs of those before it, or to none in a circle."""
        if not self.any:
            yield list(runs)
            return
        known = {(run.kind, *sought): run for run in runs for sought in self.keys_of(run)}
        depths = _depths({run: list(self._named_by(run, known)) for run in runs})
        groups: dict[int, list[Run]] = {}
        for run in runs:
            groups.setdefault(depths[run], []).append(run)
        yield from (groups[depth] for depth in sorted(groups))

    def names(self, run: Run) -> Iterator[tuple[Kind, Reference | Links, tuple[Key, ...], Any]]:
        """What *run* says of runs: their kind, the reference, the keys to look in, and the value."""
        for table, reference, other in self._references[run.kind]:
            for record in _records(run.kind.table, run.values, table):
                for chain, value in reference.lookups(record):
                    yield other, reference, chain, value

    def _named_by(self, run: Run, known: dict[Any, Run]) -> Iterator[Run]:
        for other, _, chain, value in self.names(run):
            for key in chain:
                target = known.get((other, key, value))
                if target is not None and target is not run:
                    yield target


def _parts(table: Table, path: str) -> Iterator[Part]:
    """The members of a record, or parts of those, that are what *path* leads to from its row."""
    column = find_column(table.mapper, path)
    for member, own in table.columns.items():
        if own is column:
            yield Part(member, table.names[member], table.fields[member], None, own, None, path)
    step, _, rest = path.partition(".")
    way = table.mapper.relationships.get(step) if rest else None
    for reference in table.references:
        if way is None or relation(table.mapper, step).local != reference.relation.local:
            continue
        for member, (key, *_) in reference.slugs.items():
            if rest in key:
                place = key.index(rest) if len(key) > 1 else None
                yield Part(
                    member,
                    table.names[member],
                    table.fields[member],
                    place,
                    column_of(reference.relation.mapper, rest),
                    reference.relation,
                    rest,
                )


def _records(table: Table, values: Values, wanted: Table) -> Iterator[Values]:
    """The records of the *wanted* table in a run."""
    if table is wanted:
        yield values
    for ledger, _, entry in table.entries(values):
        yield from _records(ledger.table, entry, wanted)


def _depths(targets: dict[Run, list[Run]]) -> dict[Run, int]:
    """How many runs stand in a row before each; references that close a circle do not count."""
    depths: dict[Run, int] = {}
    for start, first in targets.items():
        path = [(start, iter(first))] if start not in depths else []
        on_path = {start}
        while path:
            run, remaining = path[-1]
            below = next((each for each in remaining if each not in depths and each not in on_path), None)
            if below is not None:
                on_path.add(below)
                path.append((below, iter(targets[below])))
            else:
                path.pop()
                on_path.discard(run)
                depths[run] = 1 + max((depths[each] for each in targets[run] if each in depths), default=-1)
    return depths
