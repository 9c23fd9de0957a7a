"""Import the catalog rows of a file, before its runs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack

from sqlalchemy.engine import Connection

from histio.bound import Bound
from histio.database.dialects import stored_keys
from histio.database.sessions import Habits
from histio.files.raw_runs import RawItem, RawRun, UnreadableLine
from histio.importing.counts import Tally
from histio.importing.destination import Destination, note_keys
from histio.importing.model_behavior import Creation
from histio.importing.parse import Reader
from histio.importing.plan import plan_imports
from histio.importing.run import OnCatalog
from histio.importing.spool import Spool
from histio.importing.transaction import Import
from histio.importing.windows import windows
from histio.kinds.table import Kind
from histio.report import Problem


class CatalogImport(ExitStack):
    """The import of the catalog rows of one file.

    Args:
        bound: The history, with the catalog kinds as its kinds.
        items: The catalog rows, and unreadable lines among them.
        on_catalog: What to do with the rows.
        reader: Reads them.
        tally: Counts the outcome of every row.
        compare: Whether to compare each written row with what the database stores of it.
        open_one: `open_destination` with the options of the import.

    Attributes:
        absent: Remembers rows that are ignored or rejected, by the keys by which runs may refer to them.
    """

    def __init__(
        self,
        bound: Bound,
        items: Iterable[RawItem],
        on_catalog: OnCatalog,
        *,
        reader: Reader,
        tally: Tally,
        compare: bool,
        open_one: Callable[..., Destination],
    ) -> None:
        super().__init__()
        self._bound = bound
        self._items = items
        self._on_catalog = on_catalog
        self._reader = reader
        self._tally = tally
        self._compare = compare
        self._open_one = open_one
        self._is_taken = False
        self._spool = self.enter_context(Spool())
        self.absent: Spool = self.enter_context(Spool())
        self.creations: Mapping[str, Creation] = {}

    def take(self, connection: Connection, habits: Habits) -> Import | None:
        """Import the rows in the transaction of *connection*.

        Returns:
            None if they are only checked, or were taken by an earlier transaction.
        """
        if self._is_taken:
            return None
        self._is_taken = True
        if self._on_catalog == "ignore":
            self._check(connection)
            return None
        destination = self._open_one(connection, self._bound, spool=self._spool)
        self.creations = destination.plan.creations(habits)
        transaction = Import(
            destination,
            tally=self._tally,
            habits=habits,
            creations=self.creations,
            on_duplicate="update" if self._on_catalog == "update" else "skip",
            compare=self._compare,
        )
        with self._tally.calling(functools.partial(note_keys, self.absent, destination.dependencies)):
            transaction.take(self._items, last=True)
        for kind in self._bound.kinds:
            within = destination.identities.scope(kind.table)
            if self._tally.has_imported(kind) and not _is_protected(connection, kind, within):
                self._tally.note(_warn_of_rivals(kind))
        return transaction

    def _check(self, connection: Connection) -> None:
        """Check the form of the rows, and remember their keys."""
        dependencies = plan_imports(self._bound, connection.dialect).dependencies
        for item, _ in itertools.chain.from_iterable(windows((item, None) for item in self._items)):
            if isinstance(item, UnreadableLine):
                self._tally.refuse(item)
                continue
            row = self._reader.read(item)
            if row.problems:
                row.outcome = "rejected"
                self._tally.add(row)
            else:
                note_keys(self.absent, dependencies, row)
                self._tally.count(row.kind.name, "skipped", 1)


def _is_protected(connection: Connection, kind: Kind, within: Collection[object]) -> bool:
    """Whether the database keeps two rows of *kind* from having the same identity, *within* some columns."""
    own = {*kind.identity.columns, *within}
    table = kind.identity.columns[0].table
    keys = [list(table.primary_key.columns), *(columns for _, columns in stored_keys(connection, table))]
    return any(own.issuperset(columns) for columns in keys)


def _warn_of_rivals(kind: Kind) -> Problem:
    text = (
        f"The database may keep two rows of {kind.name} with the same {kind.identity.title}: if another "
        "import creates rows at the same time, there may be two of some, which no run can name."
    )
    return Problem("warning", "duplicate", text, kind=kind.name)


def split_catalog(
    items: Iterator[RawItem], catalog: Collection[str]
) -> tuple[Iterator[RawItem] | None, Iterator[RawItem]]:
    """Split the *items* of a file into its catalog rows and its runs.

    Args:
        items: Catalog rows, then runs.
        catalog: The names of the catalog kinds.

    Returns:
        The catalog rows, with the unreadable lines before the first run, or None if it begins with a run; and
        the other items, which have to be taken after those.
    """
    first: list[RawItem] = []  # at most one item, which was read and belongs to what comes next

    def is_run(item: RawItem) -> bool:
        return isinstance(item, RawRun) and item.kind not in catalog

    def read_rows() -> Iterator[RawItem]:
        for item in itertools.chain(first.copy(), items):
            first.clear()
            if is_run(item):
                first.append(item)
                return
            yield item

    def read_runs() -> Iterator[RawItem]:
        yield from first
        yield from items

    first.extend(itertools.islice(items, 1))
    return read_rows() if first and not is_run(first[0]) else None, read_runs()
