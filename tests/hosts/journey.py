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
            stops.append(Stop(url, engine, history, report, path.read_text(), see(host, url)))
        yield stops


def whole_seconds(text: str) -> str:
    """*text* with the times that MariaDB keeps in a plain DATETIME, and without the digest that changes."""
    text = re.sub(r"(\d\d:\d\d:\d\d)\.\d{1,6}", r"\1", text)
    return re.sub(r'"sha256":"\w+"', "", text)


def move_by_scaffold(host: Host, source: Stop, new_database: Callable[[str], str], *models: type[Any]) -> str:
    """Move what *source* has into a new database, by the unedited binding that histio scaffolds of *models*.

    Returns:
        What the application's own clients see there, as JSON.
    """
    binding = types.ModuleType("binding")
    exec(compile(scaffold(*models), "binding", "exec"), vars(binding))
    kinds = [getattr(binding, f"{model.__name__}Schema") for model in models]
    url = new_database("sqlite")
    target = host.create(url)
    document = History(source.engine, *kinds).export_document(exported_at=MOMENT)
    report = History(target, *kinds).import_document(document, **host.options)
    assert (report.problems, report.warnings) == ((), ())
    assert History(target, *kinds).export_document(exported_at=MOMENT) == document
    target.dispose()
    return see(host, url)


def move_with_catalog(
    host: Host, source: Stop, new_database: Callable[[str], str], *models: type[Any], **options: Any
) -> Iterator[tuple[str, str]]:
    """Move the runs of *models* along the `ROUTE`, with the rows that they refer to as their catalog.

    The targets are new databases of the application, which have nothing that it does not make by itself. The
    binding is the unedited one that histio scaffolds of *models*.

    Args:
        host: The application.
        source: Where the journey begins.
        new_database: Makes empty databases.
        models: The models of the runs.
        options: Of every import, over those of the host.

    Yields:
        For each target, its dialect, and what the application's own clients see there, as JSON.
    """
    binding = types.ModuleType("binding")
    exec(compile(scaffold(*models), "binding", "exec"), vars(binding))
    with ExitStack() as open_engines:
        here = History.from_bound(binding.history.bound.on(source.engine))
        document = here.export_document(catalog="used", exported_at=MOMENT)
        for dialect in ROUTE[1:]:
            url = new_database(dialect)
            engine = host.create(url)
            open_engines.callback(engine.dispose)
            there = History.from_bound(binding.history.bound.on(engine))
            report = there.import_document(document, **{"catalog": "create", **host.options, **options})
            assert report.problems == ()
            moved = there.export_document(catalog="used", exported_at=MOMENT)
            assert whole_seconds(json.dumps(moved)) == whole_seconds(json.dumps(document))
            again = there.import_document(moved, catalog="create")
            assert [counts.imported for counts in (*again.catalog.values(), *again.by_kind.values())] == [
                0
            ] * (len(there.catalog) + len(there.kinds))
            document = moved
            yield dialect, see(host, url)


def see(host: Host, url: str) -> str:
    """What the application's own clients see of the database at *url*, as JSON."""
    return json.dumps(host.seen(url), default=str, indent=1, sort_keys=True)
