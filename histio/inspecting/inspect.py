"""What is in a file of history, and which rows of the catalog it needs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from marshmallow import ValidationError
from sqlalchemy.orm import Mapper

from histio.bound import Bound
from histio.comparing.positions import Locator
from histio.files import FilePath, Source, check_damage, reading
from histio.files.raw_runs import RawRun
from histio.files.reading import Reading
from histio.files.scratch import Scratch
from histio.files.streams import Seal, Stream
from histio.files.writing import lines
from histio.history import History
from histio.importing.execute import open_look_ups
from histio.importing.look_ups import LookUps
from histio.importing.parse import current_record
from histio.kinds.fields.references import Key
from histio.kinds.table import Table
from histio.report import Problem
from histio.resolving.resolve import MemberFault
from histio.wire import encoded, faults_in

_MOST = 10
_HELD = 10_000
_PAGE = 500


@dataclass(frozen=True, slots=True)
class KindInspection:
    """What a file has of one kind of run.

    Attributes:
        runs: How many.
        first: The earliest time of a run, in UTC; None: they tell none.
        last: The latest.
        entries: How many entries its ledgers have, by the names that lead to them.
    """

    runs: int = 0
    first: str | None = None
    last: str | None = None
    entries: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is in a file of history.

    Attributes:
        version: The version of its format.
        exported_at: When it was exported, as it says it; None: it does not.
        form: ``stream`` or ``document``.
        sealed: Whether a seal tells that all runs are there, and they agree with it.
        kinds: What it has, by kind.
        sha256: The digest of its runs, which the export that wrote them reported; None: some have text that
            is no Unicode.
        follows: The digest of the file that it continues, as it says it; None: it does not.
        unreadable: How many lines or runs are none.
        most_used: By member, the slugs that most records name, and how many do; at most ten.
        problems: In what it disagrees with its seal, or how it breaks off.
    """

    version: str
    exported_at: str | None
    form: str
    sealed: bool
    kinds: Mapping[str, KindInspection]
    sha256: str | None
    follows: str | None
    unreadable: int
    most_used: Mapping[str, Mapping[str, int]]
    problems: tuple[Problem, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dicts, lists, strings and numbers, ready for JSON."""
        return asdict(self) | {"problems": [asdict(problem) for problem in self.problems]}


@dataclass(frozen=True, slots=True)
class Needed:
    """A row of the catalog that the runs of a file name.

    Attributes:
        member: The member that names it, such as ``recipe_slug``.
        model: The name of the related model.
        slug: What it is called.
        uses: How many records name it so.
        required: Whether runs that name it are rejected where it does not exist; otherwise they are imported
            with a warning.
        found: Whether the database has exactly one; None: none was asked.
        message: Why not; None where it has.
        hint: What may have been meant; None: nothing comes close, or very many are missing.
    """

    member: str
    model: str
    slug: str
    uses: int
    required: bool
    found: bool | None = None
    message: str | None = None
    hint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain dict, ready for JSON."""
        return asdict(self)


def inspect_file(path: FilePath, /, *, history: History | None = None) -> Inspection:
    """What is in a file, read once in constant memory.

    Runs are counted as they stand there: `check_file` tells what is wrong with them.

    Args:
        path: As `History.import_file` takes it.
        history: Tells what files may hold; None: the bundled kinds.

    Raises:
        DocumentError: It is no history.
        OSError: It cannot be read.
    """
    bound = (history or History()).bound
    with reading(Source(path), bound.contract, bound.kinds) as file, _Slugs(bound) as slugs:
        seen = _Seen(bound)
        for found in _records(file, bound):
            if found is None:
                seen.unreadable += 1
            else:
                seen.add(*found)
                slugs.add(*found)
        sealed = isinstance(file, Stream) and file.is_sealed and not file.damage
        return Inspection(
            version=file.version,
            exported_at=file.header.get("exported_at"),
            form="stream" if isinstance(file, Stream) else "document",
            sealed=sealed,
            kinds={kind: seen.of(kind) for kind in seen.runs},
            sha256=seen.sha256,
            follows=file.header.get("follows"),
            unreadable=seen.unreadable,
            most_used=slugs.most_used(),
            problems=file.damage,
        )


def references(path: FilePath, /, *, history: History | None = None) -> Iterator[Needed]:
    """The rows of the catalog that the runs of a file name, and whether they exist, in constant memory.

    By member, those that most records name come first. What names other runs is left out, and so is a slug
    that is not looked for because another member of its record names the row already.

    Args:
        path: As `History.import_file` takes it.
        history: Tells what files may hold and, where it has a database, what exists. None: the bundled kinds,
            without a database.

    Raises:
        DocumentError: It is no history, or damaged.
        OSError: It cannot be read.
    """
    bound = (history or History()).bound
    with reading(Source(path), bound.contract, bound.kinds) as file, _Slugs(bound) as slugs:
        for found in filter(None, _records(file, bound)):
            slugs.add(*found)
        check_damage(file)
        if bound.has_database:
            with open_look_ups(bound, version=file.version) as work:
                yield from slugs.needed(work)
        else:
            yield from slugs.needed(None)


_Found: TypeAlias = tuple[RawRun, dict[str, Any]]
"""A run as it stands in the file, and its record as the current version has it."""


def _records(file: Reading, bound: Bound) -> Iterator[_Found | None]:
    """What stands where runs do; None: it is none."""
    kinds = {kind.name: kind for kind in bound.kinds}
    for item in file.items():
        record = None
        if isinstance(item, RawRun):
            record = current_record(bound, kinds[item.kind], item.record, file.version)
        yield (item, record) if isinstance(item, RawRun) and isinstance(record, dict) else None


class _Seen:
    """What has been met of a file, its slugs aside."""

    def __init__(self, bound: Bound) -> None:
        self._locators = {kind.name: Locator(kind, index) for index, kind in enumerate(bound.kinds)}
        self._seal: Seal | None = Seal()
        self._spans: dict[str, tuple[str, str]] = {}
        self._entries: Counter[tuple[str, str]] = Counter()
        self.runs: Counter[str] = Counter()
        self.unreadable = 0

    @property
    def sha256(self) -> str | None:
        return None if self._seal is None else self._seal.sha256

    def of(self, kind: str) -> KindInspection:
        """What was met of a *kind*."""
        first, last = map(_wire_time, self._spans.get(kind, ("", "")))
        entries = {path: count for (name, path), count in self._entries.items() if name == kind}
        return KindInspection(self.runs[kind], first, last, entries)

    def add(self, raw: RawRun, record: dict[str, Any]) -> None:
        """Take in a run."""
        kind = raw.kind
        self.runs[kind] += 1
        if self._seal is not None:
            try:
                self._seal.add(lines(kind, [encoded(raw.record)]))
            except ValueError:
                self._seal = None
        locator = self._locators[kind]
        try:
            time = locator.locate(record).time
        except Exception:  # noqa: BLE001 - hooks of the host's may raise whatever they like
            time = ""
        if time:
            first, last = self._spans.get(kind, (time, time))
            self._spans[kind] = min(first, time), max(last, time)
        for path, _, _ in _entries(locator.kind.table, record):
            self._entries[kind, path] += 1


def _wire_time(time: str) -> str | None:
    """The *time* of a `Place` as records say it."""
    return f"{time.removesuffix('.000000')}Z" if "T" in time else time or None


def _entries(table: Table, record: dict[str, Any], *path: str) -> Iterator[tuple[str, Table, dict[str, Any]]]:
    """The entries of *record*, whose form may be wrong, with the names that lead to them, and their table."""
    for ledger in table.ledgers:
        name = table.names[ledger.member]
        value = record.get(name)
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                yield ".".join((*path, name)), ledger.table, entry
                yield from _entries(ledger.table, entry, *path, name)


@dataclass(frozen=True, slots=True, eq=False)
class _Naming:
    """A member that names rows of a model by some keys, in the records of a table."""

    table: Table
    member: str
    model: type[Any]
    chain: tuple[Key, ...]
    required: bool = True

    @property
    def name(self) -> str:
        return self.table.names[self.member]

    @property
    def need(self) -> tuple[Any, ...]:
        """What is the same in several tables where they name the same rows in the same way."""
        return self.name, self.model, self.chain, self.required

    def values(self, record: dict[str, Any]) -> list[Any]:
        """What the member of *record* says, of several rows where it may."""
        own: Any = self.table.fields[self.member]
        value = record.get(self.name)
        return value if own.many and isinstance(value, list) else [] if value is None else [value]

    def load(self, value: Any) -> dict[str, Any]:
        """A record, loaded, that names one row.

        Raises:
            ValidationError: It cannot be named so.
        """
        own: Any = self.table.fields[self.member]
        return {self.member: own.deserialize([value] if own.many else value)}


def _namings(table: Table, runs: Collection[Mapper[Any]]) -> Iterator[list[_Naming]]:
    """What names rows, apart from *runs*; of several members that name the same one, the first counts."""
    for snapshot in table.snapshots:
        yield [_Naming(table, snapshot.member, snapshot.model, (snapshot.key,), required=False)]
    for named in table.all_references:
        relation = named.relation
        if not any(relation.mapper.common_parent(run) for run in runs):
            yield [_Naming(table, member, relation.model, chain) for member, chain in named.slugs.items()]


class _Slugs(Scratch):
    """How many records name each row of the catalog; on disk where those are many."""

    def __init__(self, bound: Bound) -> None:
        super().__init__(
            "CREATE TABLE slugs (need INTEGER, value TEXT, uses INTEGER, PRIMARY KEY (need, value)) "
            "WITHOUT ROWID;"
        )
        self._tables = {kind.name: kind.table for kind in bound.kinds}
        runs = [kind.table.mapper for kind in bound.kinds]
        tables = [table for kind in bound.kinds for table in kind.table.all()]
        self._namings = {table: list(_namings(table, runs)) for table in tables}
        groups = (group for found in self._namings.values() for group in found)
        needs = {each.need: each for group in groups for each in group}
        self._needs = list(needs.values())
        self._numbers = {need: number for number, need in enumerate(needs)}
        self._held: Counter[tuple[int, str]] = Counter()

    def add(self, raw: RawRun, record: dict[str, Any]) -> None:
        """Count what a run names."""
        table = self._tables[raw.kind]
        for of, each in ((table, record), *((below, inner) for _, below, inner in _entries(table, record))):
            for group in self._namings[of]:
                naming = next((one for one in group if one.values(each)), group[0])
                number = self._numbers[naming.need]
                self._held.update(
                    (number, json.dumps(value, sort_keys=True)) for value in naming.values(each)
                )
        if len(self._held) >= _HELD:
            self._keep()

    def _keep(self) -> None:
        self._database.executemany(
            "INSERT INTO slugs VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET uses = uses + excluded.uses",
            ((*key, uses) for key, uses in self._held.items()),
        )
        self._held.clear()

    def most_used(self) -> dict[str, dict[str, int]]:
        """By member, the slugs that most records name."""
        self._keep()
        numbers: dict[str, list[int]] = {}
        for number, naming in enumerate(self._needs):
            numbers.setdefault(naming.name, []).append(number)
        found = {name: self._rows(own, _MOST) for name, own in numbers.items()}
        told = {name: {_told(value): uses for value, uses in rows} for name, rows in found.items()}
        return {name: used for name, used in told.items() if used}

    def _rows(self, needs: Sequence[int], limit: int = -1) -> Iterator[tuple[Any, int]]:
        among = ", ".join("?" * len(needs))
        asked = (
            f"SELECT value, SUM(uses) AS used FROM slugs WHERE need IN ({among}) "  # noqa: S608 - question marks
            "GROUP BY value ORDER BY used DESC, value LIMIT ?"
        )
        for value, uses in self._database.execute(asked, (*needs, limit)):
            yield json.loads(value), uses

    def needed(self, work: LookUps | None) -> Iterator[Needed]:
        """What is named, and whether it exists in the database that *work* knows; None: nobody can say."""
        self._keep()
        for number, naming in enumerate(self._needs):
            rows = self._rows([number])
            while page := list(islice(rows, _PAGE)):
                yield from _looked_up(naming, page, work)


def _looked_up(naming: _Naming, page: list[tuple[Any, int]], work: LookUps | None) -> Iterator[Needed]:
    told: dict[int, str] = {}
    records: dict[int, dict[str, Any]] = {}
    for place, (value, _) in enumerate(page):
        try:
            records[place] = naming.load(value)
        except ValidationError as error:
            told[place] = next(str(fault) for _, fault in faults_in(error.messages))
    findings: dict[int, list[MemberFault]] = {}
    if work is not None:
        findings = dict(
            zip(records, work.check_references(naming.table, list(records.values())), strict=True)
        )
    for place, (value, uses) in enumerate(page):
        wrong = next((each for each in findings.get(place, ()) if each.member == naming.member), None)
        message = told.get(place) or (None if wrong is None else str(wrong.fault))
        yield Needed(
            naming.name,
            naming.model.__name__,
            _told(value),
            uses,
            naming.required,
            found=None if work is None else message is None,
            message=message,
            hint=None if wrong is None else wrong.hint,
        )


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
