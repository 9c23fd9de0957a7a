"""A hook of MkDocs, which lets the search find pages by words that they do not use."""

from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

WORDS = Path(__file__).parents[1] / "search.yml"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Read the words; each page has to exist."""
    config.extra["words"] = yaml.safe_load(WORDS.read_text("utf-8"))
    missing = [page for page in config.extra["words"] if files.get_file_from_path(page) is None]
    if missing:
        raise PluginError(f"{WORDS.name} has words for pages that do not exist: {', '.join(missing)}")
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Make the words tags of their page: the search of the theme looks there first."""
    page.meta["tags"] = config.extra["words"].get(page.file.src_uri, [])
    return markdown
