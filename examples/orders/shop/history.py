"""What of the shop is history, and how it is written down: the binding to histio."""

from __future__ import annotations

import histio
from marshmallow.fields import Nested

from shop.models import Customer, LineDiscount, Order, OrderLine, Payment, Product, db


class DiscountSchema(histio.RecordSchema):
    """Why a line costs less than its pieces."""

    class Meta:
        model = LineDiscount

    reason = histio.Text(required=True, example="Summer sale")
    amount = histio.FixedDecimal(required=True, example="1.50")


class LineSchema(histio.RecordSchema):
    """Some pieces of one product, at the price of that day."""

    class Meta:
        model = OrderLine

    product_name = histio.Slug("product", key="name", required=True, example="Teapot")
    quantity = histio.Integer(required=True, minimum=1, example=2)
    unit_price = histio.FixedDecimal(required=True, example="24.90")
    discounts = Nested(DiscountSchema, many=True)


class OrderSchema(histio.RunSchema):
    """What one customer ordered at one time."""

    class Meta:
        model = Order
        kind = "order"
        collection = "orders"
        timestamp = "placed_at"

    uuid = histio.RunUUID(required=True, example="0f0c5a5e-9a1e-4d55-8a51-6d3d4b2d7c01")
    customer_email = histio.Slug("customer", key="email", required=True, example="ada@example.org")
    placed_at = histio.UtcTimestamp(required=True, example="2025-06-01T09:30:00Z")
    status = histio.Choice(required=True, example="shipped")
    note = histio.Text(allow_none=True, example="Please ring twice")
    total = histio.FixedDecimal(scale=2, dump_only=True, example="48.30")
    lines = Nested(LineSchema, many=True)


class PaymentSchema(histio.RunSchema):
    """Money that came in for an order."""

    class Meta:
        model = Payment
        kind = "payment"
        collection = "payments"
        timestamp = "paid_at"

    uuid = histio.RunUUID(required=True, example="5b2f1d7e-3c49-4f0b-9c3a-2a9f6e8d1b02")
    order_uuid = histio.RunRef("order", required=True, example="0f0c5a5e-9a1e-4d55-8a51-6d3d4b2d7c01")
    paid_at = histio.UtcTimestamp(required=True, example="2025-06-02T00:00:00Z")
    method = histio.Choice(required=True, example="card")
    amount = histio.FixedDecimal(
        minor_units=2, attribute="amount_cents", positive=True, required=True, example="48.30"
    )


class CustomerSchema(histio.CatalogSchema):
    """Who orders. Orders name customers, so they can travel with the orders."""

    class Meta:
        model = Customer
        kind = "customer"
        collection = "customers"
        identity = "email"

    email = histio.Text(required=True, example="ada@example.org")
    name = histio.Text(required=True, example="Ada")


class ProductSchema(histio.CatalogSchema):
    """What is sold, at the price of today."""

    class Meta:
        model = Product
        kind = "product"
        collection = "products"
        identity = "name"

    name = histio.Text(required=True, example="Teapot")
    price = histio.FixedDecimal(required=True, example="24.90")


catalog = (CustomerSchema, ProductSchema)
history = histio.History(db.session, OrderSchema, PaymentSchema, catalog=catalog, version="1.0")
