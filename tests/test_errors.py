"""Errors carry data: attributes from which their text is built, and which survive copying and pickling."""

import copy
import pickle

import pytest
from marshmallow_sqlalchemy import auto_field

import histio
from histio import BindingError, BindingFault, DocumentError, ExportError, History, Problem
from histio.models import ProductionRun

FAULT = BindingFault("RunSchema", "Run", "oven", "a column", ("oven = auto_field()", 'exclude = ("oven",)'))
PROBLEMS = (
    Problem("error", "schema", "Unknown field.", "/production_runs/0/x", "production_run", "7d0f", 0),
    Problem("warning", "audit", "Too much.", "/production_run/total", line=3, hint="4"),
)
ERRORS = [
    BindingError("the connection is in AUTOCOMMIT mode"),
    BindingError(
        "has no column", schema="RunSchema", field="notes", model="Run", advice="exclude it", faults=(FAULT,)
    ),
    DocumentError(PROBLEMS),
    ExportError(PROBLEMS),
    histio.NotConfiguredError("no database"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_an_error_is_copied_and_pickled_with_its_attributes(error, duplicate):
    again = duplicate(error)
    assert (type(again), vars(again), str(again)) == (type(error), vars(error), str(error))


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_a_binding_fault_is_copied_and_pickled(duplicate):
    assert duplicate(FAULT) == FAULT


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({}, "takes null"),
        ({"schema": "RunSchema"}, "RunSchema: takes null"),
        ({"schema": "RunSchema", "field": "notes"}, "RunSchema.notes: takes null"),
        ({"field": "Meta.order"}, "Meta.order: takes null"),
        ({"advice": "write allow_none=True"}, "takes null: write allow_none=True"),
        ({"model": "Run"}, "takes null"),
    ],
)
def test_the_text_of_a_binding_error_is_built_from_its_attributes(attributes, text):
    assert str(BindingError("takes null", **attributes)) == text


class UsingSchema(histio.RecordSchema):
    class Meta:
        model = histio.models.ProductionConsumption
        exclude = ("ingredient_slug", "quantity_consumed", "unit", "total_cost")

    uuid = histio.RunUUID(required=True)


def binding(options=None, **members):
    """A schema class of production runs with these options and members."""
    names = {
        "model": ProductionRun,
        "kind": "run",
        "collection": "runs",
        "timestamp": None,
        "unbound": "ignore",
    }
    meta = type("Meta", (), names | (options or {}))
    own = {"Meta": meta, "uuid": histio.RunUUID(required=True)} | members
    return History(None, type("CookingSchema", (histio.RunSchema,), own))


@pytest.mark.parametrize(
    ("options", "members", "field", "advice"),
    [
        ({}, {"note": auto_field()}, "note", "did you mean 'notes'?"),
        ({}, {"notes": histio.Integer()}, "notes", "it takes Integer"),
        ({}, {"notes": histio.Text()}, "notes", "write allow_none=True"),
        ({}, {"recipe": histio.Slug("recipe", key="nam")}, "recipe", "did you mean 'name'?"),
        ({}, {"recipe": histio.Slug("recipe", key="id_")}, "recipe", "did you mean 'id'?"),
        ({}, {"uuid": histio.RunUUID()}, "uuid", "write required=True"),
        ({"exclude": ("note",)}, {}, "Meta.exclude", "did you mean 'notes'?"),
        ({"colection": "x"}, {}, "Meta", "did you mean 'collection'?"),
        ({"identity": "nothing"}, {}, "Meta.identity", None),
        ({"identity": ()}, {}, "Meta.identity", None),
        ({"order": 5}, {}, "Meta.order", None),
        ({"unbound": "forget"}, {}, "Meta.unbound", None),
        ({"kind": "header"}, {}, "Meta.kind", None),
        ({"charts": ("x",)}, {}, "Meta.charts", None),
    ],
)
def test_a_binding_error_names_the_schema_the_field_and_what_to_write(options, members, field, advice):
    with pytest.raises(BindingError) as caught:
        binding(options, **members)
    error = caught.value
    assert (error.schema, error.field, error.advice) == ("CookingSchema", field, advice)


def test_a_fault_in_a_ledger_is_told_of_the_ledgers_schema_and_model():
    class BadUsingSchema(UsingSchema):
        uuid = histio.RunUUID()

    with pytest.raises(BindingError) as caught:
        binding(consumptions=histio.schemas.Nested(BadUsingSchema, many=True))
    error = caught.value
    assert (error.schema, error.field, error.model) == ("BadUsingSchema", "uuid", "ProductionConsumption")


def test_a_binding_error_about_a_database_names_no_schema():
    with pytest.raises(BindingError, match="cannot use 5 as a database") as caught:
        History(5)
    assert (caught.value.schema, caught.value.field, caught.value.model) == (None, None, None)
