"""The shop's tables. Nothing in here knows of histio."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Annotated, Literal

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, ForeignKey, Numeric, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Status = Literal["open", "shipped", "cancelled"]
Method = Literal["card", "transfer", "voucher"]

Key = Annotated[int, mapped_column(primary_key=True)]
Name = Annotated[str, mapped_column(String(120), unique=True)]
Instant = Annotated[dt.datetime, mapped_column(DateTime(timezone=True), index=True)]
Money = Annotated[Decimal, mapped_column(Numeric(10, 2))]
PublicId = Annotated[uuid.UUID, mapped_column(unique=True, default=uuid.uuid4)]


class Base(DeclarativeBase):
    """What all tables have in common."""

    id: Mapped[Key]


db = SQLAlchemy(model_class=Base)


class Customer(db.Model):
    """Who orders, known by an e-mail address."""

    email: Mapped[Name]
    name: Mapped[str] = mapped_column(String(120))


class Product(db.Model):
    """What is sold, known by its name."""

    name: Mapped[Name]
    price: Mapped[Money]


class Order(db.Model):
    """What one customer ordered at one time."""

    uuid: Mapped[PublicId]
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
    placed_at: Mapped[Instant]
    status: Mapped[Status] = mapped_column(default="open")
    note: Mapped[str | None] = mapped_column(Text)

    customer: Mapped[Customer] = relationship()
    lines: Mapped[list[OrderLine]] = relationship(cascade="all, delete-orphan", order_by="OrderLine.id")

    @property
    def total(self) -> Decimal:
        """What the customer has to pay."""
        return sum((line.total for line in self.lines), Decimal())


class OrderLine(db.Model):
    """Some pieces of one product, at the price of that day."""

    order_id: Mapped[int] = mapped_column(ForeignKey(Order.id), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id))
    quantity: Mapped[int]
    unit_price: Mapped[Money]

    product: Mapped[Product] = relationship()
    discounts: Mapped[list[LineDiscount]] = relationship(
        cascade="all, delete-orphan", order_by="LineDiscount.id"
    )

    @property
    def total(self) -> Decimal:
        """The price of all pieces, less the discounts."""
        return self.quantity * self.unit_price - sum(discount.amount for discount in self.discounts)


class LineDiscount(db.Model):
    """Why a line costs less than its pieces."""

    line_id: Mapped[int] = mapped_column(ForeignKey(OrderLine.id), index=True)
    reason: Mapped[str] = mapped_column(String(80))
    amount: Mapped[Money]


class Payment(db.Model):
    """Money that came in for an order."""

    uuid: Mapped[PublicId]
    order_id: Mapped[int] = mapped_column(ForeignKey(Order.id), index=True)
    paid_at: Mapped[Instant]
    method: Mapped[Method]
    amount_cents: Mapped[int]  # the payment provider counts in cents

    order: Mapped[Order] = relationship()
