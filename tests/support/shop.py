"""A host of its own: a shop whose models are as unlike the bundled ones as hosts' models are."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from marshmallow.fields import List, Nested
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio


class Base(orm.DeclarativeBase):
    pass


class Warehouse(Base):
    """Keyed by two columns."""

    __tablename__ = "warehouses"

    city: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Customer(Base):
    """Keyed by a UUID, known by a slug, an older slug, or a name."""

    __tablename__ = "customers"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    slug: Mapped[str] = mapped_column(sa.String(50))
    previous_slug: Mapped[str | None] = mapped_column(sa.String(50))
    name: Mapped[str] = mapped_column(sa.String(50))


class Product(Base):
    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))


class Tag(Base):
    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)


order_tags = sa.Table(
    "order_tags",
    Base.metadata,
    sa.Column("order_id", sa.ForeignKey("orders.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True),
)


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Order(Base):
    __tablename__ = "orders"
    __table_args__ = (sa.ForeignKeyConstraint(["city", "number"], ["warehouses.city", "warehouses.number"]),)

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[uuid.UUID] = mapped_column(unique=True)
    placed: Mapped[dt.date | None] = mapped_column("placed_on")
    customer_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("customers.id"))
    city: Mapped[str | None] = mapped_column(sa.String(20))
    number: Mapped[int | None]
    cents: Mapped[int]
    weight: Mapped[float]
    colour: Mapped[Colour]
    extra: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON)
    gift: Mapped[bool]
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("orders.id"))
    shop_id: Mapped[int] = mapped_column(server_default="0")
    doubled: Mapped[int] = mapped_column(sa.Computed("cents * 2", persisted=True))

    customer: Mapped[Customer | None] = relationship()
    warehouse: Mapped[Warehouse | None] = relationship()
    parent: Mapped[Order | None] = relationship(remote_side=[id])
    lines: Mapped[list[Line]] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=order_tags)
    shipment: Mapped[Shipment | None] = relationship()


class Line(Base):
    """Keyed by its order and its place; holds what its order holds already."""

    __tablename__ = "lines"

    order_id: Mapped[int] = mapped_column(sa.ForeignKey("orders.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    product_id: Mapped[int | None] = mapped_column(sa.ForeignKey("products.id"))
    tag_id: Mapped[int | None] = mapped_column(sa.ForeignKey("tags.id"))
    quantity: Mapped[Decimal] = mapped_column(sa.Numeric(8, 2, asdecimal=False))
    colour: Mapped[Colour]

    tag: Mapped[Tag | None] = relationship()
    serials: Mapped[list[Serial]] = relationship()


class Serial(Base):
    """An entry of an entry, without relationship back and without identity."""

    __tablename__ = "serials"
    __table_args__ = (sa.ForeignKeyConstraint(["order_id", "place"], ["lines.order_id", "lines.place"]),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]
    place: Mapped[int]
    text: Mapped[str] = mapped_column(sa.String(10))


class Shipment(Base):
    __tablename__ = "shipments"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.ForeignKey("orders.id"), unique=True)
    sent_at: Mapped[dt.datetime] = mapped_column(sa.DateTime(timezone=True))


class SerialSchema(histio.RecordSchema):
    class Meta:
        model = Serial

    text = histio.Text(required=True)


class LineSchema(histio.RecordSchema):
    """One of a product, which has no relationship, or of a tag."""

    class Meta:
        model = Line
        from_owner = {"colour": "colour"}

    place = histio.Integer(required=True)
    product = histio.Slug("product_id", key="name", choice="article")
    tag = histio.Slug("tag", key="name", choice="article")
    quantity = histio.FixedDecimal(precision=8, scale=2, required=True)
    serials = List(Nested(SerialSchema))


class ShipmentSchema(histio.RecordSchema):
    class Meta:
        model = Shipment

    sent_at = histio.UtcTimestamp(required=True)


class OrderSchema(histio.RunSchema):
    """An order and its lines."""

    class Meta:
        model = Order
        kind = "order"
        collection = "orders"
        timestamp = "placed_on"
        exclude = ("shop_id",)

    lines = Nested(LineSchema, many=True)
    id = histio.RunUUID(required=True, attribute="uid", data_key="uuid")
    placed_on = histio.Date(attribute="placed", allow_none=True)
    customer = histio.Slug("customer", fallback=("previous_slug", "name"), allow_none=True)
    warehouse = histio.Slug("warehouse", key=("city", "number"), allow_none=True)
    total = histio.FixedDecimal(attribute="cents", minor_units=2, required=True)
    weight = auto_field()
    colour = auto_field()
    extra = auto_field()
    gift = auto_field()
    doubled = auto_field()
    tags = histio.SlugList("tags", key="name")
    shipment = Nested(ShipmentSchema, allow_none=True)
    parent = histio.RunRef("parent", key="uid", allow_none=True)


def catalog() -> list[Any]:
    """The rows that the records below refer to."""
    return [
        Customer(slug="acme", previous_slug="a", name="ACME"),
        Warehouse(city="Ulm", number=3),
        Product(name="Chai"),
        Tag(name="new"),
        Tag(name="old"),
    ]


def line(place: int = 1, **members: Any) -> dict[str, Any]:
    """An entry, in canonical form."""
    return {
        "place": place,
        "product": "Chai",
        "tag": None,
        "quantity": "1.50",
        "serials": [{"text": "x"}, {"text": "a"}],
    } | members


def order(n: int = 1, **members: Any) -> dict[str, Any]:
    """A record with everything that an order can have, in canonical form."""
    return {
        "uuid": str(uuid.UUID(int=n)),
        "placed_on": "2025-12-08",
        "customer": "acme",
        "warehouse": {"city": "Ulm", "number": 3},
        "total": "5.25",
        "weight": 0.1,
        "colour": "RED",
        "extra": {"a": [1, None], "b": True},
        "gift": False,
        "doubled": 1050,
        "tags": ["new", "old"],
        "parent": None,
        "lines": [line(1), line(2, product=None, tag="old", serials=[])],
        "shipment": {"sent_at": "2025-12-09T08:00:00Z"},
    } | members


def orders(*records: dict[str, Any]) -> dict[str, Any]:
    """A document with these orders."""
    return {"version": "1.0", "exported_at": "2025-12-10T00:00:00Z", "orders": list(records)}
