"""Compare two histories, run by run."""

from __future__ import annotations

import heapq
import itertools
import operator
import pickle
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from histio.bound import Bound
from histio.comparing.changes import Change, Resolve, RunComparison, Side
from histio.comparing.ordered import Place, Placed, Placer, together
from histio.exporting.pages import export_runs
from histio.files import FilePath
from histio.files.scratch import Scratch
from histio.history import History
from histio.importing.execute import open_look_ups
from histio.kinds.table import Kind


@dataclass(frozen=True, slots=True)
class Difference:
    """A run that differs between two histories.

    Attributes:
        kind: The name of its kind.
        uuid: Its UUID, or the text of its identity if a host's format identifies runs by other members.
        only_in: The history that has it; None: both have it.
        changes: What differs in the run; empty if only one history has it.
    """

    kind: str
    uuid: str
    only_in: Side | None = None
    changes: tuple[Change, ...] = ()

    def __str__(self) -> str:
        run = f"{self.kind} {self.uuid}"
        if self.only_in is not None:
            return f"{run}: only in {self.only_in}"
        return "\n  ".join([f"{run}:", *map(str, self.changes)])


def diff(
    a: FilePath | History, b: FilePath | History, *, history: History | None = None
) -> Iterator[Difference]:
    """Compare two histories, and yield a `Difference` for each run that differs; memory is constant.

    Two exports have the same runs exactly if their ``sha256`` are equal, except that `Json` values such as 2
    and 2.0 are equal. Other records are compared by what they mean: ``"5.25"`` is ``"5.2500"``. If a file
    has a run several times, the last one counts.

    A file and a database are compared as ``on_duplicate="verify"`` does: members that the file leaves out
    are not compared, and slugs of the same row are equal. Of two files or two databases, a member that one
    leaves out is null, and slugs are compared as text.

    For each kind, the runs that both have come first, in the order of exports; then those that only one has.
    A run whose time differs comes at the later time. Files need not be sorted; they are read twice. A
    database is read as of one moment, and its connection is held until the iterator is exhausted.

    Args:
        a: A file, as `History.import_file` takes it, or a history, whose database is compared.
        b: The other one.
        history: The kinds of run that files may hold. None: those of *a* or *b* if one is a history,
            otherwise the bundled kinds.

    Raises:
        DocumentError: A file is not a history, is damaged, or holds something other than runs; raised before
            the first difference.
        ExportError: The format cannot hold some rows; raised after the runs of their kind that both have.
        ValueError: The histories have different formats.
    """
    histories = [each for each in (history, a, b) if isinstance(each, History)] or [History()]
    for other in histories[1:]:
        _check_alike(histories[0], other)
    return _differences(a, b, histories[0])


def _check_alike(one: History, other: History) -> None:
    if one.version != other.version:
        raise ValueError(f"the histories have formats of different versions: {one.version}, {other.version}")
    described = [{_described(kind) for kind in each.bound.kinds} for each in (one, other)]
    if described[0] != described[1]:
        kinds = " and ".join(", ".join(each.kinds) for each in (one, other))
        raise ValueError(f"the histories have different kinds, or identify their runs differently: {kinds}")


def _described(kind: Kind) -> tuple[str, tuple[str, ...], str | None]:
    names = kind.table.names
    return kind.name, tuple(kind.identity.names), kind.timestamp and names[kind.timestamp]


def _differences(a: FilePath | History, b: FilePath | History, history: History) -> Iterator[Difference]:
    bound = history.bound
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(_open(each, bound)) for each in (a, b))
        comparison = _comparison(ours, theirs)
        apart = stack.enter_context(_Apart())
        both = heapq.merge(_sided("a", ours.runs), _sided("b", theirs.runs), key=operator.itemgetter(0))
        for number, of_kind in itertools.groupby(both, key=lambda each: each[0].kind):
            name = bound.kinds[number].name
            kind = (ours.kinds or theirs.kinds or {}).get(name, bound.kinds[number])
            for uuid, found in _pairs(of_kind, apart):
                changes = comparison.changes(kind, found["a"], found["b"])
                if changes:
                    yield Difference(name, uuid, changes=tuple(changes))
            for uuid, side in apart.rest():
                yield Difference(name, uuid, only_in=side)


@dataclass(frozen=True, slots=True)
class _Opened:
    """One of the two histories, open for reading.

    Attributes:
        runs: Its runs, in the order of exports.
        kinds: The kinds of the database, by name; empty: it is a file.
        resolve: Resolves slugs in the database; None: it is a file.
    """

    runs: Iterator[Placed]
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    resolve: Resolve | None = None


@contextmanager
def _open(given: FilePath | History, bound: Bound) -> Iterator[_Opened]:
    if not isinstance(given, History):
        with together([given], bound) as files:
            yield _Opened(files.runs())
        return
    kinds = {kind.name: kind for kind in given.bound.kinds}
    placers = [Placer(kinds[kind.name], number) for number, kind in enumerate(bound.kinds)]
    with (
        given.bound.database.reading(None) as connection,
        open_look_ups(given.bound, connection) as work,
    ):
        runs = (
            (place(record), record) for place in placers for record in export_runs(connection, place.kind)
        )
        yield _Opened(runs, kinds, work.as_stored)


def _comparison(a: _Opened, b: _Opened) -> RunComparison:
    if a.resolve is None and b.resolve is not None:
        return RunComparison("a", b.resolve)
    if b.resolve is None and a.resolve is not None:
        return RunComparison("b", a.resolve)
    return RunComparison()


_Sided: TypeAlias = tuple[Place, Side, Any]


def _sided(side: Side, runs: Iterator[Placed]) -> Iterator[_Sided]:
    return ((place, side, record) for place, record in runs)


def _pairs(runs: Iterator[_Sided], apart: _Apart) -> Iterator[tuple[str, dict[Side, Any]]]:
    """The identities of the *runs* that both sides have, with the records; the others are put *apart*.

    A run with another time on either side stands at two places: at the second one, its pair is found.
    """
    for place, at_place in itertools.groupby(runs, key=operator.itemgetter(0)):
        found: dict[Side, Any] = {side: record for _, side, record in at_place}
        if len(found) == 1:
            [(side, record)] = found.items()
            found |= apart.other(place, side)
            if len(found) == 1:
                apart.put(place, side, record)
                continue
        yield place.identity, found


class _Apart(Scratch):
    """Runs of one kind and one side that have not been met on the other side yet, on disk."""

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE apart (side TEXT, time TEXT, rank TEXT, identity TEXT PRIMARY KEY, record BLOB);"
        )

    def put(self, place: Place, side: Side, record: Any) -> None:
        """Put a run aside."""
        row = (side, place.time, place.rank, place.identity, pickle.dumps(record))
        self._database.execute("INSERT OR REPLACE INTO apart VALUES (?, ?, ?, ?, ?)", row)

    def other(self, place: Place, side: Side) -> dict[Side, Any]:
        """What the side that is not this one has put aside with the same identity; it is taken away."""
        among = "FROM apart WHERE identity = ? AND side <> ?"
        rows = self._database.execute(f"SELECT side, record {among}", (place.identity, side)).fetchall()
        if rows:
            self._database.execute(f"DELETE {among}", (place.identity, side))
        return {other: pickle.loads(record) for other, record in rows}  # noqa: S301 - written above

    def rest(self) -> Iterator[tuple[str, Side]]:
        """Identities and sides of what no one has taken, in order; nothing is left then."""
        yield from self._database.execute("SELECT identity, side FROM apart ORDER BY time, rank")
        self._database.execute("DELETE FROM apart")
