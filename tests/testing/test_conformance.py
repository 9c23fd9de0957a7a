"""The conformance kit finds nothing wrong with sound bindings, and the right thing with broken ones."""

from __future__ import annotations

import datetime as dt
import itertools
import subprocess
import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal
from unittest import SkipTest

import pytest
import sqlalchemy as sa
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from marshmallow import ValidationError, fields, pre_load, validates
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

import histio
from histio import (
    Boolean,
    Choice,
    Date,
    FixedDecimal,
    History,
    Integer,
    Json,
    Number,
    RecordSchema,
    RunRef,
    RunSchema,
    RunUUID,
    Slug,
    SlugList,
    Text,
    UtcTimestamp,
    models,
    testing,
)
from tests.support.bakery import stock
from tests.support.conformance import (
    Article,
    Base,
    Delivery,
    Line,
    Order,
    Service,
    State,
    Tag,
    Warehouse,
    check_host,
    lines,
    orders,
)
from tests.support.databases import stocked
from tests.support.effort import examples

# --- a host: orders with lines ----------------------------------------------------------------------


class LineSchema(RecordSchema):
    class Meta:
        model = Line
        identity = "place"
        order = "place"

    place = Integer(required=True, minimum=1)
    article = Slug("article", choice="what")
    service = Slug("service", key="code", choice="what")
    price = FixedDecimal(required=True, signed=True)


class DeliverySchema(RecordSchema):
    class Meta:
        model = Delivery

    left_at = UtcTimestamp(required=True)


class OrderSchema(RunSchema):
    class Meta:
        model = Order
        kind = "order"
        collection = "orders"
        timestamp = "day"
        exclude = ("previous_uid",)

    uid = RunUUID(required=True)
    day = Date(required=True)
    warehouse = Slug("warehouse", key=("region", "number"), required=True)
    note = Text(allow_none=True, data_key="remark")
    cents = FixedDecimal(minor_units=2, required=True, data_key="total")
    state = Choice(required=True)
    rush = Boolean(required=True)
    weight = Number(required=True)
    extra = Json(allow_none=True)
    tags = SlugList("tags")
    lines = fields.Nested(LineSchema, many=True)
    delivery = fields.Nested(DeliverySchema, allow_none=True)


class ChainSchema(OrderSchema):
    """Orders that follow each other."""

    class Meta(OrderSchema.Meta):
        exclude = ()

    previous = RunRef("previous", key="uid", allow_none=True)


def make_orders(session: Session, count: int) -> None:
    tags = [Tag(slug=slug) for slug in ("new", "tax-free")]
    article, service = Article(slug="soap"), Service(code=7)
    session.add_all(
        Order(
            day=dt.date(2025, 12, 1 + n),
            warehouse=Warehouse(region="north", number=n),
            note=[None, "Ring twice"][n % 2],
            cents=n * 1999,
            state=list(State)[n % 2],
            rush=n % 2 == 0,
            weight=n / 8,
            extra={"gift": [n, None]},
            tags=tags[: n % 3],
            lines=[
                Line(place=1 + i, article=article, price=Decimal(n)) if i % 2 else
                Line(place=1 + i, service=service, price=Decimal(-n))
                for i in range(n % 4)
            ],
            delivery=[None, Delivery(left_at=dt.datetime(2025, 12, 8, n))][n // 2 % 2],  # noqa: DTZ001
        )
        for n in range(count)
    )  # fmt: skip


def make_chain(session: Session, count: int) -> None:
    make_orders(session, count)
    orders = [each for each in session.new if isinstance(each, Order)]
    for earlier, later in itertools.pairwise(orders):
        later.previous = earlier


def make_bakery(session: Session, count: int) -> None:
    """Runs of both bundled kinds; the catalog may be there already."""
    if session.scalar(sa.select(models.Recipe)) is None:
        session.add_all(stock())
        session.flush()
    catalog = {
        name: list(session.scalars(sa.select(model).order_by(model.slug)))
        for name, model in (
            ("units", models.FinishedUnit),
            ("goods", models.FinishedGood),
            ("products", models.Product),
        )
    }
    for n in range(count // 2):
        moment = dt.datetime(2025, 12, 8, 10, n)  # noqa: DTZ001
        unit = catalog["units"][n % 2]
        session.add(
            models.ProductionRun(
                recipe=unit.recipe,
                finished_unit=unit,
                num_batches=1 + n,
                expected_yield=96,
                actual_yield=92 + n,
                produced_at=moment,
                notes=["", None][n % 2],
                total_ingredient_cost=Decimal(n),
                per_unit_cost=Decimal("0.0571"),
                consumptions=[
                    models.ProductionConsumption(
                        ingredient_slug="flour", quantity_consumed=Decimal(1 + n), unit="cups", total_cost=1
                    )
                ],
            )
        )
    for n in range(count - count // 2):
        session.add(
            models.AssemblyRun(
                finished_good=catalog["goods"][0],
                quantity_assembled=5 + n,
                assembled_at=dt.datetime(2025, 12, 9, n),  # noqa: DTZ001
                total_component_cost=Decimal(n),
                per_unit_cost=Decimal(n) / 8,
                finished_unit_consumptions=[
                    models.AssemblyFinishedUnitConsumption(
                        finished_unit=unit, quantity_consumed=60, unit_cost_at_consumption=1, total_cost=n
                    )
                    for unit in catalog["units"]
                ],
                packaging_consumptions=[
                    models.AssemblyPackagingConsumption(
                        product=catalog["products"][0], quantity_consumed=1 + n, unit="each", total_cost=n
                    )
                ],
            )
        )


@pytest.fixture(autouse=True, scope="module")
def _few_examples(pytestconfig) -> Iterator[None]:
    """The kit takes the number of examples from the profile of the host."""
    settings.register_profile("few", settings(), max_examples=40, derandomize=True)
    settings.load_profile("few")
    yield
    settings.load_profile(pytestconfig.getoption("effort"))


@pytest.fixture
def shop() -> Iterator[sa.Engine]:
    """An empty SQLite database of the host's, made as applications make it."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def shop_anywhere(databases, dialect) -> sa.Engine:
    engine = databases(dialect, 40)
    Base.metadata.create_all(engine)
    return engine


def rows(engine: sa.Engine, metadata: sa.MetaData) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in metadata.sorted_tables
        }


def case_about(words: str, history: History, make_runs: testing.MakeRuns) -> testing.Case:
    [found] = [case for case in testing.cases(history, make_runs=make_runs) if words in str(case)]
    return found


# --- sound bindings ---------------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_bundled_kinds_keep_every_promise_on_every_database(engine):
    assert check_host(History(engine), make_runs=make_bakery) == []


@pytest.mark.slow
def test_a_host_with_models_of_its_own_keeps_every_promise_on_every_database(shop_anywhere):
    [told] = check_host(History(shop_anywhere, OrderSchema), make_runs=make_orders)
    assert told.endswith("every ledger of the models: order: previous_uid is left out by Meta.exclude")


@pytest.mark.slow
def test_a_host_whose_schema_is_translated_keeps_every_promise(databases):
    class Abroad(DeclarativeBase):
        metadata = sa.MetaData(schema="abroad")

    class Crate(Abroad):
        __tablename__ = "crate"
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str] = mapped_column(sa.String(50), unique=True)
        weight: Mapped[int]

    class CrateSchema(RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Crate, "crate", "crates", None, "slug"

        slug = Text(required=True)
        weight = Integer(required=True)

    def make_crates(session, count):
        session.add_all(Crate(slug=f"crate {n}", weight=n) for n in range(count))

    engine = databases("sqlite", 41).execution_options(schema_translate_map={"abroad": None})
    Abroad.metadata.create_all(engine)
    assert testing.check_host(History(engine, CrateSchema), make_runs=make_crates) == []


def test_a_column_that_no_model_maps_is_a_warning(shop):
    with shop.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE delivery ADD COLUMN signature VARCHAR(20)")
    case = next(
        case
        for case in testing.cases(History(shop, ChainSchema), make_runs=make_chain)
        if "every column" in str(case)
    )
    with pytest.warns(
        UserWarning, match="table delivery has columns that its model does not map.*: signature"
    ):
        case()


@pytest.mark.parametrize("case", testing.cases(History(), make_runs=make_bakery), ids=str)
def test_every_case_is_a_sentence_and_asks_for_a_database(case):
    assert str(case)[0].islower()
    with pytest.raises(histio.NotConfiguredError, match="bind one to the test database"):
        case()


def routed(engine: sa.Engine) -> sessionmaker[Session]:
    class Routing(Session):
        def get_bind(self, *_, **__):
            return engine

    return sessionmaker(class_=Routing)


BINDS = {
    "engine": lambda engine: engine,
    "connection": lambda engine: engine.connect(),
    "sessionmaker": sessionmaker,
    "sessionmaker of a connection": lambda engine: sessionmaker(engine.connect()),
    "sessionmaker with binds": lambda engine: sessionmaker(binds={Base: engine}),
    "sessionmaker that routes": routed,
    "session": Session,
    "scoped_session": lambda engine: scoped_session(sessionmaker(engine)),
}


@pytest.mark.slow
@pytest.mark.parametrize("bind", BINDS.values(), ids=BINDS)
def test_whatever_the_history_is_bound_to_the_database_is_left_as_it_was(shop, bind):
    with Session(shop) as session:
        make_orders(session, 1)
        session.commit()
    before = rows(shop, Base.metadata)
    history = History(bind(shop), OrderSchema)
    for words in ("are unchanged", "are skipped", "leave nothing", "of an import"):
        case_about(words, history, make_new_orders)()
    assert rows(shop, Base.metadata) == before


def make_new_orders(session, count):
    """Orders of a catalog that is there already."""
    tags = list(session.scalars(sa.select(Tag)))
    warehouse = session.scalar(sa.select(Warehouse))
    for n in range(count):
        more = {"warehouse": warehouse, "tags": tags, "cents": n, "rush": True, "weight": 0.5}
        session.add(Order(day=dt.date(2025, 12, 1 + n), state=State.OPEN, extra={}, **more))


@pytest.mark.slow
def test_a_session_that_was_handed_over_keeps_what_is_pending_in_it(shop):
    with Session(shop) as session:
        session.add(Tag(slug="mine"))
        case_about("are unchanged", History(session, OrderSchema), make_orders)()
        assert session.scalars(sa.select(Tag.slug)).all() == ["mine"]
        session.rollback()
        assert session.scalars(sa.select(Tag.slug)).all() == []


@pytest.mark.slow
def test_what_make_runs_commits_is_gone_nevertheless(shop):
    def make_and_commit(session, count):
        make_orders(session, count)
        session.commit()

    case_about("are unchanged", History(shop, OrderSchema), make_and_commit)()
    assert set(rows(shop, Base.metadata).values()) == {0}


def test_make_runs_that_commits_a_session_that_was_handed_over_is_told_not_to(shop):
    def make_and_commit(session, count):
        make_orders(session, count)
        session.commit()

    with Session(shop) as session, pytest.raises(AssertionError, match="it must not commit"):
        case_about("are unchanged", History(session, OrderSchema), make_and_commit)()


# --- what cannot be checked is told -----------------------------------------------------------------


def test_kinds_ledgers_and_references_that_no_run_has_are_named(shop):
    with pytest.raises(SkipTest) as skipped:
        case_about("as many runs", History(shop, OrderSchema), make_first_orders)()
    assert str(skipped.value) == (
        "no run has OrderSchema.lines (Order), so it is not checked; "
        "no run has OrderSchema.delivery (Order), so it is not checked"
    )


def make_first_orders(session, count):
    session.add(Warehouse(region="south", number=1))
    session.add(Tag(slug="new"))
    session.flush()
    make_new_orders(session, count)


@pytest.mark.slow
def test_statements_are_not_counted_where_the_unit_of_work_writes(shop):
    sa.event.listen(Line, "after_insert", print)
    try:
        with pytest.raises(SkipTest, match=r"importing order were not counted: .* Line has an after_insert"):
            case_about("of an import", History(shop, OrderSchema), make_orders)()
    finally:
        sa.event.remove(Line, "after_insert", print)


@pytest.mark.thorough
def test_runs_that_follow_each_other_keep_every_promise_but_the_number_of_statements(shop_anywhere):
    [told] = check_host(History(shop_anywhere, ChainSchema), make_runs=make_chain)
    assert "its runs refer to each other" in told


# --- broken bindings --------------------------------------------------------------------------------


class Shortened(Text):
    """Loads less than it was given."""

    def from_wire(self, value):
        return value[:4]


class LossySchema(OrderSchema):
    note = Shortened(allow_none=True, data_key="remark", example="Ring")


class Numbing(Number):
    """Loads the same, whatever it is given."""

    def from_wire(self, value):
        return 0.5


class NumbSchema(OrderSchema):
    weight = Numbing(required=True, example=0.5)


class Raw(fields.Field):
    """Takes and gives what the column does."""


class NoJsonSchema(OrderSchema):
    day = Date(required=True)
    left = Raw(attribute="weight", dump_only=True, metadata={"json_schema": {"type": "number"}})

    def get_attribute(self, obj, attr, default):
        return Decimal(1) if attr == "weight" else super().get_attribute(obj, attr, default)


class ForgivingSchema(OrderSchema):
    """Takes what it does not know for something else."""

    @pre_load
    def _known(self, data, **_):
        return data | {"warehouse": {"region": "north", "number": 0}}


def with_extra(**rule) -> type[RunSchema]:
    class Schema(OrderSchema):
        extra = Raw(allow_none=True, metadata={"json_schema": rule})

    return Schema


class Loud(Text):
    """Says one thing to marshmallow and another to the JSON Schema."""

    def check(self, value):
        super().check(value)
        if value != value.upper():
            raise ValidationError("Not loud.")


class LoudSchema(OrderSchema):
    note = Loud(allow_none=True, data_key="remark", example="RING")


def make_loud_orders(session, count):
    make_orders(session, count)
    for order in [each for each in session.new if isinstance(each, Order)]:
        order.note = "RING TWICE"


class Lenient(FixedDecimal):
    def check(self, value):
        """Take everything."""

    def from_wire(self, value):
        return 1


class LenientSchema(OrderSchema):
    cents = Lenient(minor_units=2, required=True, data_key="total", example="1.00")


class AskingSchema(OrderSchema):
    """Follows a relationship run by run."""

    first_tag = fields.Function(
        lambda order: sa.orm.object_session(order).scalar(sa.select(Tag.slug).where(Tag.id == order.cents)),
        dump_only=True,
        metadata={"json_schema": {"type": ["string", "null"]}},
    )


def one_order_less(session, count):
    make_orders(session, count - 1)


def the_same_order(session, count):
    warehouse = Warehouse(region="north", number=1)
    for _ in range(count):
        more = {"warehouse": warehouse, "cents": 1, "rush": True, "weight": 0.5, "extra": {}}
        session.add(Order(day=dt.date(2025, 12, 1), state=State.OPEN, **more))


def the_same_key(session, count):
    session.add_all(Warehouse(region="north", number=1) for _ in range(count))


def no_reference(session, count):
    session.add_all(Order(day=dt.date(2025, 12, 1)) for _ in range(count))


BROKEN = {
    "runs are missing": (
        OrderSchema,
        one_order_less,
        "as many runs",
        r"make_runs\(session, 4\) added 3 runs",
    ),
    "runs are the same": (
        OrderSchema,
        the_same_order,
        "all of them different",
        "equal runs, /orders/0 and",
    ),
    "a constraint refuses the runs": (
        OrderSchema,
        the_same_key,
        "as many",
        "rejects the runs of make_runs: .*UNIQUE",
    ),
    "a null is in the way": (
        OrderSchema,
        no_reference,
        "as many runs",
        "rejects the runs of make_runs: .*NOT NULL",
    ),
    "a field loads less": (
        LossySchema,
        make_orders,
        "are unchanged",
        r"/orders/1/remark was 'Ring twice' and is 'Ring': LossySchema.remark \(Order\)",
    ),
    "a field loads the same": (
        NumbSchema,
        make_orders,
        "runs that differ are conflicts",
        r"does not notice .*\n  NumbSchema.weight \(Order\): 0.0 and 0.125 load as the same",
    ),
    "a field dumps no JSON": (
        NoJsonSchema,
        make_orders,
        "are unchanged",
        "dumps a value that is not JSON",
    ),
    "a reference is made up": (
        ForgivingSchema,
        make_orders,
        "a reference to a missing row",
        r"/orders/0/warehouse is {.*}, which names no row, but .* ForgivingSchema.warehouse \(Order\)",
    ),
    "an object is open": (
        with_extra(type="object"),
        make_orders,
        "valid and closed",
        "accept unknown (?s:.*)order/properties/extra",
    ),
    "no JSON Schema": (
        with_extra(type="objekt"),
        make_orders,
        "valid and closed",
        "is invalid at .*/extra/type",
    ),
    "a JSON Schema too narrow": (
        with_extra(type="string"),
        make_orders,
        "accepts exports",
        "/orders/0/extra: .*'string'",
    ),
    "marshmallow is narrower": (
        LoudSchema,
        make_loud_orders,
        "same verdict",
        "/remark: marshmallow says 'Not loud.'",
    ),
    "marshmallow is wider": (
        LenientSchema,
        make_orders,
        "same verdict",
        r"LenientSchema.total \(Order\) accepts",
    ),
    "a field asks run by run": (
        AskingSchema,
        make_orders,
        "of an export",
        r"grows with the number of runs.*(?s:.*)4 and 12 of: SELECT tag.slug",
    ),
}


@pytest.mark.parametrize(("schema", "make_runs", "words", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_found_by_its_case_which_says_where(shop, schema, make_runs, words, message):
    with pytest.raises(AssertionError, match=message):
        case_about(words, History(shop, schema), make_runs)()


@pytest.mark.slow
def test_a_listener_that_changes_what_is_written_is_found(shop):
    def round_up(_mapper, _connection, order):
        order.cents += 1

    sa.event.listen(Order, "before_insert", round_up)
    try:
        with pytest.raises(
            AssertionError, match=r"/orders/0/total was '0.01' and is '0.02': OrderSchema.total"
        ):
            case_about("are unchanged", History(shop, OrderSchema), make_orders)()
    finally:
        sa.event.remove(Order, "before_insert", round_up)


@pytest.mark.slow
def test_a_listener_that_asks_for_every_row_of_an_import_is_found(shop):
    def ask(connection, _cursor, statement, parameters, _context, executemany):
        for _ in parameters if executemany and "INSERT INTO purchase" in statement else ():
            connection.exec_driver_sql("SELECT 1")

    sa.event.listen(shop, "before_cursor_execute", ask)
    with pytest.raises(
        AssertionError, match=r"importing grows with the number of runs(?s:.*)4 and 12 of: SELECT 1"
    ):
        case_about("of an import", History(shop, OrderSchema), make_orders)()


@pytest.mark.slow
def test_runs_beyond_the_number_that_was_asked_for_are_no_fault_of_the_identity(shop):
    def make_more(session, count):
        make_orders(session, count + 1)

    with pytest.raises(AssertionError, match="added 5 runs: it must add as many as requested"):
        case_about("as many runs as requested", History(shop, OrderSchema), make_more)()
    case_about("are skipped, and runs that differ", History(shop, OrderSchema), make_more)()


@pytest.mark.slow
def test_rows_that_no_rollback_takes_back_are_found(databases):
    shop = databases("postgresql", 41)
    Base.metadata.create_all(shop)

    def log_apart(_mapper, _connection, order):
        with shop.begin() as apart:
            apart.execute(sa.insert(Tag).values(slug=f"{uuid.uuid4()}"))

    sa.event.listen(Order, "after_insert", log_apart)
    try:
        with pytest.raises(
            AssertionError, match=r"After a dry run, .* rows have changed\. Look(?s:.*)tag: 6 → 10"
        ):
            case_about("leave nothing", History(shop, OrderSchema), make_orders)()
    finally:
        sa.event.remove(Order, "after_insert", log_apart)


@pytest.mark.slow
def test_everything_that_is_broken_is_raised_at_once(shop):
    with pytest.raises(ExceptionGroup, match="does not keep") as raised:
        testing.check_host(History(shop, LossySchema), make_runs=the_same_order)
    assert {type(each) for each in raised.value.exceptions} == {AssertionError}
    assert "Case: make_runs adds as many runs as requested, all of them different." in (
        raised.value.exceptions[0].__notes__
    )


# --- documents --------------------------------------------------------------------------------------

CATALOG = {
    "warehouse": [{"region": "north", "number": number} for number in (0, 1)],
    "article": ["soap"],
    "service": [7],
    "tags": ["new", "tax-free"],
}
BAKERY = {
    "recipe_slug": ["cookies", "bread"],
    "finished_unit_slug": ["cookie", "loaf"],
    "finished_good_slug": ["gift-bag"],
    "product_slug": ["bag-100"],
    "ingredient_slug": ["bag"],
}


@pytest.mark.slow
@settings(max_examples=examples(25))
@given(st.data())
def test_every_document_of_a_host_is_valid_and_can_be_imported(data):
    assert_imported(HOSTED, data.draw(testing.documents(HOSTED, slugs=CATALOG)))


@pytest.mark.slow
@settings(max_examples=examples(25))
@given(st.data())
def test_every_document_of_the_bundled_kinds_is_valid_and_can_be_imported(data):
    assert_imported(BUNDLED, data.draw(testing.documents(BUNDLED, slugs=BAKERY)))


def assert_imported(history, document):
    errors = Draft202012Validator(history.json_schema()).iter_errors(document)
    assert [error.message for error in errors] == []
    report = history.import_document(document, dry_run=True)
    assert report.problems == ()
    assert report.imported == sum(len(runs) for runs in document.values() if isinstance(runs, list))


def hosted() -> History:
    engine = histio.create_engine("sqlite://", poolclass=sa.StaticPool)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Warehouse(region="north", number=number) for number in (0, 1)])
        session.add_all([Article(slug="soap"), Service(code=7), Tag(slug="new"), Tag(slug="tax-free")])
        session.commit()
    return History(engine, OrderSchema)


def bundled() -> History:
    engine = histio.create_engine("sqlite://", poolclass=sa.StaticPool)
    models.Base.metadata.create_all(engine)
    return History(stocked(engine))


HOSTED, BUNDLED = hosted(), bundled()


def any_order(seen):
    return lambda document: any(map(seen, orders(document)))


def any_line(seen):
    return lambda document: any(map(seen, lines(document)))


SIGHTS = {
    "no exported_at": lambda document: "exported_at" not in document,
    "two runs": lambda document: len(orders(document)) > 1,
    "an integer as float": any_line(lambda line: type(line["place"]) is float),
    "the greatest integer": any_line(lambda line: line["place"] == 2**31 - 1),
    "a decimal at its limit": any_line(lambda line: "999999.99" in line["price"]),
    "a negative decimal": any_line(lambda line: line["price"][0] == "-"),
    "a padded decimal": any_line(lambda line: line["price"].endswith("000")),
    "one choice": any_line(lambda line: line.get("service") is not None),
    "the other choice": any_line(lambda line: line.get("article") is not None),
    "a UUID in upper case": any_order(lambda order: order["uid"] != order["uid"].lower()),
    "an offset": any_order(lambda order: "+" in (order.get("delivery") or {"left_at": ""})["left_at"]),
    "null": any_order(lambda order: order.get("remark", "") is None),
    "absent": any_order(lambda order: "remark" not in order),
    "several tags": any_order(lambda order: len(order.get("tags", ())) > 1),
    "awkward text": any_order(lambda order: not (order.get("remark") or "").isascii()),
    "the longest text": any_order(lambda order: len(order.get("remark") or "") == 100),
    "a leap day": any_order(lambda order: "-02-29" in order["day"]),
    "a composite key": any_order(lambda order: order["warehouse"]["number"] == 1),
}


def found(strategy, wanted):
    """The first that comes, however large."""
    unshrunk = settings(max_examples=200, phases=[Phase.generate], database=None, derandomize=True)
    return find(strategy, lambda drawn: bool(wanted(drawn)), settings=unshrunk)


@pytest.fixture(scope="module")
def many() -> list[dict[str, object]]:
    """Documents as they come."""
    found = []

    @settings(max_examples=300, phases=[Phase.generate], database=None, derandomize=True)
    @given(testing.documents(HOSTED, slugs=CATALOG))
    def collect(document):
        found.append(document)

    collect()
    return found


@pytest.mark.parametrize("sight", SIGHTS.values(), ids=SIGHTS)
def test_documents_have_everything_that_the_format_allows(many, sight):
    assert any(sight(document) for document in many)


@pytest.mark.slow
@pytest.mark.parametrize("valid", [True, False])
def test_near_documents_are_valid_or_not(valid):
    validator = Draft202012Validator(HOSTED.json_schema())
    document = found(testing.near_documents(HOSTED), lambda near: validator.is_valid(near) is valid)
    assert validator.is_valid(document) is valid


def test_slugs_of_a_member_that_no_kind_has_are_told():
    with pytest.raises(ValueError, match="these kinds have no member recipe"):
        testing.documents(HOSTED, slugs={"recipe": ["cookies"]})


class Colour(fields.Field):
    """A field of which nothing is known."""


def painted(**metadata) -> History:
    class PaintedSchema(OrderSchema):
        note = Colour(required=True, data_key="remark", metadata=metadata)

    return History(None, PaintedSchema)


@pytest.mark.parametrize(
    "metadata",
    [
        {"json_schema": {"type": "string"}, "examples": ["red"]},
        {"json_schema": {"enum": ["red"]}},
        {"json_schema": {"const": "red"}},
    ],
)
def test_of_an_unknown_field_the_examples_are_drawn(metadata):
    document = found(testing.documents(painted(**metadata)), orders)
    assert document["orders"][0]["remark"] == "red"


def test_an_unknown_field_without_examples_is_told():
    with pytest.raises(TypeError, match="remark: the values of a Colour are unknown"):
        testing.documents(painted(json_schema={"type": "string"}))


class WarySchema(OrderSchema):
    """Has a rule of the host's own, which no JSON Schema can say."""

    @validates("note")
    def _polite(self, value, **_):
        if value is None or value != value.title():
            raise ValidationError("Be polite.")


@pytest.mark.slow
def test_rules_that_no_json_schema_can_say_are_no_disagreement(shop):
    case_about("same verdict", History(shop, WarySchema), make_orders)()


def test_without_hypothesis_the_strategies_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"pip install .*\[testing\]"):
        testing.documents(HOSTED)
    with pytest.raises(ImportError, match=r"pip install .*\[testing\]"):
        testing.near_documents(HOSTED)
    with pytest.raises(ImportError, match=r"pip install .*\[testing\]"):
        case_about("same verdict", BUNDLED, make_bakery)()


@pytest.mark.slow
def test_without_hypothesis_the_kit_can_be_imported():
    program = "import sys; sys.modules['hypothesis'] = None; import histio.testing"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_kit_needs_a_history_that_is_not_of_asyncio():
    with pytest.raises(TypeError, match="needs a History of the same kinds, not AsyncHistory"):
        testing.cases(histio.AsyncHistory(None), make_runs=make_orders)
