"""Schemas that take their plain fields from the model."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import BindingError, History


class Base(orm.DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "auto_products"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Line(Base):
    __tablename__ = "auto_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.ForeignKey("auto_orders.id"))
    product_id: Mapped[int] = mapped_column(sa.ForeignKey(Product.id))
    pieces: Mapped[int]
    product: Mapped[Product] = relationship()


class Order(Base):
    __tablename__ = "auto_orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True, default=lambda: str(uuid.uuid4()))
    placed_at: Mapped[dt.datetime] = mapped_column(sa.DateTime)
    total: Mapped[float] = mapped_column(sa.Numeric(10, 2))
    note: Mapped[str | None] = mapped_column(sa.Text, deferred=True)
    edition: Mapped[int] = mapped_column()
    lines: Mapped[list[Line]] = relationship()

    __mapper_args__ = {"version_id_col": edition}


class LineSchema(histio.AutoRecordSchema):
    class Meta:
        model = Line

    product_name = histio.Slug("product", key="name")


class OrderSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Order, "order", "orders", "placed_at"

    lines = Nested(LineSchema, many=True)


def members(kind, name="order"):
    return set(History(None, kind).json_schema()["$defs"][name]["properties"])


def test_plain_columns_are_fields_and_machinery_is_not():
    assert members(OrderSchema) == {"uuid", "placed_at", "total", "note", "lines"}
    assert members(OrderSchema, "line") == {"product_name", "pieces"}


def test_runs_of_such_a_schema_go_out_and_come_back(create):
    product = Product(name="Teapot")
    moment = dt.datetime(2025, 12, 8, 10)  # noqa: DTZ001
    engine = create(
        Base.metadata, Order(placed_at=moment, total=5, note="n", lines=[Line(product=product, pieces=2)])
    )
    history = History(engine, OrderSchema)
    document = history.export_document()
    with engine.begin() as connection:
        connection.execute(sa.delete(Line))
        connection.execute(sa.delete(Order))
    assert history.import_document(document).imported == 1
    assert history.export_document()["orders"] == document["orders"]


def test_a_declared_field_takes_the_place_of_its_column():
    kind = type("RenamedSchema", (OrderSchema,), {"remark": histio.Text(attribute="note", allow_none=True)})
    assert members(kind) == {"uuid", "placed_at", "total", "remark", "lines"}


def test_excluded_columns_get_no_field():
    meta = type("Meta", (), {"exclude": ("note",)})
    assert "note" not in members(type("ShortSchema", (OrderSchema,), {"Meta": meta}))


def test_a_foreign_key_that_no_reference_carries_is_told():
    class BareSchema(histio.AutoRecordSchema):
        class Meta:
            model = Line

    kind = type("OpenSchema", (OrderSchema,), {"lines": Nested(BareSchema, many=True)})
    with pytest.raises(BindingError, match=r'Write product_name = Slug\("product", key="name"\)'):
        History(None, kind)


def test_the_fields_follow_the_model_of_a_subclass():
    class Own(orm.DeclarativeBase):
        pass

    class Ticket(Own):
        __tablename__ = "tickets"
        id: Mapped[int] = mapped_column(primary_key=True)
        uuid: Mapped[uuid.UUID] = mapped_column(unique=True)
        placed_at: Mapped[dt.date]
        seats: Mapped[int]

    meta = type("Meta", (), {"model": Ticket, "exclude": ("lines",)})
    assert "lines" not in OrderSchema.Meta.__dict__
    kind = type(
        "TicketSchema",
        (histio.AutoRunSchema,),
        {"Meta": type("Meta", (OrderSchema.Meta,), vars(meta) | {"exclude": ()})},
    )
    assert members(kind) == {"uuid", "placed_at", "seats"}
