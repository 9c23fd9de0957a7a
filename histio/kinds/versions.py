"""The versions of a format, and upgrades of records from older versions."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from histio.errors import BindingError
from histio.report import Fault

Upgrade: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
Upgrades: TypeAlias = Mapping[str, Upgrade | Mapping[str, Upgrade]]


def parts(version: object) -> tuple[int, int] | None:
    """The major and minor number of *version*; None: it has another form."""
    match = re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})", version) if isinstance(version, str) else None
    return None if match is None else (int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions that a history reads.

    Attributes:
        current: The newest version, which it writes.
        upgrades: By older version, a function that upgrades a run of any kind to the next version, or a
            mapping from kind to such a function.
        kinds: The names of the kinds of run.
        catalog: The names of the catalog kinds, which only a mapping upgrades.

    Raises:
        BindingError: A version has another form than ``major.minor``, or is not older than the current one;
            an upgrade is not a function, or is for an unknown kind.
    """

    current: str
    upgrades: Upgrades = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    catalog: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.upgrades, Mapping):
            raise BindingError(f"upgrades is a mapping from version to function, not {self.upgrades!r}")
        for version in (self.current, *self.upgrades):
            if parts(version) is None:
                raise BindingError(f"a version looks like '2.1', not {version!r}")
        late = [version for version in self.upgrades if _order(version) >= _order(self.current)]
        if late:
            raise BindingError(f"upgrades: {', '.join(late)} is not older than {self.current}")
        for version, change in self.upgrades.items():
            functions = change if isinstance(change, Mapping) else dict.fromkeys(self.kinds, change)
            for kind, function in functions.items():
                if kind not in (*self.kinds, *self.catalog):
                    known = ", ".join((*self.kinds, *self.catalog))
                    raise BindingError(f"upgrades: {version}: no kind {kind!r}; this history has {known}")
                if not callable(function):
                    raise BindingError(f"upgrades: {version}: {function!r} is not a function")

    def upgrade(self, kind: str, record: Any, version: str) -> tuple[Any, Fault | None]:
        """Upgrade a copy of *record* from *version* to the current one; return it, and the fault or None."""
        if version == self.current or not isinstance(record, dict):
            return record, None
        step = version
        try:
            upgraded = copy.deepcopy(record)
            for step in sorted(self.upgrades, key=_order):
                change = self.upgrades[step]
                functions = change if isinstance(change, Mapping) else dict.fromkeys(self.kinds, change)
                function = functions.get(kind)
                if function is not None and _order(step) >= _order(version):
                    upgraded = function(upgraded)
                    if not isinstance(upgraded, dict):
                        returned = type(upgraded).__name__
                        return record, Fault(f"The upgrade from {step} returned {returned}, not a record.")
        except Exception as error:  # noqa: BLE001 - a host's function may raise anything
            return record, Fault(f"Cannot be brought up from {step}: {type(error).__name__}: {error}")
        return upgraded, None


def _order(version: str) -> tuple[int, int]:
    return parts(version) or (0, 0)
