"""Northwind, as it has come with databases since the nineties: its orders go through all three and back.

It has no UUIDs, no slugs, no relationship but by foreign key, spaces in the names of tables, and prices as
MONEY and REAL: what applications that nobody here wrote look like.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, Session, mapped_column

import histio
from histio import History
from tests.support.reports import codes_of, outcomes

MOMENT = dt.datetime(2025, 12, 10, tzinfo=dt.UTC)


class Base(orm.DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "Customers"
    CustomerID: Mapped[str] = mapped_column(sa.CHAR(5), primary_key=True)
    CompanyName: Mapped[str] = mapped_column(sa.String(40))


class Employee(Base):
    __tablename__ = "Employees"
    EmployeeID: Mapped[int] = mapped_column(primary_key=True)
    LastName: Mapped[str] = mapped_column(sa.String(20))
    FirstName: Mapped[str] = mapped_column(sa.String(10))


class Shipper(Base):
    __tablename__ = "Shippers"
    ShipperID: Mapped[int] = mapped_column(primary_key=True)
    CompanyName: Mapped[str] = mapped_column(sa.String(40))


class Product(Base):
    __tablename__ = "Products"
    ProductID: Mapped[int] = mapped_column(primary_key=True)
    ProductName: Mapped[str] = mapped_column(sa.String(40))


class Order(Base):
    __tablename__ = "Orders"
    OrderID: Mapped[int] = mapped_column(primary_key=True)
    CustomerID: Mapped[str | None] = mapped_column(sa.ForeignKey("Customers.CustomerID"))
    EmployeeID: Mapped[int | None] = mapped_column(sa.ForeignKey("Employees.EmployeeID"))
    OrderDate: Mapped[dt.date | None]
    ShippedDate: Mapped[dt.date | None]
    ShipVia: Mapped[int | None] = mapped_column(sa.ForeignKey("Shippers.ShipperID"))
    Freight: Mapped[Decimal | None] = mapped_column(sa.Numeric(15, 4))
    ShipName: Mapped[str | None] = mapped_column(sa.String(40))
    ShipRegion: Mapped[str | None] = mapped_column(sa.String(15))


class OrderDetail(Base):
    __tablename__ = "Order Details"
    OrderID: Mapped[int] = mapped_column(sa.ForeignKey("Orders.OrderID"), primary_key=True)
    ProductID: Mapped[int] = mapped_column(sa.ForeignKey("Products.ProductID"), primary_key=True)
    UnitPrice: Mapped[Decimal] = mapped_column(sa.Numeric(15, 4))
    Quantity: Mapped[int] = mapped_column(sa.SmallInteger)
    Discount: Mapped[float] = mapped_column(sa.REAL)


class OrderDetailSchema(histio.RecordSchema):
    class Meta:
        model = OrderDetail
        order = "product"

    product = histio.Slug("ProductID", key="ProductName", required=True)
    unit_price = histio.FixedDecimal(attribute="UnitPrice", required=True)
    quantity = histio.Integer(attribute="Quantity", minimum=1, required=True)
    discount = histio.Number(attribute="Discount", required=True)


class OrderSchema(histio.RunSchema):
    class Meta:
        model, kind, collection = Order, "order", "orders"
        timestamp = "ordered"
        identity = "number"

    number = histio.Integer(attribute="OrderID", required=True)
    customer = histio.Slug("CustomerID", key="CustomerID", allow_none=True)
    employee = histio.Slug("EmployeeID", key=("LastName", "FirstName"), allow_none=True)
    ordered = histio.Date(attribute="OrderDate", allow_none=True)
    shipped = histio.Date(attribute="ShippedDate", allow_none=True)
    ship_via = histio.Slug("ShipVia", key="CompanyName", allow_none=True)
    freight = histio.FixedDecimal(attribute="Freight", allow_none=True)
    ship_name = histio.Text(attribute="ShipName", allow_none=True)
    ship_region = histio.Text(attribute="ShipRegion", allow_none=True)
    details = Nested(OrderDetailSchema, many=True)


COMPANIES = {"VINET": "Vins et alcools Chevalier", "TOMSP": "Toms Spezialitäten", "HANAR": "Hanari Carnes"}
EMPLOYEES = [("Buchanan", "Steven"), ("Suyama", "Michael"), ("Peacock", "Margaret")]
SHIPPERS = ["Speedy Express", "United Package", "Federal Shipping"]
PRODUCTS = [
    *("Queso Cabrales", "Singaporean Hokkien Fried Mee", "Mozzarella di Giovanni", "Tofu"),
    *("Manjimup Dried Apples", "Jack's New England Clam Chowder", "Louisiana Fiery Hot Pepper Sauce"),
]
# Number, customer, employee, ordered, shipped, shipper, freight, region; product, price, quantity, discount.
ORDERS = [
    (10248, "VINET", 0, "1996-07-04", "1996-07-16", 2, "32.3800", None,
     [(2, "34.8000", 5, 0), (0, "14.0000", 12, 0), (1, "9.8000", 10, 0)]),
    (10249, "TOMSP", 1, "1996-07-05", "1996-07-10", 0, "11.6100", None,
     [(4, "42.4000", 40, 0), (3, "18.6000", 9, 0)]),
    (10250, "HANAR", 2, "1996-07-08", "1996-07-12", 1, "65.8300", "RJ",
     [(5, "7.7000", 10, 0), (6, "16.8000", 15, 0.15), (4, "42.4000", 35, 0.15)]),
    (11077, None, None, None, None, None, None, None, []),
]  # fmt: skip


def catalog(*, backwards=False):
    """The rows that orders refer to, with row ids that depend on the direction."""
    turn = reversed if backwards else iter
    return [
        *(Customer(CustomerID=key, CompanyName=name) for key, name in COMPANIES.items()),
        *(Employee(EmployeeID=n, LastName=a, FirstName=b) for n, (a, b) in enumerate(turn(EMPLOYEES), 1)),
        *(Shipper(ShipperID=n, CompanyName=name) for n, name in enumerate(turn(SHIPPERS), 1)),
        *(Product(ProductID=n, ProductName=name) for n, name in enumerate(turn(PRODUCTS), 1)),
    ]


def sales():
    """The orders, as the application itself would add them, with the ids of the catalog forwards."""

    def day(text):
        return text and dt.date.fromisoformat(text)

    def row_id(place):
        return None if place is None else place + 1

    for number, customer, employee, ordered, shipped, shipper, freight, region, details in ORDERS:
        yield Order(
            OrderID=number,
            CustomerID=customer,
            EmployeeID=row_id(employee),
            OrderDate=day(ordered),
            ShippedDate=day(shipped),
            ShipVia=row_id(shipper),
            Freight=freight and Decimal(freight),
            ShipName=COMPANIES.get(customer),
            ShipRegion=region,
        )
        for product, price, quantity, discount in details:
            yield OrderDetail(
                OrderID=number,
                ProductID=row_id(product),
                UnitPrice=Decimal(price),
                Quantity=quantity,
                Discount=discount,
            )


@pytest.fixture
def shop(sqlite_of):
    engine = sqlite_of(Base.metadata, *catalog())
    with Session(engine) as session:
        for row in sales():
            session.add(row)
            session.flush()
        session.commit()
    return engine


def exported(engine):
    return json.dumps(History(engine, OrderSchema).export_document(exported_at=MOMENT))


@pytest.mark.slow
def test_orders_go_through_all_databases_and_come_back_unchanged(shop, databases):
    before = exported(shop)
    assert Draft202012Validator(History(shop, OrderSchema).json_schema()).is_valid(json.loads(before))
    assert [run["number"] for run in json.loads(before)["orders"]] == [11077, 10248, 10249, 10250]
    for stop, dialect in enumerate(["postgresql", "mariadb", "sqlite"], 1):
        engine = databases.of_host(dialect)(Base.metadata, *catalog(backwards=True), number=stop)
        history = History(engine, OrderSchema)
        report = history.import_document(json.loads(before))
        assert (outcomes(report), report.problems, report.unit_of_work) == ((4, 0, 0), (), {})
        assert outcomes(history.import_document(json.loads(before), on_duplicate="verify")) == (0, 4, 0)
        assert exported(engine) == before


def test_a_missing_product_or_employee_is_named_at_its_place(shop, sqlite_of):
    document = json.loads(exported(shop))
    document["orders"][1]["employee"]["FirstName"] = "Steve"
    document["orders"][1]["details"][0]["product"] = "Mozzarella"
    engine = sqlite_of(Base.metadata, *catalog(), number=1)
    report = History(engine, OrderSchema).import_document(document)
    assert outcomes(report) == (3, 0, 1)
    assert codes_of(report.problems) == [
        ("/orders/1/employee", "unknown-reference"),
        ("/orders/1/details/0/product", "unknown-reference"),
    ]


def test_the_applications_next_order_gets_a_number_of_its_own(shop, create):
    engine = create(Base.metadata, *catalog(), number=2)
    History(engine, OrderSchema).import_document(json.loads(exported(shop)))
    with Session(engine) as session:
        session.add(order := Order())
        session.commit()
        assert order.OrderID > 11077
