"""Let people edit a text in their editor."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click

from histio.cli.printing import escape, print_line


def edit_text(text: str, *, name: str) -> str | None:
    """Open *text* in ``$VISUAL`` or ``$EDITOR``, and return what was saved, even if the editor fails then.

    Args:
        text: The text.
        name: The name of the file that the editor opens.

    Returns:
        The text that was saved; None: there is none that can be read. What cannot be read stays in its file.

    Raises:
        KeyboardInterrupt: The process was interrupted; then the file stays.
    """
    folder = Path(tempfile.mkdtemp(prefix="histio-"))  # which nobody else can read
    file = folder / name
    try:
        file.write_text(text, "utf-8")
        try:
            click.edit(filename=str(file))
        except (click.ClickException, ValueError) as error:  # ValueError: the variable has an unclosed quote
            reason = error.message if isinstance(error, click.ClickException) else str(error)
            print_line(f"{escape(reason)}. The variable EDITOR names the editor to use.", err=True)
        saved = _read(file)
    except KeyboardInterrupt:
        print_line(f"\nThe text that you were editing is in {escape(file)}", err=True)
        raise
    if saved is not None or not file.exists():
        shutil.rmtree(folder, ignore_errors=True)
    return saved


def _read(file: Path) -> str | None:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        print_line(f"The edited text in {escape(file)} cannot be read: {escape(error)}", err=True)
        return None
