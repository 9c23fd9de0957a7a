"""The catalogs of hosts: trees, circles, ledgers, keys of several columns, tenants and listeners."""

from __future__ import annotations

import datetime as dt
import decimal
import functools

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship, validates

import histio
from histio import Counts, History
from tests.support.bakery import number
from tests.support.kitchen import CATALOG, KITCHEN, Base, BatchSchema
from tests.support.reports import codes_of, outcomes


@functools.cache
def kitchen():
    return History(None, BatchSchema, catalog=CATALOG)


def on(engine):
    """The history of the kitchen on a database."""
    return History.from_bound(kitchen().bound.on(engine))


def test_a_catalog_with_trees_ledgers_and_keys_of_several_columns_is_created(create):
    history = on(create(Base.metadata))
    report = history.import_document(KITCHEN, catalog="create")
    assert (outcomes(report), report.problems, report.warnings) == ((1, 0, 0), (), ())
    assert {kind: each.imported for kind, each in report.catalog.items()} == {
        "recipe": 1,
        "size": 2,
        "category": 3,
        "ingredient": 2,
        "oven": 1,
    }
    [batch] = KITCHEN["batches"]
    assert history.export_document()["batches"] == [batch]
    again = history.import_document(KITCHEN, catalog="update")
    assert outcomes(again) == (0, 1, 0)
    assert sum(each.skipped for each in again.catalog.values()) == 9
    assert again.problems == again.warnings == ()


def test_existing_rows_are_updated_with_their_ledgers_lists_and_parents(create):
    history = on(create(Base.metadata))
    history.import_document(KITCHEN, catalog="create")
    [bread], [flour, salt] = KITCHEN["recipes"], KITCHEN["ingredients"]
    wheat, _, food = KITCHEN["categories"]
    changed = {
        "version": "1.0",
        # The tree is turned upside down: the root moves below a row that was below it.
        "categories": [wheat | {"parent_slug": None}, food | {"parent_slug": "wheat"}],
        "ingredients": [flour | {"categories": ["grain"]}, salt],
        "recipes": [bread | {"lines": [bread["lines"][1] | {"grams": 12}]}],
        "ovens": [{"code": "O-1", "degrees": 200}],
    }
    dry = history.import_document(changed, catalog="update", dry_run=True)
    report = history.import_document(changed, catalog="update")
    assert dry.catalog == report.catalog
    assert {kind: (each.updated, each.skipped) for kind, each in report.catalog.items()} == {
        "recipe": (1, 0),
        "size": (0, 0),
        "category": (2, 0),
        "ingredient": (1, 1),
        "oven": (1, 0),
    }
    again = history.import_document(changed, catalog="update")
    assert sum(each.skipped for each in again.catalog.values()) == 6


@pytest.mark.parametrize("mode", ["create", "update"])
@pytest.mark.turns
def test_what_needs_a_rejected_row_is_rejected_with_that_as_its_reason(create, mode):
    history = on(create(Base.metadata))
    given = KITCHEN | {"recipes": [KITCHEN["recipes"][0] | {"name": "B" * 51}]}
    given |= {"categories": [KITCHEN["categories"][0], KITCHEN["categories"][2]]}
    report = history.import_document(given, catalog=mode)
    assert [(each.pointer, each.code, each.hint) for each in report.problems] == [
        ("/categories/0/parent_slug", "unknown-reference", None),
        ("/ingredients/0/categories", "unknown-reference", "/categories/0 has it, but is rejected"),
        ("/recipes/0/name", "out-of-range", None),
        ("/recipes/0/lines/0/ingredient_slug", "unknown-reference", "/ingredients/0 has it, but is rejected"),
        ("/sizes/0/recipe_slug", "unknown-reference", "/recipes/0 has it, but is rejected"),
        ("/sizes/1/recipe_slug", "unknown-reference", "/recipes/0 has it, but is rejected"),
        ("/batches/0/recipe_slug", "unknown-reference", "/recipes/0 has it, but is rejected"),
        ("/batches/0/size", "unknown-reference", "/sizes/1 has it, but is rejected"),
        ("/batches/0/uses/0/ingredient_sku", "unknown-reference", "/ingredients/0 has it, but is rejected"),
    ]
    assert (outcomes(report), report.catalog["oven"]) == ((0, 0, 1), Counts(imported=1))


# --- circles -------------------------------------------------------------------------------------------


class OfficeBase(orm.DeclarativeBase):
    pass


class Team(OfficeBase):
    __tablename__ = "teams"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    lead_id: Mapped[int | None] = mapped_column(sa.ForeignKey("people.id", use_alter=True, name="lead"))
    lead: Mapped[Person | None] = relationship(foreign_keys=lead_id)


class Person(OfficeBase):
    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    team_id: Mapped[int] = mapped_column(sa.ForeignKey("teams.id"))
    team: Mapped[Team] = relationship(foreign_keys=team_id)


class Shift(OfficeBase):
    __tablename__ = "shifts"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    person_id: Mapped[int] = mapped_column(sa.ForeignKey("people.id"))
    person: Mapped[Person] = relationship()


class TeamSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Team, "team", "teams", "name"

    lead = histio.Slug("lead", key="name", allow_none=True)


class PersonSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Person, "person", "people", "name"

    team = histio.Slug("team", key="name")


class ShiftSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Shift, "shift", "shifts", None

    person = histio.Slug("person", key="name")


def test_rows_of_two_kinds_that_refer_to_each_other_in_a_circle_are_created(create):
    history = History(create(OfficeBase.metadata), ShiftSchema, catalog=(TeamSchema, PersonSchema))
    given = {
        "version": "1.0",
        "teams": [{"name": "bakers", "lead": "Ann"}, {"name": "sellers", "lead": None}],
        "people": [{"name": "Ann", "team": "bakers"}, {"name": "Bob", "team": "sellers"}],
        "shifts": [{"uuid": number(1), "person": "Bob"}, {"uuid": number(2), "person": "Ann"}],
    }
    report = history.import_document(given, catalog="create")
    assert (outcomes(report), report.problems) == ((2, 0, 0), ())
    assert report.catalog == {"team": Counts(imported=2), "person": Counts(imported=2)}
    again = history.import_document(given, catalog="update")
    assert again.catalog == {"team": Counts(skipped=2), "person": Counts(skipped=2)}
    more = given | {"teams": [{"name": "drivers", "lead": "Cem"}], "people": [{"name": "Cem", "team": 7}]}
    report = history.import_document(more, catalog="create")
    assert codes_of(report.problems) == [
        ("/teams/0/lead", "unknown-reference"),
        ("/people/0/team", "schema"),
    ]


# --- tenants, listeners, and keys that are not unique ---------------------------------------------------


class ShopBase(orm.DeclarativeBase):
    pass


class Cake(ShopBase):
    __tablename__ = "cakes"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "slug"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    slug: Mapped[str] = mapped_column(sa.String(20))
    label: Mapped[str] = mapped_column(sa.String(20), default=lambda: "new")

    @validates("slug")
    def _check(self, _key, value):
        if value == "mud":
            raise ValueError("no cakes of mud")
        return value


class Shelf(ShopBase):
    """Nothing keeps its names unique."""

    __tablename__ = "shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    name: Mapped[str] = mapped_column(sa.String(20))


class Order(ShopBase):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    cake_id: Mapped[int] = mapped_column(sa.ForeignKey("cakes.id"))
    shelf_id: Mapped[int | None] = mapped_column(sa.ForeignKey("shelves.id"))
    cake: Mapped[Cake] = relationship()
    shelf: Mapped[Shelf | None] = relationship()


class CakeSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Cake, "cake", "cakes", "slug"
        exclude = ("tenant_id",)


class ShelfSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Shelf, "shelf", "shelves", "name"
        exclude = ("tenant_id",)


class OrderSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Order, "order", "orders", None
        exclude = ("tenant_id",)

    cake = histio.Slug("cake")
    shelf = histio.Slug("shelf", key="name", allow_none=True)


def shop(engine, tenant):
    return History(engine, OrderSchema, catalog=(CakeSchema, ShelfSchema), values={"tenant_id": tenant})


def orders(tenant, *cakes, shelf="low"):
    """An order of each cake."""
    return {
        "version": "1.0",
        "cakes": [{"slug": cake} for cake in cakes],
        "shelves": [{"name": shelf}],
        "orders": [
            {"uuid": number(10 * tenant + place), "cake": cake, "shelf": shelf}
            for place, cake in enumerate(cakes)
        ],
    }


def test_each_tenant_has_rows_of_its_own(create):
    engine = create(ShopBase.metadata)
    for tenant in (7, 8):
        history = shop(engine, tenant)
        assert history.import_document(orders(tenant, "tart")).advice is not None
        report = history.import_document(orders(tenant, "tart"), catalog="create")
        assert (outcomes(report), report.problems) == ((1, 0, 0), ())
        assert report.catalog == {"cake": Counts(imported=1), "shelf": Counts(imported=1)}
        assert outcomes(history.import_document(orders(tenant, "tart"), catalog="update")) == (0, 1, 0)
    with Session(engine) as session:
        found = session.execute(
            sa.select(Order.tenant_id, Cake.tenant_id, Shelf.tenant_id).join(Order.cake).join(Order.shelf)
        )
        assert sorted(map(tuple, found)) == [(7, 7, 7), (8, 8, 8)]


def test_validators_and_defaults_of_the_host_are_called_for_rows(create):
    engine = create(ShopBase.metadata)
    report = shop(engine, 7).import_document(orders(7, "tart", "mud"), catalog="create")
    assert report.unit_of_work == {"cake": ("Cake validates slug",)}
    assert codes_of(report.problems) == [("/cakes/1", "constraint"), ("/orders/1/cake", "unknown-reference")]
    assert report.problems[1].hint == "/cakes/1 has it, but is rejected"
    assert (outcomes(report), report.catalog["cake"]) == ((1, 0, 1), Counts(imported=1, rejected=1))
    with Session(engine) as session:
        assert session.scalars(sa.select(Cake.label)).all() == ["new"]


def test_new_rows_whose_key_is_not_unique_are_warned_of_once(create):
    engine = create(ShopBase.metadata)
    history = shop(engine, 7)
    first = history.import_document(orders(7, "tart"), catalog="create")
    [warning] = first.warnings
    assert (warning.code, warning.kind, warning.pointer) == ("duplicate", "shelf", "")
    assert warning.message.startswith("The database may keep two rows of shelf with the same name")
    assert history.import_document(orders(8, "tart"), catalog="create").warnings == ()
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE UNIQUE INDEX named ON shelves (tenant_id, name)"))
    report = history.import_document(orders(9, "tart", shelf="high"), catalog="create")
    assert (report.catalog["shelf"], report.warnings) == (Counts(imported=1), ())


# --- collations ----------------------------------------------------------------------------------------


class LaxBase(orm.DeclarativeBase):
    pass


LAX = (
    sa.String(20)
    .with_variant(sa.String(20, collation="NOCASE"), "sqlite")
    .with_variant(sa.String(20, collation="utf8mb4_general_ci"), "mysql", "mariadb")
)


class Grain(LaxBase):
    __tablename__ = "grains"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(LAX, unique=True)


class Milling(LaxBase):
    __tablename__ = "millings"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    grain_id: Mapped[int] = mapped_column(sa.ForeignKey("grains.id"))
    grain: Mapped[Grain] = relationship()


class GrainSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Grain, "grain", "grains", "slug"


class MillingSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Milling, "milling", "millings", None

    grain = histio.Slug("grain")


REFUSED = (
    Counts(rejected=1),
    ["grains.slug: 'Rye' is the same as the stored 'rye' in the column's collation"],
    (0, 0, 1),
)
SPELLINGS = {"sqlite": REFUSED, "mariadb": REFUSED, "postgresql": (Counts(imported=1), [], (1, 0, 0))}


@pytest.mark.parametrize("mode", ["create", "update"])
def test_identities_are_compared_exactly_and_a_collision_is_explained(create, dialect, mode):
    history = History(create(LaxBase.metadata), MillingSchema, catalog=(GrainSchema,))
    history.import_document({"version": "1.0", "grains": [{"slug": "rye"}]}, catalog=mode)
    given = {
        "version": "1.0",
        "grains": [{"slug": "Rye"}],
        "millings": [{"uuid": number(1), "grain": "Rye"}],
    }
    report = history.import_document(given, catalog=mode)
    counts, texts, runs = SPELLINGS[dialect]
    messages = [each.message for each in report.problems if each.kind == "grain"]
    assert (report.catalog["grain"], outcomes(report)) == (counts, runs)
    assert all(text in message for text, message in zip(texts, messages, strict=True))
    assert [each.hint for each in report.problems if each.kind == "milling"] == [
        "/grains/0 has it, but is rejected"
    ] * runs[2]


def test_a_row_that_exists_is_not_blamed_for_another_key_of_it_in_the_file(create):
    history = on(create(Base.metadata))
    history.import_document(KITCHEN | {"batches": []}, catalog="create")
    flour, salt = KITCHEN["ingredients"]
    other = KITCHEN | {"ingredients": [flour | {"sku": "F-2"}, salt]}
    other |= {"batches": [KITCHEN["batches"][0] | {"uses": [{"ingredient_sku": "F-2", "grams": 1}]}]}
    found = [
        history.check(other, catalog="create"),
        history.import_document(other, catalog="create").problems,
    ]
    for problems in found:
        [problem] = problems
        assert (problem.pointer, problem.hint) == (
            "/batches/0/uses/0/ingredient_sku",
            "did you mean F-1?",
        )
    assert history.check(other, catalog="update") == []
    assert outcomes(history.import_document(other, catalog="update")) == (1, 0, 0)


@pytest.mark.turns
def test_renames_reach_the_keys_of_rows_whatever_their_fields_are(create):
    history = on(create(Base.metadata))
    rename = {"oven_code": {"O-1": "O-9"}, "ingredient_sku": {"F-1": "F-9"}}
    report = history.import_document(KITCHEN, catalog="create", rename=rename)
    assert (outcomes(report), report.problems) == ((1, 0, 0), ())
    assert [(use.pointer, use.new) for use in report.renamed] == [
        ("/ingredients/0/sku", "F-9"),
        ("/ovens/0/code", "O-9"),
        ("/batches/0/oven_code", "O-9"),
        ("/batches/0/uses/0/ingredient_sku", "F-9"),
    ]
    assert history.check(KITCHEN, catalog="create", rename=rename) == []
    [batch] = history.export_document()["batches"]
    assert (batch["oven_code"], batch["uses"][0]["ingredient_sku"]) == ("O-9", "F-9")


# --- rows that a UUID identifies ------------------------------------------------------------------------


class TagBase(orm.DeclarativeBase):
    pass


class Tag(TagBase):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    etag: Mapped[str] = mapped_column(sa.String(36))
    text: Mapped[str] = mapped_column(sa.String(20))


class Post(TagBase):
    __tablename__ = "posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    tag_id: Mapped[int] = mapped_column(sa.ForeignKey("tags.id"))
    tag: Mapped[Tag] = relationship()


class TagSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Tag, "tag", "tags", "uuid"

    uuid = histio.RunUUID(required=True)
    etag = histio.RunUUID(required=True)


class PostSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Post, "post", "posts", None

    tag = histio.RunRef("tag")


def test_rows_that_a_uuid_identifies_take_the_fast_path_and_keep_their_other_uuids(create, caplog):
    engine = create(TagBase.metadata)
    history = History(engine, PostSchema, catalog=(TagSchema,))
    tags = [{"uuid": number(n), "etag": number(100 + n), "text": "new"} for n in range(3)]
    posts = [{"uuid": number(10 + n), "tag": number(n)} for n in range(4)]
    given = {"version": "1.0", "tags": tags, "posts": posts}
    caplog.set_level("DEBUG", "histio")
    report = history.import_document(given, catalog="create")
    assert (outcomes(report), report.catalog["tag"]) == ((3, 0, 1), Counts(imported=3))
    assert "3 of 3 new runs take the full path" not in caplog.messages
    changed = [
        tag | {"etag": number(7), "text": text} for tag, text in zip(tags, ("new", "old", "new"), strict=True)
    ]
    report = history.import_document(given | {"tags": changed}, catalog="update")
    assert report.catalog["tag"] == Counts(updated=1, skipped=2)
    with Session(engine) as session:
        stored = session.execute(sa.select(Tag.etag, Tag.text).order_by(Tag.id)).all()
    assert list(map(tuple, stored)) == [(number(100), "new"), (number(101), "old"), (number(102), "new")]


# --- limits of the actual columns ------------------------------------------------------------------------


class StoreBase(orm.DeclarativeBase):
    pass


class Bin(StoreBase):
    """MariaDB keeps no fractions of a second here."""

    __tablename__ = "bins"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(10), unique=True)
    made_at: Mapped[dt.datetime]
    volume: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(5, 2))


class Fill(StoreBase):
    __tablename__ = "fills"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    bin_id: Mapped[int] = mapped_column(sa.ForeignKey("bins.id"))
    bin: Mapped[Bin] = relationship()


class BinSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Bin, "bin", "bins", "code"


class FillSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Fill, "fill", "fills", None

    bin = histio.Slug("bin", key="code")


CUT = [("/bins/1/made_at", "precision")]
KEPT = {"sqlite": [], "postgresql": [], "mariadb": CUT}


@pytest.mark.parametrize("mode", ["create", "update"])
def test_the_limits_of_columns_and_cut_times_are_those_of_runs(create, dialect, mode):
    history = History(create(StoreBase.metadata), FillSchema, catalog=(BinSchema,))
    row = {"made_at": "2025-12-08T10:00:00Z", "volume": "1.00"}
    bins = [
        row | {"code": "wide", "volume": "1000.00"},
        row | {"code": "late", "made_at": "2025-12-08T10:00:00.5Z"},
        row | {"code": "long-named-bin"},
    ]
    given = {"version": "1.0", "bins": bins, "fills": [{"uuid": number(1), "bin": "late"}]}
    refused = [("/bins/0/volume", "out-of-range"), ("/bins/2/code", "out-of-range")]
    found = codes_of(history.check(given, catalog=mode, truncate_times=True))
    assert sorted(found) == sorted([*refused, *KEPT[dialect]])
    report = history.import_document(given, catalog=mode, truncate_times=True)
    assert (codes_of(report.problems), codes_of(report.warnings)) == (refused, KEPT[dialect])
    assert (outcomes(report), report.catalog["bin"]) == ((1, 0, 0), Counts(imported=1, rejected=2))


def test_a_key_that_is_unique_only_in_the_model_is_warned_of(create):
    actual = sa.MetaData()
    for table in LaxBase.metadata.sorted_tables:
        copied = table.to_metadata(actual)
        copied.constraints = {
            each for each in copied.constraints if not isinstance(each, sa.UniqueConstraint)
        }
    history = History(create(actual), MillingSchema, catalog=(GrainSchema,))
    report = history.import_document({"version": "1.0", "grains": [{"slug": "rye"}]}, catalog="create")
    [warning] = report.warnings
    assert (warning.code, warning.kind, report.catalog["grain"]) == ("duplicate", "grain", Counts(imported=1))
