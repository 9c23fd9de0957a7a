"""The runs of files in the order of exports: sorted on disk where they come in another one."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import heapq
import itertools
import math
import operator
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from marshmallow import ValidationError, missing

from histio.bound import Bound
from histio.errors import DocumentError
from histio.files import FilePath, Source, check_damage, reading
from histio.files.raw_runs import RawRun, UnreadableLine
from histio.files.reading import Reading
from histio.files.scratch import Scratch
from histio.files.streams import Seal
from histio.files.writing import lines
from histio.importing.run import Run
from histio.kinds.fields import Epoch, RunUUID, UtcTimestamp
from histio.kinds.table import Kind
from histio.report import KEPT, Fault, Problem
from histio.wire import encoded, faults_in


class Place(NamedTuple):
    """Where a run stands in the order of exports.

    Attributes:
        kind: The 0-based place of its kind.
        time: When it was, as text that sorts as times do; empty for runs without a time.
        rank: Its identity, as text that sorts as identities do.
        identity: The same in words.
    """

    kind: int
    time: str
    rank: str
    identity: str


Placed: TypeAlias = tuple[Place, Any]
"""A record, after its place."""


_USUAL_UUID = re.compile("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch
_USUAL_TIME = re.compile(r"([0-9-]{10}T[0-9:]{8})(\.[0-9]{6})?Z").fullmatch


class Placer:
    """Tells the places of runs of *kind*, which is the one of this *number*."""

    def __init__(self, kind: Kind, number: int) -> None:
        self.kind = kind
        self._number = number
        table = kind.table
        self._hooked = table.schema.is_hooked
        members = [*kind.identity.members, *([] if kind.timestamp is None else [kind.timestamp])]
        self._members = [(member, table.names[member], table.fields[member]) for member in members]
        types = [type(field) for _, _, field in self._members]
        usual = types in ([RunUUID], [RunUUID, UtcTimestamp], [RunUUID, Epoch])
        self._is_usual = usual and kind.identity.is_uuid and not self._hooked

    def __call__(self, record: Any) -> Place:
        """The place of *record*.

        Raises:
            ValidationError: Nothing identifies it.
        """
        glanced = self._glance(record) if self._is_usual and isinstance(record, dict) else None
        return self._read(record) if glanced is None else glanced

    def _glance(self, record: dict[str, Any]) -> Place | None:
        """The place of a *record* that says it as exports do: that is most of them, and to read is slow."""
        uuid, *times = (record.get(name) for _, name, _ in self._members)
        if not isinstance(uuid, str) or not _USUAL_UUID(uuid):
            return None
        usual = [_USUAL_TIME(time) for time in times if isinstance(time, str)]
        if len(usual) < len(times) or None in usual:
            return None
        [moment] = [f"{found[1]}{found[2] or '.000000'}" for found in usual if found] or [""]
        return Place(self._number, moment, uuid, uuid)

    def _read(self, record: Any) -> Place:
        kind = self.kind
        values = self._values(record)
        absent = [member for member in kind.identity.members if _given(values, member) is None]
        if absent:
            fault = Fault("Missing data for required field.")
            raise ValidationError({kind.table.names[member]: [fault] for member in absent})
        identity, time = kind.identity.of(values), _given(values, kind.timestamp)
        field = kind.table.fields.get(kind.timestamp or "")
        time = field.moment(time) if isinstance(field, Epoch) and time is not None else time
        moment = "" if time is None else _sortable(time, str(time))
        return Place(self._number, moment, self._rank(identity), kind.named(identity))

    def _rank(self, identity: Any) -> str:
        """*identity* as text that sorts as its parts do, one after the other: no text holds a NUL."""
        own = self.kind.identity
        pairs = zip(own.parts, own.values(identity), strict=True)
        return "\0".join(_sortable(value, str(part.wire(value))) for part, value in pairs)

    def _values(self, record: Any) -> Mapping[str, Any]:
        """What *record* says of its identity and its time, at least."""
        if self._hooked:
            try:
                return self.kind.table.schema.load(copy.deepcopy(record))  # type: ignore[no-any-return]
            except ValidationError as error:
                valid = error.valid_data
                if isinstance(valid, dict) and valid.keys() >= set(self.kind.identity.members):
                    return valid
                raise
        if not isinstance(record, Mapping):
            raise ValidationError([Fault("Invalid input type.")])
        values = {}
        for member, name, own in self._members:
            try:
                values[member] = own.deserialize(record.get(name, missing))
            except ValidationError as error:
                if member in self.kind.identity.members:
                    raise ValidationError({name: error.messages}) from None
        return values


def _given(values: Mapping[str, Any], member: str | None) -> Any:
    value = None if member is None else values.get(member)
    return None if value is missing else value


_MIDDLE, _WIDTH, _FRACTION = 10**110, 111, 10**40


def _sortable(value: Any, words: str) -> str:
    """*value* as text that sorts, by code point, as databases sort the value."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.timedelta):
        value = value // dt.timedelta(microseconds=1)
    if isinstance(value, int | float | Decimal):
        return f"{math.floor(Fraction(value) * _FRACTION) + _MIDDLE:0{_WIDTH}}"
    return words


_BATCH = 500
_TABLES = """
CREATE TABLE seen (kind INTEGER, identity TEXT, number INTEGER);
CREATE TABLE repeated (kind INTEGER, identity TEXT, last INTEGER, PRIMARY KEY (kind, identity)) WITHOUT ROWID;
CREATE TABLE sorted (kind INTEGER, time TEXT, rank TEXT, identity TEXT, record BLOB);
"""


class _Shelf(Scratch):
    """Keeps of runs, on disk, what puts them in order."""

    def __init__(self) -> None:
        super().__init__(_TABLES)
        self._any_repeated = False

    def see(self, rows: Iterable[tuple[int, str, int]]) -> None:
        """Note kind and identity of runs, each with its number."""
        self._database.executemany("INSERT INTO seen VALUES (?, ?, ?)", rows)

    def note_repeated(self) -> None:
        """After all were seen, find out which came several times."""
        self._database.execute(
            "INSERT INTO repeated SELECT kind, identity, MAX(number) FROM seen "
            "GROUP BY kind, identity HAVING COUNT(*) > 1"
        )
        self._database.execute("DROP TABLE seen")
        self._any_repeated = bool(self._database.execute("SELECT 1 FROM repeated LIMIT 1").fetchall())

    def is_last(self, place: Place, number: int) -> bool:
        """Whether the run of this *number* is the last one with its identity."""
        if not self._any_repeated:
            return True
        last = "SELECT last FROM repeated WHERE kind = ? AND identity = ?"
        row = self._database.execute(last, (place.kind, place.identity)).fetchone()
        return row is None or row[0] == number

    def sort(self, runs: Iterator[Placed]) -> None:
        """Put *runs* among those that `sorted` gives."""
        while batch := [(*place, pickle.dumps(record)) for place, record in itertools.islice(runs, _BATCH)]:
            self._database.executemany("INSERT INTO sorted VALUES (?, ?, ?, ?, ?)", batch)

    def sorted(self) -> Iterator[Placed]:
        """The runs that were to be sorted."""
        self._database.execute("CREATE INDEX place ON sorted (kind, time, rank)")
        for *place, record in self._database.execute("SELECT * FROM sorted ORDER BY kind, time, rank"):
            yield Place(*place), pickle.loads(record)  # noqa: S301 - written above, in a file without name


@dataclass(slots=True)
class Part:
    """One of several files.

    Attributes:
        name: What messages call it.
        file: What is read.
        first: The number of its first run among those of all files.
        in_order: Whether its runs are in the order of exports.
        seal: That which an export of its runs would have.
    """

    name: str
    file: Reading
    first: int = 0
    in_order: bool = True
    seal: Seal = field(default_factory=Seal)


class Together:
    """Files as one history.

    Attributes:
        parts: The files.
        kinds: The names of the kinds that have runs.
    """

    def __init__(self, parts: Sequence[Part], bound: Bound, shelf: _Shelf) -> None:
        self.parts = parts
        self.kinds: set[str] = set()
        self._versions = bound.versions
        self._placers = {kind.name: Placer(kind, number) for number, kind in enumerate(bound.kinds)}
        self._shelf = shelf

    def verify(self) -> None:
        """Read all through.

        Raises:
            DocumentError: A file is damaged, or has invalid runs; it has the first thousand problems.
        """
        sealed = any("follows" in part.file.header for part in self.parts)
        number = 0
        for part in self.parts:
            part.first = number
            problems: list[Problem] = []
            with _naming(part.name):
                placed = self._read(part, problems, again=True, sealed=sealed)
                before = Place(-1, "", "", "")
                while places := [place for place, _ in itertools.islice(placed, _BATCH)]:
                    self._shelf.see((each.kind, each.identity, number + n) for n, each in enumerate(places))
                    part.in_order = part.in_order and all(map(operator.le, [before, *places], places))
                    before = places[-1]
                    number += len(places)
                if problems:
                    raise DocumentError((*part.file.damage, *problems))
                check_damage(part.file)
        self._shelf.note_repeated()

    def _read(
        self, part: Part, problems: list[Problem], *, again: bool = False, sealed: bool = False
    ) -> Iterator[Placed]:
        for item in part.file.items(again=again):
            if len(problems) >= KEPT:
                return
            if isinstance(item, UnreadableLine):
                problems.append(item.problem)
                continue
            placer = self._placers[item.kind]
            if sealed:
                with contextlib.suppress(ValueError):  # the record was not exported by histio
                    part.seal.add(lines(item.kind, [encoded(item.record)]))
            record, fault = self._versions.upgrade(item.kind, item.record, part.file.version)
            faults: list[tuple[tuple[str | int, ...], Fault]] = [] if fault is None else [((), fault)]
            try:
                place = placer(record)
            except ValidationError as error:
                faults += faults_in(error.messages)
            except Exception as error:  # noqa: BLE001 - hooks of the host's may raise whatever they like
                faults.append(((), Fault(f"Cannot be loaded: {type(error).__name__}: {error}")))
            if faults:
                problems += _told(placer.kind, item, faults)
            else:
                self.kinds.add(item.kind)
                yield place, record

    def runs(self) -> Iterator[Placed]:
        """The runs in the order of exports; of one that comes several times, the last."""
        for part in self.parts:
            if not part.in_order:
                self._shelf.sort(self._last(part))
        in_order = [self._last(part) for part in self.parts if part.in_order]
        return heapq.merge(*in_order, self._shelf.sorted(), key=operator.itemgetter(0))

    def _last(self, part: Part) -> Iterator[Placed]:
        for number, (place, record) in enumerate(self._read(part, []), part.first):
            if self._shelf.is_last(place, number):
                yield place, record
        with _naming(part.name):
            check_damage(part.file)  # it may have changed since it was read through


def _told(kind: Kind, raw: RawRun, faults: Iterable[tuple[tuple[str | int, ...], Fault]]) -> list[Problem]:
    run = Run(kind, raw)
    for steps, fault in faults:
        run.note(fault, *steps)
    return run.problems


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """A block whose DocumentErrors name the file."""
    try:
        yield
    except DocumentError as error:
        raise DocumentError(
            tuple(
                each if name in each.message else replace(each, message=f"{name}: {each.message}")
                for each in error.problems
            )
        ) from None


@contextmanager
def together(paths: Iterable[FilePath], bound: Bound) -> Iterator[Together]:
    """The files at *paths* as one history, read through and found right.

    Raises:
        DocumentError: A file is not a history, is damaged, or has an invalid run.
        OSError: One cannot be read.
    """
    with ExitStack() as stack:
        parts = []
        for path in paths:
            source = stack.enter_context(Source(path))
            with _naming(source.name):
                parts.append(Part(source.name, stack.enter_context(reading(source, bound.gate, bound.kinds))))
        one = Together(parts, bound, stack.enter_context(_Shelf()))
        one.verify()
        yield one
