"""``histio explain``: show which columns are in the format."""

from __future__ import annotations

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import database_options


@click.command()
@database_options
def explain(url: str | None, history_name: str | None) -> int:
    """Show which columns of the models are in the format.

    Lists, for each table, the columns and relationships that are in the format, excluded, filled by the
    import, or not moved, such as row ids. With a database, also shows which kinds take the fast path,
    why others do not, and which indexes are missing.

    \b
    Examples:
      histio explain
      histio explain --url sqlite:///bakery.db
    """
    with open_any_history(url, history_name, use_environment=True) as history:
        click.echo(history.explain())
    return ExitCode.DONE
