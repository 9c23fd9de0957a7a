"""Similar names, and texts that look the same."""

import difflib
import io
import json
import re
import subprocess
import sys
import unicodedata

import pytest
from sqlalchemy.orm import Session

import histio
from histio import History
from histio.models import Recipe
from histio.similar import LONGEST, describe_look_alike, find_similar
from tests.support.bakery import document, production_run

SLUGS = re.findall(
    r"\S+",
    """
    chocolate-chip-cookies sugar-cookies oatmeal-raisin-cookies cookies crème-brûlée tarte-tatin apple-pie
    cherry-pie cake cheese-cake lemon-tart flour whole-wheat-flour sugar brown-sugar salt butter eggs
    vanilla-extract cocoa-powder baking-powder cellophane-bag-100ct cookie-gift-bag brownies muffins
    banana-bread sourdough baguette croissant acme
    """,
)
TYPOS = re.findall(
    r"\S+",
    """
    cookie cooky cokies flower flour-x sugr brwn-sugar Chocolate-Chip-Cookies cak caek tart-tatin apple-pies
    tarte_tatin salted-butter chocolate-cookies choc-chip-cookies acm vanilla egg buter kumquat xylophone
    milk yeast recipe-17 walnut-loaf eggplant water creme-brulee brownie soudough bananabread
    """,
)


@pytest.mark.parametrize("typo", TYPOS)
def test_the_most_similar_name_is_the_one_that_difflib_finds(typo):
    assert find_similar(typo, SLUGS)[:1] == difflib.get_close_matches(typo, SLUGS, n=1)


@pytest.mark.parametrize("text", ["CAKE", "cAkE", "c\u0430ke", "cake\u200b"])
def test_case_and_looks_are_ignored(text):
    assert find_similar(text, SLUGS)[0] == "cake"


def test_nothing_is_similar_to_a_text_that_is_too_long():
    name = "x" * LONGEST
    assert find_similar(name, [name, f"{name}x"]) == [name]
    assert find_similar(f"{name}x", [name, f"{name}x"]) == []


A, E = "U+0061 LATIN SMALL LETTER A", "U+0065 LATIN SMALL LETTER E"
NFD = unicodedata.normalize("NFD", "é")
LOOK_ALIKES = [
    (
        f"crème{NFD}",
        "crèmeé",
        f"Unicode normalization: {E} + U+0301 COMBINING ACUTE ACCENT here, U+00E9 {E[7:]} WITH ACUTE there",
    ),
    (
        "c\uff41ke",
        "cake",
        f"Unicode normalization: U+FF41 FULLWIDTH LATIN SMALL LETTER A here, {A} there",
    ),
    (
        "c\u0430ke",
        "cake",
        f"script: U+0430 CYRILLIC SMALL LETTER A here, {A} there",
    ),
    (
        "fl\u03bfur",
        "flour",
        "script: U+03BF GREEK SMALL LETTER OMICRON here, U+006F LATIN SMALL LETTER O there",
    ),
    (
        "C\u0410KE",
        "cake",
        f"script: U+0410 CYRILLIC CAPITAL LETTER A here, {A} there",
    ),
    ("a\xa0b", "a b", "white space: U+00A0 NO-BREAK SPACE here, U+0020 SPACE there"),
    ("ca\u200bke", "cake", "an invisible character: U+200B ZERO WIDTH SPACE here, nothing there"),
    ("cake", "\ufeffcake", "an invisible character: nothing here, U+FEFF ZERO WIDTH NO-BREAK SPACE there"),
    ("cake\ufe0f", "cake", "an invisible character: U+FE0F VARIATION SELECTOR-16 here, nothing there"),
    ("ca\xadke", "cake", "an invisible character: U+00AD SOFT HYPHEN here, nothing there"),
]


@pytest.mark.parametrize(("here", "there", "difference"), LOOK_ALIKES)
def test_texts_that_look_the_same_differ_in_characters_that_are_named(here, there, difference):
    assert describe_look_alike(here, there) == f"differs in {difference}"


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("cake", "CAKE"),
        ("cake", "cakes"),
        ("straße", "strasse"),
        ("\ufb01sh", "fish"),
        ("creme", "crème"),
        ("c\u0430ke", "c\u0430kes"),
        ("cake", None),
        (5, "5"),
        ("c\u0430" * LONGEST, "ca" * LONGEST),
    ],
)
def test_texts_that_people_can_tell_apart_are_not_explained(here, there):
    assert describe_look_alike(here, there) is None


def hints(engine, *slugs):
    runs = (production_run(number, recipe_slug=slug) for number, slug in enumerate(slugs, 1))
    return [
        problem.hint for problem in History(engine).check(document(*runs)) if problem.code[:7] == "unknown"
    ]


def add_recipes(engine, *slugs):
    with Session(engine) as session:
        session.add_all(Recipe(name=slug, slug=slug) for slug in slugs)
        session.commit()


def test_a_slug_that_looks_like_a_stored_one_has_a_hint_that_says_how_it_differs(sqlite):
    add_recipes(sqlite, "crème", "cremes", "cake")
    found = hints(sqlite, unicodedata.normalize("NFD", "crème"), "CAKE", "c\u0430ke")
    assert [hint.split(":")[0] for hint in found] == [
        "did you mean crème? It differs in Unicode normalization",
        "did you mean cake?",
        "did you mean cake? It differs in script",
    ]


def test_verify_and_diff_say_how_texts_differ_that_look_the_same(sqlite):
    history = History(sqlite)
    history.import_document(document(production_run(1, notes="caf\xe9")))
    given = document(production_run(1, notes="cafe\u0301"))
    [problem] = history.import_document(given, on_duplicate="verify").problems
    assert "database 'café' (differs in Unicode normalization: document U+0065" in problem.message
    file = io.BytesIO(json.dumps(given).encode())
    [difference] = histio.diff(file, history)
    assert "b 'café' (differs in Unicode normalization: a U+0065" in str(difference)


def test_many_long_unknown_slugs_get_hints_for_the_first_of_them_only(sqlite):
    stem = "x" * (LONGEST - 5)
    add_recipes(sqlite, *(f"{stem}{number:05}" for number in range(500)))
    found = hints(sqlite, *(f"{stem}{number:05}" for number in range(1_000, 1_070)))
    assert [hint is not None for hint in found] == [True] * 25 + [False] * 45


def test_the_library_that_finds_similar_names_is_imported_when_it_is_needed():
    program = "import sys, histio; histio.History('sqlite://'); print('rapidfuzz' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
