"""The layers hold: who may import whom, and who may name a database."""

import ast
import re
from pathlib import Path

import pytest

import histio

PACKAGE = Path(histio.__file__).parent
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
GROUND = {"errors", "fields", "report", "wire"}
SURFACE = {"__init__", "__main__", "bakery", "cli", "demo", "facade", "history"}


def imports(module: str) -> set[str]:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
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


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"dialects", "models", "demo"}))
def test_only_dialects_and_models_name_a_database(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    documented = [
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if hasattr(node, "body") and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
    ]
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    code = strings - set(documented)
    assert not [text for text in code if re.search("sqlite|postgres|mysql|mariadb", text, re.IGNORECASE)]


def test_the_public_names_are_sorted_and_exist():
    assert histio.__all__ == sorted(histio.__all__)
    assert [name for name in histio.__all__ if not getattr(histio, name).__doc__] == []
