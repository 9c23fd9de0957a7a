"""``histio explain``: show which columns are in the format."""

from __future__ import annotations

from dataclasses import asdict

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import database_options, json_option
from histio.cli.outputs import ExplainedAttribute, ExplainedTable, ExplainOutput
from histio.cli.printing import print_json


@click.command()
@database_options
@json_option
def explain(url: str | None, history_name: str | None, *, as_json: bool) -> int:
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
        if as_json:
            print_json(asdict(_explain(history)))
        else:
            click.echo(history.explain())
    return ExitCode.DONE


def _explain(history: histio.History) -> ExplainOutput:
    from histio.importing.explain import list_notes
    from histio.kinds.accounting import accounts

    tables = (
        ExplainedTable(
            ".".join(account.path),
            account.table.mapper.class_.__name__,
            tuple(ExplainedAttribute(item.name, item.status, item.why) for item in account.items),
        )
        for account in accounts(history.bound.all_kinds, values=history.bound.values)
    )
    return ExplainOutput(tuple(tables), tuple(list_notes(history.bound, None)))
