"""How a command was called: its files, and the error of wrong usage."""

from __future__ import annotations

from typing import ClassVar

import click

from histio.cli.exit_codes import ExitCode

FILES = "histio.cli.files"
"""The key of the files that are arguments of the command: in the ``meta`` of contexts, and in errors."""


class UsageError(click.ClickException):
    """Arguments that cannot be used; unlike errors of click, printed without the syntax of the command."""

    exit_code: ClassVar[int] = ExitCode.USAGE
