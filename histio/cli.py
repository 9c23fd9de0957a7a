"""The command line: a demonstration, and the published schema."""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from histio import demo
from histio.contract import VERSION, published

_OK = 0
_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments after the program's name; None: those of the process.

    Returns:
        The exit code: 0, or 2 where what was asked for makes no sense.
    """
    # What a terminal cannot show must not end a command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command == "demo":
        return _demo(options.directory)
    if options.command == "schema":
        sys.stdout.write(json.dumps(published(), indent=2) + "\n")
    else:
        parser.print_help()
    return _OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="histio",
        description="Move an application's history between databases as portable, checked JSON.",
    )
    parser.add_argument("--version", action="version", version=f"histio {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    help_text = "move a bakery's year between two SQLite databases, and show how"
    command = commands.add_parser("demo", help=help_text, description=f"{help_text.capitalize()}.")
    command.add_argument(
        "directory",
        metavar="DIR",
        nargs="?",
        type=Path,
        help=f"folder for {', '.join(demo.FILES)}, none of which may exist (default: a temporary folder)",
    )
    help_text = f"print the published JSON Schema of format {VERSION}"
    commands.add_parser("schema", help=help_text, description=f"{help_text.capitalize()}.")
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("histio")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _demo(directory: Path | None) -> int:
    with ExitStack() as stack:
        folder = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="histio-")))
        try:
            demo.prepare(folder)
        except OSError as error:
            sys.stderr.write(f"histio demo: {error}\n")
            return _USAGE
        demo.run(folder)
    names = ", ".join(demo.FILES)
    if directory is None:
        sys.stdout.write(f"The files were in a temporary folder that is gone; histio demo DIR keeps them:\n")
    else:
        sys.stdout.write(f"The files are in {directory}:\n")
    sys.stdout.write(f"  {names}\n")
    return _OK
