"""``histio init``: create the tables of a history."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

import histio
from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_history
from histio.cli.options import database_options, json_option
from histio.cli.outputs import InitOutput
from histio.cli.printing import escape, pluralize, print_json, print_line, print_wrapped, report_unprintable
from histio.cli.process import make_final


@click.command()
@database_options
@json_option
def init(url: str | None, history_name: str | None, *, as_json: bool) -> int:
    """Create the tables of a history in a database.

    Existing tables are left alone. For SQLite, the database file is created too.

    \b
    Examples:
      histio init --url sqlite:///branch.db
    """
    with open_history(url, history_name, may_create=True) as history:
        created, existing = _create_tables(history)
    with report_unprintable("The tables exist"):
        if as_json:
            print_json(asdict(InitOutput(created, existing)))
        elif created:
            print_wrapped(f"Created {pluralize(len(created), 'table')}: {', '.join(map(escape, created))}.")
        else:
            print_line("All tables exist already.")
    return ExitCode.DONE


def _create_tables(history: histio.History) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Create all tables of the models' metadata; return the names of new and of existing tables."""
    from sqlalchemy import inspect

    with history.bound.database.writing(None) as (connection, _, commit):
        tables = [table for kind in history.bound.kinds for table in kind.table.all()]
        mapped: list[Any] = [each for table in tables for mapper in table.mappers() for each in mapper.tables]
        all_metadata = list(dict.fromkeys(table.metadata for table in mapped))
        before = set(inspect(connection).get_table_names())
        for metadata in all_metadata:
            metadata.create_all(connection)
        make_final()
        commit()
    names = [table.name for metadata in all_metadata for table in metadata.sorted_tables]
    created = tuple(name for name in names if name not in before)
    return created, tuple(name for name in names if name in before)
