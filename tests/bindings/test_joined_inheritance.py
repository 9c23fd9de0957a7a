"""Runs and entries that are rows of several tables, one for each class: written a table at a time."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.orm import relationship

import histio
from histio import History
from histio.tuning import tuned
from tests.support.bakery import number
from tests.support.hosts import document, ledger, model, run, text, to, word
from tests.support.reports import codes_of, outcomes


class Bakery:
    """Runs of three levels, with lines of the base and trays of the second level; lines have two levels."""

    def __init__(self, key="id"):
        base = self.base = orm.declarative_base()
        kinds = {"polymorphic_on": "type", "polymorphic_identity": "any"}
        line = model(
            base, "Line", run_id=to("runs"), uuid=text(36, unique=True), type=text(), __mapper_args__=kinds
        )
        tray = model(base, "Tray", run_id=sa.Column(sa.ForeignKey(f"bakeds.{key}")), size=text())
        self.line = below(line, "Flour", "id", sort=text())
        self.any = model(
            base,
            "Run",
            uuid=text(36, unique=True),
            name=text(),
            type=text(),
            lines=relationship(self.line, order_by=self.line.id),
            __mapper_args__=kinds,
        )
        self.baked = below(
            self.any,
            "Baked",
            key,
            oven=text(default="first"),
            heat=sa.Column(sa.Integer, sa.CheckConstraint("heat < 300")),
            trays=relationship(tray, order_by=tray.id),
        )
        self.toasted = below(self.baked, "Toasted", "toast_id", crisp=sa.Column(sa.Boolean))
        self.members = {
            "uuid": histio.RunUUID(required=True),
            "name": word(),
            "heat": histio.Integer(required=True),
            "oven": histio.Text(allow_none=True),
            "lines": ledger(self.line, uuid=histio.RunUUID(required=True), sort=word()),
            "trays": ledger(tray, size=word()),
        }

    def kind(self, of):
        crisp = {"crisp": histio.Boolean(required=True)} if of is self.toasted else {}
        return run(of, {"identity": "uuid"}, **self.members, **crisp)


def below(parent: Any, name: str, key: str, **columns: Any) -> Any:
    """A class of *parent*, with a table of its own."""
    above = sa.inspect(parent).local_table
    [parent_key] = above.primary_key
    own = {"__tablename__": f"{name.lower()}s", key: sa.Column(sa.ForeignKey(parent_key), primary_key=True)}
    return type(name, (parent,), own | columns | {"__mapper_args__": {"polymorphic_identity": name}})


def record(key: int, **members: Any) -> dict[str, Any]:
    lines = [{"uuid": number(10 * key + n), "sort": f"{n}"} for n in range(3)]
    given = {"uuid": number(key), "name": f"run {key}", "heat": key, "oven": None}
    return {**given, "lines": lines, "trays": [{"size": "s"}, {"size": "l"}], **members}


@pytest.mark.turns
@pytest.mark.parametrize("key", ["id", "baked_id"])
@pytest.mark.parametrize("level", ["baked", "toasted"])
def test_rows_of_several_tables_are_the_same_flushed_and_in_bulk(create, key, level):
    results = []
    for flushed, settings in ((True, {}), (False, {}), (False, {"full_path_only": True})):
        host = Bakery(key)
        of = getattr(host, level)
        if flushed:
            event.listen(of, "before_insert", lambda *_: None)
        engine = create(host.base.metadata)
        history = History(engine, host.kind(of))
        crisp = {"crisp": True} if level == "toasted" else {}
        given = [record(n, **crisp) for n in (1, 2, 4)] + [record(3, heat=500, **crisp)]
        del given[0]["oven"]
        with tuned(**settings):
            report = history.import_document(document(*given))
        assert (outcomes(report), codes_of(report.problems)) == ((3, 0, 1), [("/runs/3", "constraint")])
        assert history.import_document(document(*given[:3]), on_duplicate="verify").skipped == 3
        results.append(history.export_document()["runs"])
    assert results[0] == results[1] == results[2]
    assert [each["uuid"] for each in results[0]] == [number(n) for n in (1, 2, 4)]


@pytest.mark.parametrize("level", ["baked", "toasted"])
def test_rows_of_several_tables_take_a_constant_number_of_statements(sqlite_of, count_statements, level):
    host = Bakery()
    of = getattr(host, level)
    engine = sqlite_of(host.base.metadata)
    history = History(engine, host.kind(of))
    crisp = {"crisp": True} if level == "toasted" else {}
    counts = []
    for few in ([1], range(2, 40)):
        statements = count_statements(engine)
        assert history.import_document(document(*(record(n, **crisp) for n in few))).imported == len(few)
        counts.append(sum("INSERT" in each for each in statements.all))
    assert counts[0] == counts[1]


def test_a_run_of_another_class_is_rejected_and_not_skipped(create):
    host = Bakery()
    engine = create(host.base.metadata)
    assert History(engine, host.kind(host.baked)).import_document(document(record(1))).imported == 1
    toasted = History(engine, host.kind(host.toasted))
    report = toasted.import_document(document(record(1, crisp=True), record(2, crisp=True)))
    assert outcomes(report) == (1, 0, 1)
    assert codes_of(report.problems) == [("/runs/0/uuid", "duplicate")]


def exported(history):
    """The runs, or why they cannot be exported."""
    try:
        return history.export_document()["runs"]
    except histio.ExportError as error:
        return [str(problem) for problem in error.problems]


@pytest.mark.turns
@pytest.mark.parametrize("level", ["any", "baked", "toasted"])
@pytest.mark.parametrize("types", [["Baked"], ["Baked", "Toasted"], ["any", "Baked"], ["none"]])
def test_rows_of_other_classes_are_exported_as_marshmallow_does(create, level, types):
    host = Bakery()
    engine = create(host.base.metadata)
    given = [record(n, crisp=True) for n in range(1, 6)]
    History(engine, host.kind(host.toasted)).import_document(document(*given))
    for place, name in enumerate(types):
        change = sa.update(host.any.__table__).where(host.any.uuid == number(place + 2)).values(type=name)
        with engine.begin() as connection:
            connection.execute(change)
    unread = {name: each for name, each in host.members.items() if name not in ("heat", "oven", "trays")}
    members = unread if level == "any" else host.members
    of = getattr(host, level)
    history = History(engine, run(of, {"identity": "uuid"}, **members))
    expected = exported(history)
    with tuned(full_path_only=True):
        assert exported(history) == expected


def test_joined_inheritance_takes_the_fast_path_both_ways(create):
    host = Bakery()
    told = History(create(host.base.metadata), host.kind(host.toasted)).explain().splitlines()
    assert {"run, export: fast path", "run, import: fast path"} <= set(told)
