"""A ledger of invoices and sales, whose runs refer to other runs."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from tests.support.bakery import number


class LedgerBase(orm.DeclarativeBase):
    pass


class Sale(LedgerBase):
    __tablename__ = "sales"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    sold_at: Mapped[dt.datetime]


class Invoice(LedgerBase):
    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    due: Mapped[dt.date]
    items: Mapped[list[Item]] = relationship()


class Item(LedgerBase):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    invoice_id: Mapped[int] = mapped_column(sa.ForeignKey("invoices.id"))
    sale_id: Mapped[int] = mapped_column(sa.ForeignKey("sales.id"))
    sale: Mapped[Sale] = relationship()


class SaleSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Sale, "sale", "sales", "sold_at"

    uuid = histio.RunUUID(required=True)
    sold_at = histio.UtcTimestamp(required=True)


class ItemSchema(histio.RecordSchema):
    class Meta:
        model = Item

    sale = histio.RunRef("sale", required=True)


class InvoiceSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Invoice, "invoice", "invoices", "due"
        identity = "number"

    number = histio.Integer(required=True)
    due = histio.Date(required=True)
    items = Nested(ItemSchema, many=True)


def books():
    sales = [{"uuid": number(n), "sold_at": f"2025-12-0{n}T10:00:00Z"} for n in (1, 2)]
    invoice = {"number": 7, "due": "2025-12-31", "items": [{"sale": number(2)}, {"sale": number(1)}]}
    return {"version": "1.0", "exported_at": "2025-12-10T00:00:00Z", "sales": sales, "invoices": [invoice]}
