"""Imports, diff and the command line agree which ledger entry is which, and whether a run has changed."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import histio
from histio import History, cli
from tests.support.ledgers import (
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
        assert found == {each.uuid for each in histio.diff(self.path, self.history)}
        assert found == {each.uuid for each in histio.diff(self.history, self.path)}
        assert self.command_line() == (int(bool(found)), found)
        updated = self.history.import_file(self.path, on_duplicate="update", dry_run=True)
        assert (updated.updated, updated.rejected) == (len(found), 0)
        return found

    def command_line(self):
        """The exit code of ``histio verify``, and the runs that it names."""
        CURRENT[:] = [self.history]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code = cli.main(["verify", str(self.path), "--json", "--history", f"{__name__}:current"])
        return code, {json.loads(line)["uuid"] for line in printed.getvalue().splitlines()}

    def exported(self):
        return {run["uuid"]: run for run in self.history.export_document()["jobs"]}


def agree(engines, schema, folder, ledgers, examples, *, complete=True):
    """Check *examples* of some runs, each in two versions, and see that exports tell the same."""
    agreement, fresh = (Agreement(engine, schema, folder) for engine in engines)

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
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


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "with members left out"])
@pytest.mark.parametrize(("dialect", "examples"), [("sqlite", 10), ("postgresql", 2), ("mariadb", 2)])
def test_all_that_compares_runs_agrees(two_of, tmp_path, dialect, examples, complete):
    agree(two_of(dialect, Base), JobSchema, tmp_path, ledgers(complete=complete), examples, complete=complete)


@pytest.mark.parametrize(("dialect", "examples"), [("sqlite", 10), ("postgresql", 2), ("mariadb", 2)])
def test_the_fast_path_agrees_too(two_of, tmp_path, dialect, examples):
    engines = two_of(dialect, PlainBase)
    assert "job, import: fast path" in History(engines[0], PlainSchema).explain()
    agree(engines, PlainSchema, tmp_path, plain_ledgers(), examples)
