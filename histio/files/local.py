"""Check paths that the users of a program choose."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from histio.files.urls import is_url
from histio.redact import strip_secrets
from histio.wire import quote


def local_path(path: str | os.PathLike[str], *, within: str | os.PathLike[str] | None = None) -> Path:
    """The path of a regular local file, for programs whose users choose it.

    It is absolute, and links in it are resolved. As a `pathlib.Path`, it is never taken for a URL or for
    standard input. The file need not exist.

    Args:
        path: A relative path starts in *within*, or in the working directory.
        within: The folder that must contain the file, itself or below, after links are resolved; None: any.

    Raises:
        ValueError: It is a URL, ``-``, a folder, a device, a pipe, or outside of *within*.
    """
    name = os.fspath(path)
    if is_url(name):
        raise ValueError(f"{strip_secrets(name)} is a URL, not a local file")
    if name in ("", "-") or "\0" in name:
        raise ValueError(f"{quote(name)} is not the path of a local file")
    joined = Path(within or "", name)
    real = Path(os.path.realpath(joined))
    if within is not None and not real.is_relative_to(os.path.realpath(within)):
        raise ValueError(f"{quote(name)} is outside of {quote(os.fspath(within))}")
    if joined.exists() and not stat.S_ISREG(joined.stat().st_mode):
        raise ValueError(f"{quote(name)} is not a regular file")
    return real
