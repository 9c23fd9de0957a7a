"""The runs of one window on the fast path: their records as they are imported, and what is noted of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from histio.exporting.pages import known_texts
from histio.files.raw_runs import RawRun
from histio.importing.counts import Tally
from histio.importing.destination import Destination
from histio.importing.fast.repeated import identity_values
from histio.importing.parse import Prepared
from histio.importing.run import Outcome, Run
from histio.importing.update.compare import warn_of_changed
from histio.kinds.table import Kind
from histio.wire import encode


class Window:
    """The runs of one window on the fast path.

    Args:
        destination: The database.
        tally: Counts the outcomes of runs about which nothing is noted.

    Attributes:
        noted: By id of the raw run, the runs about which something is noted.
    """

    def __init__(self, destination: Destination, tally: Tally) -> None:
        self._destination = destination
        self._tally = tally
        self._prepared: dict[int, Prepared] = {}
        self._unlisted: dict[int, int] = {}
        self.noted: dict[int, Run] = {}

    def clear(self) -> None:
        """Forget all runs."""
        self._prepared.clear()
        self._unlisted.clear()
        self.noted.clear()

    def accepts(self, raw: RawRun) -> bool:
        """Whether a run has the form of its kind; remembers its record if it is imported in another form."""
        prepared = self._destination.reader.prepare(raw)
        if prepared is None:
            return False
        if prepared.record is not raw.record:
            self._prepared[id(raw)] = prepared
        return True

    def record(self, raw: RawRun) -> Any:
        """The record of an accepted run as it is imported."""
        return self._prepared[id(raw)].record if id(raw) in self._prepared else raw.record

    def uuid(self, kind: Kind, raw: RawRun) -> str:
        """The UUID of an accepted run, in lower case."""
        uuid: str = self.record(raw)[kind.identity.parts[0].name]
        return uuid.lower()

    def identities(self, kind: Kind, raw_runs: Sequence[RawRun]) -> list[Any]:
        """The identities of accepted runs, as their column takes them."""
        field: Any = kind.identity.parts[0].field
        return [field.from_wire(self.uuid(kind, raw)) for raw in raw_runs]

    def text(self, raw: RawRun) -> str:
        """The JSON text of an accepted run as it is imported."""
        record = self.record(raw)
        return encode(record) if raw.text is None or record is not raw.record else raw.text

    def is_cut(self, raw: RawRun) -> bool:
        """Whether times of the run were cut."""
        return id(raw) in self._prepared and bool(self._prepared[id(raw)].cuts)

    def note(self, kind: Kind, raw: RawRun) -> Run:
        """The run of *raw*, to note something about it."""
        run = self.noted.get(id(raw))
        if run is None:
            run = self.noted[id(raw)] = Run(kind, raw, identity_values(kind.table, self.record(raw)))
            if id(raw) in self._prepared:
                self._prepared[id(raw)].note(run)
        return run

    def count_warnings(self, raw: RawRun, number: int) -> None:
        """Count a *number* of warnings about *raw*, which are not listed."""
        self._unlisted[id(raw)] = number

    def forget(self, raw_runs: Sequence[RawRun]) -> None:
        """Forget what is noted about *raw_runs*."""
        for raw in raw_runs if self.noted or self._unlisted else ():
            self.noted.pop(id(raw), None)
            self._unlisted.pop(id(raw), None)

    def end(self, kind: Kind, raw_runs: Sequence[RawRun], outcome: Outcome) -> list[Run]:
        """Set the outcome of runs; count those about which nothing is noted, and return the others."""
        for raw in raw_runs if self._prepared else ():
            if id(raw) in self._prepared and self._prepared[id(raw)].is_noted:
                self.note(kind, raw)
        noted = [self.noted[id(raw)] for raw in raw_runs if id(raw) in self.noted] if self.noted else []
        for run in noted:
            run.outcome = outcome
        self._tally.count(kind.name, outcome, len(raw_runs) - len(noted))
        if self._unlisted:
            self._tally.count_warnings(sum(self._unlisted.pop(id(raw), 0) for raw in raw_runs))
        return noted

    def warn_of_changed(self, kind: Kind, raw_runs: Sequence[RawRun]) -> None:
        """Note values of written *raw_runs* that the database has changed."""
        destination = self._destination
        texts, _ = known_texts(destination.connection, kind, self.identities(kind, raw_runs))
        odd = [raw for raw in raw_runs if self.text(raw) != texts.get(self.uuid(kind, raw))]
        runs = [self.note(kind, raw) for raw in odd]
        for run in runs:
            run.values = destination.reader.read(run.raw).values
        warn_of_changed(destination, kind, runs)


def without(raw_runs: Sequence[RawRun], others: Sequence[RawRun]) -> list[RawRun]:
    """*raw_runs* without the *others*."""
    excluded = set(map(id, others))
    return [raw for raw in raw_runs if id(raw) not in excluded]
