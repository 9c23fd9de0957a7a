"""Hooks of MkDocs, which make files of the checkout available to the pages."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PLOT = ROOT / "benchmarks" / "speed.svg"
INCLUDED = (*sorted((ROOT / "schemas").glob("*.json")), PLOT)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that pages show or link to."""
    for path in filter(Path.exists, INCLUDED):
        files.append(File.generated(config, path.name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Adapt links to the added files, and remove links to files that are only in the checkout.

    Replaces the comment `plot` with the plot, if there is one.
    """
    up = "../" * page.file.src_uri.count("/")
    plot = f"![Runs per second of each program]({up}{PLOT.name})" if PLOT.exists() else ""
    markdown = markdown.replace("<!-- plot -->", plot)
    for path in INCLUDED:
        markdown = markdown.replace(f"({up}../{path.relative_to(ROOT)})", f"({up}{path.name})")
    return re.sub(rf"\[([^]]+)\]\({up}\.\./[^)]+\)", r"\1", markdown)
