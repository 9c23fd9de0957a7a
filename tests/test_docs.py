"""`docs/hosts.md` is true: its code runs, its examples can be made, and it leaves no option out.

So is `CONTRIBUTING.md`, as far as the layers go.
"""

import inspect
import re
import typing

import marshmallow
import pytest
from marshmallow import fields, validate

import histio
from histio import facade, testing
from histio.records import RecordSchema, RunSchema
from histio.sessions import _EVENTS
from tests.markdown import ROOT, Page

PAGE = Page("docs/hosts.md")

# What the README tells, for applications that have the bundled models.
OF_THE_FACADE = {
    name for name in histio.__all__ if getattr(getattr(histio, name), "__module__", "") == facade.__name__
}
FIELDS = [
    field for field in vars(histio).values() if inspect.isclass(field) and issubclass(field, fields.Field)
]
OPTIONS = {
    name
    for field in FIELDS
    for cls in field.__mro__
    if cls.__module__.startswith("histio.") and "__init__" in vars(cls)
    for name in inspect.signature(cls).parameters
} - {"choices", "kwargs", "relationship"}  # given by position


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    yield from PAGE.run(tmp_path_factory.mktemp("hosts"))


def test_every_python_block_prints_what_it_says(page):
    assert page.printed == PAGE.promised


def test_every_print_says_what_it_prints():
    assert PAGE.unsaid == []


def test_all_code_is_python_that_is_run():
    assert {block.language for block in PAGE.blocks} == {"python"}


def test_every_link_leads_somewhere():
    assert PAGE.missing == []


def test_no_line_is_too_long():
    assert [line for line in PAGE.text.splitlines() if len(line) > 120] == []


def is_named(name):
    return re.search(rf"\b{name}\b", PAGE.text) is not None


@pytest.mark.parametrize("name", sorted(set(histio.__all__) - OF_THE_FACADE))
def test_every_public_name_that_a_host_uses_is_named(name):
    assert is_named(name)


@pytest.mark.parametrize("name", [name for name in testing.__all__ if name.islower()])
def test_every_function_of_the_conformance_kit_is_named(name):
    assert is_named(name)


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_every_option_of_a_field_is_named(option):
    assert re.search(rf"`{option}`|\b{option}=", PAGE.text)


def test_every_option_of_meta_has_a_row():
    known = {*RecordSchema.Meta.__annotations__, *RunSchema.Meta.__annotations__, "model", "exclude"}
    assert {option.strip("`") for option, *_ in PAGE.table("Meta")} == known


def test_every_option_of_a_history_has_a_row():
    known = inspect.signature(histio.History).parameters.keys() - {"bind"}
    assert {option.strip("`") for option, *_ in PAGE.table("History") if "…" not in option} == known


@pytest.mark.parametrize("heading", ["All options", "Values", "References", "Meta", "History"])
def test_every_example_can_be_made(page, heading):
    names = {**vars(fields), **vars(validate), **vars(histio), **page.names}
    made = [example.strip("`") for *_, example in PAGE.table(heading)]
    assert made
    for example in made:
        exec(example, dict(names))


@pytest.mark.parametrize("bind", typing.get_args(histio.history.BorrowedSession))
def test_everything_that_can_be_bound_has_a_row(bind):
    [found] = [
        what for cells, what in PAGE.table("Sessions and transactions") if f"`{bind.__name__}`" in cells
    ]
    assert found


def source(*modules):
    paths = [path for module in modules for path in (ROOT / "histio").glob(module)]
    # Messages are written in pieces, one a line.
    return re.sub(r'"\s+f?"', "", "".join(path.read_text("utf-8") for path in paths))


@pytest.mark.parametrize("message", [cells[0].strip("`") for cells in PAGE.table("What cannot be bound")])
def test_every_message_is_one_of_histios(message):
    assert message in source("*.py", "*/*.py")


@pytest.mark.parametrize("event", _EVENTS)
def test_every_event_for_which_the_unit_of_work_writes_is_named(event):
    assert f"`{event}`" in PAGE.text


def test_marshmallow_has_the_hooks_that_are_told_of():
    hooks = set(re.findall(r"`@(\w+)`", PAGE.text))
    assert {hook for hook in hooks if not hasattr(marshmallow, hook)} == set()


def test_the_layers_of_contributing_are_the_modules_that_exist():
    named = re.findall(r"`(\w+)`", " ".join(modules for modules, *_ in Page("CONTRIBUTING.md").table()))
    package = ROOT / "histio"
    found = [path.stem for path in package.glob("[!_]*.py")]
    assert sorted(named) == sorted([*found, *(path.parent.name for path in package.glob("*/__init__.py"))])


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_of_another_page_leads_somewhere(page):
    assert Page(page).missing == []
