"""Imports of orders with all that they can have, in any order, that are undone: nothing of them is left."""

from __future__ import annotations

import json

import sqlalchemy as sa
from sqlalchemy import orm

from histio import History
from tests.support import shop
from tests.support.bakery import number
from tests.support.databases import DIALECTS
from tests.support.hosts import MOMENT
from tests.support.mapping_styles import listen

NUMBERS = range(1, 9)


def some(chance, values):
    """Some of *values*, in any order."""
    values = list(values)
    return chance.sample(values, chance.randint(0, len(values)))


def line(chance, place):
    article = chance.choice(
        [{"product": "Chai"}, {"product": None, "tag": "old"}, {"product": None, "tag": "new"}]
    )
    serials = [{"text": text} for text in some(chance, "abca")]
    return shop.line(place, serials=serials, quantity=f"{chance.randint(1, 3)}.50", **article)


def order(chance, n):
    """An order that may refer to any other, or to itself."""
    return shop.order(
        n,
        placed_on=chance.choice(["2025-12-08", "2025-12-09", None]),
        customer=chance.choice(["acme", None]),
        warehouse=chance.choice([{"city": "Ulm", "number": 3}, None]),
        tags=sorted(some(chance, ["new", "old"])),
        parent=chance.choice([None, *map(number, NUMBERS)]),
        lines=[line(chance, place) for place in sorted(some(chance, range(1, 4)))],
        shipment=chance.choice([None, {"sent_at": f"2025-12-0{chance.randint(1, 9)}T08:00:00Z"}]),
    )


def given(chance):
    return shop.orders(*(order(chance, n) for n in some(chance, NUMBERS)))


def contents(engine, history):
    """The export, and how many rows each table has."""
    with engine.connect() as connection:
        counts = [
            connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in shop.Base.metadata.tables.values()
        ]
    return json.dumps(history.export_document(exported_at=MOMENT)), counts


def test_imports_that_are_undone_leave_nothing(databases, tries, tmp_path, tune):
    tune(batch=3, page=4)
    receipt = tmp_path / "receipt.jsonl"
    for each in tries(10):
        with each as chance:
            engine = databases.of_host(chance.choice(DIALECTS))(shop.Base.metadata, *shop.catalog())
            maker = orm.sessionmaker(engine)
            listen(maker, chance.choice([(), ("before_flush",)]))
            history = History(maker, shop.OrderSchema, values={"shop_id": 7})
            history.import_document(given(chance))
            before = contents(engine, history)
            receipt.unlink(missing_ok=True)
            for _ in range(chance.randint(1, 3)):
                history.import_document(given(chance), on_duplicate="update", receipt=receipt)
            report = history.undo(receipt)
            assert (report.left, report.problems) == (0, ())
            assert contents(engine, history) == before
