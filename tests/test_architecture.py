"""What import-linter does not check: names of databases, sizes of modules, and the public names."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import histio

PACKAGE = Path(histio.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NAME_DATABASES = (
    "cli/",  # examples of URLs
    "database/dialects/",
    "demo/",
    "models.py",
    "scaffold/source.py",  # the URL in the test that it writes
)


def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text())


@pytest.mark.parametrize("module", [each for each in MODULES if not each.startswith(NAME_DATABASES)])
def test_only_dialects_and_models_name_a_database(module):
    nodes = list(ast.walk(tree(module)))
    documented = [
        ast.get_docstring(node, clean=False)
        for node in nodes
        if hasattr(node, "body") and isinstance(node, DOCUMENTED)
    ]
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    code = strings - set(documented)
    assert not [text for text in code if re.search("sqlite|postgres|mysql|mariadb", text, re.IGNORECASE)]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_at_most_400_lines_without_docstrings(module):
    text = (PACKAGE / module).read_text()
    documented = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    code = [line for number, line in enumerate(text.splitlines(), 1) if line and number not in documented]
    assert len(code) <= 400


def test_the_public_names_are_sorted_and_exist():
    assert histio.__all__ == sorted(histio.__all__)
    assert [name for name in histio.__all__ if not getattr(histio, name).__doc__] == []


def test_type_checkers_are_told_the_places_where_names_are_found():
    [block] = [node for node in tree("__init__.py").body if isinstance(node, ast.If)]
    told = {node.module: tuple(alias.name for alias in node.names) for node in block.body}
    assert told == histio._PLACES
    assert sorted(histio._HOMES) == histio.__all__


def test_histio_itself_is_imported_in_no_time():
    asked = "import sys; before = set(sys.modules); import histio; print(len(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert int(loaded) <= 40  # of the standard library


@pytest.mark.parametrize(("old", "new"), histio._RENAMED.items())
def test_a_name_that_was_changed_still_works_and_warns(old, new):
    with pytest.warns(DeprecationWarning, match=f"histio.{old} is now histio.{new}") as warned:
        found = getattr(histio, old)
    assert found is getattr(histio, new)
    assert warned[0].filename == __file__
    assert old not in histio.__all__


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'histio' has no attribute 'Histroy'"):
        histio.Histroy  # noqa: B018
    assert set(histio.__all__) <= set(dir(histio))
