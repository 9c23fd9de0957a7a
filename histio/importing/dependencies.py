"""The references between runs: which runs a run needs, and which of them have to be written first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from histio.importing.graph import BLANK, HARD, LATE, Need, RunGraph
from histio.importing.run import Run
from histio.importing.run_order import split_into_waves
from histio.kinds.fields.references import Key
from histio.kinds.identity import IdentityPart
from histio.kinds.mapping import column_of, find_column
from histio.kinds.relations import relation
from histio.kinds.table import Kind, Links, Reference, Table
from histio.kinds.walk import walk_values
from histio.resolving.circles import Blank, blank_of, stuck_kinds
from histio.resolving.lookup import KeyValue
from histio.resolving.resolve import Resolver


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """A reference, or a list of references, from records of a kind to runs.

    Attributes:
        table: The table of the records.
        reference: The reference.
        others: The kinds that those runs may be of.
        softness: HARD, LATE or BLANK.
        late: For LATE, the member of the run that can be written later.
    """

    table: Table
    reference: Reference | Links
    others: Sequence[Kind]
    softness: int
    late: str | None


class Dependencies:
    """The references between the runs of some kinds.

    Args:
        kinds: The kinds of run.
        dialect: The dialect of the database.
        referring: Further kinds whose records name runs of *kinds*.

    Attributes:
        blanks: By reference, the values that its columns have until the run that it refers to is written.
        stuck: The models of kinds whose runs all refer to each other in circles that no import can write.
    """

    def __init__(self, kinds: Sequence[Kind], dialect: sa.Dialect, referring: Sequence[Kind] = ()) -> None:
        self.blanks: dict[Reference | Links, Blank] = {}
        self._ways = {kind: list(self._ways_of(kind, kinds, dialect)) for kind in kinds}
        self.stuck: set[type[Any]] = (
            {kind.table.mapper.class_ for kind in stuck_kinds(kinds, dialect)} if self.exist else set()
        )
        self._keys = {kind: _find_keys(kind, (*kinds, *referring)) for kind in kinds}

    def _ways_of(self, kind: Kind, kinds: Sequence[Kind], dialect: sa.Dialect) -> Iterator[_Way]:
        others: dict[tuple[Table, Reference | Links], list[Kind]] = {}
        for other in kinds:
            for way in kind.refers_to(other):
                others.setdefault(way, []).append(other)
        for (table, reference), found in others.items():
            late = _late_member(kind, table, reference)
            own = table is kind.table and isinstance(reference, Reference)
            blank = blank_of(table, reference, dialect) if own else None
            if blank is not None:
                self.blanks[reference] = blank
            softness = BLANK if blank is not None else HARD if late is None else LATE
            yield _Way(table, reference, found, softness, late)

    @property
    def exist(self) -> bool:
        """Whether runs of some kind refer to other runs."""
        return any(self._ways.values())

    @property
    def defers(self) -> bool:
        """Whether constraints have to be deferred if rows are written before those that they refer to."""
        return not all(blank.is_null for blank in self.blanks.values())

    def blank_columns(self, kind: Kind) -> list[sa.Column[Any]]:
        """The columns of *kind* that may have blanks until a later row is written."""
        of_kind = (self.blanks[way.reference] for way in self._ways[kind] if way.softness == BLANK)
        keys = {key for blank in of_kind for key in blank.values}
        columns: Iterator[Any] = (each for table in kind.table.mapper.tables for each in table.columns)
        return [column for column in columns if column.key in keys]

    def keys_of(self, run: Run) -> Iterator[KeyValue]:
        """The keys by which other runs may refer to *run*, with their values."""
        for key, parts in self._keys[run.kind].items():
            values = [part.read(run.values) for part in parts]
            if None not in values:
                yield key, tuple(values) if len(key) > 1 else values[0]

    def names_of(self, run: Run) -> list[str]:
        """The names of *run* in a `RunGraph`: one for each of its keys."""
        return [run_name(run.kind, sought) for sought in self.keys_of(run)]

    def waves(self, runs: Sequence[Run]) -> list[list[Run]]:
        """Split *runs* into waves, each of which refers only to runs of earlier waves, except in circles."""
        if not self.exist:
            return [list(runs)]
        by_name = {name: run for run in runs for name in self.names_of(run)}
        return split_into_waves(runs, lambda run: self._targets(run, by_name))

    def find_missing(self, run: Run, resolver: Resolver) -> list[Need]:
        """The needs of *run* that are not stored; the resolver must have looked for them."""
        return [
            need
            for need, way, (chain, value) in self._needs(run)
            if resolver.lacks(way.reference.relation.mapper.class_, chain, value)
        ]

    def expect(self, run: Run, graph: RunGraph, resolver: Resolver, *, hard: bool) -> None:
        """Let the resolver expect the runs that *run* refers to and that *graph* has.

        Args:
            run: The run.
            graph: The runs that can be written.
            resolver: Resolves references.
            hard: Whether to expect also runs that have to be written before *run*.
        """
        for need, way, (chain, value) in self._needs(run):
            if (hard or need.softness != HARD) and any(map(graph.has, need.names)):
                for key in chain:
                    resolver.expect(way.reference.relation.mapper.class_, (key, value))

    def _needs(self, run: Run) -> Iterator[tuple[Need, _Way, tuple[tuple[Key, ...], Any]]]:
        """The needs of *run*, stored or not, each with its reference, and the keys and value to look for."""
        for way in self._ways[run.kind]:
            for table, values, _ in walk_values(run.kind.table, run.values):
                for chain, value in way.reference.lookups(values) if table is way.table else ():
                    names = tuple(run_name(other, (key, value)) for other in way.others for key in chain)
                    yield Need(names, way.softness, way.late), way, (chain, value)

    def _targets(self, run: Run, by_name: Mapping[str, Run]) -> Iterator[Run]:
        """Those of some runs that *run* refers to, apart from itself."""
        for name in (name for need, _, _ in self._needs(run) for name in need.names):
            target = by_name.get(name)
            if target is not None and target is not run:
                yield target


def _find_keys(kind: Kind, others: Sequence[Kind]) -> dict[Key, list[IdentityPart]]:
    """The keys by which records of *others* name runs of *kind*, and the members with their values."""
    chains = [chain for each in others for _, way in each.refers_to(kind) for chain in way.slugs.values()]
    snapshots = (one for each in others for table in each.table.all() for one in table.snapshots)
    chains += [(one.key,) for one in snapshots if one.model is kind.table.mapper.class_]
    found: dict[Key, list[IdentityPart]] = {}
    for key in dict.fromkeys(itertools.chain(*chains)):
        parts = [part for path in key for part in itertools.islice(_parts(kind.table, path), 1)]
        if len(parts) == len(key):
            found[key] = parts
    return found


def run_name(kind: Kind, sought: KeyValue) -> str:
    """The name, in a `RunGraph`, of a run with this key and value."""
    return f"{kind.name} {sought!r}"


def _late_member(kind: Kind, table: Table, reference: Reference | Links) -> str | None:
    """The member whose rows have *reference*, if they can be written after the run's own row."""
    if table is kind.table:
        return reference.member if isinstance(reference, Links) else None
    ledger = next(ledger for ledger in kind.table.ledgers if table in ledger.table.all())
    return None if ledger.owner_has_key else ledger.member


def _parts(table: Table, path: str) -> Iterator[IdentityPart]:
    """The members of a record, or parts of members, with the value that *path* leads to from its row."""
    column = find_column(table.mapper, path)
    for member, own in table.columns.items():
        if own is column:
            yield IdentityPart(member, table.names[member], table.fields[member], None, own, None, path)
    step, _, rest = path.partition(".")
    way = table.mapper.relationships.get(step) if rest else None
    for reference in table.references:
        if way is None or relation(table.mapper, step).local != reference.relation.local:
            continue
        for member, (key, *_) in reference.slugs.items():
            if rest in key:
                place = key.index(rest) if len(key) > 1 else None
                yield IdentityPart(
                    member,
                    table.names[member],
                    table.fields[member],
                    place,
                    column_of(reference.relation.mapper, rest),
                    reference.relation,
                    rest,
                )
