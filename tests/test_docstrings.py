"""What an editor and `help` show of a public name can be read alone."""

import dataclasses
import inspect
import re

import pytest
from marshmallow import Schema
from marshmallow.fields import Field

import histio
from histio.files import Limits
from histio.wire import WireField

pytestmark = pytest.mark.cells(1_000)  # each row takes a millisecond

CLASSES = [each for name in histio.__all__ if inspect.isclass(each := getattr(histio, name))]
FUNCTIONS = [each for name in histio.__all__ if inspect.isfunction(each := getattr(histio, name))]
# What a host calls of fields and schemas; their other methods are what marshmallow calls.
OF_SCHEMAS = [histio.RecordSchema.bind, histio.RecordSchema.load]
METHODS = [
    getattr(each, name)
    for each in CLASSES
    if not issubclass(each, (Field, Schema, dict))
    for name in vars(each)
    if not name.startswith("_") and callable(getattr(each, name))
]
CONSTRUCTORS = [
    each
    for each in CLASSES
    if "__init__" in vars(each) or (issubclass(each, WireField) and not dataclasses.is_dataclass(each))
]
CALLED = [*FUNCTIONS, *OF_SCHEMAS, *METHODS, *CONSTRUCTORS]
ENTRY = re.compile(r"^    \*{0,2}(\w+): ((?:.*\n)(?:        .*\n)*)", re.MULTILINE)
DETOURS = re.compile(
    r"likewise|\bas for\b|\bsee `|as in `|^the same\b|the options of `[A-Z]", re.IGNORECASE | re.MULTILINE
)


def named(each):
    return each.__qualname__


def entries(called):
    """What the docstring says of each argument, or of each attribute that an argument sets."""
    sections = re.split(r"^(\w+):\n", f"{inspect.getdoc(called)}\n", flags=re.MULTILINE)
    texts = [
        text
        for name, text in zip(sections[1::2], sections[2::2], strict=True)
        if name in {"Args", "Attributes"}
    ]
    found = {name: text for section in texts for name, text in ENTRY.findall(section)}
    # The options that a field passes on to its base class are explained with the others that it passes on.
    passed_on = re.findall(r"``(description|example)``", found.get("kwargs", ""))
    return found | dict.fromkeys(passed_on, found.get("kwargs"))


def parameters(called):
    return {name: each for name, each in inspect.signature(called).parameters.items() if name != "self"}


@pytest.mark.parametrize("called", CALLED, ids=named)
def test_a_docstring_explains_every_argument(called):
    assert parameters(called).keys() - entries(called).keys() == set()


@pytest.mark.parametrize("called", CALLED, ids=named)
def test_a_docstring_says_what_none_means(called):
    optional = [name for name, each in parameters(called).items() if each.default is None]
    explained = entries(called)
    assert [name for name in optional if "None" not in explained[name] and name != "example"] == []


@pytest.mark.parametrize("named", [*CLASSES, *CALLED], ids=named)
def test_a_docstring_needs_no_other_docstring(named):
    assert DETOURS.findall(inspect.getdoc(named)) == []


@pytest.mark.parametrize("named", [*CLASSES, *CALLED], ids=named)
def test_a_docstring_begins_with_a_sentence_of_one_line(named):
    first, *_ = inspect.getdoc(named).splitlines()
    assert first.endswith(".")


@pytest.mark.parametrize("called", [each for each in CALLED if "max_bytes" in parameters(each)], ids=named)
def test_the_limits_in_a_signature_are_the_limits_of_files(called):
    limits = dataclasses.asdict(Limits())
    assert {name: parameters(called)[name].default for name in limits} == limits
