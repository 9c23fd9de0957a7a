"""The layers hold: who may import whom, and who may name a database."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import histio

PACKAGE = Path(histio.__file__).parent
PACKAGES = {"cli", "compiler", "dialects", "fields", "files", "page", "testing"}
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py")) + sorted(PACKAGES)
GROUND = {"column_types", "errors", "fields", "mapping", "report", "wire"}
SURFACE = {
    *(
        "__init__",
        "__main__",
        "async_history",
        "bakery",
        "checks",
        "cli",
        "demo",
        "diffs",
        "facade",
        "filters",
        "history",
        "inspection",
        "merges",
        "page",
    ),
    "testing",
}


def trees(module: str) -> list[ast.Module]:
    paths = sorted((PACKAGE / module).glob("*.py")) or [PACKAGE / f"{module}.py"]
    return [ast.parse(path.read_text()) for path in paths]


def imports(module: str) -> set[str]:
    nodes = [node for tree in trees(module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    dotted = {node.module for node in nodes if node.module} | {
        f"{node.module}.{alias.name}" for node in nodes for alias in node.names
    }
    return {name.split(".")[1] for name in dotted if name.startswith("histio.")} & set(MODULES)


@pytest.mark.parametrize("module", sorted(GROUND))
def test_the_ground_imports_nothing_but_itself(module):
    assert imports(module) <= GROUND


@pytest.mark.parametrize("module", sorted(set(MODULES) - SURFACE))
def test_nothing_below_history_imports_it(module):
    assert not imports(module) & {"cli", "demo", "facade", "history"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"dialects", "models", "demo", "cli"}))
def test_only_dialects_and_models_name_a_database(module):
    nodes = [node for tree in trees(module) for node in ast.walk(tree)]
    documented = [
        ast.get_docstring(node, clean=False)
        for node in nodes
        if hasattr(node, "body") and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
    ]
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    code = strings - set(documented)
    assert not [text for text in code if re.search("sqlite|postgres|mysql|mariadb", text, re.IGNORECASE)]


def test_the_public_names_are_sorted_and_exist():
    assert histio.__all__ == sorted(histio.__all__)
    assert [name for name in histio.__all__ if not getattr(histio, name).__doc__] == []


def test_type_checkers_are_told_the_places_where_names_are_found():
    [block] = [node for node in trees("__init__")[0].body if isinstance(node, ast.If)]
    told = {node.module: tuple(alias.name for alias in node.names) for node in block.body}
    assert told == histio._PLACES
    assert sorted(histio._HOMES) == histio.__all__


def test_histio_itself_is_imported_in_no_time():
    asked = "import sys; before = set(sys.modules); import histio; print(len(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert int(loaded) <= 40  # of the standard library


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'histio' has no attribute 'Histroy'"):
        histio.Histroy  # noqa: B018
    assert set(histio.__all__) <= set(dir(histio))
