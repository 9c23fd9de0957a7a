"""Imports that are taken back: the database is as it was before, and what others use is left."""

from __future__ import annotations

import io
import json

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Session

from histio import History, UndoCounts
from histio.models import Base, ProductionRun
from tests.support import shop
from tests.support.bakery import assembly_run, consumption, document, number, production_run, stock
from tests.support.books import InvoiceSchema, LedgerBase, SaleSchema, books
from tests.support.hosts import MOMENT
from tests.support.hosts import document as runs_of
from tests.support.interrupted import MORE, NEW, OLD, RUNS
from tests.support.mapping_styles import STYLES, both_ways, listen
from tests.support.reports import rows
from tests.support.streams import stream_of

ALL = len(RUNS) + len(MORE)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "receipt.jsonl"


def text_of(history):
    """The bytes of an export."""
    return json.dumps(history.export_document(exported_at=MOMENT))


def rows_in(engine, metadata):
    """How many rows each table has."""
    with engine.connect() as connection:
        return {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in metadata.tables.values()
        }


@pytest.mark.parametrize("options", [{}, {"commit_every": 7}], ids=str)
@pytest.mark.cells(2)
def test_an_undone_import_leaves_the_database_as_it_was(engine, path, tune, options):
    tune(batch=9, page=8)
    history = History(engine)
    history.import_document(document(production_run(60), assembly=[assembly_run(61)]))
    before, counted = text_of(history), rows_in(engine, Base.metadata)
    history.import_file(io.BytesIO(stream_of(NEW)), receipt=path, **options)
    receipt = path.read_bytes()
    tried = history.undo(path, dry_run=True)
    assert rows(engine) == len(RUNS) + 1
    report = history.undo(path)
    assert tried.to_dict() | {"dry_run": False} == report.to_dict()
    assert report.by_kind == {
        "production_run": UndoCounts(removed=len(RUNS)),
        "assembly_run": UndoCounts(removed=len(MORE)),
    }
    assert (report.removed, report.problems, path.read_bytes()) == (ALL, (), receipt)
    assert (text_of(history), rows_in(engine, Base.metadata)) == (before, counted)
    again = history.undo(path)
    assert (again.removed, again.gone, again.left) == (0, ALL, 0)


@pytest.mark.parametrize("options", [{}, {"commit_every": 7}], ids=str)
@pytest.mark.cells(2)
def test_an_undone_update_puts_back_runs_and_entries_as_they_were(engine, path, tune, options):
    tune(batch=9, page=8)
    history = History(engine)
    history.import_document(OLD)
    before, counted = text_of(history), rows_in(engine, Base.metadata)
    given = NEW | {"production_runs": [*NEW["production_runs"], production_run(60)]}
    # Entries are changed, added and removed.
    given["production_runs"][0] = production_run(1, consumptions=[consumption(1002), consumption(7)])
    report = history.import_file(io.BytesIO(stream_of(given)), on_duplicate="update", receipt=path, **options)
    assert (report.imported, report.updated) == (1, ALL)
    report = history.undo(path)
    assert (report.removed, report.restored, report.problems) == (1, ALL, ())
    assert (text_of(history), rows_in(engine, Base.metadata)) == (before, counted)
    assert history.undo(path).gone == ALL + 1


def test_imports_that_share_a_receipt_are_undone_together(engine, path):
    history = History(engine)
    history.import_document(document(production_run(1)))
    before = text_of(history)
    for notes in ("a", "b", "c"):
        given = document(*(production_run(n, notes=notes) for n in (1, 2)))
        history.import_document(given, on_duplicate="update", receipt=path)
    report = history.undo(path)
    assert (report.removed, report.restored) == (1, 1)
    assert text_of(history) == before


@both_ways
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.cells(2)
def test_an_undone_import_of_a_host_leaves_its_tables_as_they_were(create, path, style, heard):
    metadata, kind, records, others = style(orm.declarative_base())
    listen(kind.Meta.model, heard)
    engine = create(metadata, *others)
    history, given = History(engine, kind), runs_of(*records)
    before, counted = text_of(history), rows_in(engine, metadata)
    assert history.import_document(given, receipt=path).imported == len(records)
    assert history.undo(path).removed == len(records)
    assert (text_of(history), rows_in(engine, metadata)) == (before, counted)


@pytest.mark.parametrize("parent", [lambda n: None, lambda n: n % 20 + 1, lambda n: max(n - 1, 1)])
@pytest.mark.cells(2)
def test_runs_that_refer_to_each_other_are_removed_with_all_that_belongs_to_them(create, path, tune, parent):
    tune(batch=5, page=7)
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    history.import_document(shop.orders(shop.order(99)))
    before, counted = text_of(history), rows_in(engine, shop.Base.metadata)
    parents = {n: parent(n) for n in range(1, 21)}
    given = [shop.order(n, parent=of and number(of)) for n, of in parents.items()]
    assert history.import_document(shop.orders(*given), receipt=path).imported == len(given)
    report = history.undo(path)
    assert (report.removed, report.problems) == (len(given), ())
    assert (text_of(history), rows_in(engine, shop.Base.metadata)) == (before, counted)


def test_updated_orders_are_put_back_with_their_links_and_entries_of_entries(create, path):
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    history.import_document(shop.orders(*map(shop.order, (1, 2, 3))))
    before, counted = text_of(history), rows_in(engine, shop.Base.metadata)
    given = [
        shop.order(
            1, lines=[shop.line(2, serials=[{"text": "z"}]), shop.line(3)], tags=["old"], parent=number(4)
        ),
        shop.order(2, lines=[], tags=[], shipment=None, extra=None, customer=None),
        shop.order(4, parent=number(3)),
    ]
    report = history.import_document(shop.orders(*given), on_duplicate="update", receipt=path)
    assert (report.imported, report.updated, report.problems) == (1, 2, ())
    report = history.undo(path)
    assert (report.removed, report.restored, report.problems) == (1, 2, ())
    assert (text_of(history), rows_in(engine, shop.Base.metadata)) == (before, counted)


def test_runs_with_identities_of_other_kinds_are_undone_after_those_that_refer_to_them(create, path):
    engine = create(LedgerBase.metadata)
    history = History(engine, InvoiceSchema, SaleSchema)
    history.import_document(books(), receipt=path)
    assert history.undo(path).by_kind == {"sale": UndoCounts(removed=2), "invoice": UndoCounts(removed=1)}
    assert not any(rows_in(engine, LedgerBase.metadata).values())


def test_a_run_that_has_changed_since_is_left_and_reported(engine, path):
    history = History(engine)
    history.import_document(document(production_run(3)))
    given = document(*(production_run(n, notes="new", consumptions=[consumption(n)]) for n in (1, 2, 3, 4)))
    history.import_document(given, on_duplicate="update", receipt=path)
    with Session(engine) as session:
        stored = {row.uuid: row for row in session.scalars(sa.select(ProductionRun))}
        stored[number(1)].notes = "mine"
        stored[number(2)].consumptions[0].unit = "mine"
        stored[number(3)].actual_yield = 7
        session.commit()
    left = text_of(history)
    report = history.undo(path)
    assert (report.removed, report.restored, report.left, report.problem_count) == (1, 0, 3, 3)
    assert [(each.code, each.uuid, each.line, each.message) for each in report.problems] == [
        ("changed", number(n), line, "Has changed since the import.") for n, line in ((1, 2), (2, 3), (3, 5))
    ]
    assert json.loads(text_of(history))["production_runs"] == json.loads(left)["production_runs"][:3]


def test_an_updated_run_that_was_removed_since_is_reported_and_a_created_one_is_gone(engine, path):
    history = History(engine)
    history.import_document(document(production_run(1)))
    given = document(*(production_run(n, notes="new") for n in (1, 2)))
    history.import_document(given, on_duplicate="update", receipt=path)
    with Session(engine) as session:
        for row in session.scalars(sa.select(ProductionRun)):
            session.delete(row)
        session.commit()
    report = history.undo(path)
    assert (report.gone, report.left) == (1, 1)
    assert [(each.code, each.uuid) for each in report.problems] == [("changed", number(1))]


RULES = ["", "ON DELETE CASCADE", "ON DELETE SET NULL", "ON DELETE RESTRICT"]


@pytest.mark.parametrize("target", ["production_runs", "production_consumptions"])
@pytest.mark.cells(2)
def test_a_run_that_a_table_unknown_to_the_models_refers_to_is_left_whatever_its_rule(create, path, target):
    engine = create(Base.metadata, *stock())
    history = History(engine)
    given = document(*(production_run(n, consumptions=[consumption(n)]) for n in range(1, 6)))
    history.import_document(given, receipt=path)
    photos = [f"photos_{n}" for n in range(len(RULES))]
    with engine.begin() as connection:
        ids = connection.exec_driver_sql(f"SELECT id FROM {target} ORDER BY id").scalars().all()
        for name, rule, of in zip(photos, RULES, ids, strict=False):
            key = f"FOREIGN KEY (of_id) REFERENCES {target} (id) {rule}"
            connection.exec_driver_sql(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, of_id INTEGER, {key})")
            connection.exec_driver_sql(f"INSERT INTO {name} VALUES (1, {of}), (2, {of}), (3, NULL)")
    try:
        report = history.undo(path)
        assert (report.removed, report.left) == (1, len(RULES))
        assert [(each.code, each.uuid, each.message) for each in report.problems] == [
            ("referenced", number(n), f"Is left, because others refer to it: 2 rows of {name} (of_id)")
            for n, name in enumerate(photos, 1)
        ]
        with engine.begin() as connection:
            for name in photos:
                used = f"SELECT count(*) FROM {name} WHERE of_id IS NOT NULL"
                assert connection.exec_driver_sql(used).scalar() == 2
                connection.exec_driver_sql(f"DELETE FROM {name}")
        counts = UndoCounts(removed=len(RULES), gone=1)
        assert history.undo(path).by_kind == {"production_run": counts}
    finally:
        with engine.begin() as connection:
            for name in photos:
                connection.exec_driver_sql(f"DROP TABLE {name}")
