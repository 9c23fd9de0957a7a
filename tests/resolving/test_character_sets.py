"""A key that the character set of a column lacks is in no row: its run is rejected, and no other."""

from __future__ import annotations

import json

import pytest
from marshmallow import ValidationError
from sqlalchemy.orm import Session

import histio
from histio import History, check_file, references
from histio.inspecting.filters import filter_by_slugs
from histio.models import Base, Recipe
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    packaging,
    production_run,
    unit_consumption,
    without,
)
from tests.support.databases import LATIN1, stocked
from tests.support.reports import codes_of, outcomes
from tests.support.slug_lists import Base as Users
from tests.support.slug_lists import RoleSchema, UserSchema, role, user

COOKIE, CREAM, CYRILLIC, KANJI, GREEK = "\U0001f36a", "crème", "торт", "菓子", "κέικ"
CHARACTER_SETS = [
    ("postgresql", LATIN1, COOKIE, CREAM),
    ("postgresql", LATIN1.replace("LATIN1", "WIN1251"), CREAM, CYRILLIC),
    ("mariadb", "utf8mb3", COOKIE, CREAM),
    ("mariadb", "latin1", CYRILLIC, CREAM),
    ("mariadb", "ascii", CREAM, "cream"),
    ("mariadb", "cp1251", CREAM, CYRILLIC),
    ("mariadb", "greek", CREAM, GREEK),
]


def make(databases, dialect, character_set, metadata):
    """A database whose columns of text have *character_set*."""
    if dialect == "postgresql":
        engine = databases.empty(dialect, character_set, client_encoding="utf8")
        metadata.create_all(engine)
        return engine
    engine = databases.empty(dialect)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        for table in metadata.tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} CONVERT TO CHARACTER SET {character_set}")
    return engine


def bad_runs(key):
    """Runs that refer to *key* in each possible place, with the pointer to it."""
    return [
        (production_run(10, recipe_slug=key), "recipe_slug"),
        (production_run(11, finished_unit_slug=key), "finished_unit_slug"),
        (
            production_run(12, consumptions=[consumption(ingredient_slug=key)]),
            "consumptions/0/ingredient_slug",
        ),
    ], [
        (assembly_run(13, finished_good_slug=key), "finished_good_slug"),
        (
            assembly_run(14, finished_unit_consumptions=[unit_consumption(finished_unit_slug=key)]),
            "finished_unit_consumptions/0/finished_unit_slug",
        ),
        (
            assembly_run(
                15, packaging_consumptions=[without(packaging(product_slug=key), "ingredient_slug")]
            ),
            "packaging_consumptions/0/product_slug",
        ),
        (
            assembly_run(
                16, packaging_consumptions=[without(packaging(ingredient_slug=key), "product_slug")]
            ),
            "packaging_consumptions/0/ingredient_slug",
        ),
    ]


@pytest.mark.cells(2)
@pytest.mark.parametrize(("dialect", "character_set", "lacking", "known"), CHARACTER_SETS)
def test_a_key_that_the_character_set_lacks_is_an_unknown_reference_of_its_run(
    databases, tmp_path, dialect, character_set, lacking, known
):
    engine = stocked(make(databases, dialect, character_set, Base.metadata))
    with Session(engine) as session:
        session.add(Recipe(name="x", slug=known))
        session.commit()
    history = History(engine)
    production, assembly = bad_runs(lacking)
    good = [production_run(1), production_run(2, recipe_slug=known)]
    given = document(
        *good, *(run for run, _ in production), assembly=[assembly_run(3), *(run for run, _ in assembly)]
    )
    expected = [
        *((f"/production_runs/{place}/{at}") for place, (_, at) in enumerate(production, 2)),
        *((f"/assembly_runs/{place}/{at}") for place, (_, at) in enumerate(assembly, 1)),
    ]
    codes = [*["unknown-reference"] * 2, "out-of-range", *["unknown-reference"] * 4]
    errors = [each for each in history.check(given) if each.severity == "error"]
    assert codes_of(errors) == list(zip(expected, codes, strict=True))
    dry = history.import_document(given, dry_run=True)
    assert (outcomes(dry), codes_of(dry.problems)) == ((3, 0, 7), codes_of(errors))
    stream = tmp_path / "runs.jsonl"
    lines = [{"header": {"version": "1.0", "sealed": False}}]
    lines += [{"production_run": run} for run in given["production_runs"]]
    lines += [{"assembly_run": run} for run in given["assembly_runs"]]
    stream.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len([each for each in check_file(stream, history=history) if each.severity == "error"]) == 7
    unknown = {
        row.member for row in references(stream, history=history) if row.slug == lacking and not row.found
    }
    assert unknown >= {"recipe_slug", "finished_unit_slug", "finished_good_slug", "product_slug"}
    renamed = history.import_file(stream, rename={"recipe_slug": {lacking: known}}, dry_run=True)
    assert outcomes(renamed) == (4, 0, 6)
    assert outcomes(history.import_file(stream)) == (3, 0, 7)
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, 3, 7)
    with pytest.raises(ValueError, match="not found"):
        filter_by_slugs(history, {"recipe_slug": lacking})
    where = filter_by_slugs(history, {"ingredient_slug": lacking}, kinds=["production_run"])
    assert history.export_document(where=where, kinds=["production_run"])["production_runs"] == []
    with Session(engine) as session, pytest.raises(ValidationError, match="Recipe not found"):
        histio.ProductionRunSchema().load(production[0][0], session=session)


@pytest.mark.cells(2)
@pytest.mark.parametrize(("dialect", "character_set", "lacking", "known"), CHARACTER_SETS)
def test_identities_and_lists_of_keys_may_have_characters_that_the_character_set_lacks(
    databases, dialect, character_set, lacking, known
):
    history = History(make(databases, dialect, character_set, Users.metadata), UserSchema, RoleSchema)
    given = {
        "version": "1.0",
        "roles": [role(known), role(lacking), role("cook", lacking)],
        "users": [
            user("ada", known),
            user("bob", known, lacking),
            user(lacking),
            user("eve", mentors=[lacking]),
        ],
    }
    report = history.import_document(given)
    assert (outcomes(report), codes_of(report.problems)) == (
        (2, 0, 5),
        [
            ("/roles/1/name", "out-of-range"),
            ("/roles/2/title", "out-of-range"),
            ("/users/1/roles", "unknown-reference"),
            ("/users/2/name", "out-of-range"),
            ("/users/3/mentors", "unknown-reference"),
        ],
    )
    for again in ("skip", "verify", "update"):
        assert outcomes(history.import_document(given, on_duplicate=again)) == (0, 2, 5)


def test_the_character_set_is_asked_for_only_where_a_key_is_not_ascii(databases, count_statements):
    history = History(engine := stocked(databases("mariadb")))
    for slugs, asked in (("cake {}", 0), (CREAM + " {}", 1)):
        statements = count_statements(engine)
        runs = [production_run(n, recipe_slug=slugs.format(n)) for n in range(2, 302)]
        assert outcomes(history.import_document(document(*runs), dry_run=True)) == (0, 0, 300)
        assert len(statements.matching("information_schema.columns")) == 1 + asked


@pytest.mark.parametrize(
    ("dialect", "character_set"),
    [("postgresql", LATIN1.replace("LATIN1", "EUC_JP")), ("mariadb", "ujis")],
)
def test_the_database_is_asked_which_characters_its_other_character_sets_have(
    databases, dialect, character_set
):
    engine = stocked(make(databases, dialect, character_set, Base.metadata))
    with Session(engine) as session:
        session.add(Recipe(name="x", slug=KANJI))
        session.commit()
    runs = [production_run(each, recipe_slug=slug) for each, slug in enumerate((COOKIE, KANJI, f"{KANJI}?"))]
    report = History(engine).import_document(document(production_run(9, notes=COOKIE), *runs))
    assert outcomes(report) == (1, 0, 3)
    assert codes_of(report.problems) == [
        ("/production_runs/0", "constraint"),
        ("/production_runs/1/recipe_slug", "unknown-reference"),
        ("/production_runs/3/recipe_slug", "unknown-reference"),
    ]
