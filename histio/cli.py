"""The command line: a demonstration, and the published schema."""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from histio import demo
from histio.contract import VERSION, published

_OK = 0
_FAILED = 1
_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments after the program's name; None: those of the process.

    Returns:
        The exit code: 0; 1 where the demonstration fails or nobody reads on; 2 where what was asked for
        cannot be done.
    """
    # What a terminal cannot show must not end a command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(_parser(), argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return code


def _run(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
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
    text = "Move a bakery's year from one database to another, and show how."
    command = commands.add_parser("demo", help=text, description=text)
    command.add_argument(
        "directory",
        metavar="DIR",
        nargs="?",
        type=Path,
        help=f"folder for {', '.join(demo.FILES)}, none of which may exist (default: a temporary folder)",
    )
    text = f"Print the published JSON Schema of format {VERSION}."
    commands.add_parser("schema", help=text, description=text)
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
            _prepare(folder)
        except OSError as error:
            sys.stderr.write(f"histio demo: {error}\n")
            return _USAGE
        whole = demo.run(folder)
    if directory is None:
        sys.stdout.write("The files were in a temporary folder that is gone; histio demo DIR keeps:\n")
    else:
        sys.stdout.write(f"The files are in {directory}:\n")
    sys.stdout.write(f"  {', '.join(demo.FILES)}\n")
    return _OK if whole else _FAILED


def _prepare(folder: Path) -> None:
    """Make *folder* fit for the demonstration.

    Raises:
        OSError: It cannot be, or has one of the files; nothing was changed.
    """
    for name in demo.FILES:
        if os.path.lexists(folder / name):
            raise FileExistsError(f"{folder / name} exists and will not be overwritten.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"{folder} cannot be used as a folder: {error.strerror}.") from error
