"""The tables of the shop. They know nothing about histio; Django's migrations own them."""

import uuid

from django.db import models


# In docs/how-to/django.md:
class Recipe(models.Model):
    """What is baked. Every shop knows it by its slug."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    is_organic = models.BooleanField(default=False)


class Bake(models.Model):
    """What came out of the oven at one time."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recipe = models.ForeignKey(Recipe, models.PROTECT)
    baked_at = models.DateTimeField(db_index=True)
    pieces = models.PositiveIntegerField()
    cost = models.DecimalField(max_digits=10, decimal_places=2)
    is_sold_out = models.BooleanField(default=False)
    details = models.JSONField(default=dict)
    remarks = models.TextField(blank=True)


class Usage(models.Model):
    """What a bake used of one ingredient."""

    bake = models.ForeignKey(Bake, models.CASCADE, related_name="usages")
    ingredient = models.SlugField(max_length=80)
    kilograms = models.DecimalField(max_digits=8, decimal_places=3)
    best_before = models.DateField(null=True)


# So far in docs/how-to/django.md.
