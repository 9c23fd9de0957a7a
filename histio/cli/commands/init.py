"""``histio init``: the tables of a history."""

from __future__ import annotations

from typing import Any

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history
from histio.cli.options import database_options, json_option
from histio.cli.printing import print_json, print_line, print_wrapped, safe


@click.command()
@database_options
@json_option
def init(url: str | None, history_name: str | None, *, as_json: bool) -> int:
    """Make the tables of a history in a database.

    Those that exist are left as they are. SQLite makes the file too.

    \b
    Examples:
      histio init --url sqlite:///branch.db
    """
    from sqlalchemy import inspect

    with (
        open_history(url, history_name, may_create=True) as history,
        history._database.writing(None) as (connection, _, commit),
    ):
        tables = [table for kind in history._format.kinds for table in kind.table.all()]
        mapped: list[Any] = [each for table in tables for mapper in table.mappers() for each in mapper.tables]
        metadata = list(dict.fromkeys(each.metadata for each in mapped))
        before = set(inspect(connection).get_table_names())
        for each in metadata:
            each.create_all(connection)
        commit()
        names = [table.name for each in metadata for table in each.sorted_tables]
    made = [name for name in names if name not in before]
    if as_json:
        print_json({"created": made, "existing": [name for name in names if name in before]})
    elif made:
        print_wrapped(f"Made {len(made)} tables: {', '.join(map(safe, made))}.")
    else:
        print_line("All tables exist already.")
    return ExitCode.DONE
