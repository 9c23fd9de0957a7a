"""What is exported, imported elsewhere and exported again is the same."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from histio import History, models
from histio.models import Base
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    unit_consumption,
)
from tests.support.effort import examples

MOMENT = dt.datetime(2025, 12, 8, 10, tzinfo=dt.UTC)
ROUTE = ["sqlite", "postgresql", "mariadb", "sqlite"]


def exported(engine):
    return json.dumps(History(engine).export_document(exported_at=MOMENT))


def test_a_document_comes_back_as_it_went_in(history):
    original = document(production_run(1), production_run(2), assembly=[assembly_run(1), assembly_run(2)])
    report = history.import_document(original)
    assert (report.imported, report.problems, report.warnings) == (4, (), ())
    assert json.dumps(history.export_document(exported_at=MOMENT)) == json.dumps(original)


SLUGS = [
    *(
        "a",
        "A",
        "á",
        "a\u0301",
        "crème-brûlée",
        "🍪",
        "🏳️\u200d🌈",
        "s" * 200,
        "😀" * 200,
        "a  b",
        "it's",
        'say "hi"',
    ),
    *("100%", ":name", "%(x)s", "$1", "?", "back\\slash", "/", "~1", "null", "0", "-", "<script>", "../.."),
    *("Ω", "ﬁ", "ß", "İ", "\u200b", "\ufeff", "日本", "\u202ertl"),
]
NOTES = [
    *(None, "", " ", "\n", "a\r\nb\tc", "x" * 5_000, "🥐" * 5_000, "\u0001\u001f\u0085\u2028"),
    *("'; DROP TABLE x; --", "\ufffe", "\x7f"),
]
MONEY = ["0.0000", "0.0001", "999999.9999", "123456.7891", "10.0000", "0.1000", "5.2500"]
TIMES = [
    "1000-01-01T00:00:00Z", "1582-10-10T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z",
    "2000-02-29T12:00:00Z", "2024-02-29T23:59:59.000001Z", "2025-03-30T02:30:00Z",
    "9998-12-31T23:59:59.999999Z",
]  # fmt: skip


def awkward_history():
    """Every awkward slug, decimal, date, null and empty ledger, each in some run."""
    n = len(SLUGS)
    production = [
        production_run(
            i + 1,
            recipe_slug=SLUGS[i],
            finished_unit_slug=SLUGS[-i],
            notes=NOTES[i % len(NOTES)],
            produced_at=TIMES[i % len(TIMES)],
            created_at=TIMES[-(i % len(TIMES))],
            per_unit_cost=MONEY[i % len(MONEY)],
            num_batches=[1, 2**31 - 1][i % 2],
            actual_yield=[0, 2**31 - 1, 5][i % 3],
            consumptions=[
                consumption(
                    1000 + 10 * i + j,
                    ingredient_slug=SLUGS[i - j],
                    quantity_consumed=f"{7 ** (i % 8)}.00{j}",
                    unit=unit,
                )
                for j, unit in zip(range(1, 1 + i % 4), ["", "é" * 50, "😀" * 50], strict=False)
            ],
        )
        for i in range(n)
    ]
    assembly = [
        assembly_run(
            i + 1,
            finished_good_slug=SLUGS[i],
            notes=NOTES[i % len(NOTES)],
            assembled_at=TIMES[i % len(TIMES)],
            finished_unit_consumptions=[unit_consumption(5000 + i, finished_unit_slug=SLUGS[i])] * (i % 2),
            packaging_consumptions=[packaging(6000 + i, product_slug=SLUGS[i], ingredient_slug=SLUGS[i])]
            * (i % 3 == 1),
        )
        for i in range(n)
    ]
    production.sort(key=lambda run: (run["produced_at"].replace("Z", ".0").ljust(26, "0"), run["uuid"]))
    assembly.sort(key=lambda run: (run["assembled_at"].replace("Z", ".0").ljust(26, "0"), run["uuid"]))
    return document(*production, assembly=assembly)


def stock_slugs(session, slugs):
    """A catalog in which every slug names a row of each model; the unit of a slug is made by its recipe."""
    for slug in slugs:
        recipe = models.Recipe(name="r", slug=slug)
        ingredient = models.Ingredient(display_name="i", slug=slug)
        session.add_all(
            [
                models.FinishedUnit(display_name="u", slug=slug, recipe=recipe),
                models.FinishedGood(display_name="g", slug=slug),
                models.Product(product_name="p", slug=slug, ingredient=ingredient),
            ]
        )
    session.commit()


@pytest.mark.slow
def test_an_awkward_history_is_the_same_bytes_at_every_stop(databases):
    original = awkward_history()
    before = json.dumps(original)
    for stop, dialect in enumerate(ROUTE):
        engine = databases(dialect, stop)
        with Session(engine) as session:
            stock_slugs(session, SLUGS)
        report = History(engine).import_document(json.loads(before))
        assert [str(problem) for problem in report.problems] == []
        assert report.imported == 2 * len(SLUGS)
        assert exported(engine) == before


# --- everything the models can hold and the format can say -------------------------------------------

CATALOG = ["a", "A", "crème", "🍪"]

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
slug = (
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=200)
    .map(
        lambda s: s.strip(
            "\x85\xa0 \u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
        )
    )
    .filter(bool)
)
integer = st.integers(0, 2**31 - 1)
money = st.decimals(0, Decimal("999999.9999"), places=4)
quantity = st.decimals(Decimal("0.001"), Decimal("9999999.999"), places=3)
moment = st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9998, 12, 31, 23, 59, 59, 999999))  # noqa: DTZ001
identity = st.uuids().map(str)
index = st.integers(0, len(CATALOG) - 1)
base = {"uuid": identity, "created_at": moment, "updated_at": moment}


def rows_of(**columns):
    return st.fixed_dictionaries(base | columns)


def unique(rows):
    return st.lists(rows, max_size=4, unique_by=lambda row: row["uuid"])


production_rows = rows_of(
    recipe=index,
    finished_unit=index,  # of any recipe: the database holds such runs
    num_batches=integer.filter(bool),
    expected_yield=integer,
    actual_yield=integer,
    produced_at=moment,
    notes=st.none() | text,
    total_ingredient_cost=money,
    per_unit_cost=money,
    consumptions=unique(
        rows_of(
            ingredient_slug=slug,
            quantity_consumed=quantity,
            unit=text.filter(lambda s: len(s) <= 50),
            total_cost=money,
        )
    ),
)
assembly_rows = rows_of(
    finished_good=index,
    quantity_assembled=integer.filter(bool),
    assembled_at=moment,
    notes=st.none() | text,
    total_component_cost=money,
    per_unit_cost=money,
    finished_unit_consumptions=unique(
        rows_of(
            finished_unit=index,
            quantity_consumed=integer.filter(bool),
            unit_cost_at_consumption=money,
            total_cost=money,
        )
    ),
    packaging_consumptions=unique(
        rows_of(
            product=index,
            quantity_consumed=quantity,
            unit=text.filter(lambda s: len(s) <= 50),
            total_cost=money,
        )
    ),
)
MODELS = {
    "consumptions": models.ProductionConsumption,
    "finished_unit_consumptions": models.AssemblyFinishedUnitConsumption,
    "packaging_consumptions": models.AssemblyPackagingConsumption,
}


def build(model, values, catalog):
    """The ORM object of generated values; references are places in the catalog."""
    made = {}
    for name, value in values.items():
        if name in MODELS:
            made[name] = [build(MODELS[name], entry, catalog) for entry in value]
        elif name in catalog:
            made[name] = catalog[name][value]
        else:
            made[name] = value
    return model(**made)


@pytest.fixture(scope="module")
def two_databases(databases):
    """For each dialect, two databases with the catalog, and a way to empty them of runs."""

    def prepare(dialect):
        engines = databases(dialect, 20), databases(dialect, 21)
        for engine in engines:
            with Session(engine) as session:
                stock_slugs(session, CATALOG)
        return engines

    return prepare


def clear(engine):
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name.startswith(("production_", "assembly_")):
                connection.execute(sa.delete(table))


@pytest.mark.slow
@pytest.mark.parametrize(("dialect", "count"), [("sqlite", 40), ("postgresql", 20), ("mariadb", 20)])
def test_whatever_the_models_hold_comes_back(two_databases, dialect, count):
    source, target = two_databases(dialect)

    @settings(
        max_examples=examples(count),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(
        production=st.lists(production_rows, max_size=3, unique_by=lambda row: row["uuid"]),
        assembly=st.lists(assembly_rows, max_size=3, unique_by=lambda row: row["uuid"]),
    )
    def check(production, assembly):
        clear(source)
        clear(target)
        with Session(source) as session:
            catalog = {
                name: [session.scalars(sa.select(model).where(model.slug == slug)).one() for slug in CATALOG]
                for name, model in (
                    ("recipe", models.Recipe),
                    ("finished_unit", models.FinishedUnit),
                    ("finished_good", models.FinishedGood),
                    ("product", models.Product),
                )
            }
            session.add_all([build(models.ProductionRun, row, catalog) for row in production])
            session.add_all([build(models.AssemblyRun, row, catalog) for row in assembly])
            try:
                session.commit()
            except sa.exc.IntegrityError:
                reject()  # two ledger entries drew the same UUID
        first = exported(source)
        report = History(target).import_document(json.loads(first), on_duplicate="verify")
        assert report.problems == ()
        assert report.imported == len(production) + len(assembly)
        assert exported(target) == first
        again = History(target).import_document(json.loads(first), on_duplicate="verify")
        assert (again.skipped, again.problems) == (len(production) + len(assembly), ())

    check()


def test_uuids_of_any_version_travel(history):
    runs = [
        production_run(uuid=str(value), consumptions=[])
        for value in (uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.uuid1())
    ]
    assert history.import_document(document(*runs, production_run(int(number(4)[-1])))).imported == 4
