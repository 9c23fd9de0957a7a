"""Check the form and the references of raw runs; most valid runs are not loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from histio.bound import Bound
from histio.exporting.fast.obstacles import is_gated
from histio.files.raw_runs import RawRun
from histio.importing.look_ups import LookUps
from histio.importing.parse import Reader, current_record
from histio.importing.repetitions import note_entries
from histio.importing.run import Run, Values
from histio.kinds.fields import RunUUID
from histio.kinds.fields.slug_text import SlugText
from histio.kinds.identity import Identity
from histio.kinds.table import Kind, Table
from histio.kinds.walk import walk_record

_REMEMBERED = 50_000
"""How many references that were found are remembered."""

_Referenced: TypeAlias = tuple[Table, str]
"""What one record refers to: its table, and its references as text."""


class RunChecker:
    """Checks raw runs.

    Most of them are valid. A run that the gate accepts, and that refers only to what earlier valid runs
    referred to, is neither loaded nor looked up.

    Args:
        bound: The kinds of run and their format.
        version: The version of the records.
        look_ups: Finds references in the database; None: references are not checked.
    """

    def __init__(self, bound: Bound, version: str, look_ups: LookUps | None) -> None:
        self._bound = bound
        self._reader = Reader(bound, version, {})
        self._look_ups = look_ups
        self._kinds = {kind.name: kind for kind in bound.kinds}
        needs_loading = look_ups is not None and look_ups.needs_every_run
        self._gated = set() if needs_loading else {kind.name for kind in bound.kinds if _is_gated(kind)}
        self._found: set[_Referenced] = set()

    @property
    def needs_others(self) -> bool:
        """Whether runs may refer to other runs of the file, which have to be known first."""
        return self._look_ups is not None and self._look_ups.refers_to_runs

    def expect(self, raw_runs: Iterable[RawRun]) -> None:
        """Find out which of *raw_runs*, of all kinds, could be imported."""
        if self._look_ups is not None:
            self._look_ups.expect(raw for raw in raw_runs if raw.kind in self._kinds)

    def check(self, items: Iterable[RawRun]) -> list[Run]:
        """The runs among *items* that are of its kinds, in the same order, with problems and warnings."""
        raw_runs = [raw for raw in items if raw.kind in self._kinds]
        references = {id(raw): self._references(raw) for raw in raw_runs if self._is_accepted(raw)}
        valid = {raw_id for raw_id, found in references.items() if found <= self._found}
        checked = {
            id(run.raw): run for run in self._check_fully([raw for raw in raw_runs if id(raw) not in valid])
        }
        self._remember(checked, references)
        return [checked.get(id(raw)) or self._valid_run(raw) for raw in raw_runs]

    def current_record(self, run: Run) -> Any:
        """The record of a *run*, upgraded to the current version."""
        return current_record(self._bound, run.kind, run.raw.record, self._reader.version)

    def _is_accepted(self, raw: RawRun) -> bool:
        return raw.kind in self._gated and self._reader.accepts(raw)

    def _references(self, raw: RawRun) -> set[_Referenced]:
        """The references of *raw* that this check looks up."""
        return (
            set()
            if self._look_ups is None
            else set(_find_references(self._kinds[raw.kind].table, raw.record))
        )

    def _check_fully(self, raw_runs: Sequence[RawRun]) -> list[Run]:
        if self._look_ups is not None:
            return self._look_ups.look_up(raw_runs)
        runs = [self._reader.read(raw) for raw in raw_runs]
        for run in runs:
            note_entries(run)
        return runs

    def _remember(self, checked: dict[int, Run], references: dict[int, set[_Referenced]]) -> None:
        """Remember what the *checked* runs without problems and warnings refer to."""
        for raw_id, run in checked.items():
            if not (run.problems or run.warnings):
                self._found |= references.get(raw_id, set())
        if len(self._found) > _REMEMBERED:
            self._found.clear()

    def _valid_run(self, raw: RawRun) -> Run:
        """The run of *raw*, which is valid, with nothing loaded but its identities."""
        kind = self._kinds[raw.kind]
        run = Run(kind, raw, _load_identities(kind.table, raw.record), well_formed=True)
        note_entries(run)
        return run


def _is_gated(kind: Kind) -> bool:
    """Whether the gate alone decides on the form of runs, and UUIDs or slugs identify everything."""
    identities = [table.identity for table in kind.table.all() if table.identity is not None]
    return all(map(_is_plain, identities)) and is_gated(kind.table)


def _is_plain(identity: Identity) -> bool:
    first, *others = identity.parts
    return not others and first.relation is None and isinstance(first.field, RunUUID | SlugText)


def _load_identities(table: Table, record: Any) -> Values:
    """The loaded values of a valid *record*, with only the identities of it and its entries."""
    values: Values = {}
    for part in table.identity.parts if table.identity is not None else ():
        field: Any = part.field
        values[part.member] = field.from_wire(record[part.name])
    for ledger in table.ledgers:
        listed = ledger.to_list(record.get(table.names[ledger.member]))
        entries = [_load_identities(ledger.table, entry) for entry in listed]
        if entries:
            values[ledger.member] = ledger.collect(entries)
    return values


def _find_references(table: Table, record: Any) -> Iterator[_Referenced]:
    """What a *record* and each of its entries refers to."""
    for below, entry, _ in walk_record(table, record):
        members = [member for reference in below.references for member in reference.slugs]
        members += [links.member for links in below.links]
        members += [snapshot.member for snapshot in below.snapshots]
        yield below, repr([entry.get(below.names[member]) for member in members])
