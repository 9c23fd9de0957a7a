"""Plans → the source of a binding that works as it stands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from marshmallow.fields import Nested
from marshmallow_sqlalchemy import auto_field

from histio import fields, records
from histio.accounting import check_accounts
from histio.binding import kind_of
from histio.errors import BindingError
from histio.mapping import mapper_of
from histio.scaffold.plan import Plan, Planner

_TRIES = 50
_WIDTH = 88
_OF_MARSHMALLOW = "Nested"
_AUTO = "auto_field"


def scaffold(*models: type[Any]) -> str:
    """The source of a binding of *models*, to be edited.

    It has a schema for each model and for each of their ledgers, with all columns as fields; references by
    the likeliest natural key; a `History`; and a conformance test whose ``make_runs`` is left to fill in.
    What could not be bound is left out by name, with the reason as a comment.

    Args:
        models: Mapped classes, each a kind of run; an association's or a ledger's model need not be named.

    Raises:
        BindingError: A model is not mapped, or nothing of it can be bound.
    """
    plans = Planner([mapper_of(model) for model in models]).plans()
    for _ in range(_TRIES):
        try:
            _try(plans)
        except BindingError as error:
            if not _leave_out(plans, error):
                raise
        else:
            return _source(plans)
    raise BindingError(f"no binding of {', '.join(model.__name__ for model in models)} was found")


def _try(plans: Sequence[Plan]) -> None:
    """Make the kinds of *plans*, as a `History` would.

    Raises:
        BindingError: Something does not fit.
    """
    schemas = list(dict.fromkeys(each for plan in plans for each in plan.all()))
    names: dict[str, Any] = {**vars(fields), "Nested": Nested, "histio": records, "auto_field": auto_field}
    names |= {plan.model.__name__: plan.model for plan in schemas}
    for plan in schemas:
        # The source is histio's own, made from names of the host's models.
        exec("\n".join(_class(plan)), names)  # noqa: S102
    check_accounts([kind_of(names[plan.name]) for plan in plans])


def _leave_out(plans: Iterable[Plan], error: BindingError) -> bool:
    """Leave out what *error* names; whether it named anything."""
    wrong = [(fault.schema, fault.attribute, fault.reason) for fault in error.faults]
    found = re.match(r"(?:\w+\.\w+: )*(\w+)\.(\w+): (.*)", str(error), re.DOTALL)
    if not wrong and found is not None:
        wrong = [(found[1], found[2], found[3])]
    done = False
    for plan in (each for whole in plans for each in whole.all()):
        for schema, name, reason in wrong:
            if schema != plan.name or name in plan.excluded:
                continue
            plan.lines = [line for line in plan.lines if line.name != name]
            plan.excluded[name] = reason
            done = True
    return done


def _source(plans: Sequence[Plan]) -> str:
    schemas = list(dict.fromkeys(each for plan in plans for each in plan.all()))
    body = "\n\n\n".join("\n".join(_class(plan)) for plan in schemas)
    kinds = ", ".join(plan.name for plan in plans)
    return "\n".join(
        [
            '"""The history of this application: a first binding, to be edited."""',
            "",
            *_imports(schemas, body),
            "",
            "",
            body,
            "",
            "",
            f"history = histio.History(None, {kinds})",
            "",
            "",
            "# A conformance test: move it to your tests, and fill in make_runs.",
            "",
            "",
            "def make_runs(session, count):",
            '    """Add so many runs to the session, all different, with entries and what they refer to."""',
            "    raise NotImplementedError",
            "",
            "",
            "def test_the_binding_keeps_what_histio_promises(tmp_path):",
            '    engine = histio.create_engine(f"sqlite:///{tmp_path}/test.db")',
            f"    {plans[0].model.__name__}.metadata.create_all(engine)",
            f"    testing.check_host(histio.History(engine, {kinds}), make_runs=make_runs)",
            "",
        ]
    )


def _imports(schemas: Sequence[Plan], body: str) -> Iterator[str]:
    used = {name for name in re.findall(r"= (\w+)\(", body) if name not in (_OF_MARSHMALLOW, _AUTO)}
    yield "import histio"
    yield from _import("histio", {*used, "testing"})
    if f"= {_OF_MARSHMALLOW}(" in body:
        yield "from marshmallow.fields import Nested"
    if f"= {_AUTO}(" in body:
        yield "from marshmallow_sqlalchemy import auto_field"
    yield ""
    by_module: dict[str, set[str]] = {}
    models = [plan.model for plan in schemas]
    found = [model for model in models if _has_name(model)] or models
    for model in found:
        by_module.setdefault(model.__module__, set()).add(model.__name__)
    for module, names in sorted(by_module.items()):
        yield from _import(module, names)
    hidden = [model for model in models if model not in found]
    if hidden:
        yield ""
        yield "# Models that no module has under their names."
        mappers = f"{found[-1].__name__}.registry.mappers"
        yield f"mappers = {{mapper.class_.__name__: mapper for mapper in {mappers}}}"
        yield from (f'{model.__name__} = mappers["{model.__name__}"].class_' for model in hidden)


def _has_name(model: type[Any]) -> bool:
    """Whether the module of *model* has it under its name."""
    return getattr(sys.modules.get(model.__module__), model.__name__, None) is model


def _import(module: str, names: Iterable[str]) -> Iterator[str]:
    """An import of *names*, on one line if that is not too long."""
    line = f"from {module} import {', '.join(sorted(names, key=str.lower))}"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield f"from {module} import ("
        yield from (f"    {name}," for name in sorted(names, key=str.lower))
        yield ")"


def _class(plan: Plan) -> Iterator[str]:
    base = "RunSchema" if plan.is_run else "RecordSchema"
    yield f"class {plan.name}(histio.{base}):"
    yield "    class Meta:"
    yield f"        model = {plan.model.__name__}"
    for name, value, comment in plan.meta:
        yield f"        {name} = {value}{f'  # {comment}' if comment else ''}"
    if plan.excluded:
        yield "        exclude = ("
        for name, why in plan.excluded.items():
            yield f'            "{name}",  # {" ".join(why.split())}'
        yield "        )"
    yield from _machinery(plan)
    yield ""
    for line in plan.lines:
        yield f"    {line.name} = {line.source}{f'  # {line.comment}' if line.comment else ''}"


def _machinery(plan: Plan) -> Iterator[str]:
    """What is not moved, as comments."""
    if plan.strangers:
        names = ", ".join(plan.strangers)
        yield f"        # not in the format: {names}, which refer to these without a relationship"
    for name, why in plan.machinery.items():
        yield f"        # not moved: {name} ({why})"
