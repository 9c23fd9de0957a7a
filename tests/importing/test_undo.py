"""Imports that are taken back: the database is as it was before, and what others use is left."""

from __future__ import annotations

import hashlib
import io
import json
import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Session, relationship

from histio import History, ReceiptError, Slug, UndoCounts, UndoReport, create_engine
from histio.importing.undo.judge import find_first
from histio.importing.undo.notes import Line
from histio.models import Base, ProductionRun, Recipe
from tests.support import shop
from tests.support.bakery import assembly_run, consumption, document, number, production_run, stock
from tests.support.books import InvoiceSchema, LedgerBase, SaleSchema, books
from tests.support.hosts import MOMENT, ledger, model, run, text, to, word
from tests.support.hosts import document as runs_of
from tests.support.interrupted import MORE, NEW, OLD, RUNS
from tests.support.mapping_styles import COLLECTIONS, STYLES, both_ways, integer, listen, moves
from tests.support.receipts import lines_of
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
@pytest.mark.turns
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
@pytest.mark.turns
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
@pytest.mark.turns
def test_an_undone_import_of_a_host_leaves_its_tables_as_they_were(create, path, style, heard):
    metadata, kind, records, others = style(orm.declarative_base())
    listen(kind.Meta.model, (*heard, *(name.replace("insert", "delete") for name in heard)))
    engine = create(metadata, *others)
    history, given = History(engine, kind), runs_of(*records)
    before, counted = text_of(history), rows_in(engine, metadata)
    assert history.import_document(given, receipt=path).imported == len(records)
    assert history.undo(path).removed == len(records)
    assert (text_of(history), rows_in(engine, metadata)) == (before, counted)


@both_ways
@pytest.mark.parametrize("parent", [lambda n: None, lambda n: n % 20 + 1, lambda n: max(n - 1, 1)])
@pytest.mark.cells(2)
@pytest.mark.turns
def test_runs_that_refer_to_each_other_are_removed_with_all_that_belongs_to_them(
    create, path, tune, parent, heard
):
    tune(batch=5, page=7)
    engine = create(shop.Base.metadata, *shop.catalog())
    maker = orm.sessionmaker(engine)
    listen(maker, ("before_flush",) * len(heard))
    history = History(maker, shop.OrderSchema, values={"shop_id": 7})
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


def line(digest, before=None):
    """A line of a receipt, with names instead of digests."""
    return Line(0, digest_of(digest), before)


def digest_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("lines", "stored", "first"),
    [
        ([("A",)], "A", 0),
        ([("A",)], "B", None),
        ([("A",), ("A",)], "A", 1),  # the first was not committed
        ([("A",), ("B",)], "B", 1),
        ([("A",), ("B", "A")], "B", 0),
        ([("A",), ("B", "A")], "A", 0),  # the update was not committed
        ([("B", "A")], "B", 0),
        ([("B", "A")], "A", None),
        ([("B", "A"), ("B", "A")], "B", 1),
        ([("B", "A"), ("C", "B")], "C", 0),
        ([("B", "A"), ("C", "A")], "C", 1),
        ([("B", "A"), ("D", "C")], "D", 1),  # somebody has changed B to C
        ([("B", "A"), ("A", "B")], "A", 0),
        ([("A",), ("B", "A"), ("C",), ("D", "C")], "D", 2),
    ],
    ids=str,
)
def test_the_digests_tell_which_imports_led_to_what_is_stored(lines, stored, first):
    lines = [line(*each) for each in lines]
    found = find_first(lines, digest_of(stored))
    assert found is (None if first is None else lines[first])


def chain(create, path, *given):
    """Orders that are imported with a receipt, and their history."""
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    assert history.import_document(shop.orders(*given), receipt=path).imported == len(given)
    return engine, history


def test_runs_that_a_left_run_refers_to_are_left_too(create, path):
    given = [shop.order(n, parent=number(n - 1) if n in (2, 3, 5) else None) for n in range(1, 7)]
    engine, history = chain(create, path, *given)
    with engine.begin() as connection:
        connection.execute(sa.update(shop.Order).where(shop.Order.uid == uuid.UUID(int=3)).values(cents=1))
    report = history.undo(path)
    assert report.by_kind == {"order": UndoCounts(removed=3, left=3)}
    assert [(each.uuid, each.code) for each in report.problems] == [
        (number(1), "referenced"),
        (number(2), "referenced"),
        (number(3), "changed"),
    ]
    assert [each["parent"] for each in history.export_document()["orders"]] == [None, number(1), number(2)]


def test_a_run_that_a_run_of_another_import_refers_to_is_left(create, path):
    _, history = chain(create, path, shop.order(1), shop.order(2))
    history.import_document(shop.orders(shop.order(3, parent=number(2))))
    report = history.undo(path)
    assert (report.removed, report.left) == (1, 1)
    assert (
        str(report.problems[0]) == "line 3: Is left, because others refer to it: 1 row of orders (parent_id)"
    )


def test_what_was_put_back_no_longer_keeps_runs_from_being_removed(create, path):
    _, history = chain(create, path.with_name("first.jsonl"), shop.order(1, parent=None))
    before = text_of(history)
    given = shop.orders(shop.order(2), shop.order(1, parent=number(2)))
    assert history.import_document(given, on_duplicate="update", receipt=path).updated == 1
    report = history.undo(path)
    assert (report.removed, report.restored, report.left) == (1, 1, 0)
    assert text_of(history) == before


def test_a_value_that_a_created_run_has_taken_from_an_updated_one_is_given_back(create, path):
    base = orm.declarative_base()
    host_run = model(base, "Run", sku=text(unique=True))
    history = History(create(base.metadata), run(host_run, sku=word()))
    history.import_document(runs_of({"id": 1, "sku": "a"}, {"id": 2, "sku": "b"}))
    before = text_of(history)
    given = [{"id": 3, "sku": "a"}, {"id": 1, "sku": "b"}, {"id": 2, "sku": "c"}]
    report = history.import_document(runs_of(*given), on_duplicate="update", receipt=path)
    assert (report.imported, report.updated) == (1, 2)
    report = history.undo(path)
    assert (report.removed, report.restored, report.problems) == (1, 2, ())
    assert text_of(history) == before


@pytest.mark.parametrize("collection", [None, *COLLECTIONS.values()])
@pytest.mark.cells(2)
@pytest.mark.turns
def test_runs_and_entries_that_refer_to_each_other_are_removed(create, path, collection):
    base = orm.declarative_base()
    line_of = model(base, "Line", run_id=to("runs"), sku=text())
    lines = relationship(line_of, foreign_keys=[line_of.run_id], collection_class=collection)
    first = sa.Column(sa.ForeignKey("lines.id", use_alter=True, name="first"))
    host_run = model(base, "Run", first_id=first, lines=lines)
    engine = create(base.metadata)
    history = History(engine, run(host_run, {"exclude": ("first_id",)}, lines=ledger(line_of, sku=word())))
    given = runs_of(*({"id": n, "lines": [{"sku": "a"}, {"sku": "b"}]} for n in (1, 2)))
    history.import_document(given, receipt=path)
    firsts = sa.select(sa.func.min(line_of.id)).where(line_of.run_id == host_run.id).scalar_subquery()
    with engine.begin() as connection:
        connection.execute(sa.update(host_run).values(first_id=firsts))
    assert history.undo(path).removed == 2
    assert not any(rows_in(engine, base.metadata).values())


@both_ways
def test_entries_that_have_to_refer_to_other_runs_are_removed_in_a_circle_too(create, path, tune, heard):
    tune(batch=3, page=4)
    base = orm.declarative_base()
    line_of = model(base, "Line", run_id=to("runs"), of_id=to("runs", nullable=False))
    line_of.of = relationship("Run", foreign_keys=[line_of.of_id])
    lines = relationship(line_of, foreign_keys=[line_of.run_id])
    host_run = model(base, "Run", sku=text(unique=True), lines=lines)
    listen(host_run, tuple(name.replace("insert", "delete") for name in heard))
    engine = create(base.metadata)
    history = History(engine, run(host_run, sku=word(), lines=ledger(line_of, of=Slug("of", key="sku"))))
    given = [{"id": n, "sku": f"s{n}", "lines": [{"of": f"s{n % 20 + 1}"}]} for n in range(1, 21)]
    assert history.import_document(runs_of(*given), receipt=path).imported == 20
    with engine.begin() as connection:
        connection.execute(sa.update(host_run).where(host_run.id == 7).values(sku="mine"))
        connection.execute(sa.update(line_of).where(line_of.run_id == 9).values(of_id=3))
    # 6 refers to 7, which has changed, and 7 to 8, and so on up to 9, which refers to 3.
    assert history.undo(path).by_kind == {"run": UndoCounts(removed=13, left=7)}
    with engine.begin() as connection:
        connection.execute(sa.update(host_run).where(host_run.id == 7).values(sku="s7"))
        connection.execute(sa.update(line_of).where(line_of.run_id == 9).values(of_id=9))
    rest = history.undo(path)
    assert (rest.removed, [each.uuid for each in rest.problems]) == (6, ["9"])


def test_rows_of_a_ledger_that_another_ledger_of_the_table_has_are_removed_too(create, path):
    base = orm.declarative_base()
    _, kind = moves(base, arrivals="Move.way == 'in'", departures="Move.way == 'out'")
    engine = create(base.metadata)
    history = History(engine, kind)
    given = runs_of(*({"id": n, "arrivals": [{"qty": 1}], "departures": [{"qty": 2}]} for n in (1, 2)))
    history.import_document(given, receipt=path)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO moves (run_id, way, qty) VALUES (2, 'no', 3)")
    report = history.undo(path)
    assert (report.removed, [each.code for each in report.problems]) == (1, ["referenced"])
    assert rows_in(engine, base.metadata) == {"moves": 3, "runs": 1}


def test_a_foreign_key_that_only_the_models_have_counts_too(create, path):
    base = orm.declarative_base()
    host_run, photo = model(base, "Run", sku=text()), model(base, "Photo", run_id=to("runs"))
    model(base, "Missing", run_id=to("runs"))
    engine = create(base.metadata)
    with engine.begin() as connection:
        base.metadata.tables["missings"].drop(connection)
        base.metadata.tables["photos"].drop(connection)
        connection.exec_driver_sql("CREATE TABLE photos (id INTEGER PRIMARY KEY, run_id INTEGER)")
        connection.execute(sa.insert(photo), [{"id": 1, "run_id": 2}, {"id": 2, "run_id": None}])
    history = History(engine, run(host_run, sku=word()))
    history.import_document(runs_of(*({"id": n, "sku": "a"} for n in (1, 2))), receipt=path)
    report = history.undo(path)
    assert (report.removed, report.left) == (1, 1)
    assert "1 row of photos (run_id)" in report.problems[0].message


REFUSING = {
    "sqlite": "CREATE TRIGGER kept BEFORE DELETE ON runs WHEN old.id = 2 BEGIN SELECT RAISE({how}); END",
    "postgresql": (
        "CREATE OR REPLACE FUNCTION keep() RETURNS trigger AS $$ BEGIN IF old.id = 2 THEN {how}; END IF; "
        "RETURN old; END $$ LANGUAGE plpgsql; "
        "CREATE TRIGGER kept BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION keep()"
    ),
    "mariadb": ("CREATE TRIGGER kept BEFORE DELETE ON runs FOR EACH ROW IF old.id = 2 THEN {how}; END IF"),
}
RAISING = {
    "sqlite": "ABORT, 'never'",
    "postgresql": "RAISE EXCEPTION 'never'",
    "mariadb": "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'never'",
}
IGNORING = {"sqlite": "IGNORE", "postgresql": "RETURN NULL", "mariadb": RAISING["mariadb"]}


@both_ways
@pytest.mark.parametrize("how", [RAISING, IGNORING], ids=["raising", "ignoring"])
def test_a_run_that_a_trigger_keeps_is_left_with_those_that_it_refers_to(create, path, dialect, how, heard):
    base = orm.declarative_base()
    host_run = model(
        base, "Run", sku=text(), parent_id=to("runs"), parent=relationship("Run", remote_side="Run.id")
    )
    listen(host_run, tuple(name.replace("insert", "delete") for name in heard))
    engine = create(base.metadata)
    history = History(engine, run(host_run, sku=word(), parent=Slug("parent", key="sku", allow_none=True)))
    parents = {1: None, 2: 1, 3: 2, 4: None, 5: 4}
    given = [{"id": n, "sku": f"s{n}", "parent": of and f"s{of}"} for n, of in parents.items()]
    history.import_document(runs_of(*given), receipt=path)
    with engine.begin() as connection:
        connection.exec_driver_sql(REFUSING[dialect].format(how=how[dialect]))
    report = history.undo(path)
    assert (report.removed, report.left) == (3, 2)
    assert [(each.uuid, each.code) for each in report.problems] == [("1", "referenced"), ("2", "constraint")]
    assert [(each["id"], each["parent"]) for each in history.export_document()["runs"]] == [
        (1, None),
        (2, "s1"),
    ]


def refuse(row):
    if row.sku == "b":
        raise ValueError("never")


@pytest.mark.parametrize("of", ["the model", "the session"])
def test_listeners_hear_of_removed_runs_and_may_refuse_them(create, path, of):
    base = orm.declarative_base()
    line_of = model(base, "Line", run_id=to("runs"), sku=text())
    host_run = model(base, "Run", lines=relationship(line_of, order_by=line_of.id), sku=text())
    maker = orm.sessionmaker(create(base.metadata))
    heard = []

    def on_delete(_mapper, _connection, row):
        refuse(row)
        heard.append(row.sku)

    def on_flush(session, *_):
        for row in session.deleted:
            on_delete(None, None, row)

    targets = {"the model": [(host_run, "before_delete", on_delete), (line_of, "before_delete", on_delete)]}
    for listening in targets.get(of, [(maker, "before_flush", on_flush)]):
        sa.event.listen(*listening)
    history = History(maker, run(host_run, sku=word(), lines=ledger(line_of, sku=word())))
    given = [{"id": n, "sku": sku, "lines": [{"sku": f"{sku}{sku}"}]} for n, sku in enumerate("abc", 1)]
    history.import_document(runs_of(*given), receipt=path)
    heard.clear()
    report = history.undo(path)
    assert (report.removed, [each.message for each in report.problems]) == (
        2,
        ["Cannot be removed: ValueError: never"],
    )
    assert {"a", "aa", "c", "cc"} <= set(heard)
    assert [each["sku"] for each in history.export_document()["runs"]] == ["b"]


def test_an_undo_stays_within_the_values_of_its_history(create, path):
    base = orm.declarative_base()
    rule = sa.UniqueConstraint("id_of", "tenant_id")
    host_run = model(base, "Run", rule, id_of=integer(), tenant_id=integer(), sku=text())
    engine = create(base.metadata)
    names = {"identity": "id_of", "exclude": ("id", "tenant_id")}
    kind = run(host_run, names, sku=word())
    first, second = (History(engine, kind, values={"tenant_id": n}) for n in (1, 2))
    given = runs_of(*({"id_of": n, "sku": "a"} for n in (1, 2, 3)))
    first.import_document(given, receipt=path)
    second.import_document(given)
    assert first.undo(path).removed == 3
    with engine.connect() as connection:
        assert set(connection.scalars(sa.select(host_run.tenant_id))) == {2}


def test_an_undo_in_a_session_is_part_of_its_transaction(engine, path):
    history = History(engine)
    history.import_document(NEW, receipt=path)
    with Session(engine) as session:
        session.add(Recipe(name="mine", slug="mine"))
        assert history.undo(path, session=session).removed == ALL
        assert session.scalars(sa.select(Recipe.slug).where(Recipe.slug == "mine")).all() == ["mine"]
        session.rollback()
    assert rows(engine) == len(RUNS)
    with Session(engine) as session:
        history.undo(path, session=session)
        session.commit()
    assert rows(engine) == 0


def test_no_number_of_statements_grows_with_the_runs(create, path, count_statements):
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 7})
    counts = []
    for size in (10, 100):
        receipt = path.with_name(f"{size}.jsonl")
        given = [
            shop.order(1000 * size + n, parent=number(1000 * size + n - 1) if n else None)
            for n in range(size)
        ]
        history.import_document(shop.orders(*given), receipt=receipt)
        statements = count_statements(engine)
        assert history.undo(receipt).removed == size
        counts.append(len(statements.all))
    assert counts[1] <= counts[0] + 5


def changed(before):
    """The line of a receipt about an updated run."""
    own = {"kind": "production_run", "identity": number(1), "sha256": None, "before": before}
    return json.dumps({"updated": own})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"created": {"kind": "production_run", "identity": "x", "sha256": null}}', "Not the UUID of a"),
        ('{"created": {"kind": "production_run", "identity": ["x"], "sha256": null}}', "Not the UUID of a"),
        ('{"created": {"kind": "cake", "identity": "x", "sha256": null}}', "header does not name the kind"),
        ('{"created": {"kind": "production_run", "identity": "x"}}', "not one of a receipt"),
        ('{"created": {"kind": "production_run", "identity": "x", "sha256": "y"}}', "not one of a receipt"),
        (changed(None), "not one of a receipt"),
        (changed({}), "Not a record of the production_run 0"),
        (changed({"uuid": number(9)}), "Not a record of the production_run 0"),
        (changed({"uuid": number(1), "notes": "\ud800"}), "cannot be stored"),
        ('{"removed": {}}', "not one of a receipt"),
        ("[]", "not one of a receipt"),
        ("", "not one of a receipt"),
        ("[" * 100_000, "not one of a receipt"),
    ],
)
def test_a_line_that_is_not_one_of_a_receipt_is_an_error_before_anything_is_undone(sqlite, path, text, match):
    history = History(sqlite)
    history.import_document(NEW, receipt=path)
    path.write_text(path.read_text("utf-8") + text + "\n")
    with pytest.raises(ReceiptError, match=match) as caught:
        history.undo(path)
    assert caught.value.problems[0].line == ALL + 2
    assert rows(sqlite) == len(RUNS)


def test_an_incomplete_last_line_is_left_out(sqlite, path):
    history = History(sqlite)
    history.import_document(NEW, receipt=path)
    path.write_bytes(path.read_bytes()[:-10])
    assert history.undo(path).removed == ALL - 1


def test_a_record_that_is_not_valid_is_not_put_back(engine, path):
    history = History(engine)
    history.import_document(document(production_run(1), production_run(2)))
    given = document(*(production_run(n, notes="new") for n in (1, 2)))
    history.import_document(given, on_duplicate="update", receipt=path)
    header, first, second = path.read_text("utf-8").splitlines()
    changed = first.replace('"recipe_slug":"cookies"', '"recipe_slug":"cake"')
    path.write_text(f"{header}\n{changed}\n{second}\n")
    report = history.undo(path)
    assert (report.restored, report.left) == (1, 1)
    assert [(each.line, each.pointer, each.code) for each in report.problems] == [
        (2, "/updated/before/recipe_slug", "unknown-reference")
    ]


def test_the_receipt_of_another_database_or_of_none_is_refused(engine, other_engine, path):
    History(engine).import_document(NEW, receipt=path)
    History(other_engine).import_document(NEW)
    with pytest.raises(ReceiptError, match="another database"):
        History(other_engine).undo(path)
    assert rows(other_engine) == len(RUNS)
    path.write_text(path.read_text("utf-8").replace('"version":"1.0"', '"version":"0.9"'))
    with pytest.raises(ReceiptError, match=r"version 0\.9, not 1\.0"):
        History(engine).undo(path)
    path.write_bytes(stream_of(NEW))
    with pytest.raises(ReceiptError, match="not a receipt"):
        History(engine).undo(path)
    with pytest.raises(FileNotFoundError):
        History(engine).undo(path.with_name("missing.jsonl"))


def test_a_database_in_memory_cannot_be_told_from_others(path):
    history = History(create_engine("sqlite://", poolclass=sa.StaticPool))
    with history.bound.database.writing(None) as (connection, _, commit):
        Base.metadata.create_all(connection)
        commit()
    assert lines_of_empty(history, path)[0]["receipt"]["database"] is None
    assert history.undo(path).to_dict() == UndoReport().to_dict()


def lines_of_empty(history, path):
    history.import_document(document(), receipt=path)
    return lines_of(path)
