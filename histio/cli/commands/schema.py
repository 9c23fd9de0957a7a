"""``histio schema``: the JSON Schema of documents."""

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

    That is the published one (draft 2020-12), or that of a History. Any validator in any language gives the
    verdict of histio with it. Its definition stream_line is for one line of a stream.

    \b
    Examples:
      histio schema > history-1.0.schema.json
    """
    with open_any_history(None, history_name) as history:
        click.echo(json.dumps(history.json_schema(), indent=2))
    return ExitCode.DONE
