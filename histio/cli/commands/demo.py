"""``histio demo``: a demonstration."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.printing import print_line


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
def demo(folder: Path | None) -> int:
    """Show it all: a bakery's year moves to another database.

    FOLDER gets the databases and the files; none of them may exist there. Without it, they are made in a
    temporary folder that is gone afterwards.

    \b
    Examples:
      histio demo
      histio demo bakery
    """
    from histio.demo import run as demonstration

    with ExitStack() as stack:
        at = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="histio-")))
        for name in demonstration.FILES:
            if os.path.lexists(at / name):
                raise click.UsageError(f"{at / name} exists and will not be overwritten.")
        try:
            at.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=at).close()
        except OSError as error:
            raise click.UsageError(f"{at} cannot be used as a folder: {error.strerror}.") from error
        whole = demonstration.run(at)
    if folder is None:
        print_line("The files were in a temporary folder that is gone; histio demo FOLDER keeps:")
    else:
        print_line(f"The files are in {folder}:")
    print_line(f"  {', '.join(demonstration.FILES)}")
    return ExitCode.DONE if whole else ExitCode.BAD
