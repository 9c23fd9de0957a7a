"""Imports, diff and the command line agree which ledger entry is which, and whether a run has changed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import histio
from histio import AsyncHistory, History, cli
from tests.support.effort import examples
from tests.support.ledgers import (
    RUN,
    Base,
    JobSchema,
    PlainBase,
    PlainSchema,
    identified,
    ledgers,
    plain_ledgers,
    versions,
)

CURRENT = []
"""The history that the command line is to take."""


def current():
    return CURRENT[-1]


def without_orders(changes):
    """Those of *changes* that are not about the order of entries."""
    return sorted(repr(each) for each in changes if not isinstance(each[2], list))


class Agreement:
    """Asks all that compares a file with a database, and sees that they answer alike."""

    def __init__(self, engine, schema, folder):
        self.history = History(engine, schema)
        self.engine = engine
        self.tables = schema.Meta.model.metadata.sorted_tables
        self.path = folder / "given.jsonl"

    def write(self, records):
        """Write a file as an export has it."""
        lines = [{"header": {"version": "1.0", "sealed": False}}, *({"job": record} for record in records)]
        texts = [json.dumps(line, separators=(",", ":")) for line in lines]
        self.path.write_text("".join(f"{text}\n" for text in texts))

    def store(self, records):
        """Make *records* the only runs of the database."""
        with self.engine.begin() as connection:
            for table in reversed(self.tables):
                connection.execute(sa.delete(table))
        self.write(records)
        assert self.history.import_file(self.path).imported == len(records)

    def differing(self):
        """The runs that the file and the database have differently, as all say."""
        verified = self.history.import_file(self.path, on_duplicate="verify")
        found = {problem.uuid for problem in verified.problems}
        differences = list(histio.diff(self.path, self.history))
        assert found == {each.uuid for each in differences}
        assert found == {each.uuid for each in histio.diff(self.history, self.path)}
        assert self.command_line() == (int(bool(found)), found)
        updated = self.history.import_file(self.path, on_duplicate="update", dry_run=True)
        assert (updated.updated, updated.rejected) == (len(found), 0)
        changes = [(run.uuid, each.pointer, each.b, each.a) for run in differences for each in run.changes]
        revisions = [(each.uuid, each.pointer, each.stored, each.given) for each in updated.revisions]
        assert without_orders(revisions) == without_orders(changes)
        # Entries may be in the right order already once their members have changed.
        assert [each for each in revisions if each not in changes] == []
        return found

    def command_line(self):
        """The exit code of ``histio verify``, and the runs that it names."""
        CURRENT[:] = [self.history]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code = cli.main(["verify", str(self.path), "--jsonl", "--history", f"{__name__}:current"])
        return code, {json.loads(line)["uuid"] for line in printed.getvalue().splitlines()}

    def exported(self):
        return {run["uuid"]: run for run in self.history.export_document()["jobs"]}


def agree(engines, schema, folder, ledgers, count, *, complete=True):
    """Check up to *count* examples of some runs, each in two versions, and see that exports tell the same."""
    agreement, fresh = (Agreement(engine, schema, folder) for engine in engines)

    @settings(max_examples=examples(count), suppress_health_check=list(HealthCheck))
    @given(pairs=st.lists(versions(ledgers, may_lack=not complete), min_size=6, max_size=12))
    def check(pairs):
        stored, changed = (
            [identified(number, pair[version]) for number, pair in enumerate(pairs)] for version in (0, 1)
        )
        agreement.store(stored)
        assert agreement.differing() == set()
        before = agreement.exported()
        agreement.write(changed)
        differing = agreement.differing()
        agreement.history.import_file(agreement.path, on_duplicate="update")
        after = agreement.exported()
        assert agreement.differing() == set()
        assert differing == {uuid for uuid, run in before.items() if run != after[uuid]}
        if complete:
            fresh.store(changed)
            assert fresh.exported() == after

    check()


@pytest.fixture
def two_of(databases):
    """Two databases with the tables of a host."""

    def make(dialect, base):
        create = databases.of_host(dialect)
        return create(base.metadata), create(base.metadata, number=1)

    return make


@pytest.mark.parametrize(("dialect", "count"), [("sqlite", 4), ("postgresql", 2), ("mariadb", 2)])
def test_all_that_compares_runs_agrees(two_of, tmp_path, dialect, count):
    agree(two_of(dialect, Base), JobSchema, tmp_path, ledgers(complete=True), count)


def test_all_that_compares_runs_agrees_where_members_are_left_out(two_of, tmp_path):
    agree(two_of("sqlite", Base), JobSchema, tmp_path, ledgers(complete=False), 4, complete=False)


@pytest.mark.parametrize(("dialect", "count"), [("sqlite", 4), ("postgresql", 2), ("mariadb", 2)])
def test_the_fast_path_agrees_too(two_of, tmp_path, dialect, count):
    engines = two_of(dialect, PlainBase)
    assert "job, import: fast path" in History(engines[0], PlainSchema).explain()
    agree(engines, PlainSchema, tmp_path, plain_ledgers(), count)


def note(value, *, parts=(), tokens=()):
    places = [{"place": place, "value": 1} for place in parts]
    return {"value": value, "more": None, "parts": places, "tokens": [{"value": token} for token in tokens]}


def mark(code, value=1):
    return {"code": code, "value": value}


def step(place, value):
    return {"place": place, "value": value, "more": None}


def stage(code, place):
    return {"code": code, "place": place, "value": 1}


TURNED = {
    "notes that nothing tells apart": ("notes", [note(1), note(2)], True),
    "marks with an identity, which are in the order of their recording": (
        "marks",
        [mark("a"), mark("b")],
        True,
    ),
    "steps of different places": ("steps", [step(1, 1), step(2, 2)], False),
    "steps of the same place": ("steps", [step(1, 1), step(1, 2)], True),
    "stages with an identity, of different places": ("stages", [stage("a", 1), stage("b", 2)], False),
    "stages with an identity, of the same place": ("stages", [stage("a", 1), stage("b", 1)], True),
    "entries of the same place whose key does not grow": ("loose", [step(1, 1), step(1, 2)], False),
    "entries with an identity whose key does not grow": ("seals", [mark("a"), mark("b")], False),
}


@pytest.fixture
def agreement(sqlite_of, tmp_path):
    return Agreement(sqlite_of(Base.metadata), JobSchema, tmp_path)


def job(**ledgers):
    return {"uuid": RUN} | ledgers


def turned(step):
    """A run for each row of a table, with the entries in their order, or turned if *step* is -1."""
    rows = enumerate(TURNED.values())
    return [identified(number, {name: entries[::step]}) for number, (name, entries, _) in rows]


def uuids_of(differs):
    """The runs that differ, if *differs* says it of each."""
    return {identified(number, {})["uuid"] for number, each in enumerate(differs) if each}


UNLIKE = uuids_of(differs for _, _, differs in TURNED.values())


def test_entries_in_another_order_differ_where_exports_keep_that_order(agreement):
    agreement.store(turned(1))
    agreement.write(turned(-1))
    assert agreement.differing() == UNLIKE
    agreement.history.import_file(agreement.path, on_duplicate="update")
    assert [
        run[name] for run, (name, *_) in zip(agreement.exported().values(), TURNED.values(), strict=True)
    ] == [entries[::-1] if differs else entries for _, entries, differs in TURNED.values()]


def test_ledgers_below_entries_are_compared_by_their_own_rule(agreement):
    turns = [([2, 1], [1, 2]), ([1, 2], [2, 1])]
    agreement.store([identified(n, {"notes": [note(1, parts=[1, 2], tokens=[1, 2])]}) for n in (0, 1)])
    agreement.write(
        [identified(n, {"notes": [note(1, parts=p, tokens=t)]}) for n, (p, t) in enumerate(turns)]
    )
    assert agreement.differing() == uuids_of([False, True])


LEFT_OUT = {
    "a ledger": ({}, False),
    "a member": ({"steps": [{"place": 1, "value": 1}, {"place": 2, "value": 2}]}, False),
    "an entry": ({"steps": [{"place": 1, "value": 1}]}, True),
    "all entries": ({"steps": []}, True),
}


def test_what_a_file_leaves_out_is_compared_if_it_is_an_entry(agreement):
    steps = [step(1, 1) | {"more": 9}, step(2, 2)]
    agreement.store([identified(number, {"steps": steps}) for number in range(len(LEFT_OUT))])
    agreement.write([identified(number, given) for number, (given, _) in enumerate(LEFT_OUT.values())])
    assert agreement.differing() == uuids_of(differs for _, differs in LEFT_OUT.values())


def test_entries_that_come_twice_in_a_ledger_are_paired_once(agreement):
    agreement.store([job(loose=[step(1, 1), step(1, 1), step(1, 2)])])
    agreement.write([job(loose=[step(1, 1), step(1, 2), step(1, 2)])])
    assert agreement.differing() == {RUN}
    [difference] = histio.diff(agreement.path, agreement.history)
    assert [(each.pointer, each.a, each.b) for each in difference.changes] == [("/loose/2/value", 2, 1)]


def test_a_file_and_a_database_differ_alike_from_either_side(agreement):
    agreement.store([job(stages=[stage("a", 1), stage("b", 2), stage("c", 2)])])
    agreement.write([job(stages=[stage("d", 1), stage("c", 2), stage("b", 2)])])
    there, back = (
        [(each.pointer, each.a, each.b) for difference in histio.diff(*sides) for each in difference.changes]
        for sides in ((agreement.path, agreement.history), (agreement.history, agreement.path))
    )
    assert there == [
        ("/stages/0", stage("d", 1), None),
        ("/stages/0", None, stage("a", 1)),
        ("/stages", ["d", "c", "b"], ["a", "b", "c"]),
    ]
    assert back == [
        ("/stages/0", None, stage("d", 1)),
        ("/stages/0", stage("a", 1), None),
        ("/stages", ["a", "b", "c"], ["d", "c", "b"]),
    ]


def test_an_async_history_agrees(agreement):
    agreement.store(turned(1))
    agreement.write(turned(-1))

    async def import_in_turn(*modes):
        url = agreement.engine.url.set(drivername="sqlite+aiosqlite")
        async with AsyncHistory(url, JobSchema) as history:
            return [await history.import_file(agreement.path, on_duplicate=mode) for mode in modes]

    before, updated, after = asyncio.run(import_in_turn("verify", "update", "verify"))
    assert {problem.uuid for problem in before.problems} == UNLIKE
    assert {change.uuid for change in updated.revisions} == UNLIKE
    assert (updated.updated, updated.skipped) == (len(UNLIKE), len(TURNED) - len(UNLIKE))
    assert after.skipped == len(TURNED)
