# noqa: INP001 - no package, but a script of MkDocs
"""How the pages of the site reach what is in the checkout beside them."""

import re
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from histio.cli.app import app

ROOT = Path(__file__).parents[1]
PLOT = ROOT / "benchmarks" / "speed.svg"
TAKEN = (ROOT / "schemas" / "history-1.0.schema.json", PLOT)

_OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./[^)]+\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put beside the pages what they show or link to."""
    for path in filter(Path.exists, TAKEN):
        files.append(File.generated(config, path.name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links lead to what was put beside the pages, and unlink what is in the checkout alone.

    Where a page leaves a place for the plot, it is shown if there is one; where for the commands, their help.
    """
    shown = f"![Runs per second of each program](../{PLOT.relative_to(ROOT)})" if PLOT.exists() else ""
    markdown = markdown.replace("<!-- plot -->", shown).replace("<!-- commands -->", _commands())
    for path in TAKEN:
        markdown = markdown.replace(f"(../{path.relative_to(ROOT)})", f"({path.name})")
    return _OUTSIDE.sub(r"\1", markdown)


def _commands() -> str:
    """What each command says of itself, as at a terminal."""
    told = []
    for name, command in app.commands.items():
        context = click.Context(command, info_name=f"histio {name}", terminal_width=80, max_content_width=80)
        told.append(f"### {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(told)
