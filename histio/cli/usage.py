"""The error of wrong usage."""

from __future__ import annotations

from typing import ClassVar

import click

from histio.cli.exit_codes import ExitCode


class UsageError(click.ClickException):
    """Arguments that cannot be used; unlike errors of click, printed without the syntax of the command."""

    exit_code: ClassVar[int] = ExitCode.USAGE
