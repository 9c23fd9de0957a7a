"""What two histories say differently."""

from __future__ import annotations

import heapq
import itertools
import json
import marshal
import operator
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from histio.bound import Bound
from histio.comparing.ordered import Place, Placed, Placer, together
from histio.exporting.pages import export_runs
from histio.files import FilePath
from histio.files.scratch import Scratch
from histio.history import History
from histio.importing.execute import look_ups
from histio.importing.parse import canonical
from histio.kinds.table import Kind, Ledger, Table
from histio.pointer import pointer
from histio.wire import equal, shown

Side = Literal["a", "b"]
_Steps: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A member that two histories have otherwise in the same run.

    Attributes:
        pointer: RFC 6901 pointer into the run; an entry of a ledger has its place in *a*, or, where only *b*
            has it, in *b*. It leads to a whole ledger where the entries are in another order.
        a: What the first one says, in wire form; None: nothing. Of a whole ledger, the identities of its
            entries.
        b: What the second one says.
    """

    pointer: str
    a: Any
    b: Any

    def __str__(self) -> str:
        a, b = ("nothing" if each is None else shown(each) for each in (self.a, self.b))
        return f"{self.pointer}: {a} → {b}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A run that two histories have differently.

    Attributes:
        kind: The name of its kind.
        uuid: Its UUID, or what else identifies it in a host's format, in words.
        only_in: Which of them has it; None: both.
        changes: In what it differs, where both have it.
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
    """In what two histories differ, in constant memory; nothing: they have the same runs.

    Two exports have the same runs exactly if their ``sha256`` are equal, but for numbers such as 2 and 2.0 in
    values of `Json`, which are equal. Records that people have written are compared by what they mean:
    ``"5.25"`` is ``"5.2500"``, a member that is left out is null. If a run comes several times in one file,
    the last one counts. A file and a database are compared by the rows that slugs name, so another slug of
    the same row is no difference; two files, or two databases, are compared by the slugs.

    Kind by kind come first the runs that both have and that differ, then those that only one has; both in
    the order of exports (the former by the later time where that is what differs). Files are read twice,
    and need not be sorted; a database is read as it is at one moment, and until all is given its connection
    is held.

    Args:
        a: A file, as `History.import_file` takes it, or a history, which stands for its database.
        b: The other one.
        history: Tells what files may hold. None: *a* or *b* where one is a history, otherwise the bundled
            kinds.

    Raises:
        DocumentError: A file is no history, is damaged, or holds what is no run; before anything is given.
        ExportError: Rows that the format cannot hold, after the runs of their kind that both have.
        ValueError: The histories are of different formats.
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
        (ours, in_a), (theirs, in_b) = (stack.enter_context(_runs(each, bound)) for each in (a, b))
        # Slugs are resolved for a file and a database only: the database resolves those of the file.
        of_a, of_b = (in_b, None) if in_a is None else (None, in_a) if in_b is None else (None, None)
        apart = stack.enter_context(_Apart())
        both = heapq.merge(_of("a", ours), _of("b", theirs), key=operator.itemgetter(0))
        for number, of_kind in itertools.groupby(both, key=lambda each: each[0].kind):
            kind = bound.kinds[number]
            for uuid, found in _pairs(of_kind, apart):
                changed = tuple(_run_changes(kind, found["a"], found["b"], of_a, of_b))
                if changed:
                    yield Difference(kind.name, uuid, changes=changed)
            for uuid, side in apart.rest():
                yield Difference(kind.name, uuid, only_in=side)


@contextmanager
def _runs(given: FilePath | History, bound: Bound) -> Iterator[tuple[Iterator[Placed], _AsStored | None]]:
    """The runs of a file or database, in the order of exports; for a database, also what resolves slugs."""
    if not isinstance(given, History):
        with together([given], bound) as files:
            yield files.runs(), None
        return
    own = {kind.name: kind for kind in given.bound.kinds}
    placers = [Placer(own[kind.name], number) for number, kind in enumerate(bound.kinds)]
    with (
        given.bound.database.reading(None) as connection,
        look_ups(given.bound, connection) as work,
    ):

        def as_stored(kind: str, record: Any) -> Any:
            return canonical(own[kind].table, record, work.as_stored)

        runs = (
            (place(record), record) for place in placers for record in export_runs(connection, place.kind)
        )
        yield runs, as_stored


_AsStored: TypeAlias = Callable[[str, Any], Any]
"""Takes a kind's name and a record, and returns the record as an export of the database would write it."""

_Sided: TypeAlias = tuple[Place, Side, Any]


def _of(side: Side, runs: Iterator[Placed]) -> Iterator[_Sided]:
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


_text = json.JSONEncoder(sort_keys=True, default=repr).encode
"""A value such that equal texts are equal values: to Python, true is 1, and 1 is 1.0."""


def _run_changes(
    kind: Kind, a: Any, b: Any, of_a: _AsStored | None, of_b: _AsStored | None
) -> Iterator[Change]:
    """The changes between two runs; *of_a* and *of_b* resolve the slugs of *a* and *b*; None: keep them."""
    # Nearly all runs are equal as they stand, which their texts would tell too, but three times as slowly.
    with suppress(ValueError):
        if marshal.dumps(a, 2) == marshal.dumps(b, 2):
            return
    if _text(a) == _text(b):
        return
    table = kind.table
    changes = list(_changes(table, canonical(table, a), canonical(table, b), ()))
    if changes and (of_a or of_b):
        ours, theirs = (
            resolve(kind.name, record) if resolve else canonical(table, record)
            for resolve, record in ((of_a, a), (of_b, b))
        )
        changes = list(_changes(table, ours, theirs, ()))
    yield from changes


def _changes(table: Table, a: Mapping[str, Any], b: Mapping[str, Any], steps: _Steps) -> Iterator[Change]:
    """In what two records differ that stand at *steps* below their run."""
    ledgers = {table.names[ledger.member]: ledger for ledger in table.ledgers}
    for name in {**a, **b}:
        ours, theirs, at = a.get(name), b.get(name), (*steps, name)
        ledger = ledgers.get(name)
        if ledger is not None and _is_ledger(ledger, ours) and _is_ledger(ledger, theirs):
            yield from _ledger_changes(ledger, ours, theirs, at)
        elif not equal(ours, theirs):
            yield Change(pointer(*at), ours, theirs)


def _is_ledger(ledger: Ledger, value: Any) -> bool:
    """Whether *value*, which may be of a record that cannot be loaded, is made of entries."""
    if value is None:
        return True
    if ledger.many:
        return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    return isinstance(value, dict)


def _ledger_changes(ledger: Ledger, a: Any, b: Any, steps: _Steps) -> Iterator[Change]:
    """In what the ledgers at *steps* differ, entry by entry."""
    table = ledger.table
    if not ledger.many:
        both = a is not None and b is not None
        yield from _changes(table, a, b, steps) if both else [Change(pointer(*steps), a, b)] * (a is not b)
        return
    here, there = _keyed(table, a or [], b or [])
    for key, (place, entry) in here.items():
        if key in there:
            yield from _changes(table, entry, there[key][1], (*steps, place))
        else:
            yield Change(pointer(*steps, place), entry, None)
    for key, (place, entry) in there.items():
        if key not in here:
            yield Change(pointer(*steps, place), None, entry)
    if [key for key in here if key in there] != [key for key in there if key in here]:
        yield Change(
            pointer(*steps),
            *([_id_of(table, entry) for _, entry in each.values()] for each in (here, there)),
        )


def _id_of(table: Table, entry: Mapping[str, Any]) -> Any:
    """The identity of an *entry* as in its record: a list if it has several members."""
    values = [entry.get(name) for name in (table.identity.names if table.identity is not None else ())]
    return values[0] if len(values) == 1 else values


_Keyed: TypeAlias = dict[Any, tuple[int, dict[str, Any]]]


def _keyed(table: Table, *ledgers: list[dict[str, Any]]) -> list[_Keyed]:
    """The entries of *ledgers*, with their places, by what identifies them; else by the places."""
    known = table.identity is not None
    keys: list[Any] = [[_text(_id_of(table, entry)) for entry in entries] for entries in ledgers if known]
    if not all(len(set(each)) == len(each) for each in keys) or not known:
        keys = [range(len(entries)) for entries in ledgers]
    return [
        dict(zip(own, enumerate(entries), strict=True)) for own, entries in zip(keys, ledgers, strict=True)
    ]
