"""The documentation is true: its code runs, its links lead somewhere, and it leaves nothing out."""

import inspect
import json
import re
import shutil
import tomllib
import typing

import marshmallow
import pytest
from jsonschema import Draft202012Validator
from marshmallow import fields, validate

import histio
from histio import audits, charts, facade, files, models, testing
from histio.cli.exit_codes import ExitCode
from histio.database.sessions import EVENTS
from histio.kinds.base import Options
from histio.records import RunSchema
from histio.report import Code
from tests.support.bakery import document, production_run
from tests.support.markdown import Page, leave_out, shell
from tests.support.streams import stream_of
from tests.support.tools import ROOT, give_up

DOCS = ROOT / "docs"
PAGES = {
    name: Page(f"docs/{name}") for name in sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
}
README = Page("README.md")
ALL = [README, *PAGES.values()]
API = [page for name, page in PAGES.items() if name.startswith("reference/api/")]
GUIDES = [page for page in PAGES.values() if page not in (*API, PAGES["changelog.md"])]

PUBLISHED = ROOT / "schemas" / "history-1.0.schema.json"
SCHEMA = json.loads(PUBLISHED.read_text("utf-8"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]

# What applications use that have the bundled models.
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
def ran(request, tmp_path_factory):
    yield from request.param.run(tmp_path_factory.mktemp("page"))


def on(*pages, **more):
    """The test gets what is left when these pages have run."""
    return pytest.mark.parametrize("ran", pages, indirect=True, ids=str, **more)


# Code.


@pytest.mark.parametrize(
    ("ran", "page"), [(page, page) for page in ALL if page.runs], indirect=["ran"], ids=str
)
def test_all_code_prints_what_it_says(ran, page):
    assert leave_out(ran.printed, page.promised) == page.promised, "see tools/consoles.py"


@pytest.mark.parametrize("page", ALL, ids=str)
def test_every_print_says_what_it_prints(page):
    assert page.unsaid == []


@pytest.mark.parametrize("page", ALL, ids=str)
def test_every_block_is_of_a_kind_that_is_tested(page):
    assert {block.language for block in page.blocks} <= {"python", "console", "json", "sh", "text"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (block.title or "", block.code)
        for page in ALL
        for block in page.code("json")
        if not (block.title or "").endswith("l")
    ],
)
def test_every_document_is_valid(name, code):
    part = {"manifest.json": {"$ref": "#/$defs/manifest", "$defs": SCHEMA["$defs"]}}
    Draft202012Validator(part.get(name, SCHEMA)).validate(json.loads(code))


@on(PAGES["reference/format.md"])
def test_the_stream_that_is_shown_is_whole_and_written_as_exports_are(ran):
    shown, copy = ran.folder / "history.jsonl", ran.folder / "copy.jsonl"
    histio.merge([shown], copy)
    assert copy.read_text("utf-8").splitlines()[1:] == shown.read_text("utf-8").splitlines()[1:]


@on(PAGES["reference/format.md"])
def test_the_reader_that_is_shown_splits_lines_only_at_line_feeds(ran):
    text = "\x85\u2028\u2029\x7f"
    path = ran.folder / "separators.jsonl"
    path.write_bytes(stream_of(document(production_run(1, notes=text), production_run(2))))
    _header, *runs, _trailer = ran.names["check"](path)
    assert [run["notes"] for _, run in runs] == [text, "Test batch"]


@pytest.mark.parametrize("page", ALL, ids=str)
def test_no_page_splits_the_text_of_a_stream(page):
    assert re.findall(r"read_text\(.*\)\.splitlines", page.python) == []


def is_a_target(command):
    target = command.removeprefix("make ")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def is_an_installation(command):
    extras = "|".join(PROJECT["optional-dependencies"])
    download = "pip download --no-deps --no-binary histio histio"
    assert re.fullmatch(rf"pip install (\.|histio|'(\.|histio)\[({extras})\]')|{download}", command)


def is_a_default_of_the_tests(command):
    name, value = command.removeprefix("export ").split("=", 1)
    defaults = (ROOT / "tests" / "support" / "databases.py").read_text("utf-8")
    assert re.search(rf'"{name}",\s*"{re.escape(value)}"', defaults)


VERIFIED = {
    "make": is_a_target,
    "pip": is_an_installation,
    "export": is_a_default_of_the_tests,
}
LINES = [
    (page, command) for page in ALL for block in page.code("sh") for command in block.code.strip().split("\n")
]
OTHERS = [command for _, command in LINES if not command.startswith("histio ")]


@pytest.mark.parametrize("command", [command for command in OTHERS if not command.startswith("npx ")])
def test_every_command_works(command):
    VERIFIED[command.split(maxsplit=1)[0]](command)


@on(PAGES["reference/format.md"])
def test_the_command_of_ajv_finds_the_history_valid_and_another_document_invalid(ran):
    [command] = [command for command in OTHERS if command.startswith("npx ")]
    shutil.copy(PUBLISHED, ran.folder)
    (ran.folder / "none.json").write_text('{"version": "1.0"}')
    result = shell(f"{command} -d none.json", cwd=ran.folder)
    if "npm error" in result.stderr or shutil.which("npx") is None:
        give_up(f"no ajv: {result.stderr.strip()[-200:]}")
    assert result.stdout == "history.json valid\n"
    assert result.stderr.startswith("none.json invalid\n")


def test_the_command_for_the_schema_writes_the_published_file(tmp_path):
    for command in {command for _, command in LINES if command.startswith("histio schema >")}:
        shell(command, cwd=tmp_path)
    assert (tmp_path / "history-1.0.schema.json").read_bytes() == PUBLISHED.read_bytes()


# Text.


@pytest.mark.parametrize("page", [*ALL, Page("CONTRIBUTING.md"), Page("CHANGELOG.md")], ids=str)
def test_every_link_leads_somewhere(page):
    assert page.missing == []


@pytest.mark.parametrize("page", ALL, ids=str)
def test_no_line_is_too_long(page):
    shown = {line for block in page.blocks if block.title for line in block.code.splitlines()}
    unbreakable = ("|", "{% include")  # rows of tables, and tags, are one line each
    assert [
        line
        for line in page.text.splitlines()
        if len(line) > 120 and line not in shown and not line.startswith(unbreakable)
    ] == []


def test_every_picture_that_the_build_takes_is_shown_and_no_other():
    taken = re.findall(
        r'^    "([\w-]+)": (?:Terminal|Report)\(',
        (DOCS / "hooks" / "pictures.py").read_text("utf-8"),
        re.MULTILINE,
    )
    shown = re.findall(r"^<!-- screenshot: ([\w-]+) -->$", "".join(page.text for page in ALL), re.MULTILINE)
    assert set(shown) == set(taken)


def test_every_page_is_in_the_navigation_once():
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"[\w/-]+\.md", navigation)) == sorted(PAGES)


@pytest.mark.parametrize("name", re.findall(r"`(test_\w+)`", PAGES["reference/promises.md"].text))
def test_every_promise_has_its_test(name):
    assert len(list((ROOT / "tests").rglob(f"{name}.py"))) == 1


def test_the_rooms_of_contributing_are_those_that_import_linter_holds():
    named = re.findall(r"`(\w+)`", " ".join(rooms for rooms, _ in Page("CONTRIBUTING.md").table("The rooms")))
    layers = PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    assert named == [room for layer in layers for room in layer.split(" | ")]


@pytest.mark.parametrize(("question", "answer"), Page("CONTRIBUTING.md").table("Where is what"))
def test_the_modules_that_answer_questions_in_contributing_exist(question, answer):
    modules = re.findall(r"`([\w/]+\.py)`", answer)
    assert modules
    assert [module for module in modules if not (ROOT / "histio" / module).is_file()] == []


# The explanation.

GLOSSARY = {
    term: meaning
    for heading in ("Data", "Files", "Exports and imports", "Inside")
    for term, meaning in PAGES["explanation/glossary.md"].table(heading)
}


@pytest.mark.parametrize(
    "term", sorted(set(re.findall(r"\*\*([a-z ]+)\*\*", PAGES["explanation/how-it-works.md"].text)))
)
def test_every_term_that_is_explained_is_in_the_glossary(term):
    assert term in GLOSSARY


@pytest.mark.parametrize("outcome", histio.Counts.__dataclass_fields__)
def test_the_glossary_has_every_outcome(outcome):
    assert outcome in GLOSSARY


def test_the_glossary_has_a_sentence_for_each_term():
    assert [term for term, meaning in GLOSSARY.items() if not re.fullmatch(r".+\.", meaning)] == []


# The reference.


def generated(module):
    """The names of *module* that the reference has an entry for."""
    text = "".join(page.text for page in API)
    return re.findall(rf"^::: {re.escape(module)}\.(\w+)$", text, re.MULTILINE)


def test_the_reference_has_every_public_name():
    assert sorted(generated("histio")) == histio.__all__


@pytest.mark.parametrize("page", [page for page in API if ":::" in page.text], ids=str)
def test_every_page_of_the_reference_begins_with_a_table_of_its_names(page):
    assert page.text.index("\n<!-- names -->\n") < page.text.index(":::")


def test_the_pages_of_the_reference_are_all_in_its_table():
    listed = re.findall(r"\]\(([\w-]+\.md)\)", PAGES["reference/api/index.md"].text)
    assert sorted(["index.md", *listed]) == sorted(page.path.name for page in API)


def test_the_reference_has_the_conformance_kit():
    # A module has the name of the function too, and would be taken for it.
    assert "\n## cases\n" in PAGES["reference/api/testing.md"].text
    assert sorted(["cases", *generated("histio.testing")]) == sorted(testing.__all__)


def test_the_reference_has_the_bundled_models():
    mapped = [mapper.class_.__name__ for mapper in models.Base.registry.mappers]
    assert sorted(generated("histio.models")) == sorted([*mapped, "Base", "ExactString"])


def test_every_code_of_a_problem_has_a_section_and_no_other():
    sections = re.findall(r"^### `([\w-]+)`$", PAGES["reference/problems.md"].text, re.MULTILINE)
    assert sorted(sections) == sorted(typing.get_args(Code))


def test_the_exit_codes_are_those_of_the_command_line():
    rows = PAGES["reference/cli.md"].table("Exit codes")
    assert rows == [[f"{code:d}", code.meaning] for code in sorted(ExitCode)]


def test_every_attribute_of_a_problem_has_a_row():
    names = re.findall(r"`(\w+)`", " ".join(cells[0] for cells in PAGES["reference/problems.md"].table()))
    assert names == list(histio.Problem.__dataclass_fields__)


MEMBERS = {
    "Production runs": "production_run",
    "An entry of `consumptions`:": "production_consumption",
    "Assembly runs": "assembly_run",
    "An entry of `finished_unit_consumptions`:": "assembly_finished_unit_consumption",
    "An entry of `packaging_consumptions`:": "assembly_packaging_consumption",
}


@pytest.mark.parametrize(("above", "definition"), MEMBERS.items())
def test_the_format_has_every_member_in_its_order_and_tells_whether_it_is_required(above, definition):
    rows = PAGES["reference/format.md"].table(above)
    told = {name: required for names, required, _ in rows for name in re.findall(r"`(\w+)`", names)}
    rule = SCHEMA["$defs"][definition]
    assert list(told) == list(rule["properties"])
    assert [name for name, required in told.items() if required == "yes"] == rule["required"]


def test_the_format_has_every_member_of_the_catalog_in_its_order():
    members = {
        kind.strip("`"): [each.strip("`") for each in required.split(", ")]
        for _, kind, required in PAGES["reference/format.md"].table("The catalog")
    }
    assert list(members) == list(histio.History().catalog)
    for kind, required in members.items():
        rule = SCHEMA["$defs"][kind]
        assert rule["required"] == required
        assert list(rule["properties"]) == [*required, "uuid", "created_at", "updated_at"]


def test_the_limits_are_those_of_imports():
    shown = {option.strip("`"): limit for option, limit, _ in PAGES["reference/security.md"].table("Limits")}
    assert shown == {
        "max_bytes": f"{files.MAX_BYTES / 2**30:.0f} GiB",
        "max_line_bytes": f"{files.MAX_LINE_BYTES / 2**20:.0f} MiB",
        "max_depth": str(files.MAX_DEPTH),
    }


# Hosts.


def is_named(name):
    return any(re.search(rf"\b{name}\b", page.text) for page in GUIDES)


@pytest.mark.parametrize("name", sorted(set(histio.__all__) - OF_THE_FACADE))
def test_every_public_name_that_a_host_uses_is_in_a_guide(name):
    assert is_named(name)


@pytest.mark.parametrize("name", [name for name in testing.__all__ if name.islower()])
def test_every_function_of_the_conformance_kit_is_in_a_guide(name):
    assert is_named(name)


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_every_option_of_a_field_is_named(option):
    assert re.search(rf"`{option}`|\b{option}=", PAGES["reference/options.md"].text)


def test_every_option_of_meta_has_a_row():
    known = {*Options.__annotations__, *RunSchema.Meta.__annotations__, "model", "exclude"}
    assert {option.strip("`") for option, *_ in PAGES["reference/options.md"].table("Meta")} == known


def test_every_option_of_a_history_has_a_row():
    known = inspect.signature(histio.History).parameters.keys() - {"bind"}
    rows = PAGES["reference/options.md"].table("History")
    assert {option.strip("`") for option, *_ in rows if "…" not in option} == known


@on(PAGES["reference/options.md"])
@pytest.mark.parametrize("heading", ["Every field", "Values", "References", "Meta", "History"])
def test_every_example_can_be_made(ran, heading):
    names = {**vars(fields), **vars(validate), **vars(histio), **vars(audits), **vars(charts), **ran.names}
    made = [example.strip("`") for *_, example in PAGES["reference/options.md"].table(heading)]
    assert made
    for example in made:
        exec(example, dict(names))


@pytest.mark.parametrize("bind", typing.get_args(histio.history.BorrowedSession))
def test_everything_that_can_be_bound_has_a_row(bind):
    [found] = [
        what
        for cells, what in PAGES["how-to/transactions.md"].table("What a History is bound to")
        if f"`{bind.__name__}`" in cells
    ]
    assert found


def source(*modules):
    paths = [path for module in modules for path in (ROOT / "histio").glob(module)]
    # Messages are written in pieces, one a line.
    return re.sub(r'"\s+f?"', "", "".join(path.read_text("utf-8") for path in paths))


@pytest.mark.parametrize(
    "message", [cells[0].strip("`") for cells in PAGES["reference/binding-errors.md"].table()]
)
def test_every_message_is_one_of_histios(message):
    assert message in source("**/*.py")


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_for_which_the_unit_of_work_writes_is_named(event):
    assert f"`{event}`" in PAGES["explanation/unit-of-work.md"].text


@pytest.mark.parametrize("page", GUIDES, ids=str)
def test_marshmallow_has_the_hooks_that_are_told_of(page):
    hooks = set(re.findall(r"`@(\w+)`", page.text))
    assert {hook for hook in hooks if not hasattr(marshmallow, hook)} == set()
