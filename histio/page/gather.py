"""Gather the contents of a report from the runs of a history, in one pass and in constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TypeAlias

from sqlalchemy.exc import UnboundExecutionError

from histio.comparing.positions import Locator
from histio.database.dialects import describe_database
from histio.errors import NotConfiguredError
from histio.exporting.pages import export_runs
from histio.files import FilePath, Limits
from histio.files.raw_runs import UnreadableLine
from histio.files.several import open_files
from histio.history import History
from histio.importing.parse import Reader
from histio.kinds.auditing import apply_rule
from histio.kinds.audits import Audit, Record, number
from histio.kinds.table import Kind
from histio.kinds.walk import Steps
from histio.log import log_handled
from histio.page.branch_plan import Amount, BranchPlan, plan_branch
from histio.page.totals import Sums, Totals
from histio.pointer import pointer

FINDINGS = 100
"""How many findings of each rule are kept."""

_DAY = len("2025-12-08")

Place: TypeAlias = tuple[str | None, str | None, int | None]
"""The file, the kind and the index of a run."""


@dataclass(frozen=True, slots=True)
class Example:
    """A finding shown in the report: the run, its place, the member's pointer, and why it breaks the rule."""

    run: str
    place: str
    pointer: str
    text: str


@dataclass(slots=True)
class RuleFindings:
    """A rule, the number of its findings, and the first of them."""

    rule: Audit
    count: int = 0
    first: list[Example] = field(default_factory=list)

    def add(self, example: Example) -> None:
        """Count a finding, and keep it if it is one of the first."""
        self.count += 1
        if self.count <= FINDINGS:
            self.first.append(example)


@dataclass(frozen=True, slots=True)
class RunPlace:
    """The run to which records belong: its day (None: unknown), its identity, and its place in the file."""

    day: str | None
    run: str
    place: str


class Branch:
    """The records of one table: the runs of a kind, or the entries of a ledger.

    Attributes:
        plan: What is counted and added up.
        totals: The number of records and their sums.
        rules: The findings of each rule.
    """

    def __init__(self, plan: BranchPlan, sums: Sums) -> None:
        self.plan = plan
        self.totals: Totals = Totals.empty(plan.width)
        self.rules: list[RuleFindings] = [RuleFindings(rule) for rule in plan.rules]
        self._sums = sums
        self._ledgers = [(ledger, Branch(below, sums)) for ledger, below in plan.ledgers]

    def all(self) -> Iterator[Branch]:
        """This branch and those of its ledgers, at any depth."""
        yield self
        for _, branch in self._ledgers:
            yield from branch.all()

    @property
    def amounts_present(self) -> list[Amount]:
        """The amounts that some record has; for a ledger, those that add up across units come first."""
        present = [amount for amount in self.plan.amounts if self.totals.counts[amount.index]]
        return sorted(present, key=lambda amount: not amount.adds_up) if self.plan.path else present

    def add(self, record: Record, place: RunPlace, steps: Steps = ()) -> None:
        """Count a record and its ledgers.

        Args:
            record: A run, or an entry of a ledger.
            place: The run.
            steps: The path from the run to the record.
        """
        amounts = [number(record.get(amount.name)) for amount in self.plan.amounts]
        for chart in self.plan.charts:
            both = [number(record.get(name)) for name in chart.members]
            amounts += [None, None] if None in both else both
        self.totals.add(amounts)
        unit = None if self.plan.unit is None else record.get(self.plan.unit)
        for grouping in self.plan.groupings:
            value = record.get(grouping.name)
            for key in value or [None] if grouping.many else [value]:
                self._sums.add(grouping.number, key, unit, amounts)
        if self.plan.by_day is not None:
            self._sums.add(self.plan.by_day, place.day, unit, amounts)
        for findings in self.rules:
            for member, text in apply_rule(findings.rule, record):
                findings.add(Example(place.run, place.place, pointer(*steps, member), text))
        for ledger, branch in self._ledgers:
            name = branch.plan.path[-1]
            for index, entry in enumerate(ledger.to_list(record.get(name))):
                branch.add(entry, place, (*steps, name, *([index] if ledger.many else [])))


class GatheredKind:
    """The runs of one kind.

    Attributes:
        kind: The kind.
        root: The branch of its runs.
        runs: The number of runs.
        first: The time of the earliest run, as text; None: no run has a time.
        last: The time of the latest run.
        untimed: The number of runs without a time.
    """

    def __init__(self, kind: Kind, sums: Sums, numbers: Iterator[int]) -> None:
        self.kind = kind
        self.root: Branch = Branch(plan_branch(kind.table, numbers), sums)
        self.runs: int = 0
        self.untimed: int = 0
        self.first: str | None = None
        self.last: str | None = None
        self._locator = Locator(kind, 0)

    def add(self, record: Record, place: str = "") -> None:
        """Count a run; *place* is its line or index in a file, in words."""
        self.runs += 1
        try:
            found = self._locator.locate(record)
            time, run = found.time, found.identity
        except Exception as error:  # noqa: BLE001 - hooks of the host may raise anything
            log_handled("a run of a report has no time", error)
            time, run = "", self.kind.identity.format_record(record)
        if time:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)
        else:
            self.untimed += 1
        self.root.add(record, RunPlace(time[:_DAY] or None, run, place))


@dataclass(slots=True)
class GatheredHistory:
    """The contents of a report.

    Attributes:
        name: The name of the file or files, or that of the database.
        version: The version of the format.
        exported_at: The time of the export, as the file says; None: unknown, or there are several files.
        kinds: The runs, by kind.
        invalid: The number of invalid lines and runs, which are not counted otherwise.
        rejected: The number of other runs that an import has rejected, which are not counted otherwise.
    """

    name: str
    version: str
    exported_at: str | None
    kinds: list[GatheredKind]
    invalid: int = 0
    rejected: int = 0


def database_name(history: History) -> str | None:
    """The database of a *history*, without what is secret; None: it has none, or a session chooses it."""
    try:
        return describe_database(history.bound.database.find_engine().url)
    except (NotConfiguredError, UnboundExecutionError):
        return None


def gather(
    source: Sequence[FilePath] | History,
    history: History,
    sums: Sums,
    limits: Limits,
    rejected: Collection[Place] = (),
) -> GatheredHistory:
    """Read all runs of files or of a database.

    Args:
        source: Files, or the history whose database is read.
        history: Its kinds are those of the *source*.
        sums: Where totals by slug and by day are kept.
        limits: The limits for each file.
        rejected: Where the runs are that an import has rejected, which are left out.

    Raises:
        DocumentError: A file is not a history, or is damaged.
        ExportError: The format cannot hold some rows.
        OSError: A file cannot be read.
    """
    numbers = itertools.count()
    kinds = [GatheredKind(kind, sums, numbers) for kind in history.bound.kinds]
    if isinstance(source, History):
        with source.bound.database.reading(None) as connection:
            for each in kinds:
                for record in export_runs(connection, each.kind):
                    each.add(record)
        return GatheredHistory(database_name(source) or "a database", history.version, None, kinds)
    return _gather_files(source, history, kinds, limits, rejected)


def _gather_files(
    paths: Sequence[FilePath],
    history: History,
    kinds: list[GatheredKind],
    limits: Limits,
    rejected: Collection[Place],
) -> GatheredHistory:
    bound = history.bound
    by_name = {each.kind.name: each for each in kinds}
    with open_files(paths, bound.gate, bound.kinds, limits) as files:
        first, *others = files.parts
        name, exported_at = PurePath(first.source.name).name, first.file.header.get("exported_at")
        if others:
            name, exported_at = f"{name} and {len(others):,} more", None
        found = GatheredHistory(name, files.version, exported_at, kinds)
        reader = Reader(bound, files.version, {})
        for item in files.items():
            if isinstance(item, UnreadableLine) or not (
                reader.accepts(item) or reader.read(item).well_formed
            ):
                found.invalid += 1
                continue
            if (item.file, item.kind, item.index) in rejected:
                found.rejected += 1
                continue
            record, _ = bound.versions.upgrade(item.kind, item.record, item.version or files.version)
            kind = by_name[item.kind]
            kind.add(record, item.place(kind.kind.collection))
    return found
