"""What a page tells of a history, gathered from its runs in one pass and in constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TypeAlias

from histio.comparing.ordered import Placer
from histio.exporting.pages import export_runs
from histio.files import FilePath, Source, check_damage, reading
from histio.files.raw_runs import UnreadableLine
from histio.history import History
from histio.importing.parse import Reader
from histio.kinds.auditing import audits_of, broken
from histio.kinds.audits import Audit, PerUnit, Record, Sum, number
from histio.kinds.charting import amounts_of, charts_of, unit_of
from histio.kinds.fields import RunRef, Slug
from histio.kinds.table import Kind, Ledger, Table
from histio.page.sums import Sums, Totals
from histio.pointer import pointer

FINDINGS = 100
"""Findings of each rule that are kept."""

_Steps: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """A number that records have.

    Attributes:
        name: The member's name on the wire.
        description: What the schema says of it; may be empty.
        place: Where it stands in totals.
        is_rate: It says how much one is: a sum of it says nothing.
        adds_up: It may be added up whatever the unit.
    """

    name: str
    description: str
    place: int
    is_rate: bool
    adds_up: bool


@dataclass(frozen=True, slots=True)
class Grouping:
    """Records by one of their slugs.

    Attributes:
        name: The slug's name on the wire.
        number: That of the grouping in `Sums`.
        many: A record may have several slugs.
    """

    name: str
    number: int
    many: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A finding shown in the report: the run, its place, the member's pointer, and why it breaks the rule."""

    run: str
    place: str
    pointer: str
    text: str


@dataclass(slots=True)
class Rule:
    """A rule that was looked at.

    Attributes:
        count: How many findings there are.
        first: The first of them.
    """

    rule: Audit
    count: int = 0
    first: list[Example] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class At:
    """The run that records are of: its day, None without one; its identity; and where it stands."""

    day: str | None
    run: str
    place: str


class Branch:
    """The records of one table: the runs of a kind, or the entries of a ledger.

    Args:
        table: The table.
        sums: Where totals are kept.
        numbers: Gives each grouping its number.
        path: The names that lead to it; none for runs.
        ledger: The last of them; None for runs.
        description: What the schema says of that ledger; may be empty.
        summed: The paths, from here, of members that a rule above adds up.

    Attributes:
        path: The same.
        description: The same.
        unit: The member that says what amounts are counted in; None: nothing does.
        rules: Those that were looked at.
        amounts: The numbers.
        charts: The charts that are declared, each with the place of the first of its two amounts in totals.
        groupings: The records by each of their slugs.
        by_day: The number of their grouping by the day of their run; None: they are not grouped so.
        totals: What they have in all.
    """

    def __init__(
        self,
        table: Table,
        sums: Sums,
        numbers: Iterator[int],
        path: tuple[str, ...] = (),
        *,
        ledger: Ledger | None = None,
        description: str = "",
        summed: frozenset[str] = frozenset(),
    ) -> None:
        self.path = path
        self.description = description
        self.unit = unit_of(table)
        rules = audits_of(table)
        self.rules = [Rule(rule) for rule in rules]
        rates = {rule.unit for rule in rules if isinstance(rule, PerUnit)}
        for rule in rules:
            summed |= {rule.total, *rule.parts} if isinstance(rule, Sum) else set()
        members = amounts_of(table).items()
        counted = [each for each in members if ledger is None or each[1] not in ledger.order]
        self.amounts = [
            Amount(name, _description(table, member), place, name in rates, name in summed)
            for place, (name, member) in enumerate(counted)
        ]
        charts = charts_of(table)
        self.charts = {chart: len(counted) + 2 * place for place, chart in enumerate(charts)}
        self.groupings = [
            Grouping(name, next(numbers), each.many) for name, each in _slugs(table) if name != self.unit
        ]
        is_timed = not path or charts or not self.groupings
        self.by_day = next(numbers) if is_timed else None
        self.totals = Totals.none(len(counted) + 2 * len(charts))
        self._sums = sums
        self._below = [
            (
                each,
                Branch(
                    each.table,
                    sums,
                    numbers,
                    (*path, name),
                    ledger=each,
                    description=_description(table, each.member),
                    summed=frozenset(
                        one.removeprefix(f"{name}.") for one in summed if one.startswith(f"{name}.")
                    ),
                ),
            )
            for each in table.ledgers
            for name in [table.names[each.member]]
        ]

    def all(self) -> Iterator[Branch]:
        """This one and those of its ledgers."""
        yield self
        for _, branch in self._below:
            yield from branch.all()

    @property
    def amounts_present(self) -> list[Amount]:
        """The numbers that some record has; of a ledger, those first that may be added up."""
        present = [amount for amount in self.amounts if self.totals.counts[amount.place]]
        return sorted(present, key=lambda amount: not amount.adds_up) if self.path else present

    def add(self, record: Record, at: At, steps: _Steps = ()) -> None:
        """Take in a *record*, which stands at *steps* below its run."""
        unit = None if self.unit is None else record.get(self.unit)
        amounts = [number(record.get(amount.name)) for amount in self.amounts]
        for chart in self.charts:
            both = [number(record.get(name)) for name in chart.members]
            amounts += [None, None] if None in both else both
        self.totals.add(amounts)
        for grouping in self.groupings:
            value = record.get(grouping.name)
            for key in value or [None] if grouping.many else [value]:
                self._sums.add(grouping.number, key, unit, amounts)
        if self.by_day is not None:
            self._sums.add(self.by_day, at.day, unit, amounts)
        for rule in self.rules:
            for member, text in broken(rule.rule, record):
                rule.count += 1
                if rule.count <= FINDINGS:
                    rule.first.append(Example(at.run, at.place, pointer(*steps, member), text))
        for ledger, branch in self._below:
            name = branch.path[-1]
            for place, entry in enumerate(ledger.listed(record.get(name))):
                branch.add(entry, at, (*steps, name, *([place] if ledger.many else [])))


def _description(table: Table, member: str) -> str:
    return str(table.fields[member].metadata.get("description", ""))


def _slugs(table: Table) -> Iterator[tuple[str, Slug]]:
    """The names of slugs on the wire, and their fields; what names another run is no slug here."""
    for member, name in table.names.items():
        own = table.fields[member]
        if isinstance(own, Slug) and not isinstance(own, RunRef) and member not in table.identity_members:
            yield name, own


class KindGathered:
    """What was gathered of one kind.

    Attributes:
        runs: How many there were.
        first: The time of the earliest one, as text; None: none has a time.
        last: That of the latest.
        untimed: How many have no time.
        root: Its runs.
    """

    def __init__(self, kind: Kind, sums: Sums, numbers: Iterator[int]) -> None:
        self.kind = kind
        self.root = Branch(kind.table, sums, numbers)
        self.runs = 0
        self.untimed = 0
        self.first: str | None = None
        self.last: str | None = None
        self._placer = Placer(kind, 0)

    def add(self, record: Record, place: str = "") -> None:
        """Take in a run, which stands at a *place*, in words; a database has none."""
        self.runs += 1
        try:
            found = self._placer(record)
            time, run = found.time, found.identity
        except Exception:  # noqa: BLE001 - hooks of the host's may raise whatever they like
            time, run = "", self.kind.identity.words_of(record)
        if time:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)
        else:
            self.untimed += 1
        self.root.add(record, At(time[: len("2025-12-08")] or None, run, place))


@dataclass(slots=True)
class Gathered:
    """What was gathered of a history.

    Attributes:
        name: What the history is called.
        version: The version of its format.
        exported_at: When a file was exported, as it says it; None: it does not, or it is no file.
        kinds: What was gathered of each kind.
        passed_over: How many lines and runs have another form than the format says, and are not counted.
    """

    name: str
    version: str
    exported_at: str | None
    kinds: list[KindGathered]
    passed_over: int = 0


def gathered(given: FilePath | History, history: History, sums: Sums) -> Gathered:
    """All that a page tells of *given*, whose kinds *history* knows.

    Raises:
        DocumentError: The file is no history, or it is damaged.
        ExportError: Rows that the format cannot hold.
        OSError: The file cannot be read.
    """
    form, numbers = history._format, itertools.count()
    kinds = {kind.name: KindGathered(kind, sums, numbers) for kind in form.kinds}
    found = Gathered("a database", history.version, None, list(kinds.values()))
    if isinstance(given, History):
        with given._database.reading(None) as connection:
            for each in found.kinds:
                for record in export_runs(connection, each.kind):
                    each.add(record)
        return found
    source = Source(given)
    with reading(source, form.contract, form.kinds) as file:
        found.name = PurePath(source.name).name
        found.version, found.exported_at = file.version, file.header.get("exported_at")
        reader = Reader(form, file.version, {})
        for item in file.items():
            if isinstance(item, UnreadableLine) or not (reader.takes(item) or reader.read(item).well_formed):
                found.passed_over += 1
                continue
            record, _ = form.versions.upgrade(item.kind, item.record, file.version)
            of = kinds[item.kind]
            of.add(record, item.place(of.kind.collection))
        check_damage(file)
    return found
