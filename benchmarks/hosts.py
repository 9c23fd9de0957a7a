"""Hosts that differ from a plain one in one habit. All take the records of `data.runs`, or nearly."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import marshmallow
import marshmallow_sqlalchemy.fields
import sqlalchemy as sa
from data import LEDGER, RECIPE, UNIT
from marshmallow.fields import Nested
from sqlalchemy import event
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import declarative_base, relationship, validates

import histio
from histio import models

_KIND = {
    "kind": "production_run",
    "collection": "production_runs",
    "timestamp": "produced_at",
    "changed": "updated_at",
}


_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")

_ROWS = {
    "recipes": [{"slug": RECIPE}],
    "finished_units": [{"slug": UNIT}],
    "ingredients": [{"slug": slug} for slug in LEDGER],
}


class Host(NamedTuple):
    """An application's models and their binding.

    Attributes:
        base: The declarative base of the models.
        run: The model of the runs.
        schema: Their schema.
        catalog: The schemas of the catalog.
        rows: By table, the rows that runs refer to.
    """

    base: Any
    run: type[Any]
    schema: type[histio.RunSchema]
    catalog: tuple[type[histio.CatalogSchema], ...]
    rows: Mapping[str, list[dict[str, Any]]]


def make_host(
    *,
    run: Mapping[str, Any] | None = None,
    entry: Mapping[str, Any] | None = None,
    schema: Mapping[str, Any] | None = None,
    line: Mapping[str, Any] | None = None,
    slug: Any = None,
    nested: type[Nested] = Nested,
    exclude: tuple[str, ...] = (),
    mixin: type[Any] = object,
) -> Host:
    """A plain host, with changes.

    Args:
        run: Attributes of the model of runs.
        entry: Attributes of the model of ledger entries.
        schema: Attributes of the schema of runs.
        line: Attributes of the schema of ledger entries.
        slug: The type of the keys by which runs name other rows.
        nested: The field for the ledger.
        exclude: Columns of runs that are no fields.
        mixin: A base class of the schema of runs.
    """
    base: Any = declarative_base()
    named = [
        _model(base, name, table, slug=sa.Column(slug or sa.String(200), unique=True, nullable=False))
        for name, table in (
            ("Recipe", "recipes"),
            ("FinishedUnit", "finished_units"),
            ("Ingredient", "ingredients"),
        )
    ]
    entry_model = _model(
        base,
        "Consumption",
        "consumptions",
        **{
            "run_id": sa.Column(sa.ForeignKey("runs.id"), nullable=False, index=True),
            "uuid": _uuid_column(),
            "ingredient_id": sa.Column(sa.ForeignKey("ingredients.id"), nullable=False),
            "ingredient": relationship("Ingredient"),
            "quantity_consumed": sa.Column(sa.Numeric(10, 3), nullable=False),
            "unit": sa.Column(sa.String(50), nullable=False),
            "total_cost": sa.Column(sa.Numeric(10, 4), nullable=False),
            **_stamps(),
            **(entry or {}),
        },
    )
    run_model = _model(
        base,
        "Run",
        "runs",
        **{
            "uuid": _uuid_column(),
            "recipe_id": sa.Column(sa.ForeignKey("recipes.id"), nullable=False),
            "recipe": relationship("Recipe"),
            "finished_unit_id": sa.Column(sa.ForeignKey("finished_units.id"), nullable=False),
            "finished_unit": relationship("FinishedUnit"),
            "num_batches": sa.Column(sa.Integer, nullable=False),
            "expected_yield": sa.Column(sa.Integer, nullable=False),
            "actual_yield": sa.Column(sa.Integer, nullable=False),
            "produced_at": sa.Column(sa.DateTime, nullable=False),
            "notes": sa.Column(sa.Text),
            "total_ingredient_cost": sa.Column(sa.Numeric(10, 4), nullable=False),
            "per_unit_cost": sa.Column(sa.Numeric(10, 4), nullable=False),
            "consumptions": relationship(entry_model, order_by=entry_model.id, cascade="all, delete-orphan"),
            **_stamps(),
            **(run or {}),
        },
        __table_args__=(sa.Index("ix_runs_order", "produced_at", "uuid"),),
    )
    line_schema = _schema(
        "ConsumptionSchema",
        histio.AutoRecordSchema,
        {"model": entry_model},
        {"uuid": histio.RunUUID(required=True), "ingredient_slug": histio.Slug("ingredient"), **(line or {})},
    )
    run_schema = _schema(
        "RunSchema",
        (mixin, histio.AutoRunSchema) if mixin is not object else histio.AutoRunSchema,
        {"model": run_model, "exclude": exclude, **_KIND},
        {
            "uuid": histio.RunUUID(required=True),
            "recipe_slug": histio.Slug("recipe"),
            "finished_unit_slug": histio.Slug("finished_unit"),
            "consumptions": nested(line_schema, many=True),
            **(schema or {}),
        },
    )
    catalog = tuple(
        _schema(
            f"{each.__name__}Schema",
            histio.AutoCatalogSchema,
            {
                "model": each,
                "kind": each.__tablename__[:-1],
                "collection": each.__tablename__,
                "identity": "slug",
            },
            {"slug": histio.Text(required=True)},
        )
        for each, table in zip(named, _ROWS, strict=True)
    )
    return Host(base, run_model, run_schema, catalog, _ROWS)


def _model(base: Any, name: str, table: str, /, **attributes: Any) -> Any:
    key = sa.Column(sa.Integer, primary_key=True)
    return type(name, (base,), {"__tablename__": table, "id": key, **attributes})


def _schema(name: str, bases: Any, meta: Mapping[str, Any], fields: Mapping[str, Any]) -> Any:
    bases = bases if isinstance(bases, tuple) else (bases,)
    return type(name, bases, {"Meta": type("Meta", (), dict(meta)), **fields})


def _uuid_column(kind: Any = None) -> sa.Column[Any]:
    return sa.Column(kind or sa.String(36), unique=True, nullable=False)


def _stamps() -> dict[str, sa.Column[Any]]:
    return {name: sa.Column(_TIME, nullable=False) for name in ("created_at", "updated_at")}


# --- the habits -----------------------------------------------------------------------------------------


def plain() -> Host:
    return make_host()


def string_keys() -> Host:
    return make_host(slug=sa.String(255))


def nested_of_marshmallow_sqlalchemy() -> Host:
    return make_host(nested=marshmallow_sqlalchemy.fields.Nested)


def bundled_schema() -> Host:
    """A published schema for the host's models, with keys of another name and length."""
    host = make_host(
        slug=sa.String(255), run={"uuid": _uuid_column(sa.Uuid)}, entry={"uuid": _uuid_column(sa.Uuid)}
    )
    entry_model = host.run.consumptions.property.mapper.class_
    keys = {
        name: histio.Slug(name.removesuffix("_slug"), key="slug")
        for name in ("recipe_slug", "finished_unit_slug")
    }
    line = _schema(
        "LineSchema",
        histio.AutoRecordSchema,
        {"model": entry_model},
        {"uuid": histio.RunUUID(required=True), "ingredient_slug": histio.Slug("ingredient")},
    )
    own = {**keys, "consumptions": marshmallow_sqlalchemy.fields.Nested(line, many=True)}
    return host._replace(schema=_schema("BoundSchema", histio.ProductionRunSchema, {"model": host.run}, own))


def uuid_columns() -> Host:
    return make_host(run={"uuid": _uuid_column(sa.Uuid)}, entry={"uuid": _uuid_column(sa.Uuid)})


def hex_columns() -> Host:
    return make_host(run={"uuid": _uuid_column(sa.String(32))}, entry={"uuid": _uuid_column(sa.String(32))})


def json_column() -> Host:
    return make_host(run={"meta": sa.Column(sa.JSON)})


def checked() -> Host:
    limit = sa.CheckConstraint("num_batches < 50")
    return make_host(run={"num_batches": sa.Column(sa.Integer, limit, nullable=False)})


def validator() -> Host:
    def check(_self: object, _name: str, value: Any) -> Any:
        return value

    return make_host(run={"check": validates("uuid")(check)})


def changing_validator() -> Host:
    def upper(_self: object, _name: str, value: Any) -> Any:
        return value and value.upper()

    return make_host(run={"check": validates("notes")(upper)})


def entry_validator() -> Host:
    def check(_self: object, _name: str, value: Any) -> Any:
        return value

    return make_host(entry={"check": validates("unit")(check)})


def filling_constructor() -> Host:
    def construct(self: Any, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.search = self.uuid.upper()

    return make_host(run={"__init__": construct, "search": sa.Column(sa.String(36))}, exclude=("search",))


def default_of_the_row() -> Host:
    def describe(context: Any) -> str:
        return f"of {context.get_current_parameters()['uuid']}"

    return make_host(run={"lot": sa.Column(sa.String(60), default=describe)}, exclude=("lot",))


def listener() -> Host:
    host = make_host()
    event.listen(host.run, "before_insert", lambda _mapper, _connection, _run: None)
    return host


def constructor() -> Host:
    def construct(self: Any, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    return make_host(run={"__init__": construct})


def python_default() -> Host:
    return make_host(run={"lot": sa.Column(sa.String(32), nullable=False, default=lambda: uuid.uuid4().hex)})


def pre_load_hook() -> Host:
    return _with_hook(marshmallow.pre_load(lambda _schema, record, **_options: record))


def validates_hook() -> Host:
    return _with_hook(marshmallow.validates("num_batches")(lambda _schema, _value, **_options: None))


def validates_schema_hook() -> Host:
    return _with_hook(marshmallow.validates_schema(lambda _schema, _values, **_options: None))


def post_load_hook() -> Host:
    return _with_hook(marshmallow.post_load(lambda _schema, values, **_options: values))


def _with_hook(hook: Any) -> Host:
    return make_host(mixin=type("Hook", (marshmallow.Schema,), {"hook": hook}))


def custom_field() -> Host:
    return make_host(schema={"notes": marshmallow.fields.String(allow_none=True)})


def tenant() -> Host:
    return make_host(run={"tenant_id": sa.Column(sa.Integer, nullable=False)}, exclude=("tenant_id",))


def reference_to_itself() -> Host:
    parent = relationship("Run", remote_side="Run.id", foreign_keys="Run.parent_id")
    return make_host(
        run={"parent_id": sa.Column(sa.ForeignKey("runs.id")), "parent": parent},
        schema={"parent_uuid": histio.Slug("parent", key="uuid", allow_none=True)},
    )


def joined_inheritance() -> Host:
    """Runs are rows of two tables."""
    host = make_host(
        run={"kind": sa.Column(sa.String(20), nullable=False), "__mapper_args__": {"polymorphic_on": "kind"}}
    )
    baked = type(
        "BakedRun",
        (host.run,),
        {
            "__tablename__": "baked_runs",
            "__mapper_args__": {"polymorphic_identity": "baked"},
            "id": sa.Column(sa.ForeignKey("runs.id"), primary_key=True),
            "oven": sa.Column(sa.String(20)),
        },
    )
    fields = {"recipe_slug": histio.Slug("recipe"), "finished_unit_slug": histio.Slug("finished_unit")}
    line = host.schema().fields["consumptions"].schema.__class__
    schema = _schema(
        "BakedRunSchema",
        histio.AutoRunSchema,
        {"model": baked, **_KIND},
        {"uuid": histio.RunUUID(required=True), **fields, "consumptions": Nested(line, many=True)},
    )
    return host._replace(run=baked, schema=schema)


def bundled_without_ingredients() -> Host:
    """The bundled models, in which an ingredient that does not exist is a warning."""
    rows = {
        "recipes": [{"id": 1, "name": RECIPE, "slug": RECIPE}],
        "finished_units": [{"display_name": UNIT, "slug": UNIT, "recipe_id": 1}],
    }
    return Host(models.Base, models.ProductionRun, histio.ProductionRunSchema, (), rows)


HOSTS: dict[str, Callable[[], Host]] = {
    each.__name__: each
    for each in (
        plain,
        string_keys,
        nested_of_marshmallow_sqlalchemy,
        bundled_schema,
        uuid_columns,
        hex_columns,
        json_column,
        checked,
        validator,
        changing_validator,
        entry_validator,
        filling_constructor,
        default_of_the_row,
        listener,
        constructor,
        python_default,
        pre_load_hook,
        validates_hook,
        validates_schema_hook,
        post_load_hook,
        custom_field,
        tenant,
        reference_to_itself,
        joined_inheritance,
        bundled_without_ingredients,
    )
}
"""Makes each host, by its name."""
