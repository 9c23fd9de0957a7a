"""List the rows that the runs of a file refer to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from marshmallow import ValidationError
from sqlalchemy.engine.default import DefaultDialect

from histio.bound import Bound
from histio.files import FilePath, GiB, Limits, MiB, check_damage, open_source, reading
from histio.files.raw_runs import RawRun
from histio.history import History
from histio.importing.dependencies import Dependencies
from histio.importing.destination import find_noted, note_keys
from histio.importing.execute import open_look_ups
from histio.importing.look_ups import LookUps
from histio.importing.parse import Reader
from histio.importing.spool import Spool
from histio.inspecting.records import read_records
from histio.inspecting.slug_counts import ReferringMember, SlugCounts, slug_text
from histio.kinds.table import Table
from histio.resolving.resolve import MemberFault, slugs_in
from histio.wire import faults_in

_PAGE = 500


@dataclass(frozen=True, slots=True)
class ReferencedRow:
    """A row that the runs of a file refer to.

    Attributes:
        member: The member that refers to it, such as ``recipe_slug``.
        model: The name of the row's model.
        slug: Its slug; a key of several columns as JSON.
        uses: The number of records that refer to it by this member.
        required: Whether runs that refer to it are rejected if it does not exist; otherwise they are imported
            with a warning.
        found: Whether the database has exactly one such row; None: no database was searched.
        message: Why it was not found; None: it was, or no database was searched.
        hint: Slugs that may have been meant; None: none is similar, the file has the row, or very many rows
            are missing.
        carried: Whether the catalog of the file has the row.
    """

    member: str
    model: str
    slug: str
    uses: int
    required: bool
    found: bool | None = None
    message: str | None = None
    hint: str | None = None
    carried: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The row as a plain dict, ready for JSON."""
        return asdict(self)


def references(
    path: FilePath,
    /,
    *,
    history: History | None = None,
    max_bytes: int = 64 * GiB,
    max_line_bytes: int = 128 * MiB,
    max_depth: int = 64,
) -> Iterator[ReferencedRow]:
    """List the rows that the runs of a file refer to, and whether they exist, in constant memory.

    The rows come by member, those with most uses first. References to other runs and those of catalog rows
    are left out, and so is a slug that an import ignores because another member of its record refers to the
    row already.

    Args:
        path: A path, a URL (with ``histio[urls]``), an open binary file, or ``-`` for standard input. It may
            lead to a folder with an export in parts.
        history: Defines what the file may contain; its database, if it has one, is searched for the rows.
            None: the bundled kinds, without a database.
        max_bytes: The maximum size of the uncompressed file, in bytes.
        max_line_bytes: The maximum size of a run in bytes; a longer line of a stream is ignored.
        max_depth: The maximum depth of nested objects and lists in a run; a deeper line is ignored.

    Raises:
        DocumentError: The file is not a history, or is damaged.
        OSError: The file cannot be read.
        ValueError: A limit is not a positive integer.
    """
    bound = (history or History()).bound
    limits = Limits(max_bytes, max_line_bytes, max_depth)
    source = open_source(path, max_bytes=max_bytes)
    with (
        reading(source, bound.gate, bound.all_kinds, limits) as file,
        SlugCounts(bound) as slugs,
        Spool() as spool,
    ):
        carried = _CarriedRows(bound, file.version, spool)
        for raw, record in filter(None, read_records(file, bound)):
            if raw.kind in file.catalog:
                carried.add(raw)
            else:
                slugs.add(raw, record)
        check_damage(file)
        if bound.has_database:
            with open_look_ups(bound, version=file.version) as look_ups:
                yield from _find_rows(slugs, look_ups, carried)
        else:
            yield from _find_rows(slugs, None, carried)


class _CarriedRows:
    """The rows in the catalog of a file, by the keys by which runs may refer to them."""

    def __init__(self, bound: Bound, version: str, spool: Spool) -> None:
        self._reader = Reader(bound, version, {})
        self._dependencies = Dependencies(bound.catalog, DefaultDialect(), bound.kinds)
        self._spool = spool

    def add(self, raw: RawRun) -> None:
        """Add a row; one that is invalid is left out."""
        row = self._reader.read(raw)
        if not row.problems:
            note_keys(self._spool, self._dependencies, row)

    def has(self, table: Table, record: dict[str, Any]) -> bool:
        """Whether there is a row that a loaded *record* of *table* refers to."""
        return any(find_noted(self._spool, *slug) is not None for slug in slugs_in(table, [record]))


def _find_rows(slugs: SlugCounts, look_ups: LookUps | None, carried: _CarriedRows) -> Iterator[ReferencedRow]:
    for member in slugs.members:
        uses = slugs.uses(member)
        while page := list(islice(uses, _PAGE)):
            yield from _find_page(member, page, look_ups, carried)


def _find_page(
    member: ReferringMember, page: list[tuple[Any, int]], look_ups: LookUps | None, carried: _CarriedRows
) -> Iterator[ReferencedRow]:
    """The rows for a *page* of values of *member*, each with the number of its uses."""
    malformed: dict[int, str] = {}
    records: dict[int, dict[str, Any]] = {}
    for place, (value, _) in enumerate(page):
        try:
            records[place] = member.load(value)
        except ValidationError as error:
            malformed[place] = next(str(fault) for _, fault in faults_in(error.messages))
    faults: dict[int, list[MemberFault]] = {}
    if look_ups is not None:
        checked = look_ups.check_references(member.table, list(records.values()))
        faults = dict(zip(records, checked, strict=True))
    for place, (value, uses) in enumerate(page):
        fault = next((each for each in faults.get(place, ()) if each.member == member.member), None)
        message = malformed.get(place) or (None if fault is None else str(fault.fault))
        is_carried = place in records and carried.has(member.table, records[place])
        yield ReferencedRow(
            member.name,
            member.model.__name__,
            slug_text(value),
            uses,
            member.required,
            found=None if look_ups is None else message is None,
            message=message,
            hint=None if fault is None or is_carried else fault.hint,
            carried=is_carried,
        )
