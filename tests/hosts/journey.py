"""A host's application and its journey through the databases, by histio's files."""

from __future__ import annotations

import datetime as dt
import re
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from histio import History, ImportReport
from histio.scaffold import scaffold

MOMENT = dt.datetime(2025, 12, 10, tzinfo=dt.UTC)
ROUTE = ("sqlite", "postgresql", "mariadb", "sqlite")


def need(*modules: str) -> None:
    """Import *modules* of a host's, whatever they warn of; skip the tests of the calling module without them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            pytest.importorskip(
                name, reason=f"needs {name}: pip install --group hosts", exc_type=ImportError
            )


@dataclass(frozen=True)
class Host:
    """An application of others, with its binding.

    Attributes:
        kinds: The schemas of the binding.
        create: Makes the application's tables in the empty database at a URL, by the application's own code,
            and gives back what a `History` can be bound to.
        fill: Puts something in, through the application's own API.
        seen: What the application's own clients see of the database at a URL.
        options: Of every import.
    """

    kinds: tuple[Any, ...]
    create: Callable[[str], Any]
    fill: Callable[[str], None]
    seen: Callable[[str], Any]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """What is at one database of the journey.

    Attributes:
        dialect: Its dialect.
        history: Bound to it.
        file: What an export writes there.
        report: Of the import that came there; None at the first one.
        seen: What the application's own clients see there.
    """

    dialect: str
    history: History
    file: bytes
    report: ImportReport | None
    seen: Any

    @property
    def runs(self) -> list[bytes]:
        """The lines of the file, but for the digest of them all."""
        return self.file.splitlines()[:-1]


def travel(host: Host, new_database: Callable[[str], str], folder: Path) -> Iterator[Stop]:
    """Fill a database, and move what is in it along the `ROUTE`, each time by a file of the last stop."""
    path, report = folder / "history.jsonl", None
    for dialect in ROUTE:
        url = new_database(dialect)
        history = History(host.create(url), *host.kinds)
        if path.exists():
            report = history.import_file(path, **host.options)
        else:
            host.fill(url)
        history.export_file(path, exported_at=MOMENT)
        yield Stop(dialect, history, path.read_bytes(), report, host.seen(url))


def whole_seconds(lines: list[bytes]) -> list[bytes]:
    """*lines* with the times that MariaDB keeps in a plain DATETIME."""
    return [re.sub(rb'(T\d\d:\d\d:\d\d)\.\d{6}Z"', rb'\1Z"', line) for line in lines]


def bound(*models: type[Any]) -> types.ModuleType:
    """The binding of *models* that histio scaffolds, as a module."""
    module = types.ModuleType("binding")
    exec(compile(scaffold(*models), "binding", "exec"), vars(module))
    return module
