"""Read raw runs: upgrade, validate and load their records, and note all problems of their form."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from marshmallow import ValidationError

from histio.bound import Bound
from histio.doubles import find_rounded
from histio.files.raw_runs import RawRun
from histio.importing.cut_times import Cut, Truncation
from histio.importing.fault_counts import MOST_EXPLAINED, FaultCounter
from histio.importing.load import NoRecordError, RecordLoader, find_loader
from histio.importing.renames import Renamed, Renamer, Renames
from histio.importing.run import Run
from histio.kinds.canonical import canonicalize
from histio.kinds.fields import Json
from histio.kinds.table import Kind
from histio.kinds.walk import Steps
from histio.log import log_handled
from histio.report import LISTED, Fault
from histio.wire import faults_in, quote

_SMALL = 4_096
"""The length of JSON text that cannot have so many faults that explaining all of them takes long."""


def current_record(bound: Bound, kind: Kind, record: Any, version: str) -> Any:
    """*record*, upgraded from *version* to the current one, and as the host's hooks change it."""
    upgraded, _ = bound.versions.upgrade(kind.name, record, version)
    return canonicalize(kind.table, upgraded) if kind.is_hooked else upgraded


@dataclass(frozen=True, slots=True)
class Prepared:
    """A record that the gate has accepted, in the form in which it is imported.

    Attributes:
        record: The record in the current version, as hooks change it, with slugs renamed.
        cuts: Its times that were cut.
        renamed: The slugs that were renamed.
        loader: Loads it.
    """

    record: Any
    cuts: Sequence[Cut]
    renamed: Sequence[Renamed]
    loader: RecordLoader

    @property
    def is_noted(self) -> bool:
        """Whether the report tells how the record was changed."""
        return bool(self.cuts or self.renamed)

    def note(self, run: Run) -> None:
        """Note in *run* how the record was changed."""
        run.note_cuts(self.cuts)
        for each in self.renamed:
            run.note_renaming(*each)


class Reader:
    """Reads raw runs: upgrades, validates and loads their records.

    Args:
        bound: The kinds of run and of catalog row, their JSON Schema and the versions of their format.
        version: The version of the format that the records have, unless a raw run has another one.
        renames: By member name, slugs to read as other slugs.

    Attributes:
        version: The version of the format that the records have.

    Raises:
        TypeError: *renames*, or a value of it, is not a mapping.
        ValueError: *renames* has a member that is not a slug, or a new slug that is not valid.
    """

    def __init__(self, bound: Bound, version: str, renames: Renames) -> None:
        self._renamer = Renamer(renames, bound.kinds, bound.catalog) if renames else None
        self._kinds = {kind.name: kind for kind in (*bound.catalog, *bound.kinds)}
        self.version = version
        self._gate = bound.gate
        self._versions = bound.versions
        self._truncation: Truncation | None = None

    @functools.cached_property
    def _fault_counter(self) -> FaultCounter:
        return FaultCounter()

    def truncating(self, truncation: Truncation) -> Self:
        """A reader that cuts times."""
        other = copy.copy(self)
        other._truncation = truncation  # noqa: SLF001 - an object of this class
        return other

    def accepts(self, raw: RawRun) -> bool:
        """Whether *raw* is well-formed as it was read, as far as the gate alone can tell."""
        if self._renamer is not None or (raw.version or self.version) != self._versions.current:
            return False
        raw.accepted = raw.accepted or self._gate.accepts(raw.kind, raw.record, decoded=raw.is_plain)
        return raw.accepted

    def prepare(self, raw: RawRun) -> Prepared | None:
        """The record of *raw* as it is imported, if the gate accepts it; None: `read` knows more."""
        record, cuts, fault = self._upgrade(raw)
        return None if fault is not None else self._prepare(raw, record, cuts)

    def _upgrade(self, raw: RawRun) -> tuple[Any, Sequence[Cut], Fault | None]:
        """The record of *raw* in the current version, with its times cut; or the fault of the upgrade."""
        record, fault = raw.record, None
        version = raw.version or self.version
        if version != self._versions.current:
            record, fault = self._versions.upgrade(raw.kind, record, version)
        if fault is not None or self._truncation is None:
            return record, (), fault
        return *self._truncation.cut(self._kinds[raw.kind].table, record), None

    def _prepare(self, raw: RawRun, record: Any, cuts: Sequence[Cut]) -> Prepared | None:
        is_current = (raw.version or self.version) == self._versions.current
        decoded = raw.is_plain and is_current  # upgrades may return anything
        raw.accepted = raw.accepted or self._gate.accepts(raw.kind, record, decoded=decoded)
        table = self._kinds[raw.kind].table
        loader = find_loader(table.schema) if raw.accepted else None
        if loader is None:
            return None
        if loader.prepares or loader.calls_hooks:
            try:
                record = self._call_hooks(raw.kind, loader, record)
            except Exception as error:  # noqa: BLE001 - hooks of the host may raise anything
                log_handled("a hook refuses a record", error)
                return None
        renamed: Sequence[Renamed] = ()
        if self._renamer is not None:
            record, renamed = self._renamer.rename(table, record)
        return None if record is None else Prepared(record, cuts, renamed, loader)

    def _call_hooks(self, kind: str, loader: RecordLoader, record: Any) -> Any:
        """*record* as hooks of the host change it; the gate accepts it before and after that."""
        if loader.prepares:
            record = loader.prepare(copy.deepcopy(record))
            self._check_result(kind, record)
        changed = loader.call_hooks(self._kinds[kind].table, record)
        if changed is not record:
            self._check_result(kind, changed)
        return changed

    def _check_result(self, kind: str, record: Any) -> None:
        if not self._gate.accepts(kind, record):
            raise NoRecordError

    def read(self, raw: RawRun) -> Run:
        """The run of *raw*, with the problems of its form."""
        run = Run(self._kinds[raw.kind], raw)
        record, cuts, fault = self._upgrade(raw)
        if fault is not None:
            run.note(fault)
            return run
        prepared = self._prepare(raw, record, cuts)
        if prepared is not None and self._load_accepted(run, prepared):
            return run
        self._check_and_load(run, record)
        run.note_cuts(cuts)
        run.well_formed = not run.problems
        raw.accepted = run.well_formed  # a run that waits is read again
        if self._renamer is not None:
            self._renamer.apply(run)
        return run

    def _load_accepted(self, run: Run, prepared: Prepared) -> bool:
        """Load a record that the gate has accepted into *run*; return whether its fields do so, too."""
        try:
            run.values = prepared.loader.unhooked.load(prepared.record)
        except Exception as error:  # noqa: BLE001 - fields of the host may raise anything
            log_handled(f"{run.place} cannot be loaded", error)
            return False
        self._note_rounded(run)
        prepared.note(run)
        run.well_formed = not run.problems
        run.raw.accepted = run.well_formed  # a run that waits is read again
        return True

    def _check_and_load(self, run: Run, record: Any) -> None:
        """Load the *record* of *run* with marshmallow, and note all problems of its form."""
        if not (isinstance(record, Mapping) or run.kind.is_hooked):  # cheaper than what follows
            run.note(Fault(run.kind.table.schema.error_messages["type"]))
            return
        if run.raw.accepted or not self._explain_part(run, record):
            self._load(run, record)
        if not run.problems:
            self._check_against_schema(run, record)

    def _load(self, run: Run, record: Any) -> None:
        """Load *record* into the values of *run*, and note what marshmallow refuses."""
        kind = run.kind
        try:
            # A hook of the host may change the record.
            run.values = kind.table.schema.load(copy.deepcopy(record) if kind.is_hooked else record)
            self._note_rounded(run)
        except RecursionError:
            run.note(Fault("Nested too deeply."))
        except ValidationError as error:
            run.values = error.valid_data if isinstance(error.valid_data, dict) else {}
            for steps, fault in _flatten(error.messages, record, ()):
                run.note(fault, *steps)
        except Exception as error:  # noqa: BLE001 - hooks of the host may raise anything
            log_handled(f"{run.place} cannot be loaded", error)
            run.note(Fault(f"Cannot be loaded: {type(error).__name__}: {error}"))

    def _note_rounded(self, run: Run) -> None:
        """Note the numbers that a host's field for JSON has taken, although a double cannot hold them."""
        names = run.kind.table.names
        for (member, *steps), number in find_rounded(run.values) if self._gate.has_json else ():
            error = Json().make_error("precision", number=quote(number), stored=number.double)
            [(_, fault)] = faults_in(error.messages)
            run.note(fault, names.get(str(member), member), *steps)

    def _explain_part(self, run: Run, record: Any) -> bool:
        """If *record* has very many faults, note the first ones and count the others.

        Nothing else is checked then, so only the identity of the run is read.
        """
        schema = run.kind.table.schema
        count = 0 if 0 < run.raw.size <= _SMALL else self._fault_counter.count(schema, record)
        if count <= MOST_EXPLAINED:
            return False
        self._load(run, self._fault_counter.shorten(schema, record, LISTED))
        run.problems.add_unlisted(max(0, count - run.problems.count))
        identity = run.kind.identity.members
        run.values = {member: value for member, value in run.values.items() if member in identity}
        return True

    def _check_against_schema(self, run: Run, record: Any) -> None:
        """Note what the JSON Schema refuses although marshmallow loads it."""
        raw, kind = run.raw, run.kind
        if raw.accepted:
            return
        for problem in self._gate.explain(kind.name, record, run.steps):
            run.problems.add(
                replace(problem, kind=kind.name, uuid=run.uuid, index=raw.index, line=raw.line, file=raw.file)
            )


def _flatten(messages: Any, record: Any, steps: Steps) -> Iterator[tuple[Steps, Fault]]:
    """Yield the nested *messages* of marshmallow about *record*, each with its steps."""
    if not isinstance(messages, Mapping):
        for message in messages:
            yield steps, message if isinstance(message, Fault) else Fault(str(message))
        return
    for step, inner in messages.items():
        member = record.get(step) if isinstance(record, Mapping) else None
        if step == "_schema" and member is None:  # marshmallow's name for a record as a whole
            yield from _flatten(inner, record, steps)
        else:
            within = record[step] if isinstance(record, (list, tuple)) else member
            yield from _flatten(inner, within, (*steps, step))
