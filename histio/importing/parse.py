"""Records → runs on their way in: read once, with everything that is wrong with their form."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from marshmallow import ValidationError

from histio.bound import Bound
from histio.files.raw_runs import RawRun
from histio.importing.truncation import Cut, Truncation
from histio.kinds.canonical import canonical
from histio.kinds.fields import Slug
from histio.kinds.table import Kind, Table
from histio.pointer import pointer
from histio.report import Fault, Problem, Renaming
from histio.wire import faults_in, shown

Outcome = Literal["imported", "updated", "skipped", "rejected"]
OnDuplicate = Literal["skip", "error", "update", "verify"]
Renames = Mapping[str, Mapping[str, str]]
Steps = tuple[str | int, ...]
Values = dict[str, Any]


def current_record(bound: Bound, kind: Kind, record: Any, version: str) -> Any:
    """*record*, upgraded from *version* to the current one, and as the host's hooks change it."""
    upgraded, _ = bound.versions.upgrade(kind.name, record, version)
    return canonical(kind.table, upgraded) if kind.is_hooked else upgraded


@dataclass(slots=True, eq=False)
class Run:
    """One run on its way in.

    Attributes:
        raw: What was read.
        values: What of the record has the right form, as the columns take it.
        well_formed: All of it has.
        renamed: Every use of the ``rename`` option.
        cut: How many of the warnings are about times that were cut; these come first.
        outcome: None while it is on its way.
    """

    kind: Kind
    raw: RawRun
    values: Values = field(default_factory=dict)
    well_formed: bool = False
    outcome: Outcome | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    renamed: list[Renaming] = field(default_factory=list)
    cut: int = 0

    @property
    def identity(self) -> Any:
        """What identifies the run, as its column takes it; None where it could not be read."""
        return self.kind.identity.of(self.values)

    @property
    def uuid(self) -> str | None:
        """The run's identity in words."""
        return None if self.identity is None else self.kind.named(self.identity)

    @property
    def steps(self) -> Steps:
        """Where the run stands in its document, or in its line."""
        if self.raw.line is not None:
            return (self.kind.name,)
        return (self.kind.collection, self.raw.index)

    @property
    def place(self) -> str:
        """Where the run stands in the file or document, in words."""
        return self.raw.place(self.kind.collection)

    def note(self, fault: Fault, *steps: str | int, hint: str | None = None, warning: bool = False) -> None:
        """Write down what is wrong at *steps* below the run."""
        where = pointer(*self.steps, *steps)
        at = self.kind.name, self.uuid, self.raw.index, self.raw.line
        problem = Problem("warning" if warning else "error", fault.code, str(fault), where, *at, hint=hint)
        (self.warnings if warning else self.problems).append(problem)

    def note_cuts(self, cuts: Sequence[Cut]) -> None:
        """Warn of the times that were cut when the run was read."""
        for one in cuts:
            self.note(one.fault, *one.steps, warning=True)
        self.cut = len(cuts)

    def forget(self) -> None:
        """Drop all problems and warnings since the run was read, because it is processed again."""
        self.problems.clear()
        del self.warnings[self.cut :]

    def forget_cuts(self) -> None:
        """Drop the warnings about cut times, because they are neither written nor compared."""
        del self.warnings[: self.cut]
        self.cut = 0

    def is_open(self, needs: Sequence[object]) -> bool:
        """Whether the run has no problems except that the runs which it *needs* are not stored."""
        return self.well_formed and len(self.problems) == len(needs)

    def entries(self) -> Iterator[tuple[Table, Any, Steps]]:
        """Table, identity and place of every ledger entry that has an identity."""
        return _entries(self.kind.table, self.values, ())

    def identities(self) -> Iterator[tuple[Table, Any, Steps]]:
        """Table, identity and place of the run and of every ledger entry."""
        if self.identity is not None:
            yield self.kind.table, self.identity, ()
        yield from self.entries()


def _entries(table: Table, values: Values, steps: Steps) -> Iterator[tuple[Table, Any, Steps]]:
    for ledger, below, entry in table.entries(values):
        at = (*steps, *below)
        identity = None if ledger.table.identity is None else ledger.table.identity.of(entry)
        if identity is not None:
            yield ledger.table, identity, at
        yield from _entries(ledger.table, entry, at)


class Reader:
    """Reads runs.

    Args:
        bound: The kinds of run, their JSON Schema and the versions of their format.
        version: The version of the records.
        rename: By name on the wire, slugs to read as other slugs.

    Attributes:
        version: The same.

    Raises:
        ValueError: *rename* names no slug of the kinds, or makes what is no slug.
    """

    def __init__(self, bound: Bound, version: str, rename: Renames) -> None:
        self._kinds = {kind.name: kind for kind in bound.kinds}
        self.version = version
        self._gate = bound.gate
        self._versions = bound.versions
        self._rename = _checked(rename, bound.kinds)
        self._hooked = {kind for kind in bound.kinds if kind.is_hooked}
        self._truncation: Truncation | None = None

    def truncating(self, truncation: Truncation) -> Self:
        """A reader that cuts times."""
        other = copy.copy(self)
        other._truncation = truncation  # noqa: SLF001 - its own
        return other

    def cut(self, kind: Kind, record: Any) -> tuple[Any, Sequence[Cut]]:
        """A *record* with its times cut, if this reader cuts times, and what was cut."""
        return (record, ()) if self._truncation is None else self._truncation.cut(kind.table, record)

    def accepts(self, raw: RawRun, record: Any = None) -> bool:
        """Whether the gate accepts *raw*, and nothing changes its record: it needs no marshmallow.

        Args:
            raw: The run.
            record: Its record with its times cut; None: as it was read.
        """
        record = raw.record if record is None else record
        if self._rename or self.version != self._versions.current:
            return False
        raw.accepted = raw.accepted or self._gate.accepts(raw.kind, record, decoded=raw.size > 0)
        return raw.accepted

    def read(self, raw: RawRun) -> Run:
        """The run of *raw*.

        marshmallow says what is wrong with its form; the JSON Schema speaks for what marshmallow would take.
        """
        kind = self._kinds[raw.kind]
        run = Run(kind, raw)
        record, fault = self._versions.upgrade(kind.name, raw.record, self.version)
        if fault is not None:
            run.note(fault)
            return run
        record, cuts = self.cut(kind, record)
        try:
            # A hook of the host's may change what it is given.
            given = copy.deepcopy(record) if kind in self._hooked else record
            run.values = kind.table.schema.load(given)
        except RecursionError:
            run.note(Fault("Nested too deeply."))
        except ValidationError as error:
            run.values = error.valid_data if isinstance(error.valid_data, dict) else {}
            for steps, fault in _flat(error.messages, record, ()):
                run.note(fault, *steps)
        except Exception as error:  # noqa: BLE001 - hooks of the host's may raise whatever they like
            run.note(Fault(f"Cannot be loaded: {type(error).__name__}: {error}"))
        else:
            raw.accepted = raw.accepted or self._gate.accepts(kind.name, record, decoded=raw.size > 0)
            if not raw.accepted:
                run.problems += [
                    replace(problem, kind=kind.name, uuid=run.uuid, index=raw.index, line=raw.line)
                    for problem in self._gate.explain(kind.name, record, run.steps)
                ]
        run.note_cuts(cuts)
        run.well_formed = not run.problems
        raw.accepted = run.well_formed  # what waits for others is read again
        self._apply_renames(run, kind.table, run.values, ())
        return run

    def _apply_renames(self, run: Run, table: Table, values: Values, steps: Steps) -> None:
        for member, name in table.names.items() if self._rename else ():
            field, names = table.fields[member], self._rename.get(name)
            if names is None or not isinstance(field, Slug) or values.get(member) is None:
                continue
            old = field.to_wire(values[member])
            new: Any = [names.get(each, each) for each in old] if field.many else _looked_up(names, old)
            if new != old:
                values[member] = self._renamed(run, field, old, new, (*steps, name))
                where = pointer(*run.steps, *steps, name)
                for before, after in zip(old, new, strict=True) if field.many else [(old, new)]:
                    used = Renaming(where, before, after, run.raw.line)
                    run.renamed += [used] if before != after else []
        for ledger, below, entry in table.entries(values) if self._rename else ():
            self._apply_renames(run, ledger.table, entry, (*steps, *below))

    def _renamed(self, run: Run, field: Slug, old: Any, new: Any, steps: Steps) -> Any:
        """The loaded *new*; where that breaks the rule, as two of a list that become one, the *old*."""
        try:
            field.check(new)
        except ValidationError as error:
            for _, fault in faults_in(error.messages):
                run.note(fault, *steps)
            run.well_formed = False
            return field.from_wire(old)
        return field.from_wire(new)


def _looked_up(names: Mapping[Any, Any], wire: Any) -> Any:
    return names.get(wire, wire)


def _checked(rename: Renames, kinds: Sequence[Kind]) -> Renames:
    """*rename*, when its names are slugs of the kinds and its new values are slugs at all."""
    fields: dict[str, Slug] = {}
    for kind in kinds:
        for table in kind.table.all():
            fields |= {
                table.names[member]: each for member, each in table.fields.items() if isinstance(each, Slug)
            }
    if not isinstance(rename, Mapping):
        raise TypeError(f"rename is a mapping from members to mappings of slugs, not {shown(rename)}")
    for member, names in rename.items():
        if member not in fields:
            raise ValueError(
                f"rename: {member!r} is no slug of these kinds; they have {', '.join(sorted(fields))}"
            )
        if len(fields[member].key) > 1:
            raise ValueError(f"rename: {member} is a key of several columns: change those in the document")
        if not isinstance(names, Mapping):
            raise TypeError(f"rename: {member} needs a mapping from old to new slugs, not {shown(names)}")
        for new in names.values():
            try:
                fields[member].check([new] if fields[member].many else new)
            except ValidationError as error:
                raise ValueError(f"rename: {member}: {shown(new)}: {error.messages[0]}") from None
    return rename


def _flat(messages: Any, record: Any, steps: Steps) -> Iterator[tuple[Steps, Fault]]:
    """Nested messages of marshmallow's about *record*, each with its place."""
    if not isinstance(messages, Mapping):
        for message in messages:
            yield steps, message if isinstance(message, Fault) else Fault(str(message))
        return
    for step, inner in messages.items():
        member = record.get(step) if isinstance(record, Mapping) else None
        if step == "_schema" and member is None:  # marshmallow's name for a record as a whole
            yield from _flat(inner, record, steps)
        else:
            within = record[step] if isinstance(record, (list, tuple)) else member
            yield from _flat(inner, within, (*steps, step))
