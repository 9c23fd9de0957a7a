"""Files with rows of a catalog and runs that name them."""

from __future__ import annotations

import io

from histio import History
from histio.files import stream_header
from histio.files.writing import write_runs
from tests.support.bakery import TIME, assembly_run, number, production_run
from tests.support.streams import text_of

BOUND = History().bound
COLLECTIONS = {kind.name: kind.collection for kind in BOUND.all_kinds}
CATALOG = [kind.name for kind in BOUND.catalog]
KINDS = [kind.name for kind in BOUND.kinds]

RUNS = [("production_run", production_run(1)), ("assembly_run", assembly_run(2))]
ROWS = [
    ("ingredient", {"slug": "cellophane", "display_name": "Cellophane"}),
    ("ingredient", {"slug": "flour", "display_name": "Crème-Brûlée-Mehl"}),
    ("recipe", {"slug": "cookies", "name": "Cookies"}),
    ("finished_unit", {"slug": "cookie", "display_name": "Cookie", "recipe_slug": "cookies"}),
]


STOCK = {
    "ingredients": [
        {"slug": "bag", "display_name": "Bag"},
        {"slug": "flour", "display_name": "Flour", "uuid": number(501), "created_at": TIME},
    ],
    "recipes": [{"slug": "cookies", "name": "Cookies", "updated_at": TIME}],
    "finished_units": [{"slug": "cookie", "display_name": "Cookie", "recipe_slug": "cookies"}],
    "finished_goods": [{"slug": "gift-bag", "display_name": "Gift bag"}],
    "products": [{"slug": "bag-100", "product_name": "100 bags", "ingredient_slug": "bag"}],
}
"""The lists of a document for the rows that runs of the bakery refer to."""


def write(items, *, form="jsonl", catalog=CATALOG, exported_at="2025-12-09T12:00:00Z"):
    """These kinds and records, in the order of exports, as a file; and its seal."""
    header = stream_header("1.0", exported_at, KINDS, catalog=catalog)
    file = io.BytesIO()
    collections = {name: lists for name, lists in COLLECTIONS.items() if name in (*catalog, *KINDS)}
    pages = ((kind, [text_of(record).decode()]) for kind, record in items)
    seal = write_runs(form, file, header, collections, pages)
    return file.getvalue(), seal


def as_file(document, form="jsonl"):
    """A document with a catalog as a file."""
    items = [(kind, record) for kind, name in COLLECTIONS.items() for record in document.get(name, ())]
    return io.BytesIO(write(items, form=form)[0])
