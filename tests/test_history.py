"""Whose transaction it is: what histio does with the database it is handed."""

from __future__ import annotations

import pickle

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import histio
from histio import (
    BindingError,
    DocumentError,
    History,
    NotConfiguredError,
    ProductionRunSchema,
    RunSchema,
    Slug,
)
from histio.models import FinishedUnit, ProductionRun, Recipe
from tests.support.bakery import assembly_run, document, number, production_run
from tests.support.reports import outcomes, rows

GOOD_AND_BAD = document(production_run(1), production_run(2, recipe_slug="gone"), assembly=[assembly_run(1)])


def recipes(engine):
    with Session(engine) as session:
        return sorted(session.scalars(sa.select(Recipe.slug)))


@pytest.mark.parametrize(
    "bound",
    [
        lambda engine: engine,
        sessionmaker,
        lambda engine: engine.url.render_as_string(hide_password=False),
        lambda engine: engine.url,
    ],
    ids=["engine", "sessionmaker", "url", "URL"],
)
def test_a_database_of_its_own_is_committed(engine, bound):
    with History(bound(engine)) as history:
        assert outcomes(history.import_document(GOOD_AND_BAD)) == (2, 0, 1)
        assert rows(engine) == 1
        assert len(history.export_document()["production_runs"]) == 1


@pytest.mark.parametrize(
    "borrow",
    [
        lambda session: session,
        lambda session: scoped_session(lambda: session),
        lambda session: session.connection(),
    ],
    ids=["session", "scoped_session", "connection"],
)
def test_what_is_handed_over_is_used_and_not_committed(engine, borrow):
    with Session(engine) as session:
        lent = borrow(session)
        assert outcomes(History(lent).import_document(GOOD_AND_BAD)) == (2, 0, 1)
        assert len(History(None).export_document(session=lent)["production_runs"]) == 1
        assert outcomes(History(None).import_document(GOOD_AND_BAD, session=lent)) == (0, 2, 1)
        session.rollback()
        assert rows(engine) == 0
        History().import_document(GOOD_AND_BAD, session=lent if lent is session else session)
        session.commit()
    assert rows(engine) == 1


@pytest.mark.parametrize("make_engine", [sa.create_engine, histio.create_engine])
@pytest.mark.parametrize("options", [{}, {"dry_run": True}, {"atomic": True}])
def test_unflushed_work_of_the_caller_survives_every_failure(engine, make_engine, options):
    own = make_engine(engine.url)
    with Session(own) as session:
        session.add(Recipe(name="New", slug="new"))
        given = document(
            production_run(1), production_run(2, recipe_slug="gone"), production_run(3, recipe_slug="new")
        )
        report = History().import_document(given, session=session, **options)
        assert report.rejected == 1
        with pytest.raises(DocumentError):
            History().import_document({"version": "9.0"}, session=session)
        session.add(Recipe(name="Later", slug="later"))
        session.commit()
    own.dispose()
    assert recipes(engine) == ["bread", "cookies", "later", "new"]
    assert rows(engine) == report.imported * (not report.dry_run)


def test_references_to_the_callers_pending_rows_resolve(engine):
    with Session(engine) as session:
        session.add(FinishedUnit(display_name="x", slug="x", recipe=Recipe(name="new", slug="new")))
        run = production_run(recipe_slug="new", finished_unit_slug="x")
        assert outcomes(History(session).import_document(document(run))) == (1, 0, 0)


def test_without_autoflush_pending_work_stays_pending(engine):
    with Session(engine, autoflush=False) as session:
        session.add(Recipe(name="new", slug="new"))
        assert outcomes(History(session).import_document(document(production_run(recipe_slug="new")))) == (
            0,
            0,
            1,
        )
        assert len(session.new) == 1


def test_the_callers_own_bad_row_raises_unchanged_before_anything_happens(engine):
    with Session(engine) as session:
        session.add(Recipe(name="Twice", slug="cookies"))
        with pytest.raises(sa.exc.IntegrityError, match="recipes"):
            History(session).import_document(document(production_run()))
        session.rollback()
    assert rows(engine) == 0


def test_a_savepoint_of_the_callers_is_left_as_it_was(engine):
    with Session(engine) as session:
        nested = session.begin_nested()
        session.add(Recipe(name="inner", slug="inner"))
        History(session).import_document(GOOD_AND_BAD)
        nested.rollback()
        session.add(Recipe(name="outer", slug="outer"))
        session.commit()
    assert (recipes(engine), rows(engine)) == (["bread", "cookies", "outer"], 0)


def test_objects_the_caller_has_loaded_are_left_alone(engine, history):
    history.import_document(document(production_run(1)))
    with Session(engine, expire_on_commit=False) as session:
        run = session.scalars(sa.select(ProductionRun)).one()
        run.num_batches = 77
        exported = History(session).export_document()["production_runs"][0]
        assert (run.num_batches, exported["num_batches"]) == (77, 77)
        assert list(session.identity_map.values()) == [run]
        session.rollback()


@pytest.mark.parametrize("make_engine", [sa.create_engine, histio.create_engine])
def test_rollback_on_a_plain_sqlite_engine_means_rollback(sqlite, make_engine):
    engine = make_engine(sqlite.url)
    with Session(engine) as session:
        History(session).import_document(document(production_run()))
        session.rollback()
    with engine.connect() as connection:
        History(connection).import_document(document(production_run()))
        connection.rollback()
    engine.dispose()
    assert rows(sqlite) == 0


def test_autocommit_is_refused(engine):
    own = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT")
    with own.connect() as connection:
        for bind in (connection, own, engine.execution_options(isolation_level="AUTOCOMMIT")):
            with pytest.raises(BindingError, match="AUTOCOMMIT"):
                History(bind).import_document(document(production_run()))
    own.dispose()
    assert rows(engine) == 0


def test_a_sessionmaker_inside_a_test_transaction_stays_inside_it(engine):
    with engine.connect() as connection:
        outer = connection.begin()
        maker = sessionmaker(connection, join_transaction_mode="create_savepoint")
        assert outcomes(History(maker).import_document(GOOD_AND_BAD)) == (2, 0, 1)
        assert len(History(maker).export_document()["production_runs"]) == 1
        outer.rollback()
    assert rows(engine) == 0


def test_a_scoped_session_is_asked_each_time(engine):
    registry = scoped_session(sessionmaker(engine))
    history = History(registry)
    history.import_document(GOOD_AND_BAD)
    registry.commit()
    registry.remove()
    assert outcomes(history.import_document(GOOD_AND_BAD)) == (0, 2, 1)
    assert registry().in_transaction()
    registry.remove()


@pytest.mark.parametrize("bad", [object(), 5, Session])
def test_what_is_no_database_is_refused(bad):
    with pytest.raises(BindingError, match="a URL, Engine"):
        History(bad)


def test_without_a_database_every_call_needs_a_session():
    with pytest.raises(NotConfiguredError, match="has no database"):
        History().export_document()


def test_errors_and_reports_pickle(sqlite):
    with pytest.raises(DocumentError) as caught:
        History(sqlite).import_document({})
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.problems) == (str(caught.value), caught.value.problems)
    report = History(sqlite).import_document(GOOD_AND_BAD)
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_history_of_one_kind_refuses_the_list_of_another(sqlite):
    history = History(sqlite, ProductionRunSchema)
    assert history.kinds == ("production_run",)
    with pytest.raises(DocumentError, match="/assembly_runs: Unknown field"):
        history.import_document(document(production_run()))
    given = {"version": "1.0", "production_runs": [production_run()]}
    assert outcomes(history.import_document(given)) == (1, 0, 0)
    assert "assembly_runs" not in history.export_document()


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"colour": histio.Text()}, "ProductionRun has no column 'colour'"),
        ({"num_batch": histio.Integer()}, "did you mean 'num_batches'"),
        ({"slug": Slug("recip")}, "no relationship 'recip': did you mean 'recipe'"),
        ({"slug": Slug("recipe", key="slugg")}, "Recipe has no column 'slugg': did you mean 'slug'"),
        ({"slug": Slug("recipe", agrees="unit")}, "ProductionRun has no relationship 'unit'"),
        ({"uuid": histio.Text()}, "must have one RunUUID field; it has 0"),
    ],
)
def test_a_schema_that_does_not_fit_its_model_is_told_so_when_it_is_bound(members, why):
    schema = type("BadSchema", (ProductionRunSchema,), members)
    with pytest.raises(BindingError, match=why):
        History(None, schema)


def test_a_kind_needs_its_names():
    class NamelessSchema(RunSchema):
        class Meta(RunSchema.Meta):
            model = ProductionRun

    with pytest.raises(BindingError, match=r"NamelessSchema\.Meta: lacks kind, collection, timestamp"):
        History(None, NamelessSchema)


def test_another_kind_needs_nothing_but_a_schema(engine):
    class RecipeChangeSchema(RunSchema):
        """A recipe, taken for a run."""

        class Meta(RunSchema.Meta):
            model = Recipe
            kind = "recipe"
            collection = "recipes"
            timestamp = "created_at"
            exclude = ("updated_at",)

        uuid = histio.RunUUID(required=True)
        slug = histio.Text(required=True)
        name = histio.Text(required=True)
        created_at = histio.UtcTimestamp(required=True)

    history = History(engine, RecipeChangeSchema)
    one = {"uuid": number(1), "slug": "cake", "name": "Cake", "created_at": "2025-01-01T00:00:00Z"}
    report = history.import_document({"version": "1.0", "recipes": [one, one | {"uuid": number(2)}]})
    assert outcomes(report) == (1, 0, 1)
    assert "uq_recipes_slug" in report.problems[0].message
    assert one in list(history.iter_runs("recipe"))


def test_the_json_schema_can_be_changed_without_harm(sqlite):
    History(sqlite).json_schema()["properties"].clear()
    assert History(sqlite).json_schema()["properties"]


def test_two_kinds_of_one_name_are_refused():
    with pytest.raises(BindingError, match="same kind or collection"):
        History(None, ProductionRunSchema, ProductionRunSchema)


@pytest.mark.parametrize(("kinds", "moment"), [([], None), (None, "2025-01-01"), ("production_run", 5)])
def test_an_export_of_nothing_or_at_no_time_is_refused(sqlite, kinds, moment):
    with pytest.raises(ValueError, match=r"kinds is empty|aware datetime"):
        History(sqlite).export_document(kinds=kinds, exported_at=moment)
