"""Read raw runs: upgrade, validate and load their records, and note all problems of their form."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from marshmallow import ValidationError

from histio.bound import Bound
from histio.doubles import find_rounded
from histio.files.raw_runs import RawRun
from histio.importing.cut_times import Cut, Truncation
from histio.importing.fault_counts import MOST_EXPLAINED, FaultCounter
from histio.importing.renames import Renames, apply_renames, check_renames, find_renamed_keys
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
        if renames:
            check_renames(renames, bound.kinds)
        self._kinds = {kind.name: kind for kind in (*bound.catalog, *bound.kinds)}
        self.version = version
        self._gate = bound.gate
        self._versions = bound.versions
        self._renames = renames
        self._renamed_keys = find_renamed_keys(renames, bound.kinds, bound.catalog) if renames else {}
        self._truncation: Truncation | None = None

    @functools.cached_property
    def _fault_counter(self) -> FaultCounter:
        return FaultCounter()

    def truncating(self, truncation: Truncation) -> Self:
        """A reader that cuts times."""
        other = copy.copy(self)
        other._truncation = truncation  # noqa: SLF001 - an object of this class
        return other

    def cut(self, kind: Kind, record: Any) -> tuple[Any, Sequence[Cut]]:
        """A *record* with its times cut, if this reader cuts times, and the cuts."""
        return (record, ()) if self._truncation is None else self._truncation.cut(kind.table, record)

    def accepts(self, raw: RawRun, record: Any = None) -> bool:
        """Whether *raw* is well-formed, as far as the gate alone can tell.

        Args:
            raw: The run.
            record: Its record with its times cut; None: the record as read.
        """
        record = raw.record if record is None else record
        if self._renames or (raw.version or self.version) != self._versions.current:
            return False
        raw.accepted = raw.accepted or self._gate.accepts(raw.kind, record, decoded=raw.is_plain)
        return raw.accepted

    def read(self, raw: RawRun) -> Run:
        """The run of *raw*, with the problems of its form."""
        kind = self._kinds[raw.kind]
        run = Run(kind, raw)
        version = raw.version or self.version
        record, fault = self._versions.upgrade(kind.name, raw.record, version)
        if fault is not None:
            run.note(fault)
            return run
        if not (isinstance(record, Mapping) or kind.is_hooked):  # cheaper than what follows
            run.note(Fault(kind.table.schema.error_messages["type"]))
            return run
        record, cuts = self.cut(kind, record)
        decoded = raw.is_plain and version == self._versions.current  # upgrades may return anything
        raw.accepted = raw.accepted or self._gate.accepts(kind.name, record, decoded=decoded)
        if raw.accepted or not self._explain_part(run, record):
            self._load(run, record)
        if not run.problems:
            self._check_against_schema(run, record)
        run.note_cuts(cuts)
        run.well_formed = not run.problems
        raw.accepted = run.well_formed  # a run that waits is read again
        apply_renames(run, self._renames, self._renamed_keys)
        return run

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
