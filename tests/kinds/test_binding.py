"""An application's own models: found through their mapper, whatever they look like."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from marshmallow import Schema, ValidationError, fields
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

import histio
from histio import AssemblyRunSchema, BindingError, History, ProductionRunSchema
from tests.support import shop
from tests.support.bakery import TIME, document, number, production_run, without
from tests.support.reports import codes_of, outcomes
from tests.support.shop import line, order, orders

MOMENT = dt.datetime(2025, 12, 10, tzinfo=dt.UTC)


def exported(engine, *kinds, **options):
    return History(engine, *kinds, **options).export_document(exported_at=MOMENT)


# --- a whole host ------------------------------------------------------------------------------------


def shop_history(engine):
    return History(engine, shop.OrderSchema, values={"shop_id": 7})


@pytest.mark.slow
def test_a_host_unlike_the_bundled_models_comes_back_as_it_left(create):
    given = orders(order(3, placed_on=None), order(1), order(2, parent=number(1), customer=None, lines=[]))
    history = shop_history(create(shop.Base.metadata, *shop.catalog()))
    report = history.import_document(given)
    assert (outcomes(report), report.problems, report.warnings) == ((3, 0, 0), (), ())
    assert report.unit_of_work == {}
    assert json.dumps(history.export_document(exported_at=MOMENT)) == json.dumps(given)
    again = history.import_document(given, on_duplicate="verify")
    assert (outcomes(again), again.problems) == ((0, 3, 0), ())


def test_what_differs_is_named_at_its_place_on_the_wire(sqlite_of):
    history = shop_history(sqlite_of(shop.Base.metadata, *shop.catalog()))
    history.import_document(orders(order(1)))
    changed = order(
        1,
        total="5.26",
        tags=["old"],
        shipment=None,
        lines=[line(1, serials=[{"text": "x"}]), line(2, product=None, tag="old", serials=[])],
    )
    [problem] = history.import_document(orders(changed), on_duplicate="verify").problems
    assert problem.code == "conflict"
    for pointer in (
        "/total: document '5.26', database '",
        "/tags: document ['old'], database [",
        "/lines/0/serials/1: only in the database",
        "/shipment: only in the database",
    ):
        assert pointer in problem.message


@pytest.mark.slow
def test_its_json_schema_is_as_strict_as_its_marshmallow_schema(sqlite_of):
    history = shop_history(sqlite_of(shop.Base.metadata, *shop.catalog()))
    validator = Draft202012Validator(history.json_schema())
    validator.check_schema(history.json_schema())
    assert history.json_schema()["$id"] == "urn:histio:history:1.0:order"
    assert validator.is_valid(orders(order()))
    marshmallow = shop.OrderSchema(load_instance=False)
    for members in (
        {"warehouse": {"city": "Ulm"}},
        {"warehouse": {"city": "Ulm", "number": "3"}},
        {"warehouse": {"city": "Ulm", "number": 3, "x": 1}},
        {"tags": ["new", "new"]},
        {"tags": "new"},
        {"tags": [" "]},
        {"colour": "r"},
        {"colour": None},
        {"total": "5.251"},
        {"total": "-1.00"},
        {"gift": 1},
        {"extra": "\x00"},
        {"extra": {"a": ["\x00"]}},
        {"weight": "0.1"},
        {"parent": "x"},
        {"shipment": [{"sent_at": TIME}]},
        {"shipment": {}},
        {"lines": {"place": 1}},
        {"lines": [line(tag="new")]},
        {"lines": [line(product=None)]},
        {"lines": [without(line(), "product", "tag")]},
        {"lines": [line(serials=[{"text": "a" * 11}])]},
        {"id": number(1)},
        {"uid": number(1)},
    ):
        assert not validator.is_valid(orders(order(**members))), members
        with pytest.raises(ValidationError):
            marshmallow.load(order(**members))


def test_a_schema_dumps_and_loads_rows_of_a_host(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    with Session(engine) as session:
        row = shop.OrderSchema().load(order(), session=session)
        row.shop_id = 7
        for entry in row.lines:
            entry.colour = row.colour
        session.add(row)
        session.commit()
        assert shop.OrderSchema().dump(row) == order()
        same = shop.OrderSchema().load(order(gift=True), session=session)
        assert same is row
        assert (row.gift, len(row.lines)) == (True, 2)


def test_rows_are_compared_and_written_with_a_constant_number_of_statements(sqlite_of, count_statements):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = shop_history(engine)
    statements = count_statements(engine)
    counts = []
    for start, many in ((100, 5), (200, 50)):
        statements.clear()
        report = history.import_document(orders(*(order(start + n) for n in range(many))))
        assert report.imported == many
        imported = len(statements.all)
        assert len(history.export_document()["orders"]) >= many
        counts.append((imported, len(statements.all) - imported))
    assert counts[0] == counts[1]


# --- the bundled kinds on a host's models -------------------------------------------------------------


class Base(orm.DeclarativeBase):
    pass


class Recipe(Base):
    __tablename__ = "formulas"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    title: Mapped[str] = mapped_column(sa.String(80))


class FinishedUnit(Base):
    __tablename__ = "units"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(sa.String(80))
    recipe_id: Mapped[UUID] = mapped_column(sa.ForeignKey("formulas.id"))
    recipe: Mapped[Recipe] = relationship()


class Timed:
    """A mixin that gives inherited columns."""

    finished_at: Mapped[dt.datetime] = mapped_column("ts", sa.DateTime(timezone=True))


class Run(Timed, Base):
    __tablename__ = "runs"

    key: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(32), unique=True)
    recipe_id: Mapped[UUID] = mapped_column(sa.ForeignKey("formulas.id"))
    finished_unit_id: Mapped[int] = mapped_column(sa.ForeignKey("units.id"))
    num_batches: Mapped[int] = mapped_column(sa.SmallInteger)
    expected_yield: Mapped[int]
    actual_yield: Mapped[int]
    total_ingredient_cost: Mapped[Decimal] = mapped_column(sa.Numeric(12, 2))
    per_unit_cost: Mapped[Decimal] = mapped_column(sa.Numeric(12, 6))
    recipe: Mapped[Recipe] = relationship()
    finished_unit: Mapped[FinishedUnit] = relationship()
    consumptions: Mapped[list[Use]] = relationship(order_by="Use.unit")
    losses: Mapped[list[Loss]] = relationship()


class Use(Base):
    __tablename__ = "uses"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_key: Mapped[int] = mapped_column(sa.ForeignKey("runs.key"))
    uuid: Mapped[UUID] = mapped_column(unique=True)
    ingredient_slug: Mapped[str] = mapped_column(sa.String(100))
    quantity_consumed: Mapped[Decimal] = mapped_column(sa.Numeric(9, 1))
    unit: Mapped[str] = mapped_column(sa.String(10))
    total_cost: Mapped[Decimal] = mapped_column(sa.Numeric(12, 2))


class Loss(Base):
    __tablename__ = "losses"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_key: Mapped[int] = mapped_column(sa.ForeignKey("runs.key"))
    reason: Mapped[str] = mapped_column(sa.String(20))


class LossSchema(histio.RecordSchema):
    class Meta:
        model = Loss

    reason = histio.Text(required=True)


class BakeryRunSchema(ProductionRunSchema):
    class Meta(ProductionRunSchema.Meta):
        timestamp = "finished_at"

    recipe_slug = histio.Slug("recipe", key="title")
    finished_unit_slug = histio.Slug("finished_unit", agrees="recipe")
    losses = Nested(LossSchema, many=True)


def baked(n: int = 1, **members):
    """A production run as the bakery's models can hold it: without notes and times of recording."""
    entry = {
        "uuid": number(100 + n),
        "ingredient_slug": "flour",
        "quantity_consumed": "4.0",
        "unit": "cups",
        "total_cost": "2.50",
    }
    members = {
        "total_ingredient_cost": "5.25",
        "per_unit_cost": "0.057100",
        "consumptions": [entry],
    } | members
    return without(production_run(n), "notes", "created_at", "updated_at") | members


def bakery():
    cookies, bread = Recipe(title="cookies"), Recipe(title="bread")
    return cookies, FinishedUnit(slug="cookie", recipe=cookies), FinishedUnit(slug="loaf", recipe=bread)


@pytest.mark.slow
def test_a_bundled_kind_is_bound_to_a_hosts_run_and_finds_the_rest(create):
    kind = BakeryRunSchema.bind(Run)
    history = History(create(Base.metadata, *bakery()), kind)
    entries = [
        baked()["consumptions"][0] | {"uuid": number(n), "unit": unit} for n, unit in ((5, "z"), (4, "a"))
    ]
    given = {
        "version": "1.0",
        "exported_at": "2025-12-10T00:00:00Z",
        "production_runs": [
            baked(1, losses=[{"reason": "burnt"}, {"reason": "ate"}]),
            baked(2, consumptions=entries, losses=[]),
        ],
    }
    report = history.import_document(given)
    assert (outcomes(report), report.problems) == ((2, 0, 0), ())
    assert json.dumps(history.export_document(exported_at=MOMENT)) == json.dumps(given)
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, 2, 0)
    unit = baked(3, finished_unit_slug="loaf")
    assert codes_of(history.check(given | {"production_runs": [unit]})) == [
        ("/production_runs/0/finished_unit_slug", "mismatched-reference")
    ]


@pytest.mark.parametrize(
    ("members", "pointer", "code"),
    [
        ({"notes": "x"}, "/notes", "schema"),
        ({"created_at": TIME}, "/created_at", "schema"),
        ({"num_batches": 2**15}, "/num_batches", "out-of-range"),
        ({"total_ingredient_cost": "5.251"}, "/total_ingredient_cost", "precision"),
        ({"total_ingredient_cost": "12345678901.00"}, "/total_ingredient_cost", "out-of-range"),
        ({"losses": [{"reason": "x" * 21}]}, "/losses/0/reason", "out-of-range"),
        ({"losses": [{"reason": "x", "why": "y"}]}, "/losses/0/why", "schema"),
    ],
)
def test_limits_come_from_the_hosts_columns(sqlite_of, members, pointer, code):
    history = History(sqlite_of(Base.metadata, *bakery()), BakeryRunSchema.bind(Run))
    given = {"version": "1.0", "production_runs": [baked(**members)]}
    assert codes_of(history.import_document(given).problems) == [(f"/production_runs/0{pointer}", code)]
    assert not Draft202012Validator(history.json_schema()).is_valid(given)


def test_a_slug_that_stands_alone_is_required_to_every_validator(sqlite_of):
    history = History(sqlite_of(Base.metadata, *bakery()), BakeryRunSchema.bind(Run))
    given = {"version": "1.0", "production_runs": [without(baked(), "recipe_slug")]}
    assert codes_of(history.import_document(given).problems) == [("/production_runs/0/recipe_slug", "schema")]
    assert not Draft202012Validator(history.json_schema()).is_valid(given)


def test_bound_schemas_leave_the_bundled_ones_as_they_were(sqlite):
    BakeryRunSchema.bind(Run)
    assert BakeryRunSchema.bind(Run) is BakeryRunSchema.bind(Run)
    assert "notes" in ProductionRunSchema().fields
    assert outcomes(History(sqlite).import_document(document(production_run()))) == (1, 0, 0)


def test_the_bundled_kinds_bound_to_the_bundled_models_keep_the_published_schema():
    assert (
        History(None, ProductionRunSchema, AssemblyRunSchema).json_schema()["$id"] == "urn:histio:history:1.0"
    )


# --- what a binding gets wrong is told when it is made -------------------------------------------------


class BareBase(orm.DeclarativeBase):
    pass


class Bare(BareBase):
    __tablename__ = "bare"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36))
    short: Mapped[str] = mapped_column(sa.String(20))
    text: Mapped[str] = mapped_column(sa.Text)
    number: Mapped[int]
    amount: Mapped[Decimal] = mapped_column(sa.Numeric(20, 6))
    floating: Mapped[float]
    day: Mapped[dt.date]
    moment: Mapped[dt.datetime]
    always: Mapped[int] = mapped_column(sa.Identity(always=True))
    parts: Mapped[list[BarePart]] = relationship(foreign_keys="BarePart.bare_id")
    part_id: Mapped[int | None] = mapped_column(sa.ForeignKey("bare_parts.number"))
    part: Mapped[BarePart | None] = relationship(foreign_keys=[part_id])

    @property
    def shout(self):
        return self.short.upper()


class BarePart(BareBase):
    __tablename__ = "bare_parts"

    bare_id: Mapped[int] = mapped_column(sa.ForeignKey("bare.id"), primary_key=True)
    number: Mapped[int] = mapped_column(sa.ForeignKey("bare.number"), primary_key=True, unique=True)
    blob: Mapped[bytes]


class BarePartSchema(histio.RecordSchema):
    class Meta:
        model = BarePart

    number = histio.Integer(required=True)


class OrderedPartSchema(BarePartSchema):
    class Meta:
        order = "number"


class PlainSchema(Schema):
    number = fields.Integer()


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"shrt": histio.Text()}, r"Bare has no column 'shrt': did you mean 'short'\?"),
        ({"shout": histio.Text()}, "dump_only=True"),
        ({"number": histio.Text()}, r"BareSchema\.number: a Text cannot be kept in Integer\(\)"),
        ({"short": histio.Integer()}, "it takes Integer"),
        (
            {"short": histio.RunRef("part")},
            r"no column 'uuid': name the UUID with key=, or write Slug\(…, key=…\)",
        ),
        ({"p": histio.Slug("part")}, "BarePart has no column 'slug': name the key with key="),
        (
            {"shot": histio.Text(dump_only=True)},
            r"BareSchema\.shot: Bare has no attribute 'shot': did you mean",
        ),
        ({"number": histio.FixedDecimal()}, "minor_units=2 if the column is an integer"),
        ({"amount": histio.FixedDecimal(minor_units=2)}, "minor_units is for columns of integers"),
        ({"floating": histio.FixedDecimal()}, "floats carry 15 digits"),
        ({"floating": histio.FixedDecimal(precision=20, scale=2)}, "floats carry 15 digits"),
        ({"day": histio.UtcTimestamp()}, "it takes DateTime; for days there is Date"),
        ({"moment": histio.Date()}, "it takes Date; for instants there is UtcTimestamp"),
        ({"short": histio.RunUUID()}, "it takes String"),
        ({"short": histio.Boolean()}, "it takes Boolean"),
        ({"short": histio.Json()}, "it takes JSON"),
        ({"short": histio.Choice()}, "name the choices"),
        ({"number": histio.Choice("a")}, "it takes Enum or String"),
        ({"short": histio.Number()}, "it takes Float or Double"),
        ({"always": histio.Integer()}, "GENERATED ALWAYS"),
        ({"prt": histio.Slug("prt")}, r"no relationship 'prt': did you mean 'part'"),
        ({"p": histio.Slug("parts", key="number")}, "Bare.parts leads to several rows"),
        ({"p": histio.Slug("part", key="blob.x")}, "BarePart has no relationship 'blob'"),
        ({"p": histio.Slug("part", key="number", fallback="slug")}, "BarePart has no column 'slug'"),
        ({"p": histio.SlugList("parts", key="number")}, "is not a relationship over an association table"),
        (
            {"parts": Nested(BarePartSchema, many=True)},
            r"does not grow: name what orders its rows, such as Meta\.order",
        ),
        (
            {"parts": Nested(OrderedPartSchema)},
            r"Bare\.parts leads to several rows: write Nested\(…, many=True\)",
        ),
        ({"part": Nested(BarePartSchema, many=True)}, r"Bare\.part leads to one row: write many=False"),
        ({"parts": Nested(PlainSchema, many=True)}, "a ledger needs a RecordSchema, not PlainSchema"),
        ({"number": fields.Integer()}, "would lose or alter values of the column: use histio.Integer"),
        (
            {"short": fields.TimeDelta()},
            r"nothing is known of the JSON of a TimeDelta: use a field of histio's",
        ),
    ],
)
def test_a_binding_that_cannot_work_says_what_to_write(members, why):
    meta = type("Meta", (), {"model": Bare, "kind": "bare", "collection": "bares", "timestamp": None})
    plain = {"Meta": meta, "uuid": histio.RunUUID(required=True)}
    with pytest.raises(BindingError, match=why):
        History(None, type("BareSchema", (histio.RunSchema,), plain | members))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"identity": "short"}, "'short' is not a required member"),
        ({"identity": "nothing"}, "'nothing' is not a required member"),
        ({"timestamp": "short"}, "is not a UtcTimestamp, Epoch or Date of the schema"),
        ({"model": int}, "is not a mapped class"),
    ],
)
def test_a_meta_that_cannot_work_says_so(options, why):
    names = {"model": Bare, "kind": "bare", "collection": "bares", "timestamp": None} | options
    members = {"Meta": type("Meta", (), names), "uuid": histio.RunUUID(required=True), "short": histio.Text()}
    with pytest.raises(BindingError, match=why):
        History(None, type("BareSchema", (histio.RunSchema,), members))


@pytest.mark.parametrize(
    ("wrong", "right"), [("identiy", "identity"), ("exlude", "exclude"), ("colection", "collection")]
)
def test_an_option_of_meta_that_is_misspelt_is_told_at_once(wrong, right):
    with pytest.raises(
        BindingError, match=f"BadSchema.Meta: there is no option '{wrong}': did you mean '{right}'"
    ):
        type("BadSchema", (histio.RunSchema,), {"Meta": type("Meta", (), {wrong: "x"})})


def test_a_key_without_relationship_is_told_at_once():
    with pytest.raises(BindingError, match="a key needs a relationship: write Slug"):
        histio.Slug(key="code")


def test_a_json_schema_says_nothing_where_the_host_says_nothing():
    rules = History(None, BakeryRunSchema.bind(Run)).json_schema()["$defs"]
    assert rules["loss"].keys() & {"description", "examples"} == set()
    assert rules["production_run"]["properties"]["losses"].keys() & {"description", "examples"} == set()


def test_a_model_without_what_the_kind_needs_is_refused_by_bind():
    with pytest.raises(BindingError, match="Bare has no relationship 'recipe'"):
        ProductionRunSchema.bind(Bare)
    with pytest.raises(BindingError, match="int'> is not a mapped class"):
        ProductionRunSchema.bind(int)


def test_decimals_wider_than_sqlites_floats_are_refused_for_sqlite_alone(sqlite_of):
    class BareSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp = Bare, "bare", "bares", None
            unbound = "ignore"

        uuid = histio.RunUUID(required=True)
        amount = histio.FixedDecimal(required=True)

    History(None, BareSchema)
    engine = sqlite_of(sa.MetaData())
    with pytest.raises(BindingError, match=r"BareSchema\.amount: SQLite .* 15 digits, and this one has 20"):
        History(engine, BareSchema)
    with Session(engine) as session, pytest.raises(BindingError, match="15 digits"):
        History(None, BareSchema).export_document(session=session)


# --- what a schema says of itself ---------------------------------------------------------------------


class NoteSchema(histio.RecordSchema):
    class Meta:
        unbound = "ignore"

    uuid = histio.RunUUID(required=True)
    ingredient_slug = histio.Text(required=True)
    unit = histio.Text(required=True)


@pytest.mark.parametrize(
    "nested",
    [
        Nested(NoteSchema, many=True, exclude=("unit",)),
        Nested(NoteSchema(exclude=("unit",)), many=True),
        Nested(NoteSchema(only=("uuid", "ingredient_slug"), many=True)),
        Nested(lambda: NoteSchema(exclude=("unit",)), many=True),
        fields.List(Nested(NoteSchema(exclude=("unit",)))),
    ],
    ids=["class", "instance", "only", "lambda", "list"],
)
def test_a_bound_ledger_keeps_what_its_schema_leaves_out(nested):
    kind = type("NotedSchema", (BakeryRunSchema,), {"consumptions": nested}).bind(Run)
    rules = History(None, kind).json_schema()["$defs"]["note"]["properties"]
    assert list(rules) == ["uuid", "ingredient_slug"]


class Dated(histio.RecordSchema):
    class Meta:
        optional = ("dated",)

    dated = histio.Date()


@pytest.mark.parametrize("bases", [(Dated, BakeryRunSchema), (BakeryRunSchema, Dated)])
def test_the_options_of_all_bases_are_inherited(bases):
    kind = type("BothSchema", bases, {})
    assert (kind.Meta.kind, kind.Meta.timestamp) == ("production_run", "finished_at")


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"Meta": type("Meta", (), {"exclude": ("nots",)})}, "no attribute or field 'nots'"),
        ({"losses": Nested("NoSuchSchema", many=True)}, "NoSuchSchema"),
        ({"losses": Nested(lambda: LoopSchema, many=True)}, "nested in itself"),
    ],
)
def test_names_that_lead_nowhere_are_binding_errors_too(members, why):
    with pytest.raises(BindingError, match=why):
        type("LostSchema", (BakeryRunSchema,), members).bind(Run)


class LoopSchema(histio.RecordSchema):
    class Meta:
        model = Loss

    losses = Nested(lambda: LoopSchema, many=True)


class PairBase(orm.DeclarativeBase):
    pass


class Paper(PairBase):
    __tablename__ = "papers"

    id: Mapped[int] = mapped_column(primary_key=True)
    sort: Mapped[str] = mapped_column(sa.String(10))
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    base_note: Mapped[str] = mapped_column("note", sa.String(10))
    lines: Mapped[list[PaperLine]] = relationship()
    __mapper_args__ = {"polymorphic_on": "sort", "polymorphic_identity": "paper"}


class Bill(Paper):
    __tablename__ = "bills"

    id: Mapped[int] = mapped_column(sa.ForeignKey("papers.id"), primary_key=True)
    own_note: Mapped[str] = mapped_column("note", sa.String(10))
    __mapper_args__ = {"polymorphic_identity": "bill"}


class PaperLine(PairBase):
    __tablename__ = "paper_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    paper_id: Mapped[int] = mapped_column(sa.ForeignKey("papers.id"))
    place: Mapped[int]


class PaperLineSchema(histio.RecordSchema):
    class Meta:
        model, identity = PaperLine, "place"

    place = histio.Integer(required=True)


class PaperSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Paper, "paper", "papers", None

    uuid = histio.RunUUID(required=True)
    base_note = histio.Text(required=True)
    lines = Nested(PaperLineSchema, many=True)


def test_two_members_in_columns_of_one_name_are_refused():
    schema = type("BillSchema", (PaperSchema,), {"own_note": histio.Text(required=True)})
    with pytest.raises(
        BindingError, match=r"BillSchema\.\w+: several members are kept in columns called 'note'"
    ):
        schema.bind(Bill)


def test_entries_that_are_numbered_in_each_run_are_no_duplicates_to_check(sqlite_of):
    history = History(sqlite_of(PairBase.metadata), PaperSchema)
    papers = [{"uuid": number(n), "base_note": "x", "lines": [{"place": 1}, {"place": 2}]} for n in (1, 2)]
    assert history.check({"version": "1.0", "papers": papers}) == []
    papers[0]["lines"].append({"place": 1})
    assert codes_of(history.check({"version": "1.0", "papers": papers})) == [
        ("/papers/0/lines/2/place", "duplicate-in-document")
    ]
