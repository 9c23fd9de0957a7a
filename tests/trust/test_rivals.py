"""Imports and exports beside others that write: nothing is lost, doubled or mixed."""

from __future__ import annotations

import contextvars
import io
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from histio import History, create_engine, is_conflict
from histio.models import FinishedUnit, ProductionRun, Recipe
from histio.tuning import tuned
from tests.support.bakery import assembly_run, consumption, document, number, production_run
from tests.support.catalogs import as_file
from tests.support.databases import DIALECTS, stocked
from tests.support.reports import runs_by_uuid, stored
from tests.support.streams import FORMS, MOMENT

MOST_REPETITIONS = 100
"""How often a deadlock or a lock timeout may make somebody begin again."""


def history_of(numbers, notes="the same", **members):
    runs = [
        production_run(n, notes=notes, consumptions=[consumption(1000 * n + m) for m in range(2)], **members)
        for n in numbers
    ]
    return document(*runs, assembly=[assembly_run(n + 500, notes=notes) for n in numbers])


class Importer:
    """Imports runs, and begins again after a deadlock or a lock timeout, as an application should."""

    def __init__(self, given, **options):
        self.given, self.options = given, options

    def __call__(self, engine):
        data = io.BytesIO(FORMS["a sealed stream"](self.given))
        return History(engine).import_file(data, **self.options)


class OnFullPath(Importer):
    def __call__(self, engine):
        with tuned(full_path_only=True):
            return super().__call__(engine)


class InSession(Importer):
    """Imports in a transaction of its own."""

    def __call__(self, engine):
        with Session(engine) as session:
            report = History().import_document(self.given, session=session, **self.options)
            session.commit()
        return report


FIRST, SECOND, ALL = history_of(range(20)), history_of(range(10, 30)), history_of(range(30))
BACKWARDS = history_of(reversed(range(30)))
ONE, OTHER = history_of(range(30), "one"), history_of(range(30), "other")

RIVALS = {
    "the same file": [Importer(ALL)] * 3,
    "files that overlap": [Importer(FIRST), Importer(SECOND), Importer(BACKWARDS)],
    "on the full path": [OnFullPath(ALL), OnFullPath(BACKWARDS), Importer(ALL)],
    "in parts": [Importer(ALL, commit_every=7), Importer(BACKWARDS, commit_every=11), Importer(SECOND)],
    "all or nothing": [Importer(ALL, atomic=True), Importer(SECOND, atomic=True), Importer(BACKWARDS)],
    "in sessions": [InSession(ALL), InSession(BACKWARDS), InSession(ALL, on_duplicate="update")],
    "verified": [Importer(ALL, on_duplicate="verify"), Importer(BACKWARDS, on_duplicate="verify")],
    "dry runs": [Importer(ALL), Importer(BACKWARDS, dry_run=True), Importer(ALL, dry_run=True)],
    "updates": [Importer(ONE, on_duplicate="update"), Importer(OTHER, on_duplicate="update")],
    "updates in parts": [
        Importer(ONE, on_duplicate="update", commit_every=7),
        Importer(OTHER, on_duplicate="update", commit_every=11),
    ],
    "an update beside an import": [Importer(ONE, on_duplicate="update"), Importer(ALL)],
}
"""Who works at the same time."""


CONNECTIONS = {"postgresql": {"options": "-c deadlock_timeout=20ms"}}
"""By default, PostgreSQL looks for deadlocks after a second."""


@pytest.fixture
def begin(databases):
    """Empties one of the databases, and connects its clients."""

    @contextmanager
    def begin(chance):
        dialect = chance.choice(DIALECTS)
        url = stocked(databases(dialect)).url
        engine = create_engine(url, connect_args=CONNECTIONS.get(dialect, {}))
        yield engine
        engine.dispose()

    return begin


@pytest.fixture(autouse=True)
def small_batches(tune):
    tune(batch=8, page=8)


def compete(engine, rivals):
    """What the *rivals* return who work at the same time, and how often any of them had to begin again."""
    again = []

    def work(rival):
        while True:
            try:
                return rival(engine)
            except sa.exc.DBAPIError as error:
                again.append(error)
                if len(again) == MOST_REPETITIONS or not is_conflict(error):
                    raise

    with ThreadPoolExecutor(len(rivals)) as pool:
        working = [pool.submit(contextvars.copy_context().run, work, rival) for rival in rivals]
    return [each.result() for each in working], again


@pytest.mark.slow
@pytest.mark.parametrize("rivals", RIVALS.values(), ids=RIVALS)
def test_of_importers_that_work_at_the_same_time_each_run_is_stored_once(begin, tries, rivals):
    versions = [runs_by_uuid(rival.given) for rival in rivals]
    uuids = set().union(*versions)
    for each in tries(1):
        with each as chance, begin(chance) as engine:
            reports, again = compete(engine, rivals)
            found = stored(engine)
            assert set(found) == uuids
            assert [uuid for uuid in found if found[uuid] not in [runs.get(uuid) for runs in versions]] == []
            assert [report.problems for report in reports] == [()] * len(rivals)
            assert [len(runs) for runs in versions] == [
                report.imported + report.skipped + report.updated for report in reports
            ]
            written = sum(report.imported for report in reports if not report.dry_run)
            assert written == len(uuids) or again


def catalog_of(numbers):
    """Recipes, units of them, and a run of each."""
    names = {n: f"new-{n}" for n in numbers}
    runs = [production_run(n, recipe_slug=name, finished_unit_slug=name) for n, name in names.items()]
    return {
        "recipes": [{"slug": name, "name": name} for name in names.values()],
        "finished_units": [
            {"slug": name, "display_name": name, "recipe_slug": name} for name in names.values()
        ],
        **document(*runs),
    }


class Creator(Importer):
    """Imports a catalog and its runs."""

    def __call__(self, engine):
        return History(engine).import_file(as_file(self.given), **self.options)


CREATORS = {
    "the same rows": [Creator(catalog_of(range(30)), catalog="create")] * 3,
    "in other orders": [
        Creator(catalog_of(range(30)), catalog="create"),
        Creator(catalog_of(reversed(range(30))), catalog="create", commit_every=7),
        Creator(catalog_of(range(10, 40)), catalog="create"),
    ],
    "updates": [
        Creator(catalog_of(range(30)), catalog="update"),
        Creator(catalog_of(reversed(range(30))), catalog="create", atomic=True),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("rivals", CREATORS.values(), ids=CREATORS)
def test_of_importers_that_create_the_same_rows_one_does(begin, tries, rivals):
    versions = [runs_by_uuid(rival.given) for rival in rivals]
    slugs = {recipe["slug"] for rival in rivals for recipe in rival.given["recipes"]}
    for each in tries(1):
        with each as chance, begin(chance) as engine:
            reports, again = compete(engine, rivals)
            assert [report.problems for report in reports] == [()] * len(rivals)
            assert [report.warnings for report in reports] == [()] * len(rivals)
            assert set(stored(engine)) == set().union(*versions)
            for model in (Recipe, FinishedUnit):
                with Session(engine) as session:
                    created = session.scalars(sa.select(model.slug).where(model.slug.like("new-%"))).all()
                assert sorted(created) == sorted(slugs)
            imported = sum(report.catalog["recipe"].imported for report in reports)
            assert imported == len(slugs) or again


def later(rival, chance):
    """*rival* after a short time."""

    def wait(engine):
        time.sleep(chance.uniform(0, 0.1))
        return rival(engine)

    return wait


OPTIONS = [{}, {"commit_every": 4}, {"on_duplicate": "update"}, {"atomic": True}]


def delete_bread(engine):
    """Delete a recipe and its finished unit, which is refused once a run refers to them."""
    with suppress(sa.exc.IntegrityError), Session(engine) as session:
        session.execute(sa.delete(FinishedUnit).where(FinishedUnit.slug == "loaf"))
        session.execute(sa.delete(Recipe).where(Recipe.slug == "bread"))
        session.commit()


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_beside_who_deletes_what_runs_refer_to_each_run_is_stored_or_rejected(begin, tries, options):
    of_bread = history_of(range(100, 120), recipe_slug="bread", finished_unit_slug="loaf")
    given = FIRST | {"production_runs": [*of_bread["production_runs"], *FIRST["production_runs"]]}
    for each in tries(1):
        with each as chance, begin(chance) as engine:
            [report, _], again = compete(engine, [Importer(given, **options), later(delete_bread, chance)])
            found = stored(engine)
            codes = {problem.code for problem in report.problems}
            assert codes <= {"unknown-reference", "constraint"}
            assert found == {uuid: run for uuid, run in runs_by_uuid(given).items() if uuid in found}
            assert report.imported == len(found) or again
            assert report.imported + report.rejected + report.withheld + report.skipped == 60


def write_by_orm(engine):
    """Write some of the runs one by one, as the application does."""
    for n in (3, 25, 11, 8):
        with suppress(sa.exc.IntegrityError), Session(engine) as session:
            unit = session.scalars(sa.select(FinishedUnit).where(FinishedUnit.slug == "cookie")).one()
            session.add(
                ProductionRun(
                    uuid=number(n),
                    recipe=unit.recipe,
                    finished_unit=unit,
                    num_batches=1,
                    expected_yield=1,
                    actual_yield=1,
                    produced_at=MOMENT.replace(tzinfo=None),
                    notes="by hand",
                    total_ingredient_cost=1,
                    per_unit_cost=1,
                )
            )
            session.commit()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"commit_every": 4}, {"atomic": True}], ids=str)
def test_a_run_that_the_application_writes_meanwhile_is_skipped(begin, tries, options):
    for each in tries(1):
        with each as chance, begin(chance) as engine:
            [report, _], again = compete(engine, [Importer(ALL, **options), later(write_by_orm, chance)])
            given, found = runs_by_uuid(ALL), stored(engine)
            others = [uuid for uuid, run in found.items() if run["notes"] == "by hand"]
            assert found == given | {uuid: found[uuid] for uuid in others}
            assert (report.imported, report.skipped) == (60 - len(others), len(others)) or again
            assert report.problems == ()


def export(engine):
    """The notes of all runs, of several exports."""
    return [{run["notes"] for run in stored(engine).values()} for _ in range(4)]


@pytest.mark.slow
def test_an_export_sees_an_update_of_all_runs_or_nothing_of_it(begin, tries):
    for each in tries(2):
        with each as chance, begin(chance) as engine:
            History(engine).import_document(ONE)
            updates = [Importer(given, on_duplicate="update") for given in (OTHER, ONE)]
            [*_, notes], _ = compete(engine, [*updates, export])
            assert [seen for seen in notes if seen not in ({"one"}, {"other"})] == []
