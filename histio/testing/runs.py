"""Cases about runs: they are exported and imported unchanged."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from histio.history import History
from histio.kinds.table import Table
from histio.kinds.walk import Steps, walk_record
from histio.pointer import pointer
from histio.testing.claims import FEW, demand, demand_whole, field_at, skip
from histio.testing.references import naming_members
from histio.testing.scene import Document, MakeRuns, Scene, at, scene
from histio.wire import quote


def different_runs(history: History, make_runs: MakeRuns) -> None:
    """Check that make_runs creates enough different runs for the other cases."""
    with scene(history, make_runs, FEW) as stage:
        count = sum(len(each) for each in stage.identities.values())
        demand(
            count == FEW, f"make_runs(session, {FEW}) added {count} runs: it must add as many as requested."
        )
        document = stage.export()
        seen: dict[str, str] = {}
        for kind, place, record in stage.runs_in(document):
            where, content = pointer(kind.collection, place), _content(kind.table, record)
            if content == "{}":  # it has nothing but its identity
                continue
            same = seen.setdefault(kind.name + content, where)
            demand(
                same == where,
                f"make_runs adds equal runs, {same} and {where}, so that a value that is lost, or "
                "ends up in another run, would not be noticed. Make all runs different.",
            )
        skip(list(_find_unused(stage, document)))


def _content(table: Table, record: Any) -> str:
    """The content of *record*, without values that are new in every row."""
    kept = copy.deepcopy(record)
    for below, entry, _ in walk_record(table, kept):
        for member, column in below.columns.items():
            if (
                member in below.identity_members
                or column.default is not None
                or column.server_default is not None
            ):
                entry.pop(below.names[member], None)
    return json.dumps(kept)


def _find_unused(stage: Scene, document: Document) -> Iterator[str]:
    """Kinds, ledgers and references that no run has."""
    found: dict[int, list[Any]] = {}
    for table, _, record in stage.records_in(document):
        found.setdefault(id(table), []).append(record)
    for kind in stage.kinds:
        if id(kind.table) not in found:
            yield f"make_runs added no {kind.name}, so they are not checked"
            continue
        for table in kind.table.all():
            records = found.get(id(table), [])
            for name in [
                *map(table.names.get, naming_members(table)),
                *(table.names[e.member] for e in table.ledgers),
            ]:
                if records and not any(record.get(name) for record in records):
                    yield f"no run has {field_at(table, str(name))}, so it is not checked"


def round_trip(history: History, make_runs: MakeRuns) -> None:
    """Check that runs are the same after an export, a deletion and an import."""
    with scene(history, make_runs, FEW) as stage:
        first = stage.export()
        stage.clear()
        demand_whole(stage.run(first), first)
        again = stage.export()
        changed = list(find_changes(stage, first, again))
        demand(
            json.dumps(again) == json.dumps(first),
            "Runs have changed after an export, a deletion and an import. Check how these "
            "fields load and dump, and what models, listeners and triggers do to written rows:",
            tuple(changed) or ("the order of runs, entries or members",),
        )


def find_changes(stage: Scene, first: Document, again: Document) -> Iterator[str]:
    """What differs between two exports of the same rows."""
    before, after = (
        {steps: (table, record) for table, steps, record in stage.records_in(document)}
        for document in (first, again)
    )
    for steps, (table, record) in before.items():
        if steps not in after:
            yield f"{pointer(*steps)} is gone"
            continue
        nested = {table.names[ledger.member] for ledger in table.ledgers}
        for name, value in record.items():
            other = after[steps][1].get(name)
            if name not in nested and json.dumps(value) != json.dumps(other):
                what = f"{pointer(*steps, name)} was {quote(value)} and is {quote(other)}"
                yield f"{what}: {field_at(table, name)}"
    yield from (f"{pointer(*steps)} is new" for steps in after if steps not in before)


def importing_again(history: History, make_runs: MakeRuns) -> None:
    """Check what happens to runs that exist."""
    with scene(history, make_runs, FEW) as stage:
        document, count = stage.export(), sum(len(each) for each in stage.identities.values())
        report = stage.run(document)
        demand(
            (report.skipped, report.problems) == (count, ()),
            f"Of {count} runs that exist, {report.skipped} were skipped, {report.imported} imported again. "
            "Check the member that identifies a run, and how its column stores it.",
            tuple(map(str, report.problems)),
        )
        report = stage.run(document, on_duplicate="verify")
        demand(
            (report.skipped, report.problems) == (count, ()),
            'on_duplicate="verify" finds differences between equal runs. Check how these fields load and '
            "dump:",
            tuple(map(str, report.problems)),
        )
        report = stage.run(document, on_duplicate="error")
        codes = Counter(problem.code for problem in report.problems)
        demand(
            (report.rejected, codes) == (count, {"duplicate": count}),
            f'on_duplicate="error" rejected {report.rejected} of {count} runs that exist.',
            tuple(map(str, report.problems)),
        )
        missed = [
            f"{field_at(table, name)}: {quote(old)} and {quote(new)} load as the same value"
            for table, name, old, new in _unnoticed(stage, document)
        ]
        demand(not missed, 'on_duplicate="verify" does not notice changed values of these:', tuple(missed))


def _unnoticed(stage: Scene, document: Document) -> Iterator[tuple[Table, str, Any, Any]]:
    """Table, name, stored and changed value of each member whose change is not a conflict."""
    values: dict[tuple[int, str], dict[str, tuple[Table, Steps, Any]]] = {}
    for table, steps, record in stage.records_in(document):
        for name in (table.names[member] for member in table.columns if member not in table.identity_members):
            if name in record:
                text = json.dumps(record[name])
                values.setdefault((id(table), name), {}).setdefault(text, (table, steps, record[name]))
    for (_, name), found in values.items():
        if len(found) > 1:
            (table, steps, old), (_, _, new), *_ = found.values()
            collection, place = str(steps[0]), steps[1]
            changed = copy.deepcopy(document)
            at(changed, steps)[name] = new
            alone = {"version": document["version"], collection: [at(changed, (collection, place))]}
            report = stage.run(alone, on_duplicate="verify")
            if not report.problems:
                yield table, name, old, new
