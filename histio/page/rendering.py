"""Content → HTML: one file that needs no other, and that may load nothing."""

from __future__ import annotations

import base64
import hashlib
import importlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

_POLICY = "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"


def engine() -> Any:
    """What makes HTML of templates: Jinja.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module("jinja2")
    except ImportError as error:
        raise ImportError("report_page needs Jinja2: install histio[report]") from error


def rendered(content: Mapping[str, Any]) -> Iterator[bytes]:
    """The page with this *content*, piece by piece."""
    jinja = engine()
    environment = jinja.Environment(
        autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = _asset("page.css"), f"{_library()}\n{_asset('page.js')}"
    pieces = environment.from_string(_asset("page.html")).generate(
        content, style=style, script=script, policy=_POLICY.format(script=_hash(script), style=_hash(style))
    )
    # What is no Unicode text cannot be written.
    return (piece.encode("utf-8", "replace") for piece in pieces)


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _library() -> str:
    """Chart.js, without the last line, which leads to another file."""
    code, _, _ = _asset("vendor/chart.umd.min.js").rpartition("\n//# sourceMappingURL=")
    return code


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
