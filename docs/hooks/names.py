"""Hooks of MkDocs, which link the names of the Python API to their entries in the reference.

The comment `names` becomes a table of the entries of a page. Names in text and in code link to their
entries, and show the first paragraph of their docstrings where a mouse rests on them.
"""

import html
import re
from functools import cache
from pydoc import locate
from typing import Any

from mkdocs.structure.pages import Page

import histio

_REFERENCE = "reference/api/"
_ENTRY = re.compile(r"^::: (histio[\w.]*)$", re.MULTILINE)
_LINK = re.compile(r'<a class="(autorefs[^"]*)"(?: title="[^"]*")? href="([^"]*#(histio[\w.]+))"')
# What is a link or a heading already stays as it is.
_INLINE = re.compile(r"<(a|autoref|h\d|pre)\b.*?</\1>|<code>(?:histio\.)?([\w.]+)</code>", re.DOTALL)
_IN_CODE = re.compile(
    r'(<span class="n">histio</span><span class="o">\.</span>)<span class="n">(\w+)</span>'
    r'|(<span class="o">\.</span>)<span class="n">(\w+)</span>'
)


def _methods(name: str) -> list[str]:
    return [each for each, value in vars(locate(name)).items() if each[0] != "_" and callable(value)]


# Names of methods that say by themselves whose they are.
_OF_HISTORY = {name for name in _methods("histio.History") if "_" in name or name in {"explain", "undo"}}


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Replace the comment `names` with a table: of the entries, or, if there is one entry, of its methods."""
    entries = _ENTRY.findall(markdown)
    if page.file.src_uri.startswith(_REFERENCE) and len(entries) == 1:
        entries = [f"{entries[0]}.{method}" for method in _methods(entries[0])]
    rows = [f"| [`{name.rpartition('.')[2]}`][{name}] | {_summarize(name)} |" for name in entries]
    return markdown.replace("<!-- names -->", "\n".join(["| name | what it is |", "|---|---|", *rows]))


def on_page_content(content: str, *, page: Page, **_: Any) -> str:
    """Link the first use of each name in a section, and names in code, to the reference."""
    if page.file.src_uri.startswith(_REFERENCE):
        return content
    sections = re.split(r"(?=<h2)", content)
    return _IN_CODE.sub(_link_code, "".join(_link_section(section) for section in sections))


def on_post_page(output: str, **_: Any) -> str:
    """Give each link to the reference a title: the first sentences of the docstring."""
    return _LINK.sub(
        lambda link: f'<a class="{link[1]}" title="{_plain_summary(link[3])}" href="{link[2]}"', output
    )


def _link_section(section: str) -> str:
    seen = set()

    def link(found: re.Match[str]) -> str:
        entry = _find_entry(found[2] or "")
        if entry is None or entry in seen:
            return found[0]
        seen.add(entry)
        return _link(entry, found[0])

    return _INLINE.sub(link, section)


def _link_code(found: re.Match[str]) -> str:
    if found[1]:
        entry, before, name = found[2] if found[2] in histio.__all__ else None, found[1], found[2]
    else:
        entry, before, name = found[4] if found[4] in _OF_HISTORY else None, found[3], found[4]
    entry = entry and _find_entry(entry)
    return f'{before}{_link(entry, f"""<span class="n">{name}</span>""")}' if entry else found[0]


def _find_entry(name: str) -> str | None:
    owner, _, member = name.partition(".")
    if member in _methods("histio.History") and owner in {"History", "history"}:
        return f"histio.History.{member}"
    if name in _OF_HISTORY:
        return f"histio.History.{name}"
    return f"histio.{name}" if name in histio.__all__ else None


def _link(entry: str, text: str) -> str:
    return f'<autoref identifier="{entry}">{text}</autoref>'


@cache
def _summarize(name: str) -> str:
    """Return the first paragraph of a docstring."""
    text = (getattr(locate(name), "__doc__", None) or "").strip()
    return " ".join(text.split("\n\n")[0].split())


def _plain_summary(name: str) -> str:
    return html.escape(re.sub(r"[`*]+", "", _summarize(name)))
