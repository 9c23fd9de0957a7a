"""What models do when objects are created gives the same rows on every path, flushed or in bulk."""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.orm import object_session, relationship

import histio
from histio import History
from histio.tuning import tuned
from tests.support.bakery import number
from tests.support.hosts import document, ledger, model, run, text, to, word


class Host:
    """Runs with lines, tags and a recipe, of models that a habit changes."""

    def __init__(self, habit=None):
        self.base = orm.declarative_base()
        of_run, of_line, listen = habit(self) if habit else ({}, {}, None)
        amount = sa.Column(sa.Numeric(8, 2), nullable=False)
        self.recipe = model(self.base, "Recipe", name=text(), used=sa.Column(sa.Integer, default=0))
        self.audit = model(self.base, "Audit", run_id=to("runs"), text=text())
        part = model(self.base, "Part", line_id=to("lines"), size=sa.Column(sa.Integer, nullable=False))
        self.line = model(
            self.base,
            "Line",
            **{
                "run_id": to("runs"),
                "sku": text(),
                "amount": amount,
                "parts": relationship(part, order_by=part.id),
                "run": relationship("Run", back_populates="lines"),
                **of_line,
            },
        )
        self.run = model(
            self.base,
            "Run",
            sa.CheckConstraint("number < 90"),
            **{
                "uuid": text(36, unique=True, nullable=False),
                "number": sa.Column(sa.Integer),
                "name": text(),
                "note": text(default="of Python"),
                "state": text(server_default="of SQL"),
                "code": text(default=lambda: "called"),
                "meta": sa.Column(sa.JSON),
                "made": sa.Column(sa.DateTime),
                "extra": text(),
                "recipe_id": to("recipes"),
                "recipe": relationship(self.recipe, foreign_keys="Run.recipe_id"),
                "audits": relationship(self.audit),
                "lines": relationship(self.line, order_by=self.line.id, back_populates="run"),
                **of_run,
            },
        )
        parts = ledger(part, size=histio.Integer(required=True))
        amounts = histio.FixedDecimal(scale=2, required=True)
        self.kind = run(
            self.run,
            {"identity": "uuid"},
            uuid=histio.RunUUID(required=True),
            number=histio.Integer(required=True),
            name=word(),
            note=histio.Text(allow_none=True),
            state=histio.Text(allow_none=True),
            code=histio.Text(allow_none=True),
            meta=histio.Json(allow_none=True),
            made=histio.UtcTimestamp(allow_none=True),
            recipe=histio.Slug("recipe", key="name", allow_none=True),
            lines=ledger(self.line, sku=word(), amount=amounts, parts=parts),
        )
        if listen is not None:
            listen()

    def flush(self):
        """Flush the objects, whatever the habit needs."""
        for each in (self.run, self.line):
            event.listen(each, "before_insert", lambda *_: None)

    def rows(self, engine):
        """All rows that an import has written, without the keys that the database counts."""
        lines = sa.select(self.run.uuid, self.line.sku, self.line.amount).join(self.run.lines)
        columns = [column for column in self.run.__table__.columns if column.name != "id"]
        sizes = sa.select(self.run.uuid, sa.text("size")).join(self.run.lines).join(self.line.parts)
        with engine.connect() as connection:
            return [
                connection.execute(statement).all()
                for statement in (
                    sa.select(*columns).order_by(self.run.uuid),
                    lines.order_by(self.run.uuid, self.line.id),
                    sizes.order_by(self.run.uuid, self.line.id, sa.text("size")),
                    sa.select(self.run.uuid, self.audit.text).join(self.run.audits).order_by(self.run.uuid),
                    sa.select(self.audit.text).where(self.audit.run_id.is_(None)),
                    sa.select(self.recipe.name, self.recipe.used).order_by(self.recipe.name),
                )
            ]


def plain(_host):
    return {}, {}, None


def validates(name: str, check: Any) -> dict[str, Any]:
    return {"check": orm.validates(name)(check)}


def a_validator_that_changes_a_column(_host):
    return validates("name", lambda _self, _name, value: value.upper()), {}, None


def a_validator_that_returns_none_for_a_default(_host):
    return validates("note", lambda _self, _name, _value: None), {}, None


def a_validator_that_refuses_a_run(_host):
    def check(_self, _name, value):
        if value == "run 3":
            raise ValueError("no run 3")
        return value

    return validates("name", check), {}, None


def a_validator_that_fills_another_column(_host):
    def check(self, _name, value):
        self.extra = f"of {value}"
        return value

    return validates("name", check), {}, None


def a_validator_of_a_time(_host):
    return validates("made", lambda _self, _name, value: value and value.replace(year=2001)), {}, None


def a_validator_of_json(_host):
    return validates("meta", lambda _self, _name, value: {"was": value}), {}, None


def a_validator_of_a_foreign_key(_host):
    return validates("recipe_id", lambda _self, _name, value: value and value + 1), {}, None


def a_validator_that_adds_a_row(host):
    def check(self, _name, value):
        self.audits.append(host.audit(text=value))
        return value

    return validates("name", check), {}, None


def a_validator_of_lines(_host):
    return {}, validates("sku", lambda _self, _name, value: value.upper()), None


def a_validator_of_lines_that_breaks_a_constraint(_host):
    def check(_self, _name, value):
        return None if value == 7 else value

    return {}, validates("amount", check), None


def a_validator_of_the_ledger(_host):
    def check(_self, _name, line):
        line.amount += 1
        return line

    return validates("lines", check), {}, None


def a_validator_of_a_reference(_host):
    def check(self, _name, recipe):
        self.extra = recipe and recipe.name
        return recipe

    return validates("recipe", check), {}, None


def a_set_listener(host):
    def listen():
        event.listen(
            host.run.number, "set", lambda _run, value, _old, _init: value and value + 1, retval=True
        )

    return {}, {}, listen


def a_listener_that_changes_the_recipe(host):
    def use(_run, recipe, _old, _initiator):
        if recipe is not None:
            recipe.used += 1

    return {}, {}, lambda: event.listen(host.run.recipe, "set", use)


def a_listener_that_adds_to_the_session(host):
    def note(_run, recipe, _old, _initiator):
        if recipe is not None:
            object_session(recipe).add(host.audit(text=recipe.name))

    return {}, {}, lambda: event.listen(host.run.recipe, "set", note)


def a_listener_that_drops_lines(host):
    def keep(_run, lines, _initiator):
        for line in [line for line in lines if line.sku == "lost"]:
            lines.remove(line)

    def listen():
        event.listen(host.run.lines, "append", lambda *_: None)
        event.listen(host.run, "init", lambda _run, _given, values: keep(_run, values["lines"], None))

    return {}, {}, listen


def an_init_listener(host):
    def init(_run, _given, values):
        values["extra"] = f"{len(values['lines'])} lines"

    return {}, {}, lambda: event.listen(host.run, "init", init)


def constructs(host, fill):
    def init(self, **values):
        host.base.__init__(self, **values)
        fill(self)

    return {"__init__": init}


def a_constructor_that_fills_a_column(host):
    return (
        constructs(host, lambda self: setattr(self, "extra", f"{self.recipe and self.recipe.name}")),
        {},
        None,
    )


def a_constructor_that_overwrites(host):
    def fill(self):
        self.name, self.lines, self.recipe = "new", [], None

    return constructs(host, fill), {}, None


def a_constructor_that_adds_a_row(host):
    return constructs(host, lambda self: self.audits.append(host.audit(text=self.name))), {}, None


def a_constructor_that_sets_an_expression(host):
    return constructs(host, lambda self: setattr(self, "extra", sa.func.lower("ABC"))), {}, None


def a_constructor_that_sets_null(host):
    return constructs(host, lambda self: setattr(self, "extra", sa.null())), {}, None


def a_constructor_of_lines(host):
    def fill(self):
        self.sku = self.sku or "none"
        self.note = f"{self.sku} {self.amount}"

    return {}, {"note": text(), **constructs(host, fill)}, None


def a_default_that_looks_at_the_row(_host):
    def describe(context):
        parameters = context.get_current_parameters()
        return f"{parameters['name']} {parameters['number']}"

    return {"extra": text(default=describe)}, {}, None


def a_default_that_counts(_host):
    return {"extra": text(default=functools.partial(next, itertools.repeat("x")))}, {}, None


def a_default_of_sql(_host):
    return {"extra": text(default=sa.func.lower("ABC"))}, {}, None


HABITS = [
    plain,
    a_validator_that_changes_a_column,
    a_validator_that_returns_none_for_a_default,
    a_validator_that_refuses_a_run,
    a_validator_that_fills_another_column,
    a_validator_of_a_time,
    a_validator_of_json,
    a_validator_of_a_foreign_key,
    a_validator_that_adds_a_row,
    a_validator_of_lines,
    a_validator_of_lines_that_breaks_a_constraint,
    a_validator_of_the_ledger,
    a_validator_of_a_reference,
    a_set_listener,
    a_listener_that_changes_the_recipe,
    a_listener_that_adds_to_the_session,
    a_listener_that_drops_lines,
    an_init_listener,
    a_constructor_that_fills_a_column,
    a_constructor_that_overwrites,
    a_constructor_that_adds_a_row,
    a_constructor_that_sets_an_expression,
    a_constructor_that_sets_null,
    a_constructor_of_lines,
    a_default_that_looks_at_the_row,
    a_default_that_counts,
    a_default_of_sql,
]


def record(key: int, *skus: str, **members: Any) -> dict[str, Any]:
    lines = [{"sku": sku, "amount": f"{key}.00", "parts": [{"size": key}, {"size": 2}]} for sku in skus]
    return {"uuid": number(key), "number": key, "name": f"run {key}", "lines": lines, **members}


SOUND = [
    record(1, "a", "b", recipe="bread", note="given", meta={"a": [1]}, made="2025-12-08T10:00:00Z"),
    record(2, "a", recipe=None, note=None, state=None, code=None, meta=None, made=None),
    record(3, "c", recipe="cake", state="new", code="k"),
    record(4),
    record(6, "lost", "d", made="2025-12-08T12:00:00.5+02:00"),
    record(7, "e", recipe="bread"),
    record(9, "f", name="RUN"),
]
MIXED = [
    *SOUND[:3],
    record(91, "too large"),
    record(5, recipe="unknown"),
    *SOUND[3:],
    {**record(8), "number": "eight"},
]


def imported(engine_of, habit, records, *, flush=False, **settings):
    """The report and the rows of an import."""
    host = Host(habit)
    engine = engine_of(host.base.metadata, host.recipe(name="bread"), host.recipe(name="cake"))
    if flush:
        host.flush()
    with tuned(**settings):
        report = History(engine, host.kind).import_document(document(*records)).to_dict()
    del report["unit_of_work"]
    return json.loads(json.dumps(report)), host.rows(engine)


@pytest.mark.turns
@pytest.mark.parametrize("records", [SOUND, MIXED], ids=["sound", "mixed"])
@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_of_models_has_the_same_effect_on_every_path(create, habit, records):
    report, rows = imported(create, habit, records, flush=True, full_path_only=True)
    assert report["imported"] > 0
    assert imported(create, habit, records) == (report, rows)
    assert imported(create, habit, records, full_path_only=True) == (report, rows)
    assert imported(create, habit, [*records, records[0]], batch=3)[1] == rows
    assert imported(create, habit, records, flush=True) == (report, rows)
