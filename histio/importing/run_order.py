"""Runs that refer to other runs: which of them have to be written first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from histio.importing.graph import BLANK, HARD, LATE, Need, RunGraph
from histio.importing.run import Run
from histio.kinds.fields.references import Key
from histio.kinds.identity import Part
from histio.kinds.mapping import column_of, find_column, relation
from histio.kinds.table import Kind, Links, Reference, Table
from histio.kinds.walk import walk_values
from histio.resolving.circles import Blank, blank_of, reached, stuck_kinds
from histio.resolving.lookup import KeyValue
from histio.resolving.resolve import Resolver

_WAVES = 20
"""Runs of one window are written in at most so many waves before references are left blank."""


def in_order(kinds: Sequence[Kind]) -> list[Kind]:
    """*kinds*, each after those whose runs it refers to, otherwise in the order given.

    Kinds that refer to each other in a circle keep the order given.
    """
    before = reached(kinds, lambda kind, other: any(kind.refers_to(other)))
    left, placed = list(kinds), []
    while left:
        free = next(
            kind for kind in left if all(kind in before[other] for other in left if other in before[kind])
        )
        left.remove(free)
        placed.append(free)
    return placed


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """A reference, or a list of them, by which records of a kind name runs.

    Attributes:
        named: The reference.
        others: The kinds of which those runs may be.
        softness: HARD, LATE or BLANK.
        late: For LATE, the member of the run that can be written later.
    """

    table: Table
    named: Reference | Links
    others: Sequence[Kind]
    softness: int
    late: str | None


class Dependencies:
    """The references between the runs of some kinds.

    Args:
        kinds: The kinds of run.
        dialect: The database's.

    Attributes:
        blanks: By reference, the values that it has until its run is written.
        stuck: The models of kinds of which no run can be written first.
    """

    def __init__(self, kinds: Sequence[Kind], dialect: sa.Dialect) -> None:
        self.blanks: dict[Reference | Links, Blank] = {}
        self._ways = {kind: list(self._ways_of(kind, kinds, dialect)) for kind in kinds}
        self.stuck = {kind.table.mapper.class_ for kind in stuck_kinds(kinds, dialect)} if self.any else set()
        # For each kind, by key: the parts of its runs that others may name.
        self._named: dict[Kind, dict[Key, list[Part]]] = {kind: {} for kind in kinds}
        every = [way for ways in self._ways.values() for way in ways]
        for chains, other in ((each.named.slugs.values(), other) for each in every for other in each.others):
            for key in (key for chain in chains for key in chain):
                parts = [part for path in key for part in itertools.islice(_parts(other.table, path), 1)]
                if len(parts) == len(key):
                    self._named[other][key] = parts

    def _ways_of(self, kind: Kind, kinds: Sequence[Kind], dialect: sa.Dialect) -> Iterator[_Way]:
        others: dict[tuple[Table, Reference | Links], list[Kind]] = {}
        for other in kinds:
            for way in kind.refers_to(other):
                others.setdefault(way, []).append(other)
        for (table, named), found in others.items():
            late = _late_member(kind, table, named)
            own = table is kind.table and isinstance(named, Reference)
            blank = blank_of(table, named, dialect) if own else None
            if blank is not None:
                self.blanks[named] = blank
            softness = BLANK if blank is not None else HARD if late is None else LATE
            yield _Way(table, named, found, softness, late)

    @property
    def any(self) -> bool:
        """Whether runs of some kind name other runs."""
        return any(self._ways.values())

    @property
    def defers(self) -> bool:
        """Whether constraints have to be deferred if rows are written before those that they refer to."""
        return not all(blank.is_null for blank in self.blanks.values())

    def blank_columns(self, kind: Kind) -> list[sa.Column[Any]]:
        """The columns of *kind* that may have blanks until a later row is written."""
        of_kind = (self.blanks[way.named] for way in self._ways[kind] if way.softness == BLANK)
        keys = {key for blank in of_kind for key in blank.values}
        columns: Iterator[Any] = (each for table in kind.table.mapper.tables for each in table.columns)
        return [column for column in columns if column.key in keys]

    def keys_of(self, run: Run) -> Iterator[KeyValue]:
        """The keys by which other runs may name *run*."""
        for key, parts in self._named[run.kind].items():
            values = [part.of(run.values) for part in parts]
            if None not in values:
                yield key, tuple(values) if len(key) > 1 else values[0]

    def names_of(self, run: Run) -> list[str]:
        """The names of *run* in a `RunGraph`."""
        return [run_name(run.kind, sought) for sought in self.keys_of(run)]

    def waves(self, runs: Sequence[Run]) -> Iterator[list[Run]]:
        """*runs* in groups, each of which refers only to runs of those before it, or to none in a circle.

        One group where there would be very many.
        """
        if not self.any:
            yield list(runs)
            return
        known = {name: run for run in runs for name in self.names_of(run)}
        depths = _depths({run: list(self._named_by(run, known)) for run in runs})
        groups: dict[int, list[Run]] = {}
        for run in runs:
            groups.setdefault(depths[run], []).append(run)
        yield from (groups[depth] for depth in sorted(groups)) if len(groups) <= _WAVES else [list(runs)]

    def needs(self, run: Run) -> Iterator[Need]:
        """The runs that *run* names, stored or not."""
        for need, _, _ in self._needs(run):
            yield need

    def lacking(self, run: Run, resolver: Resolver) -> list[Need]:
        """The runs that *run* names and that are not stored; the resolver must have looked for them."""
        return [
            need
            for need, way, (chain, value) in self._needs(run)
            if resolver.lacks(way.named.relation.mapper.class_, chain, value)
        ]

    def expect(self, run: Run, graph: RunGraph, resolver: Resolver, *, hard: bool) -> None:
        """Let the resolver take those runs for found that *run* names and that *graph* has.

        *hard*: also those whose rows have to be there before the run's.
        """
        for need, way, (chain, value) in self._needs(run):
            if (hard or need.softness != HARD) and any(map(graph.has, need.names)):
                for key in chain:
                    resolver.expect(way.named.relation.mapper.class_, (key, value))

    def _needs(self, run: Run) -> Iterator[tuple[Need, _Way, tuple[tuple[Key, ...], Any]]]:
        for way in self._ways[run.kind]:
            for table, values, _ in walk_values(run.kind.table, run.values):
                for chain, value in way.named.lookups(values) if table is way.table else ():
                    names = tuple(run_name(other, (key, value)) for other in way.others for key in chain)
                    yield Need(names, way.softness, way.late), way, (chain, value)

    def _named_by(self, run: Run, known: dict[str, Run]) -> Iterator[Run]:
        for name in (name for need in self.needs(run) for name in need.names):
            target = known.get(name)
            if target is not None and target is not run:
                yield target


def run_name(kind: Kind, sought: KeyValue) -> str:
    """The name, in a `RunGraph`, of a run with this key and value."""
    return f"{kind.name} {sought!r}"


def _late_member(kind: Kind, table: Table, named: Reference | Links) -> str | None:
    """The member of the run whose rows have what is *named*, and can be written after the run's own."""
    if table is kind.table:
        return named.member if isinstance(named, Links) else None
    ledger = next(ledger for ledger in kind.table.ledgers if table in ledger.table.all())
    return None if ledger.owner_has_key else ledger.member


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
