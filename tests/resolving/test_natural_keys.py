"""Natural keys of every kind, and runs that refer to other runs."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

import histio
from histio import ExportError, History
from tests.support import shop
from tests.support.bakery import number
from tests.support.books import InvoiceSchema, LedgerBase, SaleSchema, books
from tests.support.reports import codes_of, outcomes
from tests.support.shop import line, order, orders

MOMENT = dt.datetime(2025, 12, 10, tzinfo=dt.UTC)


@pytest.fixture
def engine(create):
    return create(shop.Base.metadata, *shop.catalog())


@pytest.fixture
def history(engine):
    return History(engine, shop.OrderSchema, values={"shop_id": 7})


def add(engine, *rows):
    with Session(engine) as session:
        session.add_all(rows)
        session.commit()


def customer_of(engine, n=1):
    with Session(engine) as session:
        found = session.scalars(sa.select(shop.Order).where(shop.Order.uid == shop.uuid.UUID(int=n))).one()
        return found.customer and found.customer.slug


# --- keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["acme", "a", "ACME"])
def test_a_chain_of_keys_is_tried_in_order(engine, history, key):
    assert outcomes(history.import_document(orders(order(customer=key)))) == (1, 0, 0)
    assert next(history.iter_runs("order"))["customer"] == "acme"


def test_an_earlier_key_of_the_chain_wins_over_a_later_one(engine, history):
    add(engine, shop.Customer(slug="other", previous_slug="acme", name="a"))
    history.import_document(orders(order(1, customer="acme"), order(2, customer="a")))
    assert [customer_of(engine, n) for n in (1, 2)] == ["acme", "acme"]


def test_two_rows_with_one_key_are_ambiguous_and_neither_is_taken(engine, history):
    add(
        engine,
        shop.Customer(slug="x", name="twin"),
        shop.Customer(slug="y", name="twin"),
        shop.Product(name="Chai"),
    )
    report = history.import_document(orders(order(customer="twin"), order(2, lines=[])))
    assert outcomes(report) == (1, 0, 1)
    assert codes_of(report.problems) == [
        ("/orders/0/customer", "ambiguous-reference"),
        ("/orders/0/lines/0/product", "ambiguous-reference"),
    ]
    assert report.problems[0].message == "Customer is ambiguous: 2 rows have twin"


@pytest.mark.turns
@pytest.mark.parametrize(
    ("warehouse", "pointer", "code"),
    [
        ({"city": "Ulm", "number": 4}, "", "unknown-reference"),
        ({"city": "ulm", "number": 3}, "", "unknown-reference"),
        ({"city": "Ulm", "number": "3"}, "/number", "schema"),
        ({"city": "", "number": 3}, "/city", "out-of-range"),
        ({"city": "Ulm"}, "", "schema"),
        ("Ulm 3", "", "schema"),
        ([], "", "schema"),
    ],
)
def test_a_key_of_several_columns_is_an_object(history, warehouse, pointer, code):
    report = history.import_document(orders(order(warehouse=warehouse)))
    assert codes_of(report.problems) == [(f"/orders/0/warehouse{pointer}", code)]


def test_an_optional_reference_may_be_null_or_left_out(engine, history):
    left_out = order(2)
    del left_out["customer"], left_out["warehouse"]
    history.import_document(orders(order(1, customer=None, warehouse=None), left_out))
    assert [(run["customer"], run["warehouse"]) for run in history.iter_runs("order")] == [(None, None)] * 2


def test_references_of_every_form_are_looked_for_at_their_places(history):
    entry = line(product="Tea", serials=[])
    tagged = line(2, product=None, tag="none")
    report = history.import_document(
        orders(order(customer="acm", tags=["nev", "old"], lines=[entry, tagged]))
    )
    assert [(problem.pointer, problem.message, problem.hint) for problem in report.problems] == [
        ("/orders/0/customer", "Customer not found: acm", "did you mean acme?"),
        ("/orders/0/tags", "Tag not found: nev", "did you mean new?"),
        ("/orders/0/lines/0/product", "Product not found: Tea", None),
        ("/orders/0/lines/1/tag", "Tag not found: none", None),
    ]


def test_a_slug_in_any_case_or_accent_is_another_slug_whatever_the_collation(databases):
    class Base(orm.DeclarativeBase):
        pass

    class Place(Base):
        __tablename__ = "places"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(50, collation="utf8mb4_general_ci"))

    class Visit(Base):
        __tablename__ = "visits"
        id: Mapped[int] = mapped_column(primary_key=True)
        uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
        place_id: Mapped[int] = mapped_column(sa.ForeignKey("places.id"))
        place: Mapped[Place] = relationship()

    class VisitSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp = Visit, "visit", "visits", None

        uuid = histio.RunUUID(required=True)
        place = histio.Slug("place", key="name", required=True)

    engine = databases.of_host("mariadb")(Base.metadata, Place(name="Caf\u00e9"), Place(name="cafe"))
    names = ["Caf\u00e9", "cafe", "CAFE", "cafe\u0301"]
    records = [{"uuid": number(n), "place": name} for n, name in enumerate(names)]
    report = History(engine, VisitSchema).import_document({"version": "1.0", "visits": records})
    assert outcomes(report) == (2, 0, 2)
    assert [visit["place"] for visit in History(engine, VisitSchema).iter_runs("visit")] == names[:2]


def test_a_key_behind_two_relationships_is_found_and_written(create):
    class Base(orm.DeclarativeBase):
        pass

    class Country(Base):
        __tablename__ = "countries"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(sa.String(2))

    class City(Base):
        __tablename__ = "cities"
        id: Mapped[int] = mapped_column(primary_key=True)
        country_id: Mapped[int] = mapped_column(sa.ForeignKey("countries.id"))
        country: Mapped[Country] = relationship()

    class Depot(Base):
        __tablename__ = "depots"
        id: Mapped[int] = mapped_column(primary_key=True)
        number: Mapped[int]
        city_id: Mapped[int] = mapped_column(sa.ForeignKey("cities.id"))
        city: Mapped[City] = relationship()

    class Tour(Base):
        __tablename__ = "tours"
        id: Mapped[int] = mapped_column(primary_key=True)
        uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
        depot_id: Mapped[int] = mapped_column(sa.ForeignKey("depots.id"))
        depot: Mapped[Depot] = relationship()

    class TourSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp = Tour, "tour", "tours", None

        uuid = histio.RunUUID(required=True)
        depot = histio.Slug("depot", key=("city.country.code", "number"), required=True)

    german, french = Country(code="DE"), Country(code="FR")
    depots = [Depot(number=n, city=City(country=land)) for land in (german, french) for n in (1, 2)]
    history = History(create(Base.metadata, *depots), TourSchema)
    tour = {"uuid": number(1), "depot": {"city.country.code": "FR", "number": 2}}
    document = {"version": "1.0", "exported_at": "2025-12-10T00:00:00Z", "tours": [tour]}
    assert outcomes(history.import_document(document)) == (1, 0, 0)
    assert history.export_document(exported_at=MOMENT) == document


# --- what is stored and cannot be said -----------------------------------------------------------------


def test_a_row_whose_reference_leads_nowhere_is_named_and_not_exported_as_null(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    history.import_document(orders(order()))
    with closing(sqlite3.connect(engine.url.database)) as connection:  # foreign keys are not enforced here
        connection.execute("DELETE FROM customers")
        connection.execute("DELETE FROM products")
        connection.commit()
    with pytest.raises(ExportError) as caught:
        history.export_document()
    assert [(problem.pointer, problem.message.partition(": ")[2]) for problem in caught.value.problems] == [
        ("/customer", "No row has the key that is stored."),
        ("/lines/0/product", "No row has the key that is stored."),
    ]


# --- a choice of references ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"tag": "new"}, "Exactly one of product, tag must not be null, not 2."),
        ({"product": None}, "Exactly one of product, tag must not be null, not 0."),
    ],
)
def test_of_a_choice_of_references_exactly_one_is_set(history, members, text):
    [problem] = history.import_document(orders(order(lines=[line(**members)]))).problems
    assert (problem.pointer.rpartition("/")[0], problem.message) == ("/orders/0/lines/0", text)


# --- runs that refer to runs ---------------------------------------------------------------------------


@pytest.mark.slow
def test_runs_are_imported_after_those_they_refer_to_wherever_they_stand(history):
    chain = [order(n, parent=number(n + 1)) for n in range(1, 6)]
    report = history.import_document(orders(*chain, order(6)))
    assert (outcomes(report), report.problems) == ((6, 0, 0), ())
    assert [run["parent"] for run in history.iter_runs("order")] == [*(number(n) for n in range(2, 7)), None]


def test_a_reference_to_a_run_that_is_there_already_resolves(history):
    history.import_document(orders(order(1)))
    assert outcomes(history.import_document(orders(order(2, parent=number(1))))) == (1, 0, 0)


def test_who_refers_to_a_rejected_run_is_rejected_and_told_where_it_stands(history):
    report = history.import_document(orders(order(1, parent=number(2)), order(2, customer="gone"), order(3)))
    assert outcomes(report) == (1, 0, 2)
    problem = report.problems[0]
    assert (problem.pointer, problem.code) == ("/orders/0/parent", "unknown-reference")
    assert problem.hint == "/orders/1 has it, but is rejected"


def test_runs_in_a_circle_go_in(history):
    circle = [order(1, parent=number(2)), order(2, parent=number(1)), order(3, parent=number(3)), order(4)]
    assert outcomes(history.import_document(orders(*circle))) == (4, 0, 0)
    assert list(history.iter_runs("order")) == circle
    assert outcomes(history.import_document(orders(*circle), on_duplicate="verify")) == (0, 4, 0)


def test_check_knows_that_the_document_brings_the_run(history):
    assert history.check(orders(order(1, parent=number(2)), order(2))) == []
    assert codes_of(history.check(orders(order(1, parent=number(2)), order(2, customer="gone")))) == [
        ("/orders/0/parent", "unknown-reference"),
        ("/orders/1/customer", "unknown-reference"),
    ]


def test_a_long_chain_costs_a_constant_number_of_statements_for_each_link(sqlite_of, count_statements):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    statements = count_statements(engine)
    per_link = []
    for start, links in ((100, 10), (500, 100)):
        chain = [
            order(start + n, parent=number(start + n + 1), lines=[], tags=[], shipment=None)
            for n in range(links)
        ]
        statements.clear()
        last = order(start + links, lines=[], tags=[], shipment=None)
        assert history.import_document(orders(*chain, last)).imported == links + 1
        per_link.append(len(statements.all) / links)
    assert per_link[1] <= per_link[0]


def test_kinds_that_refer_to_each_other_are_imported_in_the_order_of_their_dependence(create):
    history = History(create(LedgerBase.metadata), InvoiceSchema, SaleSchema)
    assert history.kinds == ("sale", "invoice")
    given = dict(reversed(books().items()))
    report = history.import_document(given)
    assert outcomes(report) == (3, 0, 0)
    assert json.dumps(history.export_document(exported_at=MOMENT)) == json.dumps(books())
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, 3, 0)


def test_an_identity_that_is_no_uuid_is_told_by_its_name(create):
    history = History(create(LedgerBase.metadata), SaleSchema, InvoiceSchema)
    history.import_document(books())
    report = history.import_document(books(), on_duplicate="error")
    assert [(problem.message, problem.pointer, problem.uuid) for problem in report.problems][-1] == (
        "Duplicate number: 7",
        "/invoices/0/number",
        "7",
    )


def test_keys_of_every_type_can_be_renamed(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    history.import_document(orders(order(1)))
    names = {"parent": {number(9): number(1)}, "tags": {"fresh": "new"}, "tag": {"gone": "old"}}
    tagged = line(2, product=None, tag="gone", serials=[])
    given = orders(order(2, parent=number(9), tags=["fresh", "old"], lines=[tagged]))
    report = history.import_document(given, rename=names)
    assert outcomes(report) == (1, 0, 0)
    assert [(each.pointer, each.old, each.new) for each in report.renamed] == [
        ("/orders/0/tags", "fresh", "new"),
        ("/orders/0/parent", number(9), number(1)),
        ("/orders/0/lines/0/tag", "gone", "old"),
    ]
    with pytest.raises(ValueError, match="warehouse is a key of several columns"):
        history.import_document(given, rename={"warehouse": {}})


def test_a_renaming_that_makes_one_of_two_tags_is_a_problem_and_nothing_is_written(sqlite_of):
    history = History(sqlite_of(shop.Base.metadata, *shop.catalog()), shop.OrderSchema, values={"shop_id": 7})
    report = history.import_document(orders(order()), rename={"tags": {"new": "old"}})
    assert (outcomes(report), codes_of(report.problems)) == ((0, 0, 1), [("/orders/0/tags", "schema")])
    assert history.export_document()["orders"] == []


def test_a_run_refers_to_one_of_an_earlier_import_whatever_that_was_filled_with(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    shops = itertools.count(1)
    history = History(engine, shop.OrderSchema, values={"shop_id": lambda: next(shops)})
    assert outcomes(history.import_document(orders(order(1)))) == (1, 0, 0)
    assert outcomes(history.import_document(orders(order(2, parent=number(1))))) == (1, 0, 0)


def test_a_row_with_two_of_a_choice_is_named_and_not_exported(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    history.import_document(orders(order(1), order(2, lines=[])))
    with engine.begin() as connection:
        connection.execute(sa.update(shop.Line).where(shop.Line.place == 1).values(tag_id=1))
    with pytest.raises(ExportError) as caught:
        history.export_document()
    assert [problem.pointer for problem in caught.value.problems] == ["/lines/0/tag"]
