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
            code = cli.main(["verify", str(self.path), "--json", "--history", f"{__name__}:current"])
        return code, {json.loads(line)["uuid"] for line in printed.getvalue().splitlines()}

    def exported(self):
        return {run["uuid"]: run for run in self.history.export_document()["jobs"]}


def agree(engines, schema, folder, ledgers, count, *, complete=True):
    """Check up to *count* examples of some runs, each in two versions, and see that exports tell the same."""
    agreement, fresh = (Agreement(engine, schema, folder) for engine in engines)

    @settings(max_examples=examples(count), suppress_health_check=list(HealthCheck))
    @given(pairs=st.lists(versions(ledgers, may_lack=not complete), min_size=1, max_size=8))
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


@pytest.mark.parametrize(("dialect", "count"), [("sqlite", 8), ("postgresql", 2), ("mariadb", 2)])
def test_all_that_compares_runs_agrees(two_of, tmp_path, dialect, count):
    agree(two_of(dialect, Base), JobSchema, tmp_path, ledgers(complete=True), count)


def test_all_that_compares_runs_agrees_where_members_are_left_out(two_of, tmp_path):
    agree(two_of("sqlite", Base), JobSchema, tmp_path, ledgers(complete=False), 6, complete=False)


@pytest.mark.parametrize(("dialect", "count"), [("sqlite", 10), ("postgresql", 2), ("mariadb", 2)])
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


@pytest.mark.parametrize(("name", "entries", "differs"), TURNED.values(), ids=TURNED)
def test_entries_in_another_order_differ_where_exports_keep_that_order(agreement, name, entries, differs):
    agreement.store([job(**{name: entries})])
    agreement.write([job(**{name: entries[::-1]})])
    assert agreement.differing() == ({RUN} if differs else set())
    agreement.history.import_file(agreement.path, on_duplicate="update")
    assert agreement.exported()[RUN][name] == (entries[::-1] if differs else entries)


@pytest.mark.parametrize(("parts", "tokens", "differs"), [([2, 1], [1, 2], False), ([1, 2], [2, 1], True)])
def test_ledgers_below_entries_are_compared_by_their_own_rule(agreement, parts, tokens, differs):
    agreement.store([job(notes=[note(1, parts=[1, 2], tokens=[1, 2])])])
    agreement.write([job(notes=[note(1, parts=parts, tokens=tokens)])])
    assert agreement.differing() == ({RUN} if differs else set())


@pytest.mark.parametrize(
    ("given", "differs"),
    [
        (job(), False),
        (job(steps=[{"place": 1, "value": 1}, {"place": 2, "value": 2}]), False),
        (job(steps=[{"place": 1, "value": 1}]), True),
        (job(steps=[]), True),
    ],
    ids=["a ledger", "a member", "an entry", "all entries"],
)
def test_what_a_file_leaves_out_is_compared_if_it_is_an_entry(agreement, given, differs):
    agreement.store([job(steps=[step(1, 1) | {"more": 9}, step(2, 2)])])
    agreement.write([given])
    assert agreement.differing() == ({RUN} if differs else set())


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


@pytest.mark.parametrize(("name", "entries", "differs"), TURNED.values(), ids=TURNED)
def test_an_async_history_agrees(agreement, name, entries, differs):
    agreement.store([job(**{name: entries})])
    agreement.write([job(**{name: entries[::-1]})])

    async def outcomes():
        url = agreement.engine.url.set(drivername="sqlite+aiosqlite")
        async with AsyncHistory(url, JobSchema) as history:
            for mode in ("verify", "update", "verify"):
                report = await history.import_file(agreement.path, on_duplicate=mode)
                yield report.skipped == 0

    async def collected():
        return [each async for each in outcomes()]

    assert asyncio.run(collected()) == [differs, differs, False]
