"""Hooks of MkDocs, which describe the commands: what their help says, and the JSON that they print.

The comment `commands` becomes a table of them, the help of each, and the members of its object; the comment
`objects` becomes the objects within these. Commands in text link to their sections.
"""

import html
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from histio.cli.app import app

_OUTPUT = Path(__file__).parents[2] / "schemas" / "output-1.0.schema.json"
_REFERENCE = "#/$defs/"
_PAGE = "reference/commands/"
# What is a link or a heading already stays as it is.
_INLINE = re.compile(r"<(a|autoref|h\d|pre)\b.*?</\1>|<code>histio ([\w-]+)[^<]*</code>", re.DOTALL)


@cache
def _definitions() -> dict[str, Any]:
    return json.loads(_OUTPUT.read_text("utf-8"))["$defs"]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the comments."""
    if "<!-- commands -->" not in markdown:
        return markdown
    commands = app.all_commands
    rows = [
        f"| [`{name}`](#histio-{name}) | {command.get_short_help_str(200)} |"
        for name, command in commands.items()
    ]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    sections = "\n".join(_describe(name, command) for name, command in commands.items())
    objects = "\n".join(_describe_object(name) for name in sorted(_find_objects(commands)))
    return markdown.replace("<!-- commands -->", f"{table}\n\n{sections}").replace(
        "<!-- objects -->", objects
    )


def on_page_content(content: str, *, page: Page, **_: Any) -> str:
    """Link the first use of each command in a section to the section about it."""
    if page.url == _PAGE:
        return content
    return "".join(
        _link_section(section, get_relative_url(_PAGE, page.url)) for section in re.split(r"(?=<h2)", content)
    )


def _link_section(section: str, address: str) -> str:
    seen = set()

    def link(found: re.Match[str]) -> str:
        command = app.all_commands.get(found[2] or "")
        if command is None or command.name in seen:
            return found[0]
        seen.add(command.name)
        title = html.escape(command.get_short_help_str(200))
        return f'<a title="{title}" href="{address}#histio-{command.name}">{found[0]}</a>'

    return _INLINE.sub(link, section)


def _describe(name: str, command: click.Command) -> str:
    """Return the section of a command: its help, as a terminal shows it, and its JSON."""
    context = click.Context(command, info_name=f"histio {name}", terminal_width=80, max_content_width=80)
    lines = [f"## histio {name} {{ #histio-{name} }}", f"```text\n{command.get_help(context)}\n```"]
    if name in _definitions():
        lines += [
            f"With `--json`, an object. {_definitions()[shape]['description']}\n\n{_tabulate(shape)}"
            for shape in _resolve(name)
        ]
    return "\n\n".join(lines) + "\n"


def _describe_object(name: str) -> str:
    rule = _definitions()[name]
    return f"### {name} {{ #object-{name} }}\n\n{rule['description']}\n\n{_tabulate(name)}\n"


def _resolve(name: str) -> list[str]:
    """Return the names of the objects that a definition refers to, or its own."""
    rule = _definitions()[name]
    options = [each["$ref"] for each in rule.get("anyOf", [rule]) if "$ref" in each]
    return [found for each in options for found in _resolve(each.removeprefix(_REFERENCE))] or [name]


def _tabulate(name: str) -> str:
    rows = [
        f"| `{member}` | {_name_type(rule)} | {rule.get('description', '').replace('|', chr(92) + '|')} |"
        for member, rule in _definitions()[name].get("properties", {}).items()
    ]
    return "\n".join(["| member | type | what it is |", "|---|---|---|", *rows])


def _name_type(rule: dict[str, Any]) -> str:
    if "$ref" in rule:
        name = rule["$ref"].removeprefix(_REFERENCE)
        return f"[{name}](#object-{name})"
    if "anyOf" in rule:
        return " or ".join(_name_type(each) for each in rule["anyOf"])
    if "items" in rule:
        return f"array of {_name_type(rule['items'])}"
    if isinstance(rule.get("additionalProperties"), dict):
        return f"object of {_name_type(rule['additionalProperties'])}"
    return " or ".join([rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", ["any"]))


def _find_objects(commands: dict[str, click.Command]) -> set[str]:
    """Return the names of the objects within those that the commands print."""
    shapes = {shape for name in commands if name in _definitions() for shape in _resolve(name)}
    found: set[str] = set()
    waiting = set(shapes)
    while waiting:
        inner = set(_find_references(_definitions()[waiting.pop()].get("properties", {}))) - found
        found |= inner
        waiting |= inner
    return found


def _find_references(rule: Any) -> Iterator[str]:
    yield from re.findall(rf'"{re.escape(_REFERENCE)}(\w+)"', json.dumps(rule))
