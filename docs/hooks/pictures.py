"""Hooks of MkDocs, which take the pictures that pages show: what commands print, and HTML reports.

The comment `screenshot: NAME` becomes the picture of that name. Each build runs the commands, so that a
picture shows what they do today. Reports are drawn by Chromium; where there is none, the site has no pictures
of reports.
"""

import contextlib
import datetime as dt
import io
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from rich.console import Console
from rich.text import Text

from histio import cli

_FOLDER = "pictures"
_COLUMNS = 96
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_SCHEMES = {"light": 1, "dark": 0}  # Chromium's numbers
_COMMENT = re.compile(r"^<!-- screenshot: ([\w-]+) -->$", re.MULTILINE)
# What differs from build to build: how long something took, and progress bars.
_TRANSIENT = re.compile(
    r" +\d+\.\d s$|\x1b\[\?25l.*?\x1b\[\?25h(?:\n?\x1b\[1A\x1b\[2K)?", re.MULTILINE | re.DOTALL
)
_TODAY = re.compile(rf"{dt.datetime.now(dt.UTC):%Y-%m-%d} \d\d:\d\d UTC")


@dataclass(frozen=True, slots=True)
class Terminal:
    """A picture of what a command prints; *before* it, others run in the same folder."""

    command: str
    alt: str
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A picture of the first screen of an HTML report, which one of the commands has written."""

    file: str
    alt: str


# In this order, in one folder.
TERMINALS = {
    "demo": Terminal(
        "histio demo bakery",
        "A terminal. histio demo fills a database, exports it, imports the file into another database, "
        "compares the two, and imports a broken file: one run of seven goes in, and each fault is named.",
    ),
    "import-failed": Terminal(
        "histio import history.jsonl --url sqlite:///branch.db --report failed.html",
        "A terminal. histio import says that all 2,000 runs are rejected, and why: the database has none of "
        "the rows that they refer to. It names the options that move these rows too.",
        before=(
            "histio export history.jsonl --url sqlite:///bakery/source.db",
            "histio init --url sqlite:///branch.db",
        ),
    ),
    "check": Terminal(
        "histio check bakery/broken.json --url sqlite:///bakery/target.db",
        "A terminal. histio check lists the errors and warnings of a file, each with its line, its place in "
        "the JSON, and what is wrong: an unknown recipe, too many digits, a missing member.",
    ),
    "dry-run": Terminal(
        "histio import catalog.jsonl --url sqlite:///branch.db --create-catalog --dry-run",
        "A terminal. histio import with --dry-run says how many catalog rows and runs it would write, and "
        "lists the warnings. Nothing is written.",
        before=("histio export catalog.jsonl --url sqlite:///bakery/source.db --with-catalog",),
    ),
    "undo": Terminal(
        "histio undo receipt.jsonl --url sqlite:///branch.db",
        "A terminal. histio undo says how many runs and catalog rows it has removed again.",
        before=(
            "histio import catalog.jsonl --url sqlite:///branch.db --create-catalog --receipt receipt.jsonl",
            "histio report --url sqlite:///branch.db -o bakery.html",
        ),
    ),
}
REPORTS = {
    "report-failed": Report(
        "failed.html",
        "The HTML report of an import that has rejected every run. It begins with the number of them "
        "and with what to do; the problems follow, grouped by their codes.",
    ),
    "report": Report(
        "bakery.html",
        "The HTML report of a database, with the numbers of runs and with charts of what they have made and "
        "used.",
    ),
}

# rich's own has fonts from the network, and the buttons of a window.
_SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
{styles}
</style>
<defs>{lines}</defs>
<rect width="{width}" height="{height}" rx="8" fill="#1f2430"/>
<g transform="translate(9, 9)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures."""
    for name, content in _take_all().items():
        files.append(File.generated(config, f"{_FOLDER}/{name}", content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Replace the comments with the pictures."""
    return _COMMENT.sub(partial(_show, "../" * page.file.src_uri.count("/") + _FOLDER), markdown)


def _show(folder: str, comment: re.Match[str]) -> str:
    name = comment[1]
    if name in TERMINALS:
        return f"![{TERMINALS[name].alt}]({folder}/{name}.svg)"
    schemes = _SCHEMES if _CHROMIUM else ()
    return "\n".join(f"![{REPORTS[name].alt}]({folder}/{name}-{each}.webp#only-{each})" for each in schemes)


@cache
def _take_all() -> dict[str, bytes | str]:
    """Return the content of every picture by its name; `mkdocs serve` takes them once."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        taken: dict[str, bytes | str] = {
            f"{name}.svg": _draw(name, terminal) for name, terminal in TERMINALS.items()
        }
        wanted = [(name, scheme) for name in REPORTS for scheme in _SCHEMES if _CHROMIUM]
        with ThreadPoolExecutor(2) as pool:
            images = pool.map(lambda each: _photograph(*each), wanted)
            taken |= {
                f"{name}-{scheme}.webp": image for (name, scheme), image in zip(wanted, images, strict=True)
            }
        return taken


def _draw(name: str, terminal: Terminal) -> str:
    for command in terminal.before:
        _run(command)
    console = Console(width=_COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {terminal.command}", "bold green"))
    console.print(Text.from_ansi(_TRANSIENT.sub("", _run(terminal.command)).strip("\n")))
    return console.export_svg(code_format=_SVG, unique_id=name)


def _run(command: str) -> str:
    """Return what a *command* of histio prints on a terminal with colours."""
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"FORCE_COLOR": "1", "COLUMNS": str(_COLUMNS)}),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        code = cli.main(shlex.split(command)[1:])
    if code not in {0, 1, 3}:
        raise RuntimeError(f"{command}: {printed.getvalue()}")
    return printed.getvalue()


def _photograph(name: str, scheme: str) -> bytes:
    image = Path(f"{name}-{scheme}.webp").absolute()
    page = image.with_suffix(".html")
    # When it was made differs from build to build.
    text = Path(REPORTS[name].file).read_text("utf-8")
    page.write_text(_TODAY.sub("2026-01-01 12:00 UTC", text), "utf-8")
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--window-size=1120,900", "--force-device-scale-factor=1", "--virtual-time-budget=3000"),
        f"--blink-settings=preferredColorScheme={_SCHEMES[scheme]}",
        f"--user-data-dir={image.with_suffix('')}",
        f"--screenshot={image}",
    ]
    subprocess.run([str(_CHROMIUM), *options, page.as_uri()], capture_output=True, check=True, timeout=60)  # noqa: S603
    return image.read_bytes()
