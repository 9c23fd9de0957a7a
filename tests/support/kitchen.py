"""A kitchen, whose catalog has trees, ledgers, keys of several columns, and tables that inherit."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid

import sqlalchemy as sa
from marshmallow.fields import Nested
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, mapped_column, relationship

import histio
from tests.support.bakery import TIME, number


class Base(orm.DeclarativeBase):
    pass


ingredient_categories = sa.Table(
    "ingredient_categories",
    Base.metadata,
    sa.Column("ingredient_id", sa.ForeignKey("ingredients.id"), primary_key=True),
    sa.Column("category_id", sa.ForeignKey("categories.id"), primary_key=True),
)


class Category(Base):
    """A tree."""

    __tablename__ = "categories"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(sa.String(50), unique=True)
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("categories.id"))
    parent: Mapped[Category | None] = relationship(remote_side=[id], back_populates="children")
    children: Mapped[list[Category]] = relationship(back_populates="parent")


class Ingredient(Base):
    """Recipes and runs know it by different keys."""

    __tablename__ = "ingredients"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(sa.String(50), unique=True)
    sku: Mapped[str] = mapped_column(sa.String(20), unique=True)
    note: Mapped[str | None] = mapped_column(sa.String(50))
    categories: Mapped[list[Category]] = relationship(secondary=ingredient_categories)
    lines: Mapped[list[Line]] = relationship(back_populates="ingredient")


class Recipe(Base):
    __tablename__ = "recipes"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(sa.String(50), unique=True)
    name: Mapped[str] = mapped_column(sa.String(50))
    lines: Mapped[list[Line]] = relationship(back_populates="recipe", order_by="Line.place")
    sizes: Mapped[list[Size]] = relationship(back_populates="recipe")
    batches: Mapped[list[Batch]] = relationship(back_populates="recipe")


class Line(Base):
    """What a recipe takes of an ingredient."""

    __tablename__ = "recipe_lines"

    recipe_id: Mapped[int] = mapped_column(sa.ForeignKey("recipes.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    grams: Mapped[int]
    ingredient_id: Mapped[int] = mapped_column(sa.ForeignKey("ingredients.id"))
    recipe: Mapped[Recipe] = relationship(back_populates="lines")
    ingredient: Mapped[Ingredient] = relationship(back_populates="lines")


class Size(Base):
    """Known by its recipe and its name together."""

    __tablename__ = "sizes"
    __table_args__ = (sa.UniqueConstraint("recipe_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    recipe_id: Mapped[int] = mapped_column(sa.ForeignKey("recipes.id"))
    name: Mapped[str] = mapped_column(sa.String(20))
    recipe: Mapped[Recipe] = relationship(back_populates="sizes")


class Machine(Base):
    __tablename__ = "machines"

    id: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(sa.String(10))
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)

    __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "machine"}


class Oven(Machine):
    """In two tables."""

    __tablename__ = "ovens"

    id: Mapped[int] = mapped_column(sa.ForeignKey("machines.id"), primary_key=True)
    degrees: Mapped[int]

    __mapper_args__ = {"polymorphic_identity": "oven"}


class Batch(Base):
    """A run."""

    __tablename__ = "batches"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    baked_at: Mapped[dt.datetime]
    recipe_id: Mapped[int] = mapped_column(sa.ForeignKey("recipes.id"))
    size_id: Mapped[int] = mapped_column(sa.ForeignKey("sizes.id"))
    oven_id: Mapped[int | None] = mapped_column(sa.ForeignKey("ovens.id"))
    recipe: Mapped[Recipe] = relationship(back_populates="batches")
    size: Mapped[Size] = relationship()
    oven: Mapped[Oven | None] = relationship()
    uses: Mapped[list[Use]] = relationship(back_populates="batch")


class Use(Base):
    __tablename__ = "uses"

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(sa.ForeignKey("batches.id"))
    ingredient_id: Mapped[int] = mapped_column(sa.ForeignKey("ingredients.id"))
    grams: Mapped[int]
    batch: Mapped[Batch] = relationship(back_populates="uses")
    ingredient: Mapped[Ingredient] = relationship()


class UseSchema(histio.AutoRecordSchema):
    class Meta:
        model = Use

    ingredient_sku = histio.Slug("ingredient", key="sku")


class BatchSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection, timestamp = Batch, "batch", "batches", "baked_at"

    recipe_slug = histio.Slug("recipe")
    size = histio.Slug("size", key=("recipe.slug", "name"))
    oven_code = histio.Slug("oven", key="code", allow_none=True)
    uses = Nested(UseSchema, many=True)


class CategorySchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Category, "category", "categories", "slug"

    parent_slug = histio.Slug("parent", allow_none=True)


class IngredientSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Ingredient, "ingredient", "ingredients", "slug"

    categories = histio.SlugList("categories")


class LineSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = Line, "place"

    place = auto_field()
    ingredient_slug = histio.Slug("ingredient")


class RecipeSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Recipe, "recipe", "recipes", "slug"

    lines = Nested(LineSchema, many=True)


class SizeSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Size, "size", "sizes", ("recipe_slug", "name")

    recipe_slug = histio.Slug("recipe")


class OvenSchema(histio.AutoCatalogSchema):
    class Meta:
        model, kind, collection, identity = Oven, "oven", "ovens", "code"


CATALOG = (SizeSchema, RecipeSchema, IngredientSchema, CategorySchema, OvenSchema)

KITCHEN = {
    "version": "1.0",
    # Each row comes before those that it refers to.
    "categories": [
        {"slug": "wheat", "parent_slug": "grain"},
        {"slug": "grain", "parent_slug": "food"},
        {"slug": "food", "parent_slug": None},
    ],
    "ingredients": [
        {"slug": "flour", "sku": "F-1", "note": None, "categories": ["food", "wheat"]},
        {"slug": "salt", "sku": "S-1", "note": "fine", "categories": []},
    ],
    "recipes": [
        {
            "slug": "bread",
            "name": "Bread",
            "lines": [
                {"place": 1, "grams": 500, "ingredient_slug": "flour"},
                {"place": 2, "grams": 10, "ingredient_slug": "salt"},
            ],
        }
    ],
    "sizes": [{"recipe_slug": "bread", "name": "large"}, {"recipe_slug": "bread", "name": "small"}],
    "ovens": [{"code": "O-1", "degrees": 230}],
    "batches": [
        {
            "uuid": number(1),
            "baked_at": TIME,
            "recipe_slug": "bread",
            "size": {"recipe.slug": "bread", "name": "small"},
            "oven_code": "O-1",
            "uses": [{"ingredient_sku": "F-1", "grams": 500}],
        }
    ],
}
"""A document of these kinds."""


_NUMBERS = itertools.count(1)


def make_batches(session, count):
    """Add batches, with rows of each catalog kind, some of them shared."""
    number = next(_NUMBERS)
    top = Category(slug=f"top-{number}")
    grain = Category(slug=f"grain-{number}", parent=top)
    flour = Ingredient(slug=f"flour-{number}", sku=f"F{number}", categories=[grain, top])
    salt = Ingredient(slug=f"salt-{number}", sku=f"S{number}", note="fine")
    session.add(Category(slug=f"unused-{number}", parent=grain))
    for place in range(count):
        name = f"bread-{number}-{place}"
        recipe = Recipe(slug=name, name=name.title())
        recipe.lines = [
            Line(place=2, grams=place, ingredient=salt),
            Line(place=1, grams=500, ingredient=flour),
        ]
        batch = Batch(uuid=str(uuid.uuid4()), baked_at=dt.datetime(2025, 1, 1 + place))  # noqa: DTZ001
        batch.recipe, batch.size = recipe, Size(recipe=recipe, name=f"{place}")
        batch.oven = Oven(code=f"oven-{number}-{place}", degrees=200 + place)
        batch.uses = [Use(ingredient=each, grams=place + 1) for each in (flour, salt)]
        session.add_all([batch, Size(recipe=recipe, name="unused")])
