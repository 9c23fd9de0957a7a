"""The lines of JSON text on which values begin."""

import pytest

from histio.files.decoding import find_line_numbers, find_repeated_names
from histio.pointer import parse, pointer

TEXT = """{
  "a": [
    1, {"b": 2},
    {
      "c/~": "x",
      "0": [[], {}]
    }
  ],
  "d": {"e": 1},
  "d": {
    "f": null
  }
}"""


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ([], 0),
        (["a"], 1),
        (["a", 0], 2),
        (["a", 1, "b"], 2),
        (["a", 2], 3),
        (["a", 2, "c/~"], 4),
        (["a", 2, "0", 1], 5),
        (["d"], 9),
        (["d", "f"], 10),
        (["d", "e"], 9),
        (["a", 9], 1),
        (["a", "x"], 1),
        (["a", 0, "x", "y"], 2),
        (["z"], 0),
    ],
)
def test_the_line_of_a_value_or_of_the_nearest_one_above_it(steps, line):
    where = pointer(*steps)
    assert find_line_numbers(TEXT, [where, pointer("a", 2)]) == {where: line, "/a/2": 3}


def test_the_lines_of_very_deep_values_are_those_of_values_above_them():
    deep = "[\n" * 500 + "]" * 500
    assert find_line_numbers(deep, [pointer(*[0] * 499), pointer(0)]) == {
        pointer(*[0] * 499): 100,
        "/0": 1,
    }


def test_the_steps_of_a_pointer_are_those_that_it_was_made_of():
    steps = ["a", "~", "/", "~1", "", "0"]
    assert parse(pointer(*steps)) == steps
    assert parse("") == []


def test_repeated_names_are_found_in_objects_at_any_depth_and_in_lists():
    text = '{"a": 1, "b": [1, 1, {"c": 1, "c": {"d": 1, "d": 2}}], "a": [], "a": 1}'
    assert list(find_repeated_names(text)) == [
        ("a",),
        ("a",),
        ("b", 2, "c"),
        ("b", 2, "c", "d"),
    ]
