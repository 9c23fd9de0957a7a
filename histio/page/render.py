"""Render a report as one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import importlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from histio.extras import install_command
from histio.page.markup import mark_up_options, mark_up_path, mark_up_text

_STYLES = ("page.css", "import.css", "print.css")
_POLICY = "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"


def load_jinja() -> Any:
    """The module ``jinja2``, an optional dependency.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module("jinja2")
    except ImportError as error:
        raise ImportError(f"report_page needs Jinja2: {install_command('report')}") from error


def render(content: Mapping[str, Any]) -> Iterator[bytes]:
    """Render the template with *content*, piece by piece."""
    jinja = load_jinja()
    environment = jinja.Environment(
        autoescape=True,
        loader=jinja.FunctionLoader(read_asset),
        undefined=jinja.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"text": mark_up_text, "path": mark_up_path, "options": mark_up_options}
    style = "\n".join(map(read_asset, _STYLES))
    script = f"{_chart_library()}\n{read_asset('page.js')}"
    pieces = environment.get_template("page.html").generate(
        content, style=style, script=script, policy=_POLICY.format(script=_hash(script), style=_hash(style))
    )
    # Lone surrogates, which a file's name may have, cannot be encoded.
    return (piece.encode("utf-8", "replace") for piece in pieces)


def read_asset(name: str) -> str:
    """The text of a file of this package."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _chart_library() -> str:
    """Chart.js without its last line, the URL of a source map."""
    code, _, _ = read_asset("vendor/chart.umd.min.js").rpartition("\n//# sourceMappingURL=")
    return code


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
