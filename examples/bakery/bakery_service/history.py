"""The binding of the bakery's tables to histio."""

from __future__ import annotations

from typing import Any

import histio
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy.ext.asyncio import AsyncEngine

from bakery_service.models import Bake, Loss, Pastry, Recipe, Tasting

VERSION = "1.0"
"""Of the bakery's format: raised with every change of the schemas below."""


class LossSchema(histio.RecordSchema):
    """Pieces that were baked and not sold: a ledger of the bakery's own, whose entries need no UUID."""

    class Meta:
        model = Loss
        order = "reason"  # the primary key does not grow, so something else must order the entries

    reason = histio.Choice(required=True, description="What happened to them.", example="burnt")
    pieces = histio.Integer(minimum=1, required=True, description="How many were lost.", example=3)


class BakeSchema(histio.ProductionRunSchema):
    """A production run, as histio knows it, where the bakery keeps the parts."""

    uuid = histio.RunUUID(
        attribute="id",  # the primary key itself
        required=True,
        description="Identifies the bake across databases.",
        example="7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11",
    )
    recipe_slug = histio.Slug(
        "recipe",
        key="name",  # recipes have no slug: their name is what people know them by
        required=True,
        description="The name of the recipe.",
        example="Hot cross buns",
    )
    produced_at = histio.UtcTimestamp(
        attribute="finished_at",
        required=True,
        description="When the bake left the oven.",
        example="2025-12-08T10:00:00Z",
    )
    notes = histio.Text(
        attribute="remarks",
        allow_none=True,
        description="Free text; null and left out are the same.",
        example="Oven two runs hot",
    )
    losses = Nested(
        LossSchema,
        many=True,
        metadata={"description": "The pieces that were not sold.", "examples": [[]]},
    )


class TastingSchema(histio.RunSchema):
    """A kind of run that histio does not know; it refers to runs of another kind."""

    class Meta:
        model = Tasting
        kind = "tasting"
        collection = "tastings"
        timestamp = "tasted_on"

    uuid = histio.RunUUID(
        attribute="id",
        required=True,
        description="Identifies the tasting across databases.",
        example="0e9b0c8e-53c5-4b1c-8a8c-6a3a4a8c3f3d",
    )
    production_run = histio.RunRef(
        "bake",
        key="id",
        required=True,
        description="The UUID of the run that was tasted.",
        example="7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11",
    )
    tasted_on = histio.Date(required=True, description="The day.", example="2025-12-09")
    taster = histio.Text(required=True, description="Who tasted.", example="Ada")
    stars = histio.Integer(minimum=1, maximum=5, required=True, description="The verdict.", example=4)


class RecipeSchema(histio.CatalogSchema):
    """What bakes follow. The key of a recipe is another one in each database, and in each branch."""

    class Meta:
        model = Recipe
        kind = "recipe"
        collection = "recipes"
        identity = "name"
        exclude = ("id",)

    name = histio.Text(required=True, description="Identifies the recipe.", example="Hot cross buns")


class PastrySchema(histio.CatalogSchema):
    """What a recipe yields and the shop sells."""

    class Meta:
        model = Pastry
        kind = "pastry"
        collection = "pastries"
        identity = "slug"
        exclude = ("id",)

    slug = histio.Slug(required=True, description="Identifies the pastry.", example="hot-cross-bun")
    recipe = histio.Slug(
        "recipe", key="name", required=True, description="The recipe's name.", example="Hot cross buns"
    )


KINDS = (BakeSchema.bind(Bake), TastingSchema)
CATALOG = (RecipeSchema, PastrySchema)


def history_of(branch: str, engine: AsyncEngine) -> histio.AsyncHistory:
    """The history of one *branch*, in the database that it shares with others.

    The format says nothing of branches: imports fill the column, and look for recipes and pastries among
    those of the branch.
    """
    return histio.AsyncHistory(engine, *KINDS, catalog=CATALOG, version=VERSION, values={"branch": branch})


def without_database(branch: str) -> histio.History:
    """The same kinds, to read files."""
    return histio.History(None, *KINDS, catalog=CATALOG, version=VERSION, values={"branch": branch})


def of_branch(branch: str) -> dict[str, sa.ColumnElement[bool]]:
    """By kind, the condition for runs of the *branch*, for exports: without it, they see every row."""
    own: Any = Bake.branch == branch
    return {"production_run": own, "tasting": Tasting.bake.has(own)}
