"""Identities that come twice: in one run, in several runs of a file, or in a file and the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from histio.importing.identities import Identities
from histio.importing.run import Run
from histio.importing.spool import Spool
from histio.kinds.identity import Identity
from histio.kinds.table import Table
from histio.report import Code, Fault


def duplicate(table: Table, identity: Any) -> str:
    """The message for an *identity* of *table* that exists already."""
    own = _identity(table)
    return f"Duplicate {own.title}: {own.format(identity)}"


def _identity(table: Table) -> Identity:
    assert table.identity is not None  # noqa: S101 - only what has one can come twice
    return table.identity


def shared_identities(run: Run) -> set[tuple[Table, Any]]:
    """The identities of *run* and of its entries that are unique in their tables, each with its table."""
    return {(table, identity) for table, identity, _ in run.identities() if table.is_shared}


def written_here(
    identities: Identities, spool: Spool, runs: Iterable[Run], entries: Collection[tuple[Table, Any]]
) -> set[tuple[Table, Any]]:
    """Those stored *entries* of *runs* that belong to other runs which the same import has written.

    Args:
        identities: Looks up to which runs they belong.
        spool: Knows which runs the import has written.
        runs: The runs in whose document the entries are.
        entries: Table and identity of each.
    """
    found = set()
    for kind, table in {(run.kind, table) for run in runs for table, _, _ in run.entries()}:
        stored = [identity for other, identity in entries if other is table]
        owners = identities.find_owners(kind, table, stored) if stored else {}
        for identity, owner in owners.items():
            if spool.place(kind.name, kind.format_identity(owner)) is not None:
                found.add((table, identity))
    return found


def note_entries(
    run: Run,
    known: Collection[tuple[Table, Any]] = (),
    written: Collection[tuple[Table, Any]] = (),
) -> None:
    """Note the ledger entries of a *run* that come twice in it, or exist under another run.

    Args:
        run: The run.
        known: Table and identity of entries that exist under other runs.
        written: Those of *known* that came with the same document.
    """
    seen = set()
    for table, identity, steps in run.entries():
        code: Code = "duplicate-in-document"
        if (table, identity) in known:
            text = f"{duplicate(table, identity)}, an entry of another run"
            code = code if (table, identity) in written else "duplicate"
        elif (table, identity, where := () if table.is_shared else steps[:-2]) in seen:
            text = f"{duplicate(table, identity)}, twice in its run"
        else:
            seen.add((table, identity, where))
            continue
        run.note(Fault(text, code), *steps, *_identity(table).steps)


def note_repeated(run: Run, seen: Spool) -> None:
    """Note the identities of *run* that earlier runs of the file have; if there are none, remember its own.

    A run that comes again would be skipped, so its entries are not compared.
    """
    new: dict[str, list[tuple[str, str]]] = {}
    for table, identity, steps in run.identities():
        if steps and not table.is_shared:
            continue
        scope, key = f"identities of {table.rows.fullname}", _key(table, identity)
        first = seen.place(scope, key)
        if first is None:
            new.setdefault(scope, []).append((key, run.place))
            continue
        fault = Fault(f"{duplicate(table, identity)}, first in {first}", "duplicate-in-document")
        run.note(fault, *steps, *_identity(table).steps, warning=not steps)
        if not steps:
            return
    for scope, keys in new.items() if not run.problems else ():
        seen.note(scope, keys)


def _key(table: Table, identity: Any) -> str:
    """An *identity* as text, equal for equal identities: UUIDs are always loaded in one form."""
    own = _identity(table)
    return ascii(identity if own.is_uuid else own.to_json(identity))
