"""Mark up text, so that lines do not break inside of words."""

from __future__ import annotations

import html
import re

_UUID = re.compile(r"(?:&quot;)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:&quot;)?[,.;]?", re.IGNORECASE)
"""A UUID with the marks around it."""

_OPTION = re.compile(r"--[a-z][a-z-]*(?: [A-Z][A-Z:=]*)?|\w+=(?:&quot;\w+&quot;)?|histio [a-z]+")


class Html(str):
    """HTML, which a template does not escape."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def mark_up_text(text: str) -> Html:
    """Keep each UUID on one line, with the marks around it."""
    return Html(_UUID.sub(r'<span class="whole">\g<0></span>', html.escape(text)))


def mark_up_path(text: str) -> Html:
    """Let lines break after each slash, and nowhere else within a word."""
    return Html(f'<span class="path">{html.escape(text).replace("/", "/<wbr>")}</span>')


def mark_up_options(text: str) -> Html:
    """Mark options and commands of histio as code."""
    return Html(_OPTION.sub(r"<code>\g<0></code>", html.escape(text)))
