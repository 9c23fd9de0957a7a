"""A hook of MkDocs, which shows the meaning of a term of the glossary where a page uses it first."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.structure.pages import Page

_GLOSSARY = "explanation/glossary.md"
_ROW = re.compile(r"^\| ([a-z ]+) \| (.*) \|$", re.MULTILINE)
# Words that everybody knows, or that mean something else in other sentences.
_PLAIN = {
    "header",
    "history",
    "if you look for",
    "kind",
    "member",
    "parts",
    "problem",
    "record",
    "row",
    "run",
}
_PLAIN |= {"batch", "conflict", "document", "identity", "imported", "skipped", "snapshot", "term", "updated"}
# What comes first in a page, and whatever is not to have a meaning shown: headings, links.
_USE = re.compile(r"<(h\d|a|autoref)\b.*?</\1>|<abbr title=\"([^\"]*)\">([^<]*)</abbr>", re.DOTALL)
_ABBR = re.compile(r"</?abbr[^>]*>")


@cache
def _meanings() -> str:
    """Return the terms and their plurals, as Markdown's abbreviations."""
    text = (
        (Path(__file__).parents[1] / _GLOSSARY).read_text("utf-8").partition("\n## Words from elsewhere")[0]
    )
    terms = {term: meaning.replace("`", "") for term, meaning in _ROW.findall(text) if term not in _PLAIN}
    return "".join(
        f"\n*[{form}]: {meaning}" for term, meaning in terms.items() for form in (term, f"{term}s")
    )


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Add the terms."""
    if page.file.src_uri in {_GLOSSARY, "changelog.md"}:
        return markdown
    return f"{markdown}\n{_meanings()}\n"


def on_page_content(content: str, **_: Any) -> str:
    """Leave the first use of each term in the text of a page."""
    seen = set()

    def keep_first(found: re.Match[str]) -> str:
        meaning = found[2]
        if meaning is None or meaning in seen:
            return _ABBR.sub("", found[0])
        seen.add(meaning)
        return found[0]

    return _USE.sub(keep_first, content)
