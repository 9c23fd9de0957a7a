"""``histio schema``: print the JSON Schema of documents."""

from __future__ import annotations

import json
from typing import Any

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.history import open_any_history
from histio.cli.options import history_option
from histio.cli.usage import UsageError

FILE_MATCH = ["*.histio.json"]
"""The names of documents that editors recognize; compressed files and streams are not for editors."""


@click.command()
@history_option
@click.option("--openapi", is_flag=True, help="Print an OpenAPI 3.1 document with the schema as components.")
@click.option("--editor", is_flag=True, help="Print settings for VS Code, and an entry for SchemaStore.")
@click.option(
    "--command", metavar="COMMAND", help="Print the schema of what this command prints with --json."
)
def schema(history_name: str | None, *, openapi: bool, editor: bool, command: str | None) -> int:
    """Print the JSON Schema of documents, or of command output.

    Prints the published schema (draft 2020-12) or, with --history, the schema of your own format. Validators
    in any language accept what histio accepts. To validate a line of a stream, use #/$defs/stream_line.

    With --openapi, each definition is a component of an OpenAPI document, and the schema of documents is the
    component History.

    With --editor, prints what editors need to complete and check documents named *.histio.json: the member
    "json.schemas" is for the settings of VS Code, the member "schemastore" is an entry of a SchemaStore
    catalog. Both name the file of the published schema.

    With --command COMMAND, prints the schema of the JSON object that this command prints with --json. For the
    lines of --jsonl, use #/$defs/COMMAND_line.

    \b
    Examples:
      histio schema > history-1.0.schema.json
      histio schema --openapi > openapi.json
      histio schema --editor
      histio schema --command check
    """
    if command is not None:
        if openapi or editor or history_name:
            raise UsageError("--command cannot be combined with other options.")
        click.echo(json.dumps(_of_output(command), indent=2))
        return ExitCode.DONE
    if openapi and editor:
        raise UsageError("--openapi cannot be combined with --editor.")
    if editor and history_name is not None:
        raise UsageError(
            "--editor names the file of the published schema. Write your own schema to a file: "
            f"histio schema --history {history_name} > history.schema.json"
        )
    with open_any_history(None, history_name) as history:
        printed = _for_editors() if editor else history.json_schema(openapi=openapi)
        click.echo(json.dumps(printed, indent=2))
    return ExitCode.DONE


def _of_output(command: str) -> dict[str, Any]:
    """The schema of what a *command* prints: the published one, with its definition as the root."""
    from histio.cli.outputs import OUTPUTS
    from histio.kinds.json_schema import find_schema_file

    if command not in OUTPUTS:
        raise UsageError(f"--command: write one of {', '.join(OUTPUTS)}, not {command!r}.")
    schema: dict[str, Any] = json.loads(find_schema_file("output-1.0.schema.json").read_text("utf-8"))
    own = {"$id": f"{schema['$id']}:{command}", "$ref": f"#/$defs/{command}"}
    return {"$schema": schema.pop("$schema"), **own, "$defs": schema["$defs"]}


def _for_editors() -> dict[str, Any]:
    from histio.kinds.json_schema import published, published_file

    match = {"fileMatch": FILE_MATCH, "url": published_file().as_uri()}
    described = {"name": "histio history", "description": published()["description"]}
    return {"json.schemas": [match], "schemastore": described | match}
