"""Exact sums of what many records say, by key and unit; on disk where those are many."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Any

from histio.files.scratch import Scratch
from histio.tuning import tuning

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_LEAST_DIGITS = 2


class Totals:
    """Of some records, how many they are, and of each amount the sum and how many records have it.

    Attributes:
        records: How many records.
        sums: The exact sum of each amount.
        counts: How many records have each.
    """

    __slots__ = ("counts", "records", "sums")

    def __init__(self, records: int, sums: list[Decimal], counts: list[int]) -> None:
        self.records = records
        self.sums = sums
        self.counts = counts

    @classmethod
    def none(cls, amounts: int) -> Totals:
        """The totals of no record, which would have so many *amounts*."""
        return cls(0, [Decimal()] * amounts, [0] * amounts)

    def copy(self) -> Totals:
        """The same, apart from these."""
        return Totals(self.records, list(self.sums), list(self.counts))

    def add(self, amounts: Sequence[Decimal | None]) -> None:
        """Take in one more record."""
        self.records += 1
        for place, each in enumerate(amounts):
            if each is not None:
                self.sums[place] = _EXACT.add(self.sums[place], each)
                self.counts[place] += 1

    def merge(self, other: Totals) -> None:
        """Take in the records of *other*."""
        self.records += other.records
        self.sums = [_EXACT.add(*each) for each in zip(self.sums, other.sums, strict=True)]
        self.counts = [sum(each) for each in zip(self.counts, other.counts, strict=True)]

    def without(self, others: Sequence[Totals]) -> Totals:
        """What is left of these records when *others*, which are among them, are taken away."""
        left = self.copy()
        for each in others:
            sums, counts = [own.copy_negate() for own in each.sums], [-own for own in each.counts]
            left.merge(Totals(-each.records, sums, counts))
        return left

    def sum(self, place: int) -> Decimal | None:
        """The sum of the amount at *place*; None: no record has it."""
        return self.sums[place] if self.counts[place] else None

    def mean(self, place: int) -> Decimal | None:
        """Its mean over the records that have it, to as many digits as the sum has, at least two; or None."""
        if not self.counts[place]:
            return None
        digits = max(_LEAST_DIGITS, -int(self.sums[place].as_tuple().exponent))
        mean = Fraction(self.sums[place]) / self.counts[place]
        return Decimal(round(mean * 10**digits)).scaleb(-digits, _EXACT)

    def to_text(self) -> str:
        """The same, but for the number of records, as text."""
        return json.dumps([[str(each) for each in self.sums], self.counts])

    @classmethod
    def from_text(cls, records: int, text: str) -> Totals:
        """What `to_text` has written."""
        sums, counts = json.loads(text)
        return cls(records, [Decimal(each) for each in sums], counts)


def _merged(one: str, other: str) -> str:
    both = Totals.from_text(0, one)
    both.merge(Totals.from_text(0, other))
    return both.to_text()


class Sums(Scratch):
    """Totals of many groupings, each with a number of its own, by key and unit.

    Keys and units are JSON values, and come back as their texts.
    """

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE sums (grouping INTEGER, key TEXT, unit TEXT, records INTEGER, totals TEXT,"
            " PRIMARY KEY (grouping, key, unit)) WITHOUT ROWID;"
        )
        self._database.create_function("merged", 2, _merged, deterministic=True)
        self._held: dict[tuple[int, str, str], Totals] = {}
        self._most = tuning().keys_in_memory

    def add(self, grouping: int, key: Any, unit: Any, amounts: Sequence[Decimal | None]) -> None:
        """Take in a record."""
        at = grouping, json.dumps(key, sort_keys=True), json.dumps(unit, sort_keys=True)
        if at not in self._held:
            if len(self._held) >= self._most:
                self._keep()
            self._held[at] = Totals.none(len(amounts))
        self._held[at].add(amounts)

    def _keep(self) -> None:
        self._database.executemany(
            "INSERT INTO sums VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "records = records + excluded.records, totals = merged(totals, excluded.totals)",
            ((*at, totals.records, totals.to_text()) for at, totals in self._held.items()),
        )
        self._held.clear()

    def rows(self, grouping: int) -> Iterator[tuple[str, str, Totals]]:
        """Key, unit and totals of all in a *grouping*, sorted by the texts of keys and units."""
        self._keep()
        asked = "SELECT key, unit, records, totals FROM sums WHERE grouping = ? ORDER BY key, unit"
        for key, unit, records, totals in self._database.execute(asked, (grouping,)):
            yield key, unit, Totals.from_text(records, totals)

    def units(self, grouping: int) -> Iterator[str]:
        """The units in a *grouping*, that of most records first."""
        self._keep()
        asked = "SELECT unit FROM sums WHERE grouping = ? GROUP BY unit ORDER BY SUM(records) DESC, unit"
        for (unit,) in self._database.execute(asked, (grouping,)):
            yield unit
