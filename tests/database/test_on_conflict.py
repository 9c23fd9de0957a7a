"""Whatever ON CONFLICT of a rule in SQLite says, an import removes no other run, and loses none."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

import histio
from histio import History
from tests.support.columns import host, things
from tests.support.reports import outcomes


@pytest.fixture
def resolving(sqlite_of):
    """A history on the full or the fast path, whose values are unique, with a resolution of conflicts."""

    def make(resolution, path):
        metadata, kind = host(sa.String(20), histio.Text(required=True))
        engine = sqlite_of(metadata)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE things")
            connection.exec_driver_sql(
                "CREATE TABLE things (id INTEGER PRIMARY KEY, uuid TEXT, value TEXT, "
                f"UNIQUE (value) ON CONFLICT {resolution})"
            )
        return History(engine, path(kind))

    return make


def bulk(kind):
    return kind


def listened(kind):
    """The same kind with a listener: the unit of work writes its rows."""
    sa.event.listen(kind.Meta.model, "before_insert", lambda *_: None)
    return kind


@pytest.mark.parametrize("path", [bulk, listened])
@pytest.mark.parametrize("resolution", ["REPLACE", "IGNORE", "FAIL", "ROLLBACK", "ABORT"])
def test_a_run_with_a_value_that_is_taken_is_rejected_and_replaces_no_other(resolving, resolution, path):
    history = resolving(resolution, path)
    first = things("a", "b", "a", "c")
    report = history.import_document(first)
    assert (outcomes(report), [each.code for each in report.problems]) == ((3, 0, 1), ["constraint"])
    [_, second, _, last] = first["things"]
    taking = {**first, "things": [{**last, "value": "a"}]}
    report = history.import_document(taking, on_duplicate="update")
    assert (report.updated, [each.code for each in report.problems]) == (0, ["constraint"])
    exchanged = {**first, "things": [{**last, "value": "b"}, {**second, "value": "c"}]}
    assert history.import_document(exchanged, on_duplicate="update").updated == 2
    assert {each["uuid"]: each["value"] for each in history.iter_runs("thing")} == {
        first["things"][0]["uuid"]: "a",
        second["uuid"]: "c",
        last["uuid"]: "b",
    }
