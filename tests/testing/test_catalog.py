"""The conformance kit checks a history's catalog."""

from __future__ import annotations

import uuid
from unittest import SkipTest

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from sqlalchemy.orm import Session

from histio import History, models, testing
from tests.support import kitchen
from tests.support.conformance import check_host
from tests.support.effort import examples

SENTENCE = "a database without the catalog rows of runs gets them from a document"


def check(history, make_runs=kitchen.make_batches):
    """Run the case about the catalog."""
    [case] = [case for case in testing.cases(history, make_runs=make_runs) if str(case) == SENTENCE]
    case()


def test_a_sound_catalog_passes_and_nothing_stays(create):
    engine = create(kitchen.Base.metadata)
    history = History(engine, kitchen.BatchSchema, catalog=kitchen.CATALOG)
    assert check_host(history, make_runs=kitchen.make_batches) == []
    with Session(engine) as session:
        assert session.scalars(sa.select(kitchen.Category)).all() == []


def test_a_history_without_a_catalog_has_no_such_case(sqlite_of):
    history = History(sqlite_of(kitchen.Base.metadata), kitchen.BatchSchema)
    assert SENTENCE not in map(str, testing.cases(history, make_runs=kitchen.make_batches))


def test_the_bundled_catalog_passes(sqlite):
    def make_runs(session, count):
        [good] = session.scalars(sa.select(models.FinishedGood))
        amounts = {"total_component_cost": 1, "per_unit_cost": 1, "assembled_at": good.created_at}
        for number in range(count):
            session.add(models.AssemblyRun(finished_good=good, quantity_assembled=number + 1, **amounts))

    with pytest.raises(SkipTest, match=r"^no run refers to any ingredient, so it is not checked; "):
        check(History(sqlite), make_runs)


def test_rows_that_a_listener_changes_are_found(sqlite_of):
    def shout(_mapper, _connection, row):
        row.name = row.name.upper()

    history = History(sqlite_of(kitchen.Base.metadata), kitchen.BatchSchema, catalog=kitchen.CATALOG)
    sa.event.listen(kitchen.Recipe, "before_insert", shout)
    try:
        with pytest.raises(
            AssertionError, match=r"Catalog rows or runs have changed[\s\S]*/recipes/0/name was"
        ):
            check(history, rename_later)
    finally:
        sa.event.remove(kitchen.Recipe, "before_insert", shout)


def rename_later(session, count):
    """Batches whose recipes are renamed after they were written."""
    kitchen.make_batches(session, count)
    session.flush()
    session.execute(sa.update(kitchen.Recipe).values(name="Bread"))


def test_rows_that_others_refer_to_are_left_and_the_case_says_so(create):
    engine = create(kitchen.Base.metadata)
    with Session(engine) as session:
        kitchen.make_batches(session, 1)
        session.commit()

    def make_runs(session, count):
        [old] = session.scalars(sa.select(kitchen.Batch))
        kitchen.make_batches(session, count - 1)
        session.add(
            kitchen.Batch(uuid=str(uuid.uuid4()), baked_at=old.baked_at, recipe=old.recipe, size=old.size)
        )

    history = History(engine, kitchen.BatchSchema, catalog=kitchen.CATALOG)
    with pytest.raises(SkipTest, match="the catalog rows cannot be deleted: "):
        check(history, make_runs)


def bake_in_the_sun(session, count):
    """Batches without an oven."""
    kitchen.make_batches(session, count)
    for batch in [row for row in session.new if isinstance(row, kitchen.Batch)]:
        batch.oven = None


@pytest.mark.parametrize(
    ("catalog", "make_runs", "reason"),
    [
        (kitchen.CATALOG, bake_in_the_sun, "no run refers to any oven, so it is not checked"),
        (
            kitchen.CATALOG[:-1],
            kitchen.make_batches,
            "rows of Oven do not travel, as no catalog kind has them",
        ),
    ],
    ids=["a kind that nothing refers to", "a model without a kind"],
)
def test_what_is_not_checked_is_said(sqlite_of, catalog, make_runs, reason):
    history = History(sqlite_of(kitchen.Base.metadata), kitchen.BatchSchema, catalog=catalog)
    with pytest.raises(SkipTest) as skipped:
        check(history, make_runs)
    assert str(skipped.value) == reason


COLLECTIONS = [kind.collection for kind in History().bound.all_kinds]


@settings(max_examples=examples(30), deadline=None)
@given(testing.documents(History(), catalog=True))
def test_documents_with_a_catalog_are_valid(document):
    Draft202012Validator(History().json_schema()).validate(document)
    assert document.keys() <= {"version", "exported_at", *COLLECTIONS}
