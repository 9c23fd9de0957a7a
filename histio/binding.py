"""Bind the schemas of kinds of run to a database."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from histio.bound import Bound, Constants
from histio.database.connect import Bind, Database
from histio.errors import BindingError
from histio.importing.model_behavior import customized_tables
from histio.importing.row_builder import check_values
from histio.importing.run_order import sort_kinds
from histio.kinds.accounting import check_accounts
from histio.kinds.bind import kind_of
from histio.kinds.catalog import check_catalog
from histio.kinds.gate import Gate
from histio.kinds.json_schema import VERSION, published_or_derived
from histio.kinds.table import Kind
from histio.kinds.versions import Upgrades, Versions
from histio.records import CatalogSchema, RecordSchema, RunSchema
from histio.schemas import BUNDLED, BUNDLED_CATALOG
from histio.wire import quote


def bind_kinds(
    bind: Bind,
    kinds: Sequence[type[RunSchema]],
    *,
    catalog: Sequence[type[CatalogSchema]] | None,
    version: str | None,
    upgrades: Upgrades | None,
    values: Constants | None,
    location: str | None = None,
) -> Bound:
    """Check the arguments of a `History`, and return what it consists of.

    Raises:
        BindingError: A schema does not fit its model, *bind* is not a database, or an option is wrong.
    """
    rows, runs, schemas = _sort_schemas(kinds or BUNDLED, catalog)
    every = (*rows, *runs)
    constants = dict(values or {})
    versions = Versions(version or VERSION, upgrades or {}, kinds=names_of(runs), catalog=names_of(rows))
    check_values(constants, every)
    rules = published_or_derived(
        tuple(schemas[kind] for kind in runs), tuple(schemas[kind] for kind in rows), versions.current
    )
    gate = Gate(rules, older=versions.upgrades, has_json=any(kind.has_json for kind in every))
    acting = customized_tables(every)
    check_catalog(rows, runs, values=constants, acting=acting)
    check_accounts(every, values=constants, acting=acting)
    return Bound(runs, gate, versions, Database(bind, every), constants, rows, location=location)


def names_of(kinds: Iterable[Kind]) -> tuple[str, ...]:
    """The names of *kinds*, in their order."""
    return tuple(kind.name for kind in kinds)


def _sort_schemas(
    runs: Sequence[Any], catalog: Sequence[Any] | None
) -> tuple[tuple[Kind, ...], tuple[Kind, ...], Mapping[Kind, type[RecordSchema]]]:
    """Sort the kinds of run and the catalog kinds into the order in which they can be imported.

    Args:
        runs: The schemas of the kinds of run.
        catalog: The schemas of the catalog kinds; None: the bundled ones if *runs* are the bundled ones,
            otherwise none.

    Returns:
        The catalog kinds, the kinds of run, and the schema of each of them.

    Raises:
        BindingError: A schema has another base class, or two have the same kind or collection.
    """
    for base, schemas in ((RunSchema, runs), (CatalogSchema, catalog or ())):
        for schema in schemas:
            if not (inspect.isclass(schema) and issubclass(schema, base)):
                what = "a kind" if base is RunSchema else "catalog: a kind"
                raise BindingError(f"{what} is a subclass of {base.__name__}, not {quote(schema)}")
    if catalog is None:
        catalog = BUNDLED_CATALOG if set(runs) == set(BUNDLED) else ()
    by_kind = {kind_of(schema): schema for schema in (*catalog, *runs)}
    sorted_kinds = sort_kinds(list(by_kind))
    if min(len(set(names_of(by_kind))), len({kind.collection for kind in by_kind})) < len(runs) + len(
        catalog
    ):
        names = ", ".join(f"{kind.name} in {kind.collection}" for kind in sorted_kinds)
        raise BindingError(f"two schemas have the same kind or collection: {names}")
    rows = tuple(kind for kind in sorted_kinds if kind.is_catalog)
    others = tuple(kind for kind in sorted_kinds if not kind.is_catalog)
    return rows, others, by_kind
