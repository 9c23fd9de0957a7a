"""The case about references to rows that do not exist."""

from __future__ import annotations

import copy
import datetime as dt
import secrets
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

from histio.history import History
from histio.kinds.fields import Bytes, Date, FixedDecimal, Integer, RunUUID, Slug, Text, Time, UtcTimestamp
from histio.kinds.fields.slug_text import SlugText
from histio.kinds.table import Table
from histio.kinds.walk import Steps, walk_record
from histio.pointer import pointer
from histio.testing.claims import FEW, demand, field_at
from histio.testing.scene import Document, MakeRuns, Scene, at, scene
from histio.wire import WireField, quote


def unknown_references(history: History, make_runs: MakeRuns) -> None:
    """Check that a run with a reference to a missing row is rejected and not written."""
    with scene(history, make_runs, FEW) as stage:
        document = stage.export()
        stage.clear()
        before = stage.counts()
        for table, steps, member in _references(stage, document):
            broken = copy.deepcopy(document)
            record = at(broken, steps)
            name, warning = _break(table, member, record)
            where = pointer(*steps, name)
            with stage.undone():
                report = stage.run(broken)
                pointers = [each.pointer for each in (report.warnings if warning else report.problems)]
                demand(
                    where in pointers,
                    f"{where} is {quote(record[name])}, which names no row, but no problem reports it: "
                    f"check {field_at(table, name)}, its relationship and its key.",
                    tuple(map(str, (*report.problems, *report.warnings))),
                )
                rejected = {(problem.kind, problem.index) for problem in report.problems}
                wanted: Counter[str] = Counter(before)
                for kind, place, run in stage.runs_in(broken):
                    if (kind.name, place) not in rejected:
                        wanted.update(each.rows.fullname for each, _, _ in walk_record(kind.table, run))
                counts, owned = (
                    stage.counts(),
                    {each.rows.fullname for each, _, _ in stage.records_in(broken)},
                )
                odd = {each: counts[each] - wanted[each] for each in owned if counts[each] != wanted[each]}
                demand(
                    not odd,
                    f"{where} names no row, but rows of the rejected runs were written, or rows "
                    "of the others were not:",
                    tuple(f"{each}: {number:+} rows" for each, number in odd.items()),
                )


def _references(stage: Scene, document: Document) -> Iterator[tuple[Table, Steps, str]]:
    """A record that has, or could have, each of the members that name related rows."""
    found: dict[tuple[int, str], tuple[bool, Table, Steps, str]] = {}
    for table, steps, record in stage.records_in(document):
        for member in naming_members(table):
            is_present = bool(record.get(table.names[member]))
            if is_present or getattr(table.fields[member], "choice", None) is None:
                best = found.setdefault((id(table), member), (is_present, table, steps, member))
                if is_present and not best[0]:
                    found[id(table), member] = (is_present, table, steps, member)
    for _, table, steps, member in found.values():
        rivals = _before(table, member)
        if not any(table.fields[rival].required for rival in rivals):
            yield table, steps, member


def _before(table: Table, member: str) -> list[str]:
    """The alternatives that take precedence over *member*."""
    slugs = next((list(each.slugs) for each in table.references if member in each.slugs), [member])
    return slugs[: slugs.index(member)]


def _break(table: Table, member: str, record: Any) -> tuple[str, bool]:
    """Let *member* of *record* name no row; return its name, and whether that is only a warning."""
    for rival in _before(table, member):
        record.pop(table.names[rival], None)
    name = table.names[member]
    record[name] = unknown(table.fields[member])
    return name, any(each.member == member for each in table.snapshots)


def naming_members(table: Table) -> list[str]:
    """The members of *table* that name related rows."""
    slugs = [member for reference in table.references for member in reference.slugs]
    return [*slugs, *(links.member for links in table.links), *(each.member for each in table.snapshots)]


def unknown(field: Any) -> Any:
    """A valid value of *field* that no row has."""
    if not isinstance(field, Slug):
        return _unknown(field)
    one = _unknown(field.rule)
    if len(field.key) > 1:
        one = {path: _unknown(rule) for path, rule in field.rules.items() if path in field.key}
    return [one] if field.many else one


def _unknown(rule: WireField) -> Any:  # noqa: PLR0911 - one for each kind of key
    if isinstance(rule, RunUUID):
        return str(uuid.uuid4())
    if isinstance(rule, Integer):
        low, high = rule.minimum or 0, rule.maximum or 2**31 - 1
        return high - secrets.randbelow(min(high - low, 2**16))
    if isinstance(rule, FixedDecimal):
        digits = min(rule.whole_digits or 9, 9)
        return str(secrets.randbelow(10**digits)) if digits else f"0.{secrets.randbelow(9) + 1}"
    if isinstance(rule, Time):
        return rule.to_wire(dt.time(secrets.randbelow(24), secrets.randbelow(60), secrets.randbelow(60)))
    if isinstance(rule, Bytes):
        return rule.to_wire(secrets.token_bytes(rule.max_length or 16))
    if isinstance(rule, UtcTimestamp | Date):
        day = (dt.date(1000, 1, 1) + dt.timedelta(days=secrets.randbelow(300_000))).isoformat()
        return day if isinstance(rule, Date) else f"{day}T00:00:00Z"
    text = f"unknown-{uuid.uuid4().hex}"
    if isinstance(rule, Text) and not isinstance(rule, SlugText):  # a key of free text
        text = f"{text[-rule.max_length :] if rule.max_length else text}"
        return f"\t{text[1:-1]}\n"
    return text
