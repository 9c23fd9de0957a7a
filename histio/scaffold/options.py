"""Choose the options of ``Meta`` that name, identify and order runs and ledger entries."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from histio.kinds.bind import RESERVED_KINDS
from histio.kinds.fields import UtcTimestamp
from histio.kinds.fields.times import Date
from histio.kinds.keys import is_surrogate_key, is_unique, natural_keys
from histio.scaffold.keys import COUNTER, UUID_NAMES, is_unique_key, key_column, plain_uuid, way_of
from histio.scaffold.outline import Line, Plan, quoted

_LATE_NAMES = re.compile("update|modif|change|delete|expire|end|finish|complete|heartbeat|last")


def add_kind_options(plan: Plan, identity: tuple[str, ...]) -> None:
    """Add what names, orders and identifies the records of a kind of run or a catalog kind."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plan.model.__name__).lower().strip("_")
    is_run = plan.base == "RunSchema"
    kind = f"{name}_{'run' if is_run else 'row'}" if name in RESERVED_KINDS else name
    hisses = kind.endswith(("s", "x", "z", "ch", "sh"))
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if hisses else f"{kind}s"
    plan.meta += [("kind", f'"{kind}"', ""), ("collection", f'"{plural}"', "")]
    if is_run:
        plan.meta.append(("timestamp", *_timestamp(plan)))
    own = [line for line in plan.lines if line.name == identity[0]]
    if len(identity) > 1 or not (own and own[0].source.startswith("RunUUID") and own[0].name == "uuid"):
        members = [_member_of(plan, path) for path in identity]
        plan.meta.append(("identity", quoted(members), _identity_comment(plan, identity)))


def _identity_comment(plan: Plan, identity: tuple[str, ...]) -> str:
    """What is wrong with an *identity*; empty: nothing."""
    columns = [key_column(plan.mapper, path) for path in identity if "." not in path]
    record = "run" if plan.base == "RunSchema" else "row"
    if any(column.nullable for column in columns):
        return f"takes nulls: a {record} without it cannot be exported"
    if any(is_surrogate_key(column) for column in columns):
        return f"{COUNTER}{_hint(plan)}"
    if plan.base == "CatalogSchema" and not is_unique_key(plan.mapper, identity):
        return "not unique in the database"
    return ""


def _hint(plan: Plan) -> str:
    """A suggestion for the identity of a run that the database does not declare; empty: none."""
    owners = [line.name for line in plan.lines if line.source.startswith(("Slug(", "RunRef("))]
    natural = [line.name for line in plan.lines if line.name in natural_keys(plan.mapper)]
    return f'; perhaps ("{owners[0]}", "{natural[0]}")' if owners and natural else ""


def _member_of(plan: Plan, path: str) -> str:
    """The member for *path*: a field, or a reference if *path* follows a relationship or foreign key."""
    way, dot, _ = path.partition(".")
    if not dot:
        way = way_of(plan.mapper, plan.mapper.column_attrs[path]) or path
    return next((line.name for line in plan.lines if f'("{way}", key=' in line.source), path)


def _timestamp(plan: Plan) -> tuple[str, str]:
    """The member that orders runs, as source, with a comment on others.

    It is not nullable, because a run without it cannot be exported. Times of late events, such as updates,
    come last.
    """
    kinds = (UtcTimestamp.__name__, Date.__name__)
    found = [line for line in plan.lines if line.source.partition("(")[0] in kinds]
    found.sort(key=lambda line: bool(_LATE_NAMES.search(line.name)))
    not_null = [line.name for line in found if "allow_none" not in line.source]
    nullable = [line.name for line in found if "allow_none" in line.source]
    others = [f"or {', '.join(not_null[1:])}"] if not_null[1:] else []
    others += [f"or {', '.join(nullable)}, if no row lacks it"] if nullable else []
    return f'"{not_null[0]}"' if not_null else "None", "; ".join(others)


def add_entry_options(plan: Plan) -> None:
    """Add the identity of ledger entries, and their order if they have no surrogate key."""
    _add_entry_identity(plan)
    key_columns: list[Any] = [column for column in plan.mapper.primary_key if column not in plan.owner]
    if len(key_columns) == 1 and is_surrogate_key(key_columns[0]):
        return
    keys = [plan.mapper.get_property_by_column(column).key for column in key_columns]
    members = [line.name for line in plan.lines if not line.source.startswith(("Nested", "SlugList"))]
    members = [key for key in keys if key in members] or members[:1]
    if members:
        plan.meta.append(("order", quoted(members), "what orders the entries"))


def _add_entry_identity(plan: Plan) -> None:
    """Add the UUID that identifies an entry. If none is unique, UUIDs become plain values."""
    uuids = {line.name: line for line in plan.lines if line.source.startswith("RunUUID(")}
    columns = {name: key_column(plan.mapper, name) for name in uuids if "required" in uuids[name].source}
    keys = [name for name, column in columns.items() if column.primary_key]
    unique = [name for name in (*keys, *columns) if is_unique(columns[name], *plan.owner)]
    identities = [*unique, *(name for name in columns if name in UUID_NAMES)]
    if not identities:
        _make_plain(plan, uuids, columns)
    elif len(uuids) > 1:
        plan.meta.append(("identity", quoted(identities[:1]), ""))


def _make_plain(plan: Plan, uuids: Mapping[str, Line], required: Collection[str]) -> None:
    """Make *uuids* plain values, because several entries may have the same."""
    for name, line in uuids.items():
        kind = plain_uuid(key_column(plan.mapper, name))
        if kind is not None:
            line.source = line.source.replace("RunUUID", kind)
    left = [name for name, line in uuids.items() if line.source.startswith("RunUUID(")]
    identities = [name for name in left if name in required][:1]
    if identities:
        plan.meta.append(("identity", quoted(identities), "not unique in the database"))
    else:
        plan.lines = [line for line in plan.lines if line.name not in left]
        plan.excluded |= dict.fromkeys(left, "RunUUID would identify entries by it, and it may be missing")
