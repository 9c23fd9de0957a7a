"""``histio demo``: a bakery's year of runs moves to another database."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.printing import format_size, print_line, show_file
from histio.cli.process import interruptible
from histio.cli.usage import UsageError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
def demo(folder: Path | None) -> int:
    """Try histio: move a bakery's year to another database.

    Writes databases and files into FOLDER, and overwrites none. Without FOLDER, they are written to a
    temporary folder and removed at the end.

    \b
    Examples:
      histio demo
      histio demo bakery
    """
    from histio.demo import run as demonstration

    with ExitStack() as stack:
        target = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="histio-")))
        _prepare(target, demonstration.FILES)
        with interruptible():
            identical = demonstration.run(target)
        sizes = [f"{name} {format_size((target / name).stat().st_size)}" for name in demonstration.FILES]
    if folder is None:
        print_line("The temporary folder was removed. To keep these files, run histio demo FOLDER:")
    else:
        print_line(f"The files are in {show_file(str(folder))}:")
    print_line(f"  {', '.join(sizes)}")
    if folder is not None:
        print_line(f"To look into one: histio inspect {show_file(str(folder / 'history.json'))}")
    return ExitCode.DONE if identical else ExitCode.BAD


def _prepare(folder: Path, files: Iterable[str]) -> None:
    """Create the *folder*; a usage error if it has one of the *files*, or cannot be written to."""
    for name in files:
        if os.path.lexists(folder / name):
            raise UsageError(f"{show_file(str(folder / name))} exists and will not be overwritten.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"{show_file(str(folder))} cannot be used as a folder: {error.strerror}.") from error
