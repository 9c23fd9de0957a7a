"""Write the source code of a binding from its plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from marshmallow.fields import UUID, Nested
from marshmallow_sqlalchemy import auto_field

from histio import records
from histio.errors import BindingError
from histio.kinds import fields
from histio.kinds.accounting import check_accounts
from histio.kinds.bind import kind_of
from histio.kinds.catalog import check_catalog
from histio.kinds.mapping import mapper_of
from histio.scaffold.imports import import_models, import_names
from histio.scaffold.outline import Plan
from histio.scaffold.plan import Planner

_TRIES = 50


def scaffold(*models: type[Any], import_paths: Mapping[type[Any], str] | None = None) -> str:
    """Write the source code of a binding of *models*, to be edited.

    It has a schema for each model and each ledger, with all columns as fields and references by the likeliest
    natural key; a catalog kind for each model that these refer to, and for those that catalog rows refer to;
    a `History`; and a conformance test whose ``make_runs`` is to be filled in. What cannot be bound is
    excluded by name, and models without a natural key get no catalog kind, with the reasons as comments.

    Args:
        models: Mapped classes, each a kind of run. Models of ledgers, associations and catalog kinds are
            found by themselves.
        import_paths: Where models can be imported from, as ``module:Name``; None: from their own modules.
            Needed for models that a function creates. Other models are looked for in these modules too.

    Raises:
        BindingError: A model is not mapped, or nothing of it can be bound.
    """
    planner = Planner([mapper_of(model) for model in models])
    runs, catalog, undescribed = planner.plan_runs(), planner.plan_catalog(), planner.undescribed
    for _ in range(_TRIES):
        try:
            _try(runs, catalog)
        except BindingError as error:
            if _leave_out([*runs, *catalog], error):
                continue
            failed = [plan for plan in catalog if error.schema in [each.name for each in plan.all()]]
            if not failed:
                raise
            catalog = [plan for plan in catalog if plan not in failed]
            undescribed |= {plan.model.__name__: error.reason for plan in failed}
        else:
            return _source(runs, catalog, undescribed, import_paths or {})
    raise BindingError(f"no binding of {', '.join(model.__name__ for model in models)} was found")


def _schemas(plans: Iterable[Plan]) -> list[Plan]:
    """*plans* and those of their ledgers, ledgers first."""
    return list(dict.fromkeys(each for plan in plans for each in plan.all()))


def _try(runs: Sequence[Plan], catalog: Sequence[Plan]) -> None:
    """Create the kinds of *runs* and of the *catalog*, as a `History` would.

    Raises:
        BindingError: Something does not fit.
    """
    schemas = _schemas([*runs, *catalog])
    names: dict[str, Any] = {**vars(fields), "histio": records, "auto_field": auto_field}
    names |= {"Nested": Nested, "UUID": UUID}
    names |= {plan.model.__name__: plan.model for plan in schemas}
    for plan in schemas:
        # The source is written above, from names of the host's models.
        exec("\n".join(_class(plan)), names)  # noqa: S102
    rows, kinds = ([kind_of(names[plan.name]) for plan in plans] for plans in (catalog, runs))
    check_catalog(rows, kinds)
    check_accounts([*rows, *kinds])


def _leave_out(plans: Iterable[Plan], error: BindingError) -> bool:
    """Leave out what *error* names; return whether it names anything."""
    found = {each.name: each for plan in plans for each in plan.all()}
    wrong = [(fault.schema, fault.attribute, fault.reason) for fault in error.faults]
    if error.schema and error.field and not error.field.startswith("Meta"):
        wrong.append((error.schema, error.field, error.reason))
    done = False
    for schema, name, reason in wrong:
        done |= schema in found and found[schema].leave_out(name, reason)
    return done


def _source(
    runs: Sequence[Plan],
    catalog: Sequence[Plan],
    undescribed: Mapping[str, str],
    import_paths: Mapping[type[Any], str],
) -> str:
    schemas = _schemas([*runs, *catalog])
    body = "\n\n\n".join("\n".join(_class(plan)) for plan in schemas)
    kinds = ", ".join(plan.name for plan in runs)
    passed = f"{kinds}, catalog=catalog" if catalog else kinds
    return "\n".join(
        [
            '"""The history of this application: a first binding, to be edited."""',
            "",
            *import_names(body),
            "",
            *import_models([plan.model for plan in schemas], import_paths),
            "",
            "",
            body,
            "",
            "",
            *(
                f"# No catalog kind for {model}: {' '.join(why.split())}."
                for model, why in undescribed.items()
            ),
            *_catalog(catalog),
            f"history = histio.History(None, {passed})",
            "",
            "",
            "# A conformance test: move it to your tests, and fill in make_runs.",
            "",
            "",
            "def make_runs(session, count):",
            '    """Add *count* different runs to the session, of any kinds,',
            "    with entries and what they refer to.",
            '    """',
            "    raise NotImplementedError",
            "",
            "",
            "def test_the_binding_keeps_what_histio_promises(tmp_path):",
            '    engine = histio.create_engine(f"sqlite:///{tmp_path}/test.db")',
            f"    {runs[0].model.__name__}.metadata.create_all(engine)",
            f"    testing.check_host(histio.History(engine, {passed}), make_runs=make_runs)",
            "",
        ]
    )


def _catalog(plans: Sequence[Plan]) -> Iterator[str]:
    if plans:
        yield "catalog = ("
        yield from (f"    {plan.name}," for plan in plans)
        yield ")"


def _class(plan: Plan) -> Iterator[str]:
    yield f"class {plan.name}(histio.{plan.base}):"
    yield "    class Meta:"
    yield f"        model = {plan.model.__name__}"
    for name, value, comment in plan.meta:
        yield f"        {name} = {value}{f'  # {comment}' if comment else ''}"
    if plan.unfilled:
        names = ", ".join(plan.unfilled)
        yield f"        # An import needs a field or values= for what is NOT NULL: {names}."
        yield '        unbound = "ignore"'
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
    """Write comments on what is not moved."""
    if plan.referrers:
        names = ", ".join(plan.referrers)
        yield f"        # not in the format: {names}, which refer to these without a relationship"
    for name, why in plan.machinery.items():
        yield f"        # not moved: {name} ({why})"
