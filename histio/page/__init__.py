"""A history as a page to look at."""

from __future__ import annotations

from histio.files import FilePath, is_same_file, target
from histio.history import History
from histio.page.content import content
from histio.page.gathering import gathered
from histio.page.rendering import engine, rendered
from histio.page.sums import Sums
from histio.report import ImportReport

__all__ = ["report_page"]


def report_page(
    given: FilePath | History,
    out: FilePath,
    /,
    *,
    history: History | None = None,
    imported: ImportReport | None = None,
    overwrite: bool = False,
) -> None:
    """Write one HTML file that shows a history, in constant memory; it needs no other file and loads nothing.

    For every kind it tells how many runs there are and when, each of their numbers over time and by each
    slug, what their ledgers consumed, the charts that the schemas declare (``Meta.charts``), and what breaks
    their rules (``Meta.audits``). Sums are exact. Needs ``histio[report]``.

    Args:
        given: A file, as `History.import_file` takes it, whose runs of wrong form are passed over, which the
            page says; or a history, which stands for its database.
        out: A path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard output. The
            file is there when it is whole.
        history: Tells what a file may hold; None: the bundled kinds.
        imported: The report of an import, whose problems and warnings the page lists; None: no such list.
        overwrite: Whether an existing file is replaced.

    Raises:
        DocumentError: The file is no history, or is damaged.
        ExportError: Rows that the format cannot hold.
        FileExistsError: There is such a file, and *overwrite* was not said.
        ImportError: Jinja2 is not installed.
        OSError: The file cannot be read, or the page not be written.
        ValueError: *out* is the file itself.
    """
    engine()
    if is_same_file(given, out):
        raise ValueError("out: the file itself, which the page would take the place of")
    of = given if isinstance(given, History) else history or History()
    with target(out, compression=None, overwrite=overwrite) as file, Sums() as sums:
        found = gathered(given, of, sums)
        for piece in rendered(content(found, sums, of, imported)):
            file.write(piece)
