"""Chains of exports: which stream continues which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from histio.report import Problem
from histio.wire import is_sha256, quote


class Predecessor(NamedTuple):
    """How a header names the stream that it continues, or how an option does.

    Attributes:
        sha256: The digest of its runs; None: no stream is named.
        header_sha256: The digest of its header, which tells streams without runs apart; None: any.
    """

    sha256: str | None = None
    header_sha256: str | None = None

    def check(self, form: str) -> None:
        """Check that the header of a file can name it.

        Raises:
            ValueError: A digest is not a SHA-256, there is only that of the header, or *form* is ``"json"``:
                documents have no header.
        """
        for option, digest in zip(("follows", "follows_header"), self, strict=True):
            if digest is None:
                continue
            if form == "json":
                text = "only the header of a stream can name a predecessor, a document cannot"
                raise ValueError(f"{option}: {text}")
            if not is_sha256(digest):
                digits = "64 lower-case hexadecimal digits"
                raise ValueError(f"{option}: a sha256 has {digits}, unlike {quote(digest)}")
        if self.sha256 is None and self.header_sha256 is not None:
            raise ValueError("follows_header: pass follows too, the sha256 of the same stream")

    def members(self) -> dict[str, str]:
        """The members of a header that names it."""
        members = {"follows": self.sha256, "follows_header": self.header_sha256}
        return {name: digest for name, digest in members.items() if digest is not None}

    def differences(self, header: Mapping[str, Any]) -> list[Problem]:
        """A problem for each digest that differs in a *header*; a digest of None is not compared."""
        named = find_predecessor(header)
        pairs = zip(("follows", "follows_header"), ("", " the header"), self, named, strict=True)
        return [
            Problem("error", "schema", _describe(what, wanted, found), f"/header/{name}", line=1)
            for name, what, wanted, found in pairs
            if wanted not in (None, found)
        ]


def _describe(what: str, wanted: str | None, found: str | None) -> str:
    states = f"names no predecessor{what and ' by its header'}" if found is None else f"follows{what} {found}"
    return f"The file {states}, not {wanted}."


NO_PREDECESSOR = Predecessor()


def find_predecessor(header: Mapping[str, Any]) -> Predecessor:
    """The stream that a *header* names as the one that it continues."""
    return Predecessor(header.get("follows"), header.get("follows_header"))


def names_of(sha256: str | None, header_sha256: str | None) -> set[Predecessor]:
    """The ways in which a header can name a stream with these digests; none if *sha256* is None."""
    return set() if sha256 is None else {Predecessor(sha256), Predecessor(sha256, header_sha256)}
