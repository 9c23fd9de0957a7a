"""A host's application and its journey through the databases, by histio's files."""

from __future__ import annotations

import datetime as dt
import json
import re
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from histio import History, ImportReport
from histio.scaffold import scaffold

MOMENT = dt.datetime(2025, 12, 10, tzinfo=dt.UTC)
ROUTE = ("sqlite", "postgresql", "mariadb", "sqlite")


def need(*modules: str) -> None:
    """Import *modules* of a host's, whatever they warn of; without them, skip the calling module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            pytest.importorskip(name, reason=f"needs {name}: pip install --group hosts", exc_type=ImportError)


@dataclass(frozen=True)
class Host:
    """An application of others, with its binding.

    Attributes:
        kinds: The schemas of the binding.
        create: Makes the application's tables in the empty database at a URL, by the application's own code,
            and gives back its engine.
        fill: Puts something in, through the application's own API.
        seen: What the application's own clients see of the database at a URL.
        options: Of every import.
    """

    kinds: tuple[Any, ...]
    create: Callable[[str], Engine]
    fill: Callable[[str], None]
    seen: Callable[[str], Any]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """What is at one database of the journey.

    Attributes:
        url: Where it is.
        engine: The application's own.
        history: Bound to that.
        report: Of the import that came there; None at the first one.
        file: The file that an export writes there, as text.
        seen: What the application's own clients see there, as JSON.
    """

    url: str
    engine: Engine
    history: History
    report: ImportReport | None
    file: str
    seen: str


def travel(host: Host, new_database: Callable[[str], str], folder: Path) -> Iterator[list[Stop]]:
    """Fill a database, and move what is in it along the `ROUTE`, each time by a file of the last stop."""
    stops: list[Stop] = []
    with ExitStack() as open_engines:
        for place, dialect in enumerate(ROUTE):
            url = new_database(dialect)
            engine = host.create(url)
            open_engines.callback(engine.dispose)
            history = History(engine, *host.kinds)
            report = (
                history.import_file(folder / f"{place}.jsonl", **host.options) if place else host.fill(url)
            )
            path = folder / f"{place + 1}.jsonl"
            history.export_file(path, exported_at=MOMENT)
            seen = json.dumps(host.seen(url), default=str, indent=1, sort_keys=True)
            stops.append(Stop(url, engine, history, report, path.read_text(), seen))
        yield stops


def whole_seconds(text: str) -> str:
    """*text* with the times that MariaDB keeps in a plain DATETIME, and without the digest that changes."""
    text = re.sub(r"(\d\d:\d\d:\d\d)\.\d{1,6}", r"\1", text)
    return re.sub(r'"sha256":"\w+"', "", text)


def bound(*models: type[Any]) -> types.ModuleType:
    """The binding of *models* that histio scaffolds, as a module."""
    module = types.ModuleType("binding")
    exec(compile(scaffold(*models), "binding", "exec"), vars(module))
    return module


def scaffolded(stops: list[Stop], *models: type[Any]) -> None:
    """Check that the binding of *models* that histio scaffolds serves unedited in the databases."""
    binding = bound(*models)
    kinds = [getattr(binding, f"{model.__name__}Schema") for model in models]
    for stop in stops:
        history = History(stop.engine, *kinds)
        document = history.export_document()
        runs = sum(len(value) for value in document.values() if isinstance(value, list))
        report = history.import_document(document, on_duplicate="verify")
        assert (report.skipped, report.problems) == (runs, ())
