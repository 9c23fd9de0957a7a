"""All that is wrong with a file of history, told without writing anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, TypeAlias

from histio.audits import findings
from histio.contract import pointer
from histio.entries import Entry, Unreadable
from histio.errors import DocumentError
from histio.exporter import export_runs
from histio.fields import RunUUID
from histio.files import MAX_BYTES, MAX_DEPTH, MAX_LINE_BYTES, FilePath, Source, check_damage, reading
from histio.files.decoding import lines_before
from histio.files.reading import Reading
from histio.history import History
from histio.importer import Import, windows
from histio.kinds import Table
from histio.report import Fault, Problem
from histio.runs import Format, Reader, Run
from histio.spool import Scratch

_Steps: TypeAlias = tuple[str | int, ...]
_Identity: TypeAlias = tuple[Table, str, _Steps]
"""A table, an identity in words, and where the record stands in its run."""

_REMEMBERED = 50_000
_OF_REFERENCES = ("unknown-reference", "ambiguous-reference", "mismatched-reference")


def check_file(
    path: FilePath,
    /,
    *,
    history: History | None = None,
    max_bytes: int = MAX_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
    max_depth: int = MAX_DEPTH,
) -> Iterator[Problem]:
    """All that is wrong with a file, in its order and in constant memory; nothing is written anywhere.

    Told are its form, member names that come twice in an object, UUIDs that come twice in the file, what its
    numbers should keep to (the ``audits`` of the schemas), and last whether it is whole. Where *history* has
    a database, references are looked up there too. Of documents, too, `Problem.line` is a line of the file.

    Args:
        path: As `History.import_file` takes it.
        history: Tells what files may hold. None: the bundled kinds, without a database.
        max_bytes: As for `History.import_file`.
        max_line_bytes: Likewise.
        max_depth: Likewise.

    Raises:
        OSError: It cannot be read.
    """
    of = history or History()
    source = Source(path, max_bytes=max_bytes)
    try:
        with (
            reading(
                source, of._contract, of._format.kinds, max_line_bytes=max_line_bytes, max_depth=max_depth
            ) as file,
            ExitStack() as stack,
        ):
            seen = stack.enter_context(_Seen())
            work = stack.enter_context(of._looking(None, file.version, None)) if of._has_database else None
            yield from _problems(file, of._format, seen, None if work is None else _References(work, file))
    except DocumentError as error:
        yield from error.problems


def audit(given: FilePath | History, /, *, history: History | None = None) -> Iterator[Problem]:
    """What breaks the rules that the schemas declare in ``Meta.audits``, as warnings, in constant memory.

    Args:
        given: A file, as `History.import_file` takes it, whose runs of wrong form are passed over; or a
            history, which stands for its database: then pointers lead into the run, which has no index.
        history: Tells what a file may hold; None: the bundled kinds.

    Raises:
        DocumentError: The file is no history, or after its last run, it is damaged.
        ExportError: Rows that the format cannot hold, after the runs of their kind.
        OSError: The file cannot be read.
    """
    of = given if isinstance(given, History) else history or History()
    entries = _stored(of) if isinstance(given, History) else _of_file(given, of._format)
    kinds = {kind.name: kind for kind in of._format.kinds}
    for entry in entries:
        kind = kinds[entry.kind]
        found = list(findings(kind.table, entry.record))
        if found:
            run = Run(kind, entry)
            run.values[kind.identity] = kind.table.fields[kind.identity].deserialize(
                entry.record[kind.table.names[kind.identity]]
            )
            for steps, text in found:
                run.note(Fault(text, "audit"), *steps, warning=True)
            if isinstance(given, History):
                root = pointer(*run.steps)
                yield from (
                    replace(each, pointer=each.pointer.removeprefix(root), index=None)
                    for each in run.warnings
                )
            else:
                yield from run.warnings


def _stored(history: History) -> Iterator[Entry]:
    with history._database.reading(None) as connection:
        for kind in history._format.kinds:
            for index, record in enumerate(export_runs(connection, kind)):
                yield Entry(kind.name, record, index)


def _of_file(path: FilePath, form: Format) -> Iterator[Entry]:
    """The runs of a file whose form is right, brought up to the current version."""
    with reading(Source(path), form.contract, form.kinds) as file:
        reader = Reader(form, file.version, {})
        for item in file.items():
            if isinstance(item, Entry) and (reader.takes(item) or reader.read(item).well_formed):
                record, _ = form.versions.upgrade(item.kind, item.record, file.version)
                yield replace(item, record=record)
        check_damage(file)


def _problems(file: Reading, form: Format, seen: _Seen, references: _References | None) -> Iterator[Problem]:
    reader = Reader(form, file.version, {})
    for name in file.repeated:
        text = f"The document has the member {name} more than once; the last one counts."
        yield Problem("warning", "duplicate-member", text, f"/{name}")
    for window in windows((item, None) for item in file.items()):
        entries = [item for item, _ in window if isinstance(item, Entry)]
        checked = {id(entry): _checked(entry, form, reader, seen) for entry in entries}
        if references is not None:
            well_formed = {id(entry) for entry in entries if not checked[id(entry)].problems}
            for entry, problem in references.problems(entries, well_formed):
                run = checked[id(entry)]
                (run.problems if problem.severity == "error" else run.warnings).append(problem)
        for item, _ in window:
            if isinstance(item, Unreadable):
                yield item.problem
            else:
                run = checked[id(item)]
                yield from (_with_line(item, problem) for problem in (*run.problems, *run.warnings))
    yield from file.damage


def _with_line(entry: Entry, problem: Problem) -> Problem:
    """*problem* of a run of a document, with the line of the file where the value begins that it is about."""
    if entry.begins is None or entry.text is None:
        return problem
    _, _, *names = problem.pointer.removeprefix("/").split("/")  # the list and the place in it come first
    steps = [name.replace("~1", "/").replace("~0", "~") for name in names]
    within = [int(step) if step.isdecimal() else step for step in steps]
    return replace(problem, line=entry.begins + lines_before(entry.text, within))


def _checked(entry: Entry, form: Format, reader: Reader, seen: _Seen) -> Run:
    """The run of *entry*, with what can be said of it without a database."""
    kind = next(kind for kind in form.kinds if kind.name == entry.kind)
    identities = _identities(kind.table, entry.record) if reader.takes(entry) else None
    run = Run(kind, entry) if identities is not None else reader.read(entry)
    if identities is None:
        identities = [
            (table, str(table.wire(table.identity or "", identity)), steps)
            for table, identity, steps in run.identities()
        ]
    if identities and not identities[0][2]:
        run.values[kind.identity] = kind.table.fields[kind.identity].deserialize(identities[0][1])
    for steps in _repeated_members(entry.kind, entry.text):
        text = f"The name {steps[-1]} comes more than once in its object; the last one counts."
        run.note(Fault(text, "duplicate-member"), *steps[1:], warning=True)
    if not run.problems:
        record, _ = form.versions.upgrade(kind.name, entry.record, reader.version)
        seen.note(run, identities)
        for steps, text in findings(kind.table, record):
            run.note(Fault(text, "audit"), *steps, warning=True)
    return run


def _identities(table: Table, record: Any, *steps: str | int) -> list[_Identity] | None:
    """The identities in a *record* whose form is right; None: it has to be loaded for that."""
    found: list[_Identity] = []
    if table.identity is not None:
        if not isinstance(table.fields[table.identity], RunUUID):
            return None
        found.append((table, record[table.names[table.identity]].lower(), steps))
    for ledger in table.ledgers:
        name = table.names[ledger.member]
        for place, entry in enumerate(ledger.listed(record.get(name))):
            below = _identities(ledger.table, entry, *steps, name, *([place] if ledger.many else []))
            if below is None:
                return None
            found += below
    return found


class _Seen(Scratch):
    """The identities of a file's runs and entries, on disk."""

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE seen (scope TEXT, identity TEXT, place TEXT, PRIMARY KEY (scope, identity)) "
            "WITHOUT ROWID;"
        )

    def note(self, run: Run, identities: Iterable[_Identity]) -> None:
        """Remember the *identities* of a *run*, and tell it which of them came before."""
        for table, identity, steps in identities:
            if steps and not table.is_shared:
                continue
            scope = table.rows.fullname
            added = self._database.execute(
                "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (scope, identity, run.place)
            )
            if added.rowcount:
                continue
            asked = "SELECT place FROM seen WHERE scope = ? AND identity = ?"
            [(first,)] = self._database.execute(asked, (scope, identity)).fetchall()
            text = f"Duplicate {table.identity_name}: {identity}, first in {first}"
            name = table.names[table.identity or ""]
            run.note(Fault(text, "duplicate-in-document"), *steps, name, warning=not steps)
            if not steps:
                return  # the run comes again, and so do its entries


class _References:
    """Looks up the references of runs; those that others had before, and rightly, only once.

    Args:
        work: Knows the database.
        file: Its runs may be named by others that stand before them.
    """

    def __init__(self, work: Import, file: Reading) -> None:
        self._work = work
        self._right: set[Any] = set()
        if work.refers_to_runs:
            work.expect(item for item in file.items(again=True) if isinstance(item, Entry))

    def problems(self, entries: Sequence[Entry], well_formed: set[int]) -> Iterator[tuple[Entry, Problem]]:
        """What is wrong with the references of *entries*, each of which has its own."""
        kinds = {kind.name: kind for kind in self._work.kinds}
        named = {
            id(entry): set(_named(kinds[entry.kind].table, entry.record))
            for entry in entries
            if id(entry) in well_formed and not self._work.refers_to_runs
        }
        left = [entry for entry in entries if not named.get(id(entry), {None}) <= self._right]
        by_place = {(entry.kind, entry.index): entry for entry in left}
        wrong = set()
        for problem in self._work.check(left, repeated=False) if left else ():
            entry = by_place[problem.kind or "", problem.index or 0]
            if problem.code in _OF_REFERENCES:
                wrong.add(id(entry))
                yield entry, problem
        for entry in left:
            if id(entry) not in wrong:
                self._right |= named.get(id(entry), set())
        if len(self._right) > _REMEMBERED:
            self._right.clear()


def _named(table: Table, record: Any) -> Iterator[Any]:
    """Of *record* and its entries, what each names."""
    members = [member for reference in table.references for member in reference.slugs]
    members += [links.member for links in table.links]
    members += [snapshot.member for snapshot in table.snapshots]
    yield table, repr([record.get(table.names[member]) for member in members])
    for ledger in table.ledgers:
        for entry in ledger.listed(record.get(table.names[ledger.member])):
            yield from _named(ledger.table, entry)


def _repeated_members(kind: str, text: str | None) -> Iterator[_Steps]:
    """Where a name comes again in the same object, in the line of a *kind* and the *text* of its run.

    None: it is not at hand.
    """
    found = False
    line = f'{{"{kind}":{text}}}'

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        taken = dict(members)
        found = found or len(taken) < len(members)
        return taken

    if text is not None:
        json.loads(line, object_pairs_hook=pairs)
    if found:
        yield from _walk(json.loads(line, object_pairs_hook=_Pairs))


class _Pairs(list[tuple[str, Any]]):
    """An object as its members stand there."""


def _walk(value: Any, *steps: str | int) -> Iterator[_Steps]:
    if isinstance(value, _Pairs):
        names: set[str] = set()
        for name, inner in value:
            if name in names:
                yield (*steps, name)
            names.add(name)
            yield from _walk(inner, *steps, name)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _walk(inner, *steps, place)
