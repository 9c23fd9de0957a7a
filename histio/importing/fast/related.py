"""Resolve the references of accepted records, a set of them at a time, and find their faults."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from histio.exporting.fast.columns import DeclinedError
from histio.importing.fast.by_value import Records
from histio.importing.fast.plan import ReferencePlan
from histio.importing.row_builder import RowBuilder
from histio.kinds.table import Ledger, Table
from histio.kinds.walk import Steps
from histio.resolving.resolve import MemberFault

_REMEMBERED = 50_000
"""How many slugs, or combinations of slugs, are remembered with the values that they fill in."""

Finding: TypeAlias = tuple[Steps, MemberFault]
"""The steps from a record to a member, and its fault."""


@dataclass(frozen=True, slots=True)
class FaultCounts:
    """How many faults records have, by their index.

    Attributes:
        warnings: The number of warnings; records without one are absent.
        problems: The records with problems.
    """

    warnings: Counter[int] = field(default_factory=Counter)
    problems: set[int] = field(default_factory=set)


class Related:
    """What the slugs of records fill rows with, remembered by those slugs.

    Args:
        table: The table of the records.
        plan: How the columns of references are filled.
        builder: Resolves references.

    Attributes:
        table: The table of the records.
        faults: By slugs, the faults of their references; slugs without a fault are absent.
    """

    def __init__(self, table: Table, plan: ReferencePlan, builder: RowBuilder) -> None:
        self.table = table
        self._plan = plan
        self._builder = builder
        self._found: dict[Any, tuple[Any, ...]] = {}
        self._declined: set[Any] = set()
        self._hinted: set[Any] = set()
        self._warnings: dict[Any, int] = {}
        self.faults: dict[Any, list[MemberFault]] = {}

    def forget_faults(self) -> None:
        """Look again for slugs with faults, because rows have been written since."""
        for key in self.faults:
            self._found.pop(key, None)  # that of a warning
        self._declined.clear()
        self._hinted.clear()
        self._warnings.clear()
        self.faults.clear()

    def columns(self, records: Records) -> Iterable[Iterable[Any]]:
        """The parameters of the columns of all references.

        Raises:
            DeclinedError: There are new faults, or a slug fills no column.
        """
        keys = self._keys(records)
        if keys is None:
            return ()
        if not self._look_up(keys):
            raise DeclinedError
        return zip(*map(self._found.__getitem__, keys), strict=True) if self._plan.columns else ()

    def resolves(self, records: Records) -> bool:
        """Whether the slugs of *records* fill columns, and have neither problems nor warnings."""
        keys = self._keys(records)
        return keys is None or (self._look_up(keys) and self.faults.keys().isdisjoint(keys))

    def find_faults(self, records: Records) -> Iterator[tuple[int, list[MemberFault]]]:
        """The faults of *records*, with the index of each."""
        keys = self._keys(records) or ()
        self._look_up(keys)
        faults = self.faults
        return ((index, faults[key]) for index, key in enumerate(keys if faults else ()) if key in faults)

    def count_faults(self, records: Records) -> FaultCounts:
        """The numbers of faults of *records*."""
        counts, keys = FaultCounts(), self._keys(records) or ()
        self._look_up(keys)
        for index, key in enumerate(keys if self._warnings else ()):
            number = self._warnings.get(key)
            if number is not None:
                counts.warnings[index] += number
                if number < len(self.faults[key]):
                    counts.problems.add(index)
        return counts

    def find_hints(self, records: Records) -> None:
        """Look for the hints of *records* as if their faults were listed: only the first ones are found."""
        if len(self._hinted) < len(self.faults):
            for key in (key for key in self._keys(records) or () if key in self.faults):
                if key not in self._hinted:
                    self._hinted.add(key)
                    for fault in self.faults[key]:
                        fault.find_hint()

    def _keys(self, records: Records) -> Sequence[Any] | None:
        """The slugs of each of *records*; None: they have none."""
        slugs = [
            _read(reader, [record.get(name) for record in records])
            for name, reader in zip(self._plan.names, self._plan.readers, strict=True)
        ]
        return slugs[0] if len(slugs) == 1 else list(zip(*slugs, strict=True)) if slugs else None

    def _look_up(self, keys: Iterable[Any]) -> bool:
        """Resolve new *keys*; return whether all keys fill columns, and none has new faults."""
        new = set(keys).difference(self._found)
        if not new:
            return True
        if len(self._found) + len(self._declined) > _REMEMBERED:
            self._found.clear()
            self.forget_faults()
            new = set(keys)
        unknown = list(new - self._declined)
        several = unknown if len(self._plan.names) > 1 else [(key,) for key in unknown]
        slugs = [dict(zip(self._plan.members, each, strict=True)) for each in several]
        for key, (values, faults) in zip(unknown, self._builder.related(self.table, slugs), strict=True):
            is_fine = all(fault.warning for fault in faults)
            parameters = self._plan.parameters(values) if is_fine else None
            if parameters is None:
                self._declined.add(key)
            else:
                self._found[key] = parameters
            if faults:
                self.faults[key] = faults
                self._warnings[key] = sum(fault.warning for fault in faults)
        return self._declined.isdisjoint(new) and self.faults.keys().isdisjoint(unknown)


def _read(reader: Callable[[Any], Any] | None, slugs: list[Any]) -> list[Any]:
    """The loaded keys of *slugs*, of which some are null."""
    return slugs if reader is None else [None if slug is None else reader(slug) for slug in slugs]


class RelatedTree:
    """What the slugs of records and of the entries of their ledgers fill rows with.

    Args:
        related: That of the records.
        ledgers: Each ledger, its name on the wire, and the tree of its entries.
    """

    def __init__(self, related: Related, ledgers: Iterable[tuple[Ledger, str, RelatedTree]]) -> None:
        self._related = related
        self._ledgers = list(ledgers)

    @property
    def has_faults(self) -> bool:
        """Whether records so far have faults."""
        return bool(self._related.faults) or any(below.has_faults for *_, below in self._ledgers)

    def forget_faults(self) -> None:
        """Look again for slugs with faults, because rows have been written since."""
        self._related.forget_faults()
        for *_, below in self._ledgers:
            below.forget_faults()

    def find_faults(self, records: Records) -> dict[int, list[Finding]]:
        """The faults of the references of *records*, by index, in the order of a record's members."""
        names = self._related.table.names
        found: dict[int, list[Finding]] = {
            index: [((names[fault.member],), fault) for fault in faults]
            for index, faults in self._related.find_faults(records)
        }
        for ledger, name, below in self._ledgers:
            entries = [ledger.to_list(record.get(name)) for record in records]
            starts = list(itertools.accumulate(map(len, entries), initial=0))
            for place, faults in sorted(below.find_faults(list(itertools.chain(*entries))).items()):
                index = bisect.bisect_right(starts, place) - 1
                at = (name, place - starts[index]) if ledger.many else (name,)
                found.setdefault(index, []).extend(((*at, *steps), fault) for steps, fault in faults)
        return found

    def count_faults(self, records: Records) -> FaultCounts:
        """The numbers of faults of *records*, those of their entries included."""
        counts = self._related.count_faults(records)
        for ledger, name, below in self._ledgers:
            entries = [ledger.to_list(record.get(name)) for record in records]
            owners = [index for index, some in enumerate(entries) for _ in some]
            found = below.count_faults(list(itertools.chain(*entries)))
            for place, number in found.warnings.items():
                counts.warnings[owners[place]] += number
            counts.problems.update(owners[place] for place in found.problems)
        return counts

    def find_hints(self, records: Records) -> None:
        """Look for the hints of *records* and their entries as if their faults were listed."""
        self._related.find_hints(records)
        for ledger, name, below in self._ledgers:
            below.find_hints([entry for record in records for entry in ledger.to_list(record.get(name))])
