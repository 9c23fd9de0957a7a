"""``histio completion``: completion of commands in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from histio.cli.exit_codes import ExitCode


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print a script that makes a SHELL complete commands.

    \b
    Examples:
      histio completion bash > ~/.local/share/bash-completion/completions/histio
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - the choice is click's own
    click.echo(made(context.find_root().command, {}, "histio", "_HISTIO_COMPLETE").source())
    return ExitCode.DONE
