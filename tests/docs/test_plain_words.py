"""`make check` finds phrases that are hard to read."""

import runpy

import pytest

from tests.support.tools import ROOT

find = runpy.run_path(str(ROOT / "tools" / "plain_words.py"))["find"]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("The JSON of the same records; likewise.", "likewise"),
        ('"""As for `export_document`."""', "As for"),
        ("It is held\nagainst the schema.", "held against"),
        ("    # runs, of which\n    # nothing is said", "of which # nothing"),
        ("a value that is no number", "that is no number"),
    ],
)
def test_a_phrase_is_found_over_line_ends_and_in_comments(text, phrase):
    assert [found for _, found, _ in find(text)] == [phrase]


def test_the_line_is_that_on_which_the_phrase_begins():
    assert [line for line, *_ in find("one\ntwo, held\nagainst three")] == [2]


@pytest.mark.parametrize("text", ["there is no such row", "it is no longer there", "which is no more"])
def test_other_uses_of_the_words_are_fine(text):
    assert [found for _, found, _ in find(text)] == []
