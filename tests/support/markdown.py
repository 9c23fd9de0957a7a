"""Pages of documentation whose code is run."""

from __future__ import annotations

import io
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import histio
from tests.support.tools import ROOT

_BLOCK = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code, its language, the file that it shows, and the line of the page that it begins on."""

    language: str
    title: str | None
    code: str
    line: int

    @property
    def commands(self) -> list[str]:
        """The commands of a console."""
        return [line[2:] for line in self.code.splitlines() if line.startswith("$ ")]

    @property
    def promised(self) -> list[str]:
        """What it says that it prints; a file prints where a console runs it."""
        if self.title is not None:
            return []
        if self.language == "console":
            return [line for line in self.code.splitlines() if not line.startswith("$ ")]
        return re.findall(r"^ *print\(.*\)  # (.*)$", self.code, re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ran:
    """A folder where the code of a page ran, the names that it left, and what it printed."""

    folder: Path
    names: dict[str, Any]
    printed: list[str]


class Page:
    """A page of the checkout, *name* being its path."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = ROOT / name
        self.text = self.path.read_text("utf-8")
        self.blocks = [
            Block(found[1], found[2], found[3], self.text.count("\n", 0, found.start(3)) + 1)
            for found in _BLOCK.finditer(self.text)
        ]

    def __str__(self) -> str:
        return self.name

    def code(self, *languages: str) -> list[Block]:
        """The blocks in these *languages*."""
        return [block for block in self.blocks if block.language in languages]

    @property
    def python(self) -> str:
        """The code of all Python blocks."""
        return "".join(block.code for block in self.code("python"))

    @property
    def runs(self) -> bool:
        """Whether there is code that prints, or a command of histio."""
        return bool(self.promised) or any("histio " in block.code for block in self.code("sh"))

    @property
    def promised(self) -> list[str]:
        """What the code says that it prints."""
        return [line for block in self.code("python", "console") for line in block.promised]

    @property
    def unsaid(self) -> list[str]:
        """Lines that print, and do not say what."""
        code = "".join(block.code for block in self.code("python") if block.title is None)
        return [line for line in code.splitlines() if "print(" in line and "  # " not in line]

    @property
    def before(self) -> list[Page]:
        """The pages whose code comes before this one's, which says so in words."""
        text = " ".join(self.text.split())
        found = re.search(r"The code continues from \[[^]]+\]\(([^)]+)\)", text)
        if found is None:
            return []
        page = Page(str((self.path.parent / found[1]).resolve().relative_to(ROOT)))
        return [*page.before, page]

    @property
    def links(self) -> set[Path]:
        """The other pages that it links to."""
        found = re.findall(r"\]\(([\w./-]+\.md)", self.text)
        return {(self.path.parent / link).resolve() for link in found}

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

    def table(self, above: str | None = None) -> list[list[str]]:
        """The cells of the first table below a heading or line, or of the page, without its head."""
        start = re.compile("" if above is None else rf"^(?:#+ )?{re.escape(above)}$", re.MULTILINE)
        [rows, *_] = re.findall(r"(?:^\|.*\|\n)+", start.split(self.text, 1)[1], re.MULTILINE)
        return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()[2:]]

    def run(self, folder: Path) -> Iterator[Ran]:
        """Run the code in *folder*, after that of the pages before it, in one namespace; then let go of it.

        The folder has the files that the pages show, and this checkout as `checkout`.
        """
        folder.joinpath("checkout").symlink_to(ROOT)
        names: dict[str, Any] = {"__name__": self.path.stem.lower().replace("-", "_")}
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.chdir(folder)
            monkeypatch.delenv("HISTIO_DATABASE_URL", raising=False)
            for page in self.before:
                page._execute(names)
            printed = self._execute(names)
        yield Ran(folder, names, printed.splitlines())
        histio.configure(None)
        for engine in _engines(names.values()):
            engine.dispose()

    def _execute(self, names: dict[str, Any]) -> str:
        """What the code prints."""
        output = io.StringIO()
        with redirect_stdout(output):
            for block in self.blocks:
                if block.title is not None:
                    Path(block.title).write_text(block.code, "utf-8")
                elif block.language == "console":
                    output.writelines(map(terminal, block.commands))
                elif block.language == "sh":
                    for command in block.code.splitlines():
                        if command.startswith("histio "):
                            shell(command).check_returncode()
                elif block.language == "python":
                    # Line numbers in a traceback are those of the page.
                    lines = "\n" * (block.line - 1) + block.code
                    exec(compile(lines, self.path, "exec", dont_inherit=True), names)
        return output.getvalue()


def shell(command: str, *, cwd: Path | None = None, columns: int = 80) -> subprocess.CompletedProcess[str]:
    """Run *command* as a shell would, `histio` and `python` being those of the checkout."""
    command = re.sub(r"(^|[{|] )histio\b", rf"\1'{sys.executable}' -m histio", command)
    command = re.sub(r"(^|[{|] )python\b", rf"\1'{sys.executable}'", command)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": str(columns)}
    return subprocess.run(
        command, shell=True, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def terminal(command: str) -> str:
    """What *command* shows on a terminal of 88 columns, errors included; its exit code is not checked."""
    return shell(f"{{ {command}\n}} 2>&1", columns=88).stdout


def leave_out(printed: list[str], promised: list[str]) -> list[str]:
    """*printed*, where `…` stands for any text that a line of *promised* leaves out, such as a digest."""
    lines = itertools.zip_longest(printed, promised, fillvalue="")
    return [
        said if "…" in said and re.fullmatch(".*".join(map(re.escape, said.split("…"))), line) else line
        for line, said in lines
    ]


def _anchors(text: str) -> list[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def _engines(values: Any) -> Iterator[sa.Engine]:
    for value in values:
        bind = value.bound.database.bind if isinstance(value, histio.History) else value
        found = getattr(bind, "kw", {}).get("bind", bind)
        if isinstance(found, sa.Engine):
            yield found
