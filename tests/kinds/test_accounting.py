"""Everything that a model has is in the format, left out by name, filled, or machinery."""

from __future__ import annotations

import pickle

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from histio import BindingError, History
from tests.support.accounting import Base, Hour, Job, Machine, Photo, Tag


class HourSchema(histio.RecordSchema):
    class Meta:
        model = Hour

    worked = histio.Integer(required=True)
    remark = auto_field()


class PhotoSchema(histio.RecordSchema):
    class Meta:
        model = Photo

    path = auto_field()


def job_schema(*, meta=(), drop=(), **further):
    """The whole binding of a job, but for what a test takes away, adds or says in Meta."""
    options = {"model": Job, "kind": "job", "collection": "jobs", "timestamp": None, "identity": "code"}
    fields = {
        "code": histio.Text(required=True),
        "bike": auto_field(),
        "secret": auto_field(),
        "machine": histio.Slug("machine", key="code", allow_none=True),
        "parent": histio.Slug("parent", key="code", allow_none=True),
        "hours": Nested(HourSchema, many=True),
        "photo": Nested(PhotoSchema, allow_none=True),
        "tags": histio.SlugList("tags", key="name"),
    }
    kept = {name: field for name, field in fields.items() if name not in drop}
    return type(
        "JobSchema", (histio.RunSchema,), kept | further | {"Meta": type("Meta", (), options | dict(meta))}
    )


def bound(*, values=(("shop", "main"),), **changes):
    return History(None, job_schema(**changes), values=dict(values))


def faults(**changes):
    with pytest.raises(BindingError) as error:
        bound(**changes)
    return {fault.attribute: fault for fault in error.value.faults}


def test_a_whole_binding_is_accepted():
    assert bound().kinds == ("job",)


FORGOTTEN = [
    ("bike", "bike", ("bike = auto_field()", 'exclude = ("bike",)')),
    ("secret", "secret", ("secret = auto_field()", 'exclude = ("secret",)')),
    (
        "machine",
        "machine_id",
        ('machine_code = Slug("machine", key="code", allow_none=True)', 'exclude = ("machine_id",)'),
    ),
    ("hours", "hours", ("hours = Nested(HourSchema, many=True)", 'exclude = ("hours",)')),
    ("photo", "photo", ("photo = Nested(PhotoSchema, allow_none=True)", 'exclude = ("photo",)')),
    ("tags", "tags", ('tags = SlugList("tags", key="name")', 'exclude = ("tags",)')),
]


@pytest.mark.parametrize(("dropped", "attribute", "lines"), FORGOTTEN)
def test_what_a_schema_forgets_is_told_with_the_lines_to_paste(dropped, attribute, lines):
    found = faults(drop=[dropped])
    assert list(found) == [attribute]
    assert (found[attribute].schema, found[attribute].model) == ("JobSchema", "Job")
    assert found[attribute].lines == lines


def test_everything_that_is_forgotten_is_one_error():
    found = faults(drop=["bike", "secret", "machine", "hours", "photo", "tags"])
    assert list(found) == ["bike", "secret", "machine_id", "hours", "photo", "tags"]


def test_the_text_of_the_error_has_a_line_that_leaves_out_all_of_it():
    with pytest.raises(BindingError, match=r'JobSchema\.Meta: exclude = \("bike", "hours",\)$'):
        bound(drop=["bike", "hours"])


def test_a_binding_error_survives_pickling_with_its_faults():
    with pytest.raises(BindingError) as error:
        bound(drop=["bike"])
    copied = pickle.loads(pickle.dumps(error.value))
    assert (str(copied), copied.faults) == (str(error.value), error.value.faults)


@pytest.mark.parametrize(("dropped", "attribute", "_lines"), FORGOTTEN)
def test_what_meta_excludes_by_the_attributes_name_is_accepted(dropped, attribute, _lines):
    assert bound(drop=[dropped], meta={"exclude": (attribute,)}).kinds == ("job",)


@pytest.mark.parametrize("excluded", ["machine", "machine_id", "hours", "bike"])
def test_a_field_that_meta_excludes_is_left_out_of_the_format_and_accepted(excluded):
    properties = bound(meta={"exclude": (excluded,)}).json_schema()["$defs"]["job"]["properties"]
    assert excluded not in properties


def test_a_relationships_name_excludes_the_columns_that_lead_over_it():
    assert bound(drop=["machine"], meta={"exclude": ("machine",)}).kinds == ("job",)


def test_a_name_that_is_neither_field_nor_attribute_cannot_be_excluded():
    with pytest.raises(BindingError, match=r"Meta\.exclude: Job has no .* 'bikes': did you mean 'bike'"):
        bound(meta={"exclude": ("bikes",)})


def test_a_ledger_of_the_run_is_held_to_the_same_rule():
    class ShortSchema(histio.RecordSchema):
        class Meta:
            model = Hour

        worked = histio.Integer(required=True)

    found = faults(hours=Nested(ShortSchema, many=True))
    assert [(fault.schema, fault.attribute) for fault in found.values()] == [("ShortSchema", "remark")]


@pytest.mark.parametrize("unbound", ["ignore"])
def test_a_table_may_be_left_as_it_is(unbound):
    assert bound(drop=["bike", "photo"], meta={"unbound": unbound}).kinds == ("job",)


def test_another_word_for_unbound_is_an_error():
    with pytest.raises(BindingError, match='"error" or "ignore", not \'some\''):
        job_schema(meta={"unbound": "some"})


def test_a_not_null_column_that_nothing_fills_is_told_at_binding():
    found = faults(values=(), meta={"exclude": ("shop",)})
    assert found["shop"].reason == "NOT NULL without a default, and nothing fills it"
    assert found["shop"].lines == ("shop = auto_field()", "History(…, values={'shop': …})")


def test_a_model_that_fills_its_columns_by_itself_may_have_such_a_column():
    class Own(orm.DeclarativeBase):
        pass

    class Stamped(Own):
        __tablename__ = "stamped"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(sa.String(20), unique=True)
        stamp: Mapped[str] = mapped_column(sa.String(20))

        def __init__(self, **values):
            super().__init__(stamp="set by the model", **values)

    class StampedSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Stamped, "stamped", "stampeds", None, "code"
            exclude = ("stamp",)

        code = histio.Text(required=True)

    assert History(None, StampedSchema).kinds == ("stamped",)


def test_a_schema_that_was_bound_to_a_hosts_model_names_the_subclass_to_write(sqlite_of):
    class Other(orm.DeclarativeBase):
        pass

    class Recipe(Other):
        __tablename__ = "recipes"
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str] = mapped_column(sa.String(200))

    class FinishedUnit(Other):
        __tablename__ = "finished_units"
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str] = mapped_column(sa.String(200))
        recipe_id: Mapped[int] = mapped_column(sa.ForeignKey("recipes.id"))
        recipe: Mapped[Recipe] = relationship()

    class Consumption(Other):
        __tablename__ = "consumptions"
        id: Mapped[int] = mapped_column(primary_key=True)
        uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
        run_id: Mapped[int] = mapped_column(sa.ForeignKey("runs.id"))
        ingredient_slug: Mapped[str] = mapped_column(sa.String(200))
        quantity_consumed = mapped_column(sa.Numeric(10, 3), nullable=False)
        unit: Mapped[str] = mapped_column(sa.String(50))
        total_cost = mapped_column(sa.Numeric(10, 4), nullable=False)
        batch: Mapped[str | None] = mapped_column(sa.String(20))

    class Run(Other):
        __tablename__ = "runs"
        id: Mapped[int] = mapped_column(primary_key=True)
        uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
        recipe_id: Mapped[int] = mapped_column(sa.ForeignKey("recipes.id"))
        finished_unit_id: Mapped[int] = mapped_column(sa.ForeignKey("finished_units.id"))
        num_batches: Mapped[int]
        expected_yield: Mapped[int]
        actual_yield: Mapped[int]
        produced_at = mapped_column(sa.DateTime, nullable=False)
        total_ingredient_cost = mapped_column(sa.Numeric(10, 4), nullable=False)
        per_unit_cost = mapped_column(sa.Numeric(10, 4), nullable=False)
        oven: Mapped[str | None] = mapped_column(sa.String(20))
        recipe: Mapped[Recipe] = relationship()
        finished_unit: Mapped[FinishedUnit] = relationship()
        consumptions: Mapped[list[Consumption]] = relationship()

    kind = histio.ProductionRunSchema.bind(Run)
    with pytest.raises(BindingError) as error:
        History(None, kind)
    assert {(fault.schema, fault.attribute) for fault in error.value.faults} == {
        ("ProductionRunSchema", "oven"),
        ("ProductionConsumptionSchema", "batch"),
    }
    assert "class ProductionRunSchema(histio.ProductionRunSchema):" in str(error.value)
    assert 'exclude = ("oven",)' in str(error.value)

    class BatchSchema(histio.ProductionConsumptionSchema):
        batch = auto_field()

    class OvenSchema(histio.ProductionRunSchema):
        class Meta(histio.ProductionRunSchema.Meta):
            model = Run
            exclude = ("oven",)

        consumptions = Nested(BatchSchema, many=True)

    rules = History(None, OvenSchema).json_schema()["$defs"]
    assert "batch" in rules["batch"]["properties"]


def test_the_account_tells_what_becomes_of_everything():
    text = bound(drop=["bike"], meta={"exclude": ("bike",)}).explain()
    assert text.splitlines() == [
        "job, rows of Job",
        "  in the format: code, secret, machine, parent, hours, photo, tags",
        "  left out by Meta.exclude: bike",
        "  filled by values=: shop",
        (
            "  not moved: id (a surrogate primary key), machine_id (carried by machine), "
            "parent_id (carried by parent), edition (the version counter), doubled (computed by the "
            "database), children (the other side of Job.parent), long_hours (viewonly)"
        ),
        "job.hours, rows of Hour",
        "  in the format: worked, remark",
        "  not moved: id (a surrogate primary key), job_id (filled from the owner's row)",
        "job.photo, rows of Photo",
        "  in the format: path",
        "  not moved: id (a surrogate primary key), job_id (filled from the owner's row)",
        "rows that do not travel, as no catalog kind has them: Machine, Tag",
        (
            "job: runs that refer to runs of the same batch, or to later ones, take the full path; "
            "those that refer to earlier batches, or to runs that are stored, do not"
        ),
    ]


class MachineSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Machine, "machine", "machines", "code"


class TagSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Tag, "tag", "tags", "name"


def test_the_account_of_a_catalog_kind_leaves_out_what_runs_name_it_by():
    history = History(None, job_schema(), catalog=(MachineSchema, TagSchema), values={"shop": "main"})
    assert history.explain().splitlines()[:6] == [
        "machine, rows of Machine",
        "  in the format: code",
        "  not moved: id (a surrogate primary key), jobs (the other side of Job.machine)",
        "tag, rows of Tag",
        "  in the format: name",
        "  not moved: id (a surrogate primary key)",
    ]


@pytest.mark.parametrize(
    ("model", "names", "attribute", "lines"),
    [
        (Machine, {}, "code", ("code = auto_field()", 'exclude = ("code",)')),
        (
            Machine,
            {"code": histio.Text(required=True)},
            "jobs",
            (
                "jobs = Nested(JobSchema, many=True)",
                "History(…, catalog=(…, JobSchema))",
                'exclude = ("jobs",)',
            ),
        ),
        (
            Hour,
            {"worked": histio.Integer(required=True), "remark": auto_field()},
            "job_id",
            ('job_code = Slug("job", key="code")', 'exclude = ("job_id",)'),
        ),
    ],
    ids=["a column", "rows of a table that is not bound", "a reference"],
)
def test_what_a_catalog_schema_forgets_is_told_with_the_lines_to_paste(model, names, attribute, lines):
    identity = next(iter(names), "number")
    options = {"model": model, "kind": "row", "collection": "rows", "identity": identity}
    fields = {"number": histio.Integer(required=True, attribute="id"), **names}
    schema = type(histio.CatalogSchema)(
        "RowSchema", (histio.CatalogSchema,), fields | {"Meta": type("Meta", (), options)}
    )
    drop, meta = ["machine", "hours"], {"exclude": ("machine_id", "hours")}
    with pytest.raises(BindingError) as error:
        History(None, job_schema(drop=drop, meta=meta), catalog=(schema,), values={"shop": "main"})
    found = {fault.attribute: fault for fault in error.value.faults}
    assert found[attribute].lines == lines


def test_a_primary_key_that_is_no_counter_is_data():
    class Own(orm.DeclarativeBase):
        pass

    class Named(Own):
        __tablename__ = "named"
        key: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
        code: Mapped[str] = mapped_column(sa.String(20), unique=True)

    class NamedSchema(histio.RunSchema):
        class Meta:
            model, kind, collection, timestamp, identity = Named, "named", "names", None, "code"

        code = histio.Text(required=True)

    with pytest.raises(BindingError) as error:
        History(None, NamedSchema)
    assert {fault.attribute for fault in error.value.faults} == {"key"}


class Step(Base):
    """Known by all of its columns together."""

    __tablename__ = "steps"

    job_id: Mapped[int] = mapped_column(sa.ForeignKey("jobs.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, default=0)
    at: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, default=lambda: 7)
    level: Mapped[int] = mapped_column(primary_key=True, server_default="1")
    name: Mapped[str] = mapped_column(sa.String(20), primary_key=True)


class OnlyRow(Base):
    __tablename__ = "only_rows"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    version: Mapped[int]


class Snowflake(Base):
    __tablename__ = "snowflakes"

    number: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, default=lambda: 7)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)


class Sequenced(Base):
    __tablename__ = "sequenced"

    number: Mapped[int] = mapped_column(primary_key=True, server_default=sa.text("nextval('numbers')"))
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)


@pytest.mark.parametrize(
    ("model", "members"),
    [
        (Step, ["place", "at", "level", "name"]),
        (OnlyRow, ["number", "version"]),
        (Snowflake, ["code"]),
        (Sequenced, ["code"]),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_number_in_a_key_is_data_unless_something_counts_it(model, members):
    options = type("Meta", (), {"model": model})
    schema = type(histio.AutoRecordSchema)("AllSchema", (histio.AutoRecordSchema,), {"Meta": options})
    assert list(schema().fields) == members
