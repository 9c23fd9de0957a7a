"""Compare the records that two histories have of the same run."""

from __future__ import annotations

import itertools
import json
import marshal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from histio.doubles import spell_rounded
from histio.importing.fault_counts import FaultCounter
from histio.kinds.canonical import dump, load
from histio.kinds.compare import Comparison, Mismatch, Path, contrast
from histio.kinds.table import Kind, Ledger, Table
from histio.kinds.walk import Steps
from histio.pointer import pointer
from histio.report import LISTED
from histio.wire import equal

Side = Literal["a", "b"]
Resolve: TypeAlias = Callable[[Table, dict[str, Any]], dict[str, Any]]
"""Replaces the slugs of loaded values by those that an export of a database would write."""


@dataclass(frozen=True, slots=True)
class Change:
    """A difference within a run: of a member, of a ledger entry, or in the order of a ledger.

    Attributes:
        pointer: RFC 6901 pointer into the run. A ledger entry has its index in *a*, or in *b* if only *b* has
            it. For a difference in order, the pointer leads to the ledger.
        a: The value or entry in *a*, as JSON; None: null, or *a* does not have it. For a difference in order,
            a list with the identity of each entry. A number that a double cannot hold is a string.
        b: The value or entry in *b*, as JSON; None: null, or *b* does not have it. For a difference in order,
            a list with the identity of each entry. A number that a double cannot hold is a string.
    """

    pointer: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return self.describe("a", "b")

    def describe(self, a: str, b: str) -> str:
        """One line with what differs.

        Args:
            a: The name of the first history, such as ``file``.
            b: The name of the second history, such as ``database``.
        """
        return f"{self.pointer}: {contrast(self.a, self.b, (a, b), none='nothing')}"


class RunComparison:
    """Compares the records that *a* and *b* have of the same run.

    Args:
        file: The side that is a file, if the other one is a database: members that it leaves out are not
            compared. None: both are files, or both are databases; a member that one leaves out is null.
        resolve: Resolves the slugs of the file in the database.
    """

    def __init__(self, file: Side | None = None, resolve: Resolve | None = None) -> None:
        self._file = file
        self._resolve = resolve
        self._comparison = Comparison(strict=file is None)
        self._fault_counter = FaultCounter()

    def find_changes(self, kind: Kind, a: Any, b: Any) -> tuple[list[Change], int]:
        """The differences between two records of the same run, and the number of those not listed."""
        if _are_same(a, b):
            return [], 0
        table = kind.table
        given, stored = (b, a) if self._file == "b" else (a, b)
        ours, theirs = self._load(table, given), self._load(table, stored)
        if ours is None or theirs is None:
            records = [
                record if values is None else dump(table, values)
                for record, values in ((given, ours), (stored, theirs))
            ]
            raw_changes = _find_raw_changes(table, *(reversed(records) if self._file == "b" else records))
            return list(itertools.islice(raw_changes, LISTED)), sum(1 for _ in raw_changes)
        found = list(self._comparison.find_mismatches(table, ours, theirs))
        if found and self._resolve is not None:
            found = list(self._comparison.find_mismatches(table, self._resolved(table, ours), theirs))
        return [self._change(each) for each in found], 0

    def _load(self, table: Table, record: Any) -> dict[str, Any] | None:
        """The loaded values of *record*; None: it cannot be loaded."""
        return None if self._fault_counter.count(table.schema, record) else load(table, record)

    def _resolved(self, table: Table, values: dict[str, Any]) -> dict[str, Any]:
        assert self._resolve is not None  # noqa: S101 - only called for a file and a database
        return _with_alternatives(table, self._resolve(table, values))

    def _change(self, found: Mismatch) -> Change:
        given, stored = found.to_wire()
        if self._file == "b":
            return Change(Path(*reversed(found.path)).pointer, stored, given)
        return Change(found.path.pointer, given, stored)


def _with_alternatives(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """*values*, with null for slugs that they leave out because another slug names the row."""
    members = {name: member for member, name in table.names.items()}
    for reference in table.references:
        values = (dict.fromkeys(reference.slugs) if reference.present_members(values) else {}) | values
    for group in table.schema.choices():
        values = dict.fromkeys(members[name] for name in group) | values
    for ledger in table.ledgers:
        if values.get(ledger.member) is not None:
            listed = ledger.to_list(values[ledger.member])
            entries = [_with_alternatives(ledger.table, entry) for entry in listed]
            values[ledger.member] = ledger.collect(entries)
    return values


_to_text = json.JSONEncoder(sort_keys=True, default=repr).encode
"""Formats values so that only equal values have equal texts; in Python, True equals 1."""


def _are_same(a: Any, b: Any) -> bool:
    """Whether two records are equal without being loaded, which is slow: nearly all are."""
    try:
        if marshal.dumps(a, 2) == marshal.dumps(b, 2):  # takes a third of the time of their texts
            return True
    except ValueError:  # not plain JSON, such as a rounded number
        return equal(a, b)
    return _to_text(a) == _to_text(b)


def _find_raw_changes(table: Table, a: Any, b: Any, steps: Steps = ()) -> Iterator[Change]:
    """The differences between two records of which one cannot be loaded; entries are paired by position."""
    ledgers = {table.names[ledger.member]: ledger for ledger in table.ledgers}
    for name in {**a, **b}:
        ours, theirs, at = a.get(name), b.get(name), (*steps, name)
        ledger = ledgers.get(name)
        if ledger is None or not _is_ledger(ledger, ours) or not _is_ledger(ledger, theirs):
            if not equal(ours, theirs):
                yield Change(pointer(*at), spell_rounded(ours), spell_rounded(theirs))
            continue
        pairs = itertools.zip_longest(ledger.to_list(ours), ledger.to_list(theirs))
        for place, (entry, other) in enumerate(pairs):
            below = (*at, place) if ledger.many else at
            if entry is None or other is None:
                yield Change(pointer(*below), entry, other)
            else:
                yield from _find_raw_changes(ledger.table, entry, other, below)


def _is_ledger(ledger: Ledger, value: Any) -> bool:
    """Whether a *value*, perhaps of a record that cannot be loaded, consists of entries."""
    if value is None:
        return True
    if ledger.many:
        return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    return isinstance(value, dict)
