"""Programs that tests ask, which may not be installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]


def give_up(reason: str) -> NoReturn:
    """Skip the test, because a tool is not there; in CI, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def need(command: str | Path, advice: str) -> str:
    """The path of a *command*, or `give_up` with the *advice* how to install it."""
    found = shutil.which(command)
    if found is None:
        give_up(f"{Path(command).name} is not installed: {advice}")
    return found


def need_npm(folder: Path, command: str) -> str:
    """The path of a *command* of the packages of npm in a *folder*."""
    advice = f"get Node 20 or newer and run `npm ci --prefix {folder.relative_to(ROOT)}`"
    return need(folder / "node_modules" / ".bin" / command, advice)
