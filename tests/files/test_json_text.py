"""JSON text is rewritten without being decoded: the values stay the same, and so do their digits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histio.files.json_text import compact, indent, rename_strings, split_members

TEXTS = st.text(st.characters() | st.sampled_from('"\\,:[]{} \n\x7f\u2028\ud800'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
INDENTS = st.sampled_from([None, 0, 1, "\t", "\r\n"])


@given(VALUES, INDENTS, st.booleans())
def test_text_of_any_layout_becomes_compact(value, spaces, ascii_only):
    text = json.dumps(value, indent=spaces, ensure_ascii=ascii_only)
    assert compact(text) == json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only)


@given(VALUES, INDENTS)
def test_text_is_indented_as_python_does_and_shows_nothing_invisible(value, spaces):
    indented = indent(json.dumps(value, indent=spaces))
    assert json.loads(indented) == value
    assert indented.replace("\n", "").isprintable()
    assert indented.count("\n") == json.dumps(value, indent=2).count("\n")


@given(OBJECTS, INDENTS)
def test_the_members_of_an_object_are_found(value, spaces):
    members = split_members(json.dumps(value, indent=spaces))
    assert {name: json.loads(text) for name, text in members.items()} == value


@given(OBJECTS, TEXTS, TEXTS, TEXTS)
def test_only_values_of_the_member_are_renamed(value, member, old, new):
    text = json.dumps({**value, member: old, "list": [{member: [old, "x"]}, {"other": old}]})
    renamed = json.loads(rename_strings(text, {member: {old: new}}))

    def expected(node, name=None):
        if isinstance(node, dict):
            return {each: expected(inner, each) for each, inner in node.items()}
        if isinstance(node, list):
            strings = name == member and all(isinstance(inner, str) for inner in node)
            return [expected(inner, member if strings else None) for inner in node]
        return new if node == old and name == member and isinstance(node, str) else node

    assert renamed == expected(json.loads(text))


@pytest.mark.parametrize("number", ["1e400", "1.10", "-0.0", "123456789012345678901234567890.00"])
def test_numbers_keep_their_digits(number):
    text = f'{{"a": [{number}]}}'
    assert compact(text) == f'{{"a":[{number}]}}'
    assert number in indent(text)
    assert rename_strings(text, {"a": {"b": "c"}}) == text
