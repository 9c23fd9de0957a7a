"""`Bound`: the kinds of run of a history, their format and their database, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, TypeAlias

from histio.database.connect import Bind, Database
from histio.kinds.gate import Gate
from histio.kinds.remembered import RememberedByDialect
from histio.kinds.table import Kind
from histio.kinds.versions import Versions
from histio.similar import find_similar

Constants: TypeAlias = Mapping[str, Any]
"""By attribute, values of columns that the format leaves out, or functions that return one per import."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The parts of a `History`, which are passed to exports, imports and everything else.

    Attributes:
        kinds: The kinds of run, in the order of their lists in a document.
        gate: Checks documents and records with the JSON Schema of the format.
        versions: The versions of the format that can be read.
        database: Opens connections to the database that holds the runs.
        values: What an import writes to columns that the format leaves out.
        catalog: The kinds of the rows that runs refer to, in the order of their lists in a document.
        referring: Further kinds whose records name rows of the kinds.
        location: Where other processes can import the history, as ``module:attribute``; None: not known.
        import_plans: By dialect, the plan of imports, which is made once.
        catalog_plans: The same for imports of the catalog.
    """

    kinds: tuple[Kind, ...]
    gate: Gate
    versions: Versions
    database: Database
    values: Constants
    catalog: tuple[Kind, ...] = ()
    referring: tuple[Kind, ...] = ()
    location: str | None = None
    import_plans: RememberedByDialect[Any] = field(
        default_factory=RememberedByDialect, repr=False, compare=False
    )
    catalog_plans: RememberedByDialect[Any] = field(
        default_factory=RememberedByDialect, repr=False, compare=False
    )

    @property
    def all_kinds(self) -> tuple[Kind, ...]:
        """The catalog kinds, then the kinds of run."""
        return (*self.catalog, *self.kinds)

    @property
    def of_catalog(self) -> Self:
        """The same history with its catalog kinds as the kinds, to import their rows as runs are imported."""
        return replace(
            self, kinds=self.catalog, catalog=(), referring=self.kinds, import_plans=self.catalog_plans
        )

    def only(self, kinds: Sequence[Kind]) -> Self:
        """The same history with these *kinds*, of catalog rows or of runs, as its kinds of run."""
        return replace(self, kinds=tuple(kinds), catalog=(), import_plans=RememberedByDialect())

    @property
    def has_database(self) -> bool:
        """Whether a call without a session has a database."""
        return self.database.bind is not None

    def on(self, bind: Bind) -> Self:
        """The same kinds and format on another database.

        Raises:
            BindingError: *bind* is not a database, or cannot hold the kinds.
        """
        return replace(self, database=Database(bind, self.all_kinds))

    def choose(self, names: str | Sequence[str] | None) -> list[Kind]:
        """The kinds with these *names*, in the order of `kinds`; None: all kinds.

        Raises:
            ValueError: There is no kind with one of the names.
        """
        by_name = {kind.name: kind for kind in self.kinds}
        wanted = by_name if names is None else [names] if isinstance(names, str) else names
        unknown = [name for name in wanted if name not in by_name]
        if unknown:
            close = [match for name in unknown for match in find_similar(name, by_name)]
            meant = f"did you mean {' or '.join(close)}? " if close else ""
            raise ValueError(
                f"no such kind: {', '.join(unknown)}; {meant}this history has {', '.join(by_name)}"
            )
        return [kind for name, kind in by_name.items() if name in wanted]

    def constants(self) -> Constants:
        """The values to write in one import, with each function called."""
        return {name: value() if callable(value) else value for name, value in self.values.items()}


class Opening(Protocol):
    """A description of a history that can be pickled, so that another process can open the history."""

    def open(self) -> Bound:
        """The history."""
