"""``histio schema``: print the JSON Schema of documents."""

from __future__ import annotations

import json

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import history_option


@click.command()
@history_option
def schema(history_name: str | None) -> int:
    """Print the JSON Schema of documents.

    Prints the published schema (draft 2020-12) or, with --history, the schema of your own format. Validators
    in any language accept what histio accepts. To validate a line of a stream, use #/$defs/stream_line.

    \b
    Examples:
      histio schema > history-1.0.schema.json
    """
    with open_any_history(None, history_name) as history:
        click.echo(json.dumps(history.json_schema(), indent=2))
    return ExitCode.DONE
