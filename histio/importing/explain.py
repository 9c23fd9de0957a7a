"""Explain how the columns of a history are accounted for, and which path its runs take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from histio.bound import Bound
from histio.database.connect import BorrowedSession
from histio.database.sessions import Habits
from histio.exporting.fast.formatter import RowFormatter
from histio.exporting.fast.obstacles import own_hooks
from histio.importing.execute import open_look_ups
from histio.importing.fast.writers import Writer
from histio.importing.model_behavior import Need, find_creation
from histio.kinds.account import describe_accounts
from histio.kinds.accounting import accounts
from histio.kinds.catalog import unmoved_models, unreferenced
from histio.kinds.table import Kind


def explain(bound: Bound, session: BorrowedSession | None) -> str:
    """The text of `History.explain`."""
    described = describe_accounts(accounts(bound.all_kinds, values=bound.values))
    return "\n".join([*described, *list_notes(bound, session)])


def list_notes(bound: Bound, session: BorrowedSession | None) -> list[str]:
    """The lines of `History.explain` after those of the tables."""
    kinds = bound.all_kinds
    lines = [*_explain_catalog(bound), *explain_slow_imports(kinds)]
    lines += [line for kind in kinds for line in _explain_hooks(kind)]
    lines += [line for kind in kinds for line in _explain_references(kind, kinds)]
    if session is not None or bound.has_database:
        for some in filter(None, (bound.catalog, bound.kinds)):  # as an import writes them
            with open_look_ups(bound.only(some), session) as look_ups:
                for kind in some:
                    lines += _explain_path(f"{kind.name}, export", look_ups.export_path(kind))
                    lines += _explain_path(f"{kind.name}, import", look_ups.import_path(kind))
                    lines += look_ups.missing_indexes(kind)
                lines += [f"{problem.kind}: {problem.message}" for problem in look_ups.circle_warnings()]
    return lines


def _explain_catalog(bound: Bound) -> Iterator[str]:
    """Lines on rows that no kind has, and on catalog kinds that nothing refers to."""
    unmoved = unmoved_models(bound.all_kinds)
    if unmoved:
        names = ", ".join(model.__name__ for model in unmoved)
        yield f"rows that do not travel, as no catalog kind has them: {names}"
    for kind in unreferenced(bound.catalog, bound.kinds):
        yield f"{kind.name}: nothing refers to these rows, so only a whole catalog has them"


def explain_slow_imports(kinds: Iterable[Kind]) -> list[str]:
    """A line for each kind whose rows are created as objects, with what this costs, and why it is done."""
    found = {kind.name: find_creation(kind, Habits()) for kind in kinds}
    return [
        f"{name}: {_COSTS[creation.need]}: {'; '.join(creation.reasons)}"
        for name, creation in found.items()
        if creation.reasons
    ]


_IN_BULK = (
    "imports create objects, and write their values in bulk, at about {} of the speed; a rule of the field or"
    " of the database instead would cost nothing"
)
_COSTS = {
    Need.COLUMNS: _IN_BULK.format("a third"),
    Need.OBJECTS: _IN_BULK.format("a quarter"),
    Need.FLUSH: (
        "imports flush objects through the unit of work, at about a tenth of the speed; a default or a"
        " trigger of the database instead would cost nothing"
    ),
}


_HOOKS = {
    "pre_load": "imports copy each record for it, and check what it returns; a conversion of old records is "
    "cheaper as upgrades=",
    "validates": "imports load each record for it; a rule of the field itself is cheaper",
    "validates_schema": "imports load each record for it; audits= warn of broken rules at less cost",
    "post_load": "imports load each record for it; a default or a computed column is cheaper",
}


def _explain_hooks(kind: Kind) -> Iterator[str]:
    """A line for each hook of schemas that imports call: what it costs, and what would spare it."""
    for table in kind.table.all():
        for tag, (method, *_), _ in own_hooks(table.schema, _HOOKS):
            schema = type(table.schema).__name__
            yield f"{kind.name}: {schema} has the hook {method} ({tag}): {_HOOKS[tag]}"


def _explain_references(kind: Kind, kinds: Iterable[Kind]) -> Iterator[str]:
    """A line if runs of *kind* refer to runs of *kinds*: what it costs, and what would spare it."""
    if any(any(kind.refers_to(other)) for other in kinds if not other.is_catalog):
        yield (
            f"{kind.name}: runs that refer to runs of the same batch, or to later ones, take the full path; "
            "those that refer to earlier batches, or to runs that are stored, do not"
        )


def _explain_path(name: str, path: RowFormatter | Writer | str) -> Iterator[str]:
    """Lines that say that *name* takes the fast path, with its details, or the full path, and why."""
    if isinstance(path, str):
        yield f"{name}: full path, through marshmallow: {path}"
    else:
        yield f"{name}: fast path"
        yield from path.describe()
