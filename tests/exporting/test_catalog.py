"""Exports with a catalog: the rows that the exported runs name, or all."""

from __future__ import annotations

import datetime as dt
import functools
import json
import random

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import orm
from sqlalchemy.orm import Session

import histio
from histio import models
from histio.tuning import tuned
from tests.support import fleet
from tests.support.bakery import assembly_run, consumption, document, production_run
from tests.support.effort import examples
from tests.support.fleet import EPOCH, HISTORY, Item, Region, Trip

EXPORTED_AT = dt.datetime(2025, 12, 9, tzinfo=dt.UTC)

NAMED = {
    "region": {"parent": "region"},
    "keeper": {"home": "place"},
    "place": {"keeper": "keeper", "next": "place", "region": "region"},
    "maker": {"parent": "maker"},
    "tag": {},
    "item": {"maker": "maker", "tags": "tag", "place": "place"},
    "truck": {"place": "place"},
    "trip": {
        "label": "tag",
        "item": "code",
        "truck": "truck",
        "spare": "truck",
        "regions": "region",
        "place": "place",
        "place_region": "region",
        "tag": "tag",
        "maker": "maker",
        "part": "part",
    },
    "check": {"keeper": "keeper"},
}
"""By kind, the members of its records and their ledgers that name rows, and of which kind."""

COLLECTIONS = {kind.name: kind.collection for kind in HISTORY.bound.all_kinds}

RUNS = {kind.name: kind.collection for kind in HISTORY.bound.kinds}


def at(minutes):
    return EPOCH + dt.timedelta(minutes=minutes)


def names_in(value, members):
    """The kind and the key of each row that a record, or a list of records, names."""
    for each in value if isinstance(value, list) else [value]:
        for member, inner in each.items():
            if member in members:
                keys = inner if isinstance(inner, list) else [inner]
                yield from ((members[member], key) for key in keys if key is not None)
            elif isinstance(inner, list):
                yield from names_in(inner, members)


def closure(runs, whole):
    """Of the catalog of a *whole* document, what *runs* name directly or through other rows."""
    rows = {}
    for kind in HISTORY.catalog:
        for record in whole[COLLECTIONS[kind]]:
            keys = {(kind, record["slug"])}
            keys |= {("code", record.get("code"))} | {
                ("part", each["slug"]) for each in record.get("parts", ())
            }
            rows |= dict.fromkeys(keys, (kind, record))
    found, left = {}, [name for kind, records in runs.items() for name in names_in(records, NAMED[kind])]
    while left:
        kind, record = rows.get(left.pop(), (None, None))
        if kind is not None and (kind, record["slug"]) not in found:
            found[kind, record["slug"]] = record
            left += names_in(record, NAMED[kind])
    return {
        COLLECTIONS[kind]: [each for each in whole[COLLECTIONS[kind]] if (kind, each["slug"]) in found]
        for kind in HISTORY.catalog
    }


@pytest.fixture
def database(create):
    return create(fleet.Base.metadata)


FILTERS = st.sampled_from(
    [
        {},
        {"kinds": "trip"},
        {"kinds": "check"},
        {"kinds": "trip", "since": at(2)},
        {"kinds": "trip", "until": at(2)},
        {"kinds": "trip", "since": at(2), "until": at(4)},
        {"kinds": "trip", "changed_since": at(3)},
        {"where": {"trip": Trip.item_id.is_not(None)}},
        {"where": {"trip": Trip.item.has(Item.slug == "item-1")}},
        {"where": {"trip": sa.and_(Trip.item_id == Item.id, Item.slug != "item-1")}},
        {"where": {"trip": Trip.regions.any(Region.slug == "region-1")}},
    ]
)


@pytest.mark.slow
def test_the_used_rows_are_those_that_a_search_finds_and_fill_an_empty_database(database, dialect):
    @settings(max_examples=examples(20 if dialect == "sqlite" else 8))
    @given(
        make=st.integers().map(random.Random),
        size=st.integers(1, 5),
        filters=FILTERS,
        full_path_only=st.booleans(),
    )
    def check(make, size, filters, full_path_only):
        with database.connect() as connection:
            fleet.fill(connection, make, size)
            export = functools.partial(
                HISTORY.export_document, exported_at=EXPORTED_AT, session=connection, **filters
            )
            whole = export(catalog="all")
            with tuned(page=1, full_path_only=full_path_only):  # lists of keys have five rows
                used = export(catalog="used")
            connection.rollback()
            report = HISTORY.import_document(used, catalog="create", session=connection)
            returned = export(catalog="all")
            connection.rollback()
        runs = {kind: whole[lists] for kind, lists in RUNS.items() if lists in whole}
        assert used == {**whole, **closure(runs, whole)}
        assert report.problems == ()
        assert returned == used

    check()


def add_roads(session):
    """Rows that nothing names, and a trip for each way of naming one."""
    world = fleet.Region(slug="world")
    europe = fleet.Region(slug="europe", parent=world)
    asia = fleet.Region(slug="asia", parent=world)
    ann, bob = fleet.Keeper(slug="ann"), fleet.Keeper(slug="bob")
    oslo, rome, kyoto = (
        fleet.Place(slug=slug, region=region)
        for slug, region in (("oslo", europe), ("rome", europe), ("kyoto", asia))
    )
    oslo.keeper, oslo.next = bob, rome
    mill = fleet.Maker(country="de", number=1, slug="mill")
    shop = fleet.Maker(country="de", number=2, slug="shop", parent=mill)
    red, blue, old = fleet.Tag(slug="red"), fleet.Tag(slug="blue"), fleet.Tag(slug="old")
    wheel, cart = fleet.Item(slug="wheel", code="W"), fleet.Item(slug="cart", code="C", maker=shop)
    cart.tags = [red, blue]
    spoke = fleet.Part(slug="spoke", item=wheel, place=kyoto)
    big, small = fleet.Truck(slug="big", place=kyoto), fleet.Truck(slug="small")
    session.add_all([asia, ann, oslo, rome, kyoto, shop, old, wheel, cart, spoke, big, small])
    session.flush()
    bob.home = oslo
    trips = {
        "nothing": {},
        "reference by another key": {"item": cart},
        "model of two tables": {"truck": small},
        "base of a model of two tables": {"spare": big},
        "copied slug": {"label": "old"},
        "copied slug of no row": {"label": "gone"},
        "list": {"regions": [asia]},
        "circle of two kinds": {"stops": [{"place": oslo}]},
        "key of several columns, in a ledger of a ledger": {"stops": [{"loads": [{"maker": mill}]}]},
        "copied slug in a ledger of a ledger": {"stops": [{"loads": [{"tag": "blue"}]}]},
        "entry of a catalog row's ledger": {"stops": [{"loads": [{"part": spoke}]}]},
    }
    for number, values in enumerate(trips.values()):
        session.add(trip_of(number, **values))
    session.add(fleet.Check(uuid=fleet.uuid_of(1), keeper=bob))
    session.commit()
    return list(trips)


def trip_of(number, *, stops=(), **values):
    trip = Trip(uuid=fleet.uuid_of(number), began_at=at(number), updated_at=at(number), **values)
    trip.stops = [
        fleet.Stop(
            updated_at=at(0),
            place=stop.get("place"),
            loads=[fleet.Load(**load) for load in stop.get("loads", ())],
        )
        for stop in stops
    ]
    return trip


USED = {
    "nothing": {},
    "reference by another key": {"item": ["cart"], "maker": ["mill", "shop"], "tag": ["blue", "red"]},
    "model of two tables": {"truck": ["small"]},
    "base of a model of two tables": {"truck": ["big"], "place": ["kyoto"], "region": ["asia", "world"]},
    "copied slug": {"tag": ["old"]},
    "copied slug of no row": {},
    "list": {"region": ["asia", "world"]},
    "circle of two kinds": {
        "place": ["oslo", "rome"],
        "keeper": ["bob"],
        "region": ["europe", "world"],
    },
    "key of several columns, in a ledger of a ledger": {"maker": ["mill"]},
    "copied slug in a ledger of a ledger": {"tag": ["blue"]},
    "entry of a catalog row's ledger": {
        "item": ["wheel"],
        "place": ["kyoto"],
        "region": ["asia", "world"],
    },
}


def slugs_of(document):
    """The slugs of the catalog rows in a document, by kind."""
    by_kind = {kind: [row["slug"] for row in document[COLLECTIONS[kind]]] for kind in HISTORY.catalog}
    return {kind: slugs for kind, slugs in by_kind.items() if slugs}


def test_a_run_uses_the_rows_that_it_names_and_no_others(database):
    with Session(database) as session:
        ways = add_roads(session)
        found = {
            way: slugs_of(
                HISTORY.export_document(
                    kinds="trip", since=at(n), until=at(n), catalog="used", session=session
                )
            )
            for n, way in enumerate(ways)
        }
        every, check = (
            slugs_of(HISTORY.export_document(kinds=kind, catalog="used", session=session))
            for kind in ("trip", "check")
        )
    assert found == USED
    assert every == {
        kind: sorted({slug for used in USED.values() for slug in used.get(kind, ())})
        for kind in HISTORY.catalog
    }
    assert check == USED["circle of two kinds"]


def test_a_chain_of_rows_is_followed_to_its_end(database):
    numbers = range(1, 1501)  # MariaDB stops after 1,000 steps, unless it is told otherwise
    with database.connect() as connection:
        places = [{"id": n, "slug": f"place-{n:04}", "next_id": n - 1 or None} for n in numbers]
        connection.execute(sa.insert(fleet.Place), places)
        connection.execute(sa.insert(fleet.Keeper), [{"id": 1, "slug": "ann", "home_id": 1500}])
        connection.execute(sa.insert(fleet.Check), [{"uuid": fleet.uuid_of(1), "keeper_id": 1}])
        before = _settings(connection)
        found = HISTORY.export_document(kinds="check", catalog="used", session=connection)
        assert _settings(connection) == before
        connection.rollback()
    assert [place["slug"] for place in found["places"]] == [place["slug"] for place in places]


def _settings(connection):
    query = {
        "sqlite": "PRAGMA query_only",
        "postgresql": "SHOW ALL",
        "mariadb": "SELECT @@SESSION.max_recursive_iterations",
    }
    return connection.exec_driver_sql(query[connection.dialect.name]).all()


OTHER_COLLATIONS = {
    "sqlite": ["SELECT 1"],
    "postgresql": [
        'ALTER TABLE tags ALTER slug TYPE VARCHAR(50) COLLATE "POSIX"',
        'ALTER TABLE loads ALTER tag TYPE VARCHAR(50) COLLATE "C"',
    ],
    "mariadb": [
        "ALTER TABLE tags MODIFY slug VARCHAR(50) CHARSET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL",
        "ALTER TABLE loads MODIFY tag VARCHAR(50) CHARSET utf8mb4 COLLATE utf8mb4_general_ci",
    ],
}


def test_a_copied_slug_may_have_another_collation_than_its_row(database, dialect):
    with database.begin() as connection:
        for statement in OTHER_COLLATIONS[dialect]:
            connection.exec_driver_sql(statement)
    with Session(database) as session:
        add_roads(session)
    found = histio.History(database, *fleet.RUNS, catalog=fleet.CATALOG).export_document(
        kinds="trip", since=at(9), until=at(9), catalog="used"
    )
    assert slugs_of(found) == {"tag": ["blue"]}


IN_ANOTHER_ZONE = {
    "sqlite": ["SELECT 1"],
    "postgresql": ["ALTER TABLE trips ALTER began_at TYPE TIMESTAMPTZ", "SET TIME ZONE 'Asia/Tokyo'"],
    "mariadb": ["ALTER TABLE trips MODIFY began_at TIMESTAMP(6) NOT NULL", "SET time_zone = '+09:00'"],
}


def test_the_time_zone_of_the_session_does_not_change_which_rows_are_used(database, dialect):
    with Session(database) as session:
        add_roads(session)
    with database.connect() as connection:
        for statement in IN_ANOTHER_ZONE[dialect]:
            connection.exec_driver_sql(statement)
        history = histio.History(connection, *fleet.RUNS, catalog=fleet.CATALOG)
        plain = history.export_document(kinds="trip")
        labelled = plain["trips"][4]
        used = history.export_document(
            kinds="trip",
            since=dt.datetime.fromisoformat(labelled["began_at"]),
            until=dt.datetime.fromisoformat(labelled["began_at"]),
            catalog="used",
        )
    assert used["trips"] == [labelled]
    assert slugs_of(used) == USED["copied slug"]


def test_no_number_of_statements_depends_on_the_number_of_runs(database, count_statements):
    statements, counts = count_statements(database), []
    with database.connect() as connection:
        fleet.fill(connection, random.Random(1), 20)
        trips = [dict(each) for each in connection.execute(sa.select(Trip.__table__)).mappings()]
        for start, end in ((100, 101), (101, 300)):
            repeated = (trips[n % 20] | {"id": n, "uuid": fleet.uuid_of(n)} for n in range(start, end))
            connection.execute(sa.insert(Trip), list(repeated))
            for catalog in (None, "used"):
                statements.clear()
                HISTORY.export_document(since=at(0), kinds="trip", catalog=catalog, session=connection)
                counts.append(len(statements.all))
        connection.rollback()
    few, few_with, many, many_with = counts
    assert many_with - many == few_with - few


# --- the bundled catalog ------------------------------------------------------------------------------


@pytest.fixture
def bakery(history):
    """A history with a production run of cookies, and an assembly run with bags."""
    history.import_document(
        document(production_run(1, consumptions=[consumption()]), assembly=[assembly_run(2)])
    )
    return history


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_a_file_has_the_catalog_before_the_runs_and_a_digest_of_it(bakery, tmp_path, form):
    plain = bakery.export_file(tmp_path / f"plain.{form}", exported_at=EXPORTED_AT)
    used, again = (
        bakery.export_file(tmp_path / f"{name}.{form}", exported_at=EXPORTED_AT, catalog="used")
        for name in ("used", "again")
    )
    assert (used.sha256, used.exported, used.by_kind) == (plain.sha256, plain.exported, plain.by_kind)
    assert (plain.catalog, plain.catalog_sha256) == ({}, None)
    assert used == again
    assert (tmp_path / f"used.{form}").read_bytes() == (tmp_path / f"again.{form}").read_bytes()
    assert used.catalog == {
        "ingredient": 2,
        "recipe": 1,
        "finished_unit": 1,
        "finished_good": 1,
        "product": 1,
    }
    checked = histio.check_file(tmp_path / f"used.{form}")
    assert [problem for problem in checked if problem.severity == "error"] == []
    assert histio.inspect_file(tmp_path / f"used.{form}").catalog == used.catalog


def test_all_rows_are_exported_without_runs(bakery, tmp_path):
    seen = []
    report = bakery.export_file(tmp_path / "rows.jsonl", kinds=(), catalog="all", progress=seen.append)
    assert (report.exported, report.by_kind, report.catalog["recipe"]) == (0, {}, 2)
    assert (seen[-1].runs, seen[-1].total) == (8, 8)
    rows = bakery.export_document(kinds=[], catalog="all")
    assert [row["slug"] for row in rows["recipes"]] == ["bread", "cookies"]
    assert "production_runs" not in rows


def test_a_kind_of_the_catalog_without_used_rows_is_named_in_the_header(bakery, tmp_path):
    report = bakery.export_file(tmp_path / "a.jsonl", kinds="production_run", catalog="used")
    assert report.catalog == {
        "ingredient": 1,
        "recipe": 1,
        "finished_unit": 1,
        "finished_good": 0,
        "product": 0,
    }
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])["header"]["catalog"] == list(
        bakery.catalog
    )


def test_runs_that_an_earlier_export_has_use_rows_too(bakery, tmp_path):
    bakery.export_file(tmp_path / "a.jsonl", catalog="used")
    report = bakery.export_file(tmp_path / "b.jsonl", catalog="used", differs_from=tmp_path / "a.jsonl")
    assert (report.exported, report.unchanged, report.catalog["recipe"]) == (0, 2, 1)


def test_without_a_catalog_an_export_has_the_statements_that_it_had(bakery, engine, count_statements):
    statements = count_statements(engine)
    bakery.export_document()
    assert statements.matching("FROM products") == []


def test_only_used_rows_can_be_unreadable(bakery, engine, tmp_path):
    with engine.begin() as connection:
        connection.execute(sa.update(models.Recipe).where(models.Recipe.slug == "bread").values(slug=" b"))
    assert bakery.export_file(tmp_path / "used.jsonl", catalog="used").catalog["recipe"] == 1
    with pytest.raises(histio.ExportError) as error:
        bakery.export_document(catalog="all")
    assert {problem.kind for problem in error.value.problems} == {"recipe", "finished_unit"}
    report = bakery.export_file(tmp_path / "all.jsonl", catalog="all", on_unreadable="skip")
    assert (report.skipped, report.problem_count, report.exported) == (2, 2, 2)
    assert {problem.uuid for problem in report.problems} == {" b", "loaf"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"catalog": "some"}, "catalog must be one of"),
        ({"kinds": (), "catalog": "used"}, "kinds is empty"),
        ({"kinds": ()}, "kinds is empty"),
        ({"kinds": "recipe", "catalog": "used"}, "no such kind"),
    ],
)
def test_a_wrong_option_is_a_value_error(tmp_path, options, message):
    history = histio.History()
    with pytest.raises(ValueError, match=message):
        history.export_document(**options)
    with pytest.raises(ValueError, match=message):
        history.export_file(tmp_path / "a.jsonl", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_history_without_catalog_kinds_says_what_to_pass():
    history = histio.History(None, histio.ProductionRunSchema)
    with pytest.raises(ValueError, match="pass their schemas to it, as catalog="):
        history.export_document(catalog="used")


class Base(orm.DeclarativeBase):
    pass


class Product(Base):
    """Its slug is not unique, and may be null."""

    __tablename__ = "products"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    slug: orm.Mapped[str | None] = orm.mapped_column(sa.String(20))


class Sale(Base):
    __tablename__ = "sales"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    uuid: orm.Mapped[str] = orm.mapped_column(sa.String(36), unique=True)
    product_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("products.id"))
    product: orm.Mapped[Product] = orm.relationship()


class SaleSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Sale, "sale", "sales", None

    product_slug = histio.Slug("product")


class ProductSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Product, "product", "products", "slug"

    slug = histio.Slug(required=True)


@pytest.mark.parametrize(
    ("slugs", "problems"),
    [
        (["a", "b", "c", "c"], []),
        (["a", "b", "b", "c", "c"], ["product b: 2 rows have this slug, which should identify one."]),
    ],
)
def test_used_rows_that_share_their_identity_are_refused(create, tmp_path, slugs, problems):
    shop = histio.History(create(Base.metadata), SaleSchema, catalog=[ProductSchema])
    with shop.bound.database.bind.begin() as connection:
        products = [{"id": n, "slug": slug} for n, slug in enumerate(slugs, 1)]
        connection.execute(sa.insert(Product), products)
        sales = [{"uuid": fleet.uuid_of(n), "product_id": n} for n in range(1, len(slugs))]
        connection.execute(sa.insert(Sale), sales)
    report = shop.export_file(tmp_path / "a.jsonl", catalog="used", on_unreadable="skip")
    assert [problem.message for problem in report.problems] == problems
