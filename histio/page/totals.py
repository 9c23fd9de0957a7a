"""Exact sums over many records, by key and unit; they move to disk when there are many keys."""

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
    """The number of records and, for each of their amounts, the sum and the number of records that have it.

    Attributes:
        records: The number of records.
        sums: The exact sum of each amount.
        counts: The number of records that have each amount.
    """

    __slots__ = ("counts", "records", "sums")

    def __init__(self, records: int, sums: list[Decimal], counts: list[int]) -> None:
        self.records: int = records
        self.sums: list[Decimal] = sums
        self.counts: list[int] = counts

    @classmethod
    def empty(cls, amounts: int) -> Totals:
        """Totals of no records, with room for *amounts* amounts."""
        return cls(0, [Decimal()] * amounts, [0] * amounts)

    def copy(self) -> Totals:
        """A copy that can be changed independently."""
        return Totals(self.records, list(self.sums), list(self.counts))

    def add(self, amounts: Sequence[Decimal | None]) -> None:
        """Add one record; None: it lacks the amount."""
        self.records += 1
        for index, amount in enumerate(amounts):
            if amount is not None:
                self.sums[index] = _EXACT.add(self.sums[index], amount)
                self.counts[index] += 1

    def merge(self, other: Totals) -> None:
        """Add the records of *other*."""
        self.records += other.records
        self.sums = [_EXACT.add(*pair) for pair in zip(self.sums, other.sums, strict=True)]
        self.counts = [sum(pair) for pair in zip(self.counts, other.counts, strict=True)]

    def without(self, others: Sequence[Totals]) -> Totals:
        """The totals of these records less those of *others*, which are part of them."""
        rest = self.copy()
        for other in others:
            sums, counts = [value.copy_negate() for value in other.sums], [-value for value in other.counts]
            rest.merge(Totals(-other.records, sums, counts))
        return rest

    def sum(self, index: int) -> Decimal | None:
        """The sum of the amount at *index*; None: no record has it."""
        return self.sums[index] if self.counts[index] else None

    def mean(self, index: int) -> Decimal | None:
        """The mean of the amount at *index*, over the records that have it; None: no record has it.

        It has as many decimal places as the sum, and at least two.
        """
        if not self.counts[index]:
            return None
        digits = max(_LEAST_DIGITS, -int(self.sums[index].as_tuple().exponent))
        mean = Fraction(self.sums[index]) / self.counts[index]
        return Decimal(round(mean * 10**digits)).scaleb(-digits, _EXACT)

    def to_text(self) -> str:
        """Sums and counts as text, without the number of records."""
        return json.dumps([[str(value) for value in self.sums], self.counts])

    @classmethod
    def from_text(cls, records: int, text: str) -> Totals:
        """Totals of *records* records, with the sums and counts that `to_text` wrote."""
        sums, counts = json.loads(text)
        return cls(records, [Decimal(value) for value in sums], counts)


def _merge_texts(one: str, other: str) -> str:
    merged = Totals.from_text(0, one)
    merged.merge(Totals.from_text(0, other))
    return merged.to_text()


class Sums(Scratch):
    """Totals by grouping, key and unit; each grouping has a number.

    Keys and units are JSON values, and are returned as JSON texts.
    """

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE sums (grouping INTEGER, key TEXT, unit TEXT, records INTEGER, totals TEXT,"
            " PRIMARY KEY (grouping, key, unit)) WITHOUT ROWID;"
        )
        self._database.create_function("merge_texts", 2, _merge_texts, deterministic=True)
        self._in_memory: dict[tuple[int, str, str], Totals] = {}

    def add(self, grouping: int, key: Any, unit: Any, amounts: Sequence[Decimal | None]) -> None:
        """Add one record to the totals of a key and unit."""
        at = grouping, json.dumps(key, sort_keys=True), json.dumps(unit, sort_keys=True)
        if at not in self._in_memory:
            if len(self._in_memory) >= tuning().keys_in_memory:
                self._move_to_disk()
            self._in_memory[at] = Totals.empty(len(amounts))
        self._in_memory[at].add(amounts)

    def _move_to_disk(self) -> None:
        self._database.executemany(
            "INSERT INTO sums VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "records = records + excluded.records, totals = merge_texts(totals, excluded.totals)",
            ((*at, totals.records, totals.to_text()) for at, totals in self._in_memory.items()),
        )
        self._in_memory.clear()

    def rows(self, grouping: int) -> Iterator[tuple[str, str, Totals]]:
        """Key, unit and totals of each row of a *grouping*, ordered by key and unit."""
        self._move_to_disk()
        query = "SELECT key, unit, records, totals FROM sums WHERE grouping = ? ORDER BY key, unit"
        for key, unit, records, totals in self._database.execute(query, (grouping,)):
            yield key, unit, Totals.from_text(records, totals)

    def units(self, grouping: int) -> Iterator[str]:
        """The units of a *grouping*, those of most records first."""
        self._move_to_disk()
        query = "SELECT unit FROM sums WHERE grouping = ? GROUP BY unit ORDER BY SUM(records) DESC, unit"
        for (unit,) in self._database.execute(query, (grouping,)):
            yield unit
