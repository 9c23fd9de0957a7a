"""Compare two histories, run by run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from histio.bound import Bound
from histio.comparing.changes import Change, Resolve, RunComparison, Side
from histio.comparing.ordered import open_ordered
from histio.comparing.pairs import pair_runs
from histio.comparing.positions import Locator
from histio.comparing.sorter import Positioned
from histio.exporting.pages import export_runs
from histio.files import FilePath, GiB, Limits, MiB
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
        changes: What differs in the run; empty if only one history has it. Of a run of wrong form, the first
            100 changes.
        more: The number of further changes.
    """

    kind: str
    uuid: str
    only_in: Side | None = None
    changes: tuple[Change, ...] = ()
    more: int = 0

    def __str__(self) -> str:
        return self.describe("a", "b")

    def describe(self, a: str, b: str) -> str:
        """A text of one line or several, with what differs.

        Args:
            a: The name of the first history, such as ``file``.
            b: The name of the second history, such as ``database``.
        """
        run = f"{self.kind} {self.uuid}"
        if self.only_in is not None:
            return f"{run}: only in {a if self.only_in == 'a' else b}"
        more = [f"… and {self.more:,} more"] if self.more else []
        return "\n  ".join([f"{run}:", *(change.describe(a, b) for change in self.changes), *more])


def diff(
    a: FilePath | History,
    b: FilePath | History,
    *,
    history: History | None = None,
    max_bytes: int = 64 * GiB,
    max_line_bytes: int = 128 * MiB,
    max_depth: int = 64,
) -> Iterator[Difference]:
    """Compare two histories, and yield a `Difference` for each run that differs; memory is constant.

    Two exports have the same runs exactly if their ``sha256`` are equal, except that `Json` values such as 2
    and 2.0 are equal. Other records are compared by what they mean: ``"5.25"`` is ``"5.2500"``. If a file
    has a run several times, the last one counts.

    The catalogs of files are not compared, and neither are the rows that runs refer to.

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
        max_bytes: The maximum size of each uncompressed file, in bytes.
        max_line_bytes: The maximum size of a run in bytes.
        max_depth: The maximum depth of nested objects and lists in a run.

    Raises:
        DocumentError: A file is not a history, is damaged, or has an invalid line or record; raised before
            the first difference.
        ExportError: The format cannot hold some rows; raised after the runs of their kind that both have.
        ValueError: The histories have different formats, or a limit is not a positive integer.
    """
    histories = [each for each in (history, a, b) if isinstance(each, History)] or [History()]
    for other in histories[1:]:
        _check_formats(histories[0], other)
    return _differences(a, b, histories[0], Limits(max_bytes, max_line_bytes, max_depth))


def _check_formats(one: History, other: History) -> None:
    if one.version != other.version:
        raise ValueError(f"the histories have formats of different versions: {one.version}, {other.version}")
    kinds_of = [{_describe(kind) for kind in each.bound.kinds} for each in (one, other)]
    if kinds_of[0] != kinds_of[1]:
        kinds = " and ".join(", ".join(each.kinds) for each in (one, other))
        raise ValueError(f"the histories have different kinds, or identify their runs differently: {kinds}")


def _describe(kind: Kind) -> tuple[str, tuple[str, ...], str | None]:
    names = kind.table.names
    return kind.name, tuple(kind.identity.names), kind.timestamp and names[kind.timestamp]


def _differences(
    a: FilePath | History, b: FilePath | History, history: History, limits: Limits
) -> Iterator[Difference]:
    bound = history.bound
    with _open(a, bound, limits) as ours, _open(b, bound, limits) as theirs:
        comparison = _compare(ours, theirs)
        for position, found in pair_runs(ours.runs, theirs.runs):
            kind = bound.kinds[position.kind]
            if len(found) == 1:
                [side] = found
                yield Difference(kind.name, position.identity, only_in=side)
                continue
            kind = (ours.kinds or theirs.kinds).get(kind.name, kind)
            changes, more = comparison.find_changes(kind, found["a"], found["b"])
            if changes:
                yield Difference(kind.name, position.identity, changes=tuple(changes), more=more)


@dataclass(frozen=True, slots=True)
class _Opened:
    """One of the two histories, open for reading.

    Attributes:
        runs: Its runs, in the order of exports.
        kinds: The kinds of the database, by name; empty: it is a file.
        resolve: Resolves slugs in the database; None: it is a file.
    """

    runs: Iterator[Positioned]
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    resolve: Resolve | None = None


@contextmanager
def _open(source: FilePath | History, bound: Bound, limits: Limits) -> Iterator[_Opened]:
    if not isinstance(source, History):
        with open_ordered([source], bound, bound.kinds, limits) as files:
            yield _Opened(files.runs())
        return
    kinds = {kind.name: kind for kind in source.bound.kinds}
    locators = [Locator(kinds[kind.name], index) for index, kind in enumerate(bound.kinds)]
    with (
        source.bound.database.reading(None) as connection,
        open_look_ups(source.bound, connection) as look_ups,
    ):
        runs = (
            (locator.locate(record), record)
            for locator in locators
            for record in export_runs(connection, locator.kind)
        )
        yield _Opened(runs, kinds, look_ups.as_stored)


def _compare(a: _Opened, b: _Opened) -> RunComparison:
    if a.resolve is None and b.resolve is not None:
        return RunComparison("a", b.resolve)
    if b.resolve is None and a.resolve is not None:
        return RunComparison("b", a.resolve)
    return RunComparison()
