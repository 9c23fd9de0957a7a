"""Something to begin with: a catalog, and orders of what is in it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session, scoped_session

from shop.models import Base, Customer, LineDiscount, Order, OrderLine, Payment, Product

OPENING = dt.datetime(2025, 6, 1, 9, 30, tzinfo=dt.UTC)


def catalog() -> list[Base]:
    """Customers and products, which orders name by e-mail address and name."""
    return [
        Customer(email="ada@example.org", name="Ada"),
        Customer(email="grace@example.org", name="Grace"),
        Product(name="Teapot", price=Decimal("24.90")),
        Product(name="Teacup", price=Decimal("7.50")),
    ]


def sell(session: Session | scoped_session[Session], count: int) -> None:
    """Add *count* orders, one a day and each of them paid, of what the catalog has."""
    customers = session.scalars(select(Customer).order_by(Customer.id)).all()
    products = session.scalars(select(Product).order_by(Product.id)).all()
    for day in range(count):
        placed_at = OPENING + dt.timedelta(days=day)
        lines = [OrderLine(product=each, quantity=day + 2, unit_price=each.price) for each in products]
        lines[0].discounts = [LineDiscount(reason="Summer sale", amount=Decimal("1.50"))]
        order = Order(customer=customers[day % len(customers)], placed_at=placed_at, lines=lines)
        paid = {"paid_at": placed_at + dt.timedelta(minutes=5), "amount_cents": int(order.total * 100)}
        session.add(Payment(order=order, method="card", **paid))
