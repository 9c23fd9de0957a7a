"""Pages of documentation whose code is run."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import histio

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code, its language, and the line of the page that it begins on."""

    language: str
    code: str
    line: int


@dataclass(frozen=True, slots=True)
class Ran:
    """A folder where all Python blocks of a page ran, the names that they left, and what they printed."""

    folder: Path
    names: dict[str, Any]
    printed: list[str]


class Page:
    """A page of the checkout, *name* being its path."""

    def __init__(self, name: str) -> None:
        self.path = ROOT / name
        self.text = self.path.read_text("utf-8")
        self.blocks = [
            Block(found[1], found[2], self.text.count("\n", 0, found.start(2)) + 1)
            for found in re.finditer(r"^```(\w*)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        ]

    def __str__(self) -> str:
        return self.path.name

    @property
    def python(self) -> str:
        """The code of all Python blocks."""
        return "".join(block.code for block in self.blocks if block.language == "python")

    @property
    def promised(self) -> list[str]:
        """What the Python blocks say that they print."""
        return re.findall(r"^ *print\(.*\)  # (.*)$", self.python, re.MULTILINE)

    @property
    def unsaid(self) -> list[str]:
        """Lines that print, and do not say what."""
        return [line for line in self.python.splitlines() if "print(" in line and "  # " not in line]

    @property
    def missing(self) -> list[str]:
        """Links that lead to no file of the checkout or to no heading of their page."""
        return [link for link in re.findall(r"\]\(([^)]+)\)", self.text) if not self._leads(link)]

    def _leads(self, link: str) -> bool:
        if "://" in link:
            return True
        path, _, anchor = link.partition("#")
        target = (self.path.parent / path).resolve() if path else self.path
        return target.exists() and (not anchor or anchor in _anchors(target.read_text("utf-8")))

    def table(self, heading: str | None = None) -> list[list[str]]:
        """The cells of the first table below *heading*, or of the page, without its head."""
        below = self.text if heading is None else self.text.partition(f"# {heading}\n")[2]
        [rows, *_] = re.findall(r"(?:^\|.*\|\n)+", below, re.MULTILINE)
        return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()[2:]]

    def run(self, folder: Path) -> Iterator[Ran]:
        """Run all Python blocks in *folder*, one after the other, in one namespace; then let go of it."""
        names: dict[str, Any] = {"__name__": self.path.stem.lower()}
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as monkeypatch, redirect_stdout(output):
            monkeypatch.chdir(folder)
            monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
            for block in self.blocks:
                if block.language == "python":
                    # Line numbers in a traceback are those of the page.
                    lines = "\n" * (block.line - 1) + block.code
                    exec(compile(lines, self.path, "exec", dont_inherit=True), names)
        yield Ran(folder, names, output.getvalue().splitlines())
        histio.configure(None)
        for engine in _engines(names.values()):
            engine.dispose()


def _anchors(text: str) -> list[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def _engines(values: Any) -> Iterator[sa.Engine]:
    for value in values:
        bind = value._database.bind if isinstance(value, histio.History) else value
        found = getattr(bind, "kw", {}).get("bind", bind)
        if isinstance(found, sa.Engine):
            yield found
