"""The command that installs an optional dependency."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname


def install_command(extra: str) -> str:
    """The command that installs an *extra* of histio from where histio itself came from.

    That is a package index, or what PEP 610 records: a checkout, an archive or a repository.
    """
    try:
        recorded = metadata.distribution("histio").read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return f"pip install {shlex.quote(f'{Path(__file__).absolute().parents[1]}[{extra}]')}"
    if recorded is None:
        return f"pip install 'histio[{extra}]'"
    origin: dict[str, Any] = json.loads(recorded)
    url = origin["url"]
    if "dir_info" in origin:
        option = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {option}{shlex.quote(f'{url2pathname(urlsplit(url).path)}[{extra}]')}"
    vcs = origin.get("vcs_info")
    place = f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url
    return f"pip install {shlex.quote(f'histio[{extra}] @ {place}')}"
