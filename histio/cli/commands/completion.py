"""``histio completion``: completion of commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from histio.cli.exit_codes import ExitCode


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print a script for completion of commands in SHELL.

    \b
    Examples:
      histio completion bash > ~/.local/share/bash-completion/completions/histio
    """
    completion_class = get_completion_class(shell)
    assert completion_class is not None  # noqa: S101 - click has a class for each choice
    script = completion_class(context.find_root().command, {}, "histio", "_HISTIO_COMPLETE").source()
    click.echo(script)
    return ExitCode.DONE
