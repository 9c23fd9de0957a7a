"""Hosts that load their relationships eagerly, or not at all: histio's queries name what they load."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import json
from typing import Any

import pytest
import sqlalchemy as sa
from marshmallow import post_dump, pre_load
from sqlalchemy import orm
from sqlalchemy.orm import Session, relationship

import histio
from histio import History
from histio.testing import check_host
from tests.support.bakery import TIME
from tests.support.hosts import brings_back, document, ledger, model, run, text, to, word
from tests.support.mapping_styles import listening

MOMENT = dt.datetime.fromisoformat(TIME)

EAGER = ["joined", "selectin", "subquery", "immediate"]
RELUCTANT = ["raise", "raise_on_sql"]
QUERIES = ["dynamic", "write_only"]

COLLECTIONS = [
    ("Run", "lines", "Line"),  # in the format
    ("Line", "serials", "Serial"),
    ("Run", "marks", "Mark"),  # those below are not
    ("Line", "dents", "Dent"),
    ("Customer", "phones", "Phone"),
    ("City", "zones", "Zone"),
    ("Product", "images", "Image"),
]
ROWS = [
    ("Run", "customer", "Customer"),
    ("Customer", "city", "City"),
    ("Line", "product", "Product"),
    ("Product", "maker", "Maker"),
]
EVERYWHERE = [*COLLECTIONS, *ROWS]


class Host:
    """Runs with lines with serials; a customer in a city; a product of a maker; and what hangs on those."""

    def __init__(self, *places: tuple[str, str, str], lazy: str = "select") -> None:
        self.base = orm.declarative_base()
        names = ["Run", "Line", "Serial", "Customer", "City", "Product", "Maker"]
        names += ["Mark", "Dent", "Phone", "Zone", "Image"]
        columns: dict[str, dict[str, Any]] = {name: {"name": text()} for name in names}
        for owner, name, other in COLLECTIONS:
            columns[other][f"{owner.lower()}_id"] = to(f"{owner.lower()}s")
            loading = _lazy((owner, name, other), places, lazy)
            # SQLAlchemy cannot delete the owner of a write-only collection without.
            passive = loading == "write_only"
            columns[owner][name] = relationship(other, lazy=loading, passive_deletes=passive)
        for owner, name, other in ROWS:
            columns[owner][f"{name}_id"] = to(f"{other.lower()}s")
            columns[owner][name] = relationship(other, lazy=_lazy((owner, name, other), places, lazy))
        self.models = {name: model(self.base, name, **columns[name]) for name in names}
        serials = ledger(self.models["Serial"], {"unbound": "ignore"}, name=word())
        product = histio.Slug("product", key="name", required=True)
        left_out = {"exclude": (), "unbound": "ignore"}
        lines = ledger(self.models["Line"], left_out, name=word(), product=product, serials=serials)
        customer = histio.Slug("customer", key=("name", "city.name"), required=True)
        members = {"name": word(), "customer": customer, "lines": lines}
        self.kind = run(self.models["Run"], left_out, **members)
        self.hooked = type(
            "HookedSchema", (self.kind,), {"_same": pre_load(_same), "_as_is": post_dump(_same)}
        )

    def rows(self) -> list[Any]:
        """The rows that runs refer to, with two of each thing that hangs on them."""
        of = self.models
        city = of["City"](name="Ulm", zones=[of["Zone"](), of["Zone"]()])
        product = of["Product"](name="tea", maker=of["Maker"](), images=[of["Image"](), of["Image"]()])
        return [of["Customer"](name="ann", city=city, phones=[of["Phone"](), of["Phone"]()]), product]

    def stored(self, session: Session) -> Any:
        """The first run, as the host itself loads it."""
        return session.scalars(sa.select(self.models["Run"]).order_by("id")).unique().first()


never_loaded = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


def _lazy(place: tuple[str, str, str], places: Any, lazy: str) -> str:
    return lazy if place in places else "select"


@functools.cache
def host_of(*places: tuple[str, str, str], lazy: str = "select") -> Host:
    return Host(*places, lazy=lazy)


def _same(_schema: Any, data: Any, **_: Any) -> Any:
    return data


def record(n: int, *lines: str) -> dict[str, Any]:
    entries = [
        {"name": name, "product": "tea", "serials": [{"name": f"{name}1"}, {"name": f"{name}2"}]}
        for name in lines
    ]
    return {"id": n, "name": f"r{n}", "customer": {"name": "ann", "city.name": "Ulm"}, "lines": entries}


GIVEN = [record(1, "a", "b"), record(2, "c")]
CHANGED = [record(1, "b", "d") | {"name": "new"}, record(2)]


# --- ways in and out: each gives what has to be right of it ---------------------------------------------


def exports(host, history, engine):
    return history.export_document(exported_at=MOMENT)["runs"], GIVEN


def verifies(host, history, engine):
    report = history.import_document(document(*GIVEN), on_duplicate="verify")
    return (report.skipped, report.problems), (2, ())


def finds_differences(host, history, engine):
    report = history.import_document(document(*CHANGED), on_duplicate="verify")
    return [problem.code for problem in report.problems], ["conflict", "conflict"]


def updates(host, history, engine):
    report = history.import_document(document(*CHANGED), on_duplicate="update")
    assert report.problems == ()
    return history.export_document(exported_at=MOMENT)["runs"], CHANGED


def imports(host, history, engine):
    report = history.import_document(document(record(3, "x", "y")))
    assert report.problems == ()
    return history.export_document(exported_at=MOMENT)["runs"], [*GIVEN, record(3, "x", "y")]


def imports_by_unit_of_work(host, history, engine):
    with listening(host.models["Run"], "before_insert", lambda *_: None):
        return imports(host, history, engine)


def dumps(host, history, engine):
    with Session(engine) as session:
        return host.kind().dump(host.stored(session)), GIVEN[0]


def loads_new(host, history, engine):
    with Session(engine) as session:
        row = host.kind().load(record(3, "x", "y"), session=session)
        session.add(row)
        session.flush()
        said = [(line.name, line.product.name, [each.name for each in line.serials]) for line in row.lines]
        return (row.customer.name, said), ("ann", [(name, "tea", [f"{name}1", f"{name}2"]) for name in "xy"])


def loads_new_and_dumps(host, history, engine):
    with Session(engine) as session:
        row = host.kind().load(record(3, "x", "y"), session=session)
        session.add(row)
        session.flush()
        return host.kind().dump(row), record(3, "x", "y")


def loads_known(host, history, engine):
    with Session(engine) as session:
        row = host.kind().load(CHANGED[0], session=session)
        session.flush()
        assert row.name == "new"
        return host.kind().dump(row), CHANGED[0]


def loads_into_what_the_host_has_loaded(host, history, engine):
    with Session(engine) as session:
        row = host.kind().load(CHANGED[0], session=session, instance=host.stored(session))
        session.flush()
        return host.kind().dump(row), CHANGED[0]


def audits(host, history, engine):
    return [str(problem) for problem in histio.audit(history)], []


STRAIGHT = [exports, verifies, imports]
WAYS = [
    exports,
    verifies,
    finds_differences,
    updates,
    imports,
    imports_by_unit_of_work,
    loads_new,
    loads_known,
    audits,
]
OF_ITS_OWN_ROWS = [dumps, loads_new_and_dumps, loads_into_what_the_host_has_loaded]


@functools.cache
def outcome(way, path, *places, lazy="select"):
    """What *way* gives, what it should give, and the statements that it takes."""
    host = host_of(*places, lazy=lazy)
    engine = histio.create_engine("sqlite://")
    host.base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(host.rows())
        session.commit()
    history = History(engine, getattr(host, path))
    assert history.import_document(document(*GIVEN)).imported == 2
    statements = []
    with listening(engine, "before_cursor_execute", lambda *event: statements.append(event[2])):
        given, wanted = way(host, history, engine)
    engine.dispose()
    return json.dumps(given, default=str), json.dumps(wanted, default=str), len(statements)


def assert_changes_nothing(way, path, *places, lazy):
    """*way* is right, and takes as many statements as without eager loading."""
    given, wanted, statements = outcome(way, path, *places, lazy=lazy)
    assert given == wanted
    assert (given, wanted, statements) == outcome(way, path)


def assert_right(way, *places, lazy):
    given, wanted, _ = outcome(way, "hooked", *places, lazy=lazy)
    assert given == wanted


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lazy", [*EAGER, *RELUCTANT])
def test_what_a_host_loads_eagerly_changes_neither_results_nor_statements(lazy, way):
    assert_changes_nothing(way, "hooked", *EVERYWHERE, lazy=lazy)


@pytest.mark.slow
@pytest.mark.parametrize("way", STRAIGHT)
@pytest.mark.parametrize("lazy", EAGER)
def test_eager_loading_changes_nothing_of_the_fast_path(lazy, way):
    assert_changes_nothing(way, "kind", *EVERYWHERE, lazy=lazy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "lazy"),
    # Joined, which adds columns and rows to the statement itself, and one of the others.
    [*((place, "joined") for place in EVERYWHERE), *zip(EVERYWHERE, itertools.cycle(EAGER[1:]))],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}.{value[1]}",
)
def test_eager_loading_anywhere_changes_nothing_of_an_update(lazy, place):
    assert_changes_nothing(updates, "kind", place, lazy=lazy)


@pytest.mark.parametrize("way", OF_ITS_OWN_ROWS)
@pytest.mark.parametrize("lazy", [*EAGER, *RELUCTANT])
def test_a_row_that_the_host_has_loaded_is_dumped_and_changed_whole(lazy, way):
    assert_right(way, *EVERYWHERE, lazy=lazy)


@pytest.mark.slow
@never_loaded
@pytest.mark.parametrize("way", [*WAYS, *OF_ITS_OWN_ROWS])
def test_what_a_host_never_loads_is_not_taken_for_empty(way):
    assert_right(way, *EVERYWHERE, lazy="noload")


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in (*WAYS, *OF_ITS_OWN_ROWS) if way is not loads_new])
@pytest.mark.parametrize("lazy", QUERIES)
def test_collections_that_are_queries_are_read_and_written(lazy, way):
    assert_right(way, *COLLECTIONS, lazy=lazy)


@pytest.mark.thorough
@pytest.mark.parametrize("lazy", ["joined", "selectin"])
def test_the_conformance_kit_is_content_with_a_host_that_loads_eagerly(lazy):
    host = host_of(*EVERYWHERE, lazy=lazy)
    engine = histio.create_engine("sqlite://")
    host.base.metadata.create_all(engine)

    def make_runs(session, count):
        of, (customer, product) = host.models, host.rows()
        for n in range(1, count + 1):
            lines = [of["Line"](name=f"l{n}", product=product, serials=[of["Serial"](name=f"s{n}")])]
            session.add(of["Run"](name=f"r{n}", customer=customer, lines=lines))

    check_host(History(engine, host.kind), make_runs=make_runs)


# --- over association tables, and by constants -----------------------------------------------------------

ANY = [*EAGER, *RELUCTANT, *QUERIES, "noload"]


@never_loaded
@pytest.mark.parametrize("lazy", ANY)
def test_lists_of_slugs_are_read_and_written_however_they_are_loaded(sqlite_of, lazy):
    base = orm.declarative_base()
    tag = model(base, "Tag", name=text())
    tagged = sa.Table("tagged", base.metadata, to("runs", name="run"), to("tags", name="tag"))
    host_run = model(base, "Run", tags=relationship("Tag", secondary=tagged, lazy=lazy))
    kind = run(host_run, tags=histio.SlugList("tags", key="name"))
    engine = sqlite_of(base.metadata, *(tag(name=name) for name in "abc"))
    given = document({"id": 1, "tags": ["a", "b"]}, {"id": 2, "tags": ["c"]})
    brings_back(History(engine, kind), given)
    with Session(engine) as session:
        row = session.scalars(sa.select(host_run).order_by("id")).unique().first()
        assert kind().dump(row) == given["runs"][0]
        kind().load({"id": 1, "tags": ["b", "c"]}, session=session)
        session.commit()
    changed = document({"id": 1, "tags": ["b", "c"]}, {"id": 2, "tags": ["a"]})
    History(engine, kind).import_document(changed, on_duplicate="update")
    assert list(History(engine, kind).iter_runs("run")) == changed["runs"]


@never_loaded
@pytest.mark.parametrize("lazy", ANY)
def test_ledgers_of_one_table_are_told_apart_however_they_are_loaded(sqlite_of, lazy):
    base = orm.declarative_base()
    move = model(base, "Move", run_id=to("runs"), way=text(3), name=text())
    options = {"lazy": lazy, "overlaps": "ins,outs"}
    ways = {
        way: relationship("Move", primaryjoin=f"and_(Run.id == Move.run_id, Move.way == '{way}')", **options)
        for way in ("in", "out")
    }
    host_run = model(base, "Run", **{f"{way}s": each for way, each in ways.items()})
    kind = run(host_run, ins=ledger(move, name=word()), outs=ledger(move, name=word()))
    engine = sqlite_of(base.metadata)
    given = document({"id": 1, "ins": [{"name": "a"}, {"name": "b"}], "outs": [{"name": "c"}]})
    brings_back(History(engine, kind), given)
    with Session(engine) as session:
        row = session.scalars(sa.select(host_run)).unique().one()
        assert kind().dump(row) == given["runs"][0]
