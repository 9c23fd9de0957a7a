"""The full path of exports: marshmallow dumps the objects that SQLAlchemy loads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from histio.exporting.dump import Page, dump_page, select_runs
from histio.exporting.identities import refuse_misspelled
from histio.exporting.ordered import OrderedRuns
from histio.exporting.page_size import page_size
from histio.exporting.tally import ExportTally
from histio.exporting.unreadable import altered_values, refuse_unreadable


def full_pages(runs: OrderedRuns, tally: ExportTally, *further: Any) -> Iterator[Page]:
    """Pages of the *runs* that meet the *further* conditions; *tally* collects problems and warnings."""
    connection, kind = runs.connection, runs.kind
    with runs.neutral_savepoint():
        spelled = refuse_misspelled(connection, kind, runs.conditions(*further), tally)
        readable = refuse_unreadable(connection, kind, runs.conditions(*further, *spelled), tally)
    statement = runs.select(select_runs(kind), *further, *spelled, *readable)
    following, more = statement, True
    while more:
        with runs.neutral_savepoint():
            size, more = page_size(connection, kind, following)
            if not size:
                return
            page = dump_page(connection, kind, runs.identity, following.limit(size), size)
        tally.refuse(page.problems)
        tally.skipped += page.skipped
        yield _tell_altered(runs, page, tally) if page.identities else page
        if page.last is None:
            return
        following = statement.where(runs.after(page.last))


def _tell_altered(runs: OrderedRuns, page: Page, tally: ExportTally) -> Page:
    """Add a warning for each value of the *page* that SQLAlchemy reads as another value.

    If the export is exact, it is a problem instead, and the result lacks the runs with such values.
    """
    connection, kind = runs.connection, runs.kind
    exported = kind.identity.sql(kind.table.mapper.class_, apart=True).among(page.identities)
    with runs.neutral_savepoint():
        altered = list(altered_values(connection, kind, [exported]))
    if not tally.exact:
        tally.warn(kind, len(altered), altered)
        return page
    tally.refuse(value.problem(kind, "error", "precision") for value in altered)
    refused = {value.run for value in altered}
    tally.skipped += len(refused)
    kept = [record for record in page.records if kind.identity.format_record(record) not in refused]
    return replace(page, records=kept)
