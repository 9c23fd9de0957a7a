"""Programs that generate types make plain ones of the JSON Schema, which take all valid documents.

What these types cannot express is listed here by name: types that take more, or less, than these lists say
are a failure.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from histio import AutoRunSchema, History
from histio.kinds.json_schema import published
from tests.support.corpus import CASES, INVALID, VALID
from tests.support.shop import OrderSchema, line, order, orders
from tests.support.tools import ROOT, give_up, need, need_npm

pytestmark = pytest.mark.thorough

TYPESCRIPT = ROOT / "examples" / "typescript"
QUICKTYPE = ROOT / "tests" / "generators"
VALIDATORS = ROOT / "tests" / "validators"


class WithoutJsonSchema(OrderSchema):
    """Orders without their column of any JSON."""

    class Meta(OrderSchema.Meta):
        exclude = ("shop_id", "extra")

    extra = None


class Base(DeclarativeBase):
    pass


class Thing(Base):
    """A column of each type, apart from those of the bundled kinds."""

    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[uuid.UUID]
    made_at: Mapped[dt.datetime]
    short: Mapped[bytes | None] = mapped_column(sa.LargeBinary(10))
    long: Mapped[bytes] = mapped_column(sa.LargeBinary)
    size: Mapped[str | None] = mapped_column(sa.Enum("small", "large"))
    weight: Mapped[float | None]
    serial: Mapped[int] = mapped_column(sa.BigInteger)
    day: Mapped[dt.date | None]
    time: Mapped[dt.time]
    duration: Mapped[dt.timedelta | None]
    extra: Mapped[Any] = mapped_column(sa.JSON, nullable=True)
    is_new: Mapped[bool | None]


THING = {
    "uuid": ("Uuid", "00000000-0000-0000-0000-000000000001"),
    "made_at": ("Timestamp", "2025-12-08T10:00:00Z"),
    "short?": ("string | null", "AP8="),
    "long": ("string", ""),
    "size?": ('("small" | "large") | null', "small"),
    "weight?": ("number | null", 0.5),
    "serial": ("number", 2**53),
    "day?": ("Date | null", "2025-12-08"),
    "time": ("Time", "10:00:00"),
    "duration?": ("Duration | null", "PT1S"),
    "extra?": ("Json | null", {"any": [None, True, "text"]}),
    "is_new?": ("boolean | null", False),
}
"""By member, its type in TypeScript and a value."""
THINGS = {"version": "1.0", "things": [{name.rstrip("?"): value for name, (_, value) in THING.items()}]}


class ThingSchema(AutoRunSchema):
    class Meta:
        model = Thing
        kind = "thing"
        collection = "things"
        timestamp = "made_at"


SCHEMAS = {
    "published": published(),
    "host": History(None, OrderSchema).json_schema(),
    "things": History(None, ThingSchema).json_schema(),
    "host-without-json": History(None, WithoutJsonSchema).json_schema(),
}


def run(*command: str | Path, cwd: Path, text: str = "") -> str:
    ran = subprocess.run(command, cwd=cwd, input=text, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the schemas as files."""
    folder = tmp_path_factory.mktemp("schemas")
    for name, schema in SCHEMAS.items():
        (folder / f"{name}.json").write_text(json.dumps(schema))
    return folder


def names_of(definitions: Iterable[str]) -> set[str]:
    return {name.replace("_", " ").title().replace(" ", "") for name in definitions}


# The shapes stay valid, and mean the same.


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ("things", [THINGS], [THINGS | {"oven": 1}]),
        (
            "host",
            [orders(order(lines=[line(), line(2, product=None, tag="old")]))],
            [
                orders(order(lines=[line(product=None)])),  # none of a choice
                orders(order(lines=[line(tag="old")])),  # two of it
                {"version": "1.0"},  # no list
            ],
        ),
    ],
    ids=["things", "host"],
)
def test_a_strict_validator_takes_the_schemas_of_hosts(folder, schema, valid, invalid):
    """ajv refuses schemas that are unclear, such as keywords without a type."""
    need_npm(VALIDATORS, "jsonschema")
    tool = (need("node", "get Node 20"), VALIDATORS / "explain.mjs", f"{schema}.json")
    verdicts = json.loads(run(*tool, cwd=folder, text=json.dumps(list(map(json.dumps, valid + invalid)))))
    assert [each["valid"] for each in verdicts] == [True] * len(valid) + [False] * len(invalid)


# TypeScript, by json-schema-to-typescript.


@pytest.fixture(scope="module")
def typescript(folder) -> Path:
    """A folder with the types of each schema."""
    tool = need_npm(TYPESCRIPT, "json2ts")
    run(tool, "--input", folder, "--output", folder / "types", cwd=folder)
    return folder / "types"


LINES = {"header", "trailer", "stream_line", "receipt_line", "manifest"}
TEXTS = {"slug", "timestamp", "uuid"}


def declared_in(types: str) -> list[str]:
    return re.findall(r"^export (?:interface|type) (\w+)", types, re.MULTILINE)


def test_typescript_has_one_plain_interface_for_each_object_of_a_document(typescript):
    types = (typescript / "published.d.ts").read_text("utf-8")
    objects = names_of(SCHEMAS["published"]["$defs"].keys() - LINES - TEXTS)
    assert "export interface History {" in types
    assert sorted(declared_in(types)) == sorted(objects | {"History"})
    assert re.findall(r"unknown|\bany\b[^ ]|export type|\[k: string\]", types) == []


def test_typescript_has_every_definition_once_where_all_are_wanted():
    types = (TYPESCRIPT / "src" / "format.ts").read_text("utf-8")
    assert sorted(declared_in(types)) == sorted(names_of(SCHEMAS["published"]["$defs"]) | {"History"})


def test_typescript_has_the_interfaces_of_a_host(typescript):
    types = (typescript / "host.d.ts").read_text("utf-8")
    declared = ["Date", "History", "Json", "Line", "Order", "Serial", "Shipment", "Slug", "Timestamp", "Uuid"]
    assert sorted(declared_in(types)) == declared
    assert "unknown" not in types


def test_typescript_has_a_plain_type_for_each_type_of_column(typescript):
    types = (typescript / "things.d.ts").read_text("utf-8")
    thing = types.partition("interface Thing {")[2].partition("}")[0]
    assert dict(re.findall(r"^  (\w+\??): (.*);$", thing, re.MULTILINE)) == {
        name: of_member for name, (of_member, _) in THING.items()
    }


REFUSED_BY_TYPESCRIPT = [
    "catalog-member-unknown",
    "catalog-members-missing",
    "created-at-null",
    "decimal-not-a-string",
    "integer-string",
    "ledger-as-object",
    "list-as-object",
    "notes-not-a-string",
    "product-slug-null",
    "run-of-another-kind",
    "slugs-missing",
    "unknown-member-of-an-entry",
    "version-2.0",
    "version-missing",
]


def test_typescript_takes_every_valid_document_and_refuses_wrong_shapes(typescript):
    tsc = need_npm(TYPESCRIPT, "tsc")
    documents = {case.name: json.dumps(case.document) for case in CASES}
    lines = [
        'import type { History } from "./published.js";',
        'import type { History as Orders } from "./host.js";',
        f"export const host: Orders = {json.dumps(orders(order()))};",
        *(f"export const v{n}: History = {documents[case.name]};" for n, case in enumerate(VALID)),
    ]
    for n, name in enumerate(REFUSED_BY_TYPESCRIPT):
        # An error where there is none is an error.
        lines += [f"// @ts-expect-error: {name}", f"export const i{n}: History = {documents[name]};"]
    (typescript / "documents.ts").write_text("\n".join(lines))
    run(tsc, "--noEmit", "--strict", "--module", "nodenext", "documents.ts", cwd=typescript)


# Python, by datamodel-code-generator.

NOT = {
    "catalog-name-with-nul",
    "document-without-lists",
    "exported-at-in-year-9999",
    "neither-product-nor-ingredient-slug",
    "notes-with-nul",
    "notes-with-nul-on-another-line",
    "schema-member-alone",
    "slug-of-white-space-only",
    "slug-with-control-characters",
    "slug-with-leading-white-space",
    "slug-with-nul",
    "slug-with-trailing-newline",
    "slug-with-trailing-white-space",
    "timestamp-with-an-offset-in-the-first-or-last-year",
    "unit-with-nul",
}
"""The tool ignores ``not``."""

TRUE = {"integer-true"}
"""Models that take 2.0 as an integer, as they should, take true, too."""

NULL = {
    "catalog-list-null",
    "catalog-member-null",
    "created-at-null",
    "exported-at-null",
    "ingredient-slug-null",
    "ledger-null",
    "list-name-twice-the-last-one-bad",
    "list-null",
    "product-slug-null",
    "schema-member-null",
}
"""A member that may be absent is one that may be null, without a value for what is absent."""

SENTINEL = ("--use-missing-sentinel", "--target-pydantic-version", "2.14")


def python_models(folder: Path, name: str, *options: str) -> ModuleType:
    """The module that the tool generates of a schema of the *folder*."""
    path = folder / f"{name}_{len(options)}.py"
    files = ("--input", folder / f"{name}.json", "--input-file-type", "jsonschema", "--output", path)
    tool = ("-m", "datamodel_code_generator", "--formatters", "builtin")
    run(sys.executable, *tool, *files, *options, cwd=folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # pydantic looks types up in it
    spec.loader.exec_module(module)
    return module


def passed_through(module: ModuleType, text: str) -> Any:
    """What a model writes of the JSON *text* that it has read; None: it refuses the text."""
    try:
        model = module.History.model_validate_json(text)
    except ValueError:
        return None
    return json.loads(model.model_dump_json(by_alias=True, exclude_unset=True))


@pytest.fixture
def pydantic() -> None:
    if importlib.util.find_spec("datamodel_code_generator") is None:
        give_up("datamodel-code-generator is not installed: run `pip install --group generators`")


@pytest.mark.usefixtures("pydantic")
@pytest.mark.parametrize(
    ("options", "accepted"), [((), NOT | TRUE | NULL), (SENTINEL, NOT | TRUE)], ids=["plain", "sentinel"]
)
def test_python_models_keep_valid_documents_and_accept_few_invalid_ones(folder, options, accepted):
    module = python_models(folder, "published", *options)
    assert [case.name for case in VALID if passed_through(module, case.text) != case.document] == []
    assert {case.name for case in INVALID if passed_through(module, case.text) is not None} == accepted


@pytest.mark.usefixtures("pydantic")
@pytest.mark.parametrize(
    ("schema", "document"), [("host", orders(order())), ("things", THINGS)], ids=["host", "things"]
)
def test_python_models_of_a_host_keep_its_documents(folder, schema, document):
    module = python_models(folder, schema, *SENTINEL)
    assert passed_through(module, json.dumps(document)) == document
    assert passed_through(module, json.dumps(document | {"oven": 1})) is None


# Go, Java and C#, by quicktype.

JAVA = ("--lang", "java", "--just-types", "--package", "history")
C_SHARP = ("--lang", "cs", "--just-types", "--csharp-version", "6")  # what Debian's compiler knows
COMPILERS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "History.go": ("golang", ("--lang", "go", "--package", "history"), ("go", "build")),
    "History.java": ("default-jdk-headless", JAVA, ("javac", "-d", "classes")),
    "History.cs": ("mono-mcs", C_SHARP, ("mcs", "-target:library")),
}
"""By file, the package of Debian that has the compiler, the options of quicktype, and the command."""


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        *(("published", file) for file in COMPILERS),
        ("host", "History.go"),
        ("host-without-json", "History.java"),  # the tool does not end with any JSON
    ],
)
def test_quicktype_makes_types_that_compile(folder, tmp_path, schema, file):
    package, options, (compiler, *arguments) = COMPILERS[file]
    tool = need_npm(QUICKTYPE, "quicktype")
    need(compiler, f"get the package {package}")
    source = (folder / f"{schema}.json", "--src-lang", "schema", "--top-level", "History")
    run(tool, *source, *options, "--out", tmp_path / file, cwd=tmp_path)
    run(compiler, *arguments, *tmp_path.glob(f"*{Path(file).suffix}"), cwd=tmp_path)


def test_the_page_of_the_format_has_these_options():
    page = (ROOT / "docs" / "reference" / "format.md").read_text("utf-8")
    options = [SENTINEL, *(options for _, options, _ in COMPILERS.values())]
    assert [" ".join(each) for each in options if " ".join(each) not in page] == []
