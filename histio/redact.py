"""Hide what is secret in texts that may quote a URL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

HIDDEN = "***"

_SCHEME = r"[\w+.-]{1,40}:/{1,3}"
# A password may contain anything, so the last @ before another URL ends it. Without a colon or an @ in the
# first part, an @ is one of the path.
_USER = re.compile(rf"({_SCHEME})(?=[^/?\s]*[:@])((?:(?!{_SCHEME}).)*@)")
# The lengths are limited, so that a long hostile text takes linear time.
_USER_WITHOUT_SCHEME = re.compile(r"(?<![\w/@*])[\w.+%-]{1,100}:[^\s/\\]\S{0,300}@(?=[\w.\[])")
_URL = re.compile(rf"{_SCHEME}\S*")
_VALUE = re.compile(r"([?&;][\w.~%+\[\]-]*=)([^&;\s'\"]+)")
_NAMED = re.compile(
    r"(\b[\w.-]{0,40}(?:passw(?:or)?d|passphrase|pwd|secret|token|api_?key|signature|credential)"
    r"\w{0,40}\s{0,9}=\s{0,9})"
    r"('[^'\n]*'?|\"[^\"\n]*\"?|\S[^\s&;,'\"]*)",
    re.IGNORECASE,
)
_SHORTEST = 4
"""Shorter pieces of a password are not looked for: they occur in any text."""

_LONGEST = 60


def redact(text: str, quoted: Iterable[str] = ()) -> str:
    """Replace users, passwords and the values of queries in *text* by asterisks.

    Args:
        text: It may contain URLs, with or without a scheme, or settings such as ``password=secret``.
        quoted: Texts that are a URL as a whole. Pieces of their secrets are hidden too, as a driver that
            reads a password with a slash or a space in its own way quotes them.
    """
    for piece in sorted({piece for url in quoted for piece in _pieces(url)}, key=len, reverse=True):
        text = text.replace(piece, HIDDEN)
    text = _USER.sub(rf"\1{HIDDEN}@", text)
    text = _USER_WITHOUT_SCHEME.sub(f"{HIDDEN}@", text)
    text = _URL.sub(lambda found: _VALUE.sub(rf"\1{HIDDEN}", found[0]), text)
    return _NAMED.sub(rf"\1{HIDDEN}", text)


def quote_redacted(value: object) -> str:
    """The ``repr()`` of *value* without secrets, cut to sixty characters."""
    return redact(repr(value))[:_LONGEST]


def strip_secrets(url: str) -> str:
    """Remove user, password and query from *url*."""
    return re.sub(_USER.pattern, r"\1", url, flags=re.DOTALL).partition("?")[0]


def _pieces(url: str) -> Iterator[str]:
    """The secrets of *url*, and their words, unless the rest of it has the same words."""
    url = re.sub(r"^--[\w-]+=", "", url)
    user, at, rest = url.rpartition("@")
    scheme = re.match(_SCHEME, user)
    name, colon, password = user[scheme.end() if scheme else 0 :].partition(":")
    host, *queries = rest.split("?", 1)
    if "?" in user:  # of the password, or of a query with an @
        host, queries = "", [*queries, user.partition("?")[2], rest]
    secrets = [password if colon else name] if at and (colon or scheme) else []
    settings = [url[found.start(2) :] for found in _NAMED.finditer(url)]
    secrets += settings
    for setting in re.split("[&;]", "&".join(queries)):
        secrets.append(setting.partition("=")[2] or setting)
    public = [] if settings else re.findall(r"\w+", f"{name if colon else ''} {host}")
    for text in (*secrets, *map(unquote, secrets)):
        for piece in (text, *re.findall(r"\w+", text)):
            if len(piece) >= _SHORTEST and piece not in public:
                yield piece
