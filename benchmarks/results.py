"""Prints measurements as tables, JSON and a plot."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from peers import PEERS

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
ACTIONS = {
    "export": "export",
    "load": "import",
    "skip": "import, all existing",
    "verify": "import, all existing, verified",
    "reject": "import, all rejected",
}
"""What peers can do, in the order in which it is measured."""

_COMPARED = ("export", "load")
_LIBRARIES = (
    "histio",
    "SQLAlchemy",
    "psycopg",
    "PyMySQL",
    "orjson",
    "jsonschema-rs",
    "marshmallow",
    "marshmallow-sqlalchemy",
    "Django",
    "django-import-export",
    "pandas",
    "polars",
    "duckdb",
    "adbc-driver-manager",
)


@dataclass(frozen=True)
class Case:
    """One action of a peer, on a database, with a number of runs."""

    database: str
    runs: int
    peer: str
    action: str

    def __str__(self) -> str:
        return f"{self.database}, {self.runs:,} runs: {self.peer} {self.action}"


@dataclass(frozen=True)
class Measurement:
    """How one action went.

    Attributes:
        seconds: How long it took.
        processor: Seconds of the processor in the process of the peer, not in that of the server.
        statements: How many SQL statements it took; None where nobody counted.
        peak_mib: The most memory that the process had.
    """

    seconds: float
    processor: float
    statements: int | None
    peak_mib: float


@dataclass(frozen=True)
class Results:
    """All that was measured.

    Attributes:
        measured: Measurements of each case, at least one.
        left_out: Why there are none.
        servers: The version of each database.
        entries: The ledger entries of each run, if they are counted; None: runs are.
    """

    servers: dict[str, str] = field(default_factory=dict)
    measured: dict[Case, list[Measurement]] = field(default_factory=dict)
    left_out: dict[Case, str] = field(default_factory=dict)
    entries: int | None = None

    def rates(self, case: Case) -> list[float]:
        """Runs in a second, or ledger entries if their number was asked for, the slowest first."""
        each_run = self.entries or 1
        return sorted(case.runs * each_run / each.seconds for each in self.measured[case])

    @property
    def unit(self) -> str:
        """What `rates` counts."""
        return "entries/s" if self.entries else "runs/s"

    def rate(self, cases: Iterable[Case]) -> float | None:
        """The median of the fastest of *cases*, if any was measured."""
        return max(
            (statistics.median(self.rates(case)) for case in cases if case in self.measured), default=None
        )

    def tables(self, database: str) -> Iterator[str]:
        """Markdown: for each size, all peers beside the limit, and histio beside its own export."""
        cases = [case for case in {**self.measured, **self.left_out} if case.database == database]
        order = [*PEERS, *ACTIONS]
        cases.sort(key=lambda case: (case.runs, order.index(case.peer), order.index(case.action)))
        for runs, of_size in itertools.groupby(cases, key=lambda case: case.runs):
            at_size = list(of_size)
            place = f"{NAMES[database]}, {runs:,} runs"
            for action in _COMPARED:
                rows = {case: PEERS[case.peer] for case in at_size if case.action == action}
                limit = self.rate(case for case in rows if case.peer.startswith("limit"))
                yield from self._table(f"{ACTIONS[action]}, {place}", "of the limit", rows, limit)
            rows = {case: ACTIONS[case.action] for case in at_size if case.peer == "histio"}
            export = self.rate(case for case in rows if case.action == "export")
            yield from self._table(f"histio, {place}", "of its export", rows, export)

    def _table(self, title: str, share: str, rows: Mapping[Case, str], whole: float | None) -> Iterator[str]:
        head = [title, self.unit, share, "slowest to fastest", "processor, µs/run", "peak MiB", "statements"]
        cells = [head, ["---", *["---:"] * (len(head) - 1)]]
        cells += [[name, *self._cells(case, whole)] for case, name in rows.items()]
        if rows:
            yield "\n".join(f"| {' | '.join(row)} |" for row in cells)

    def _cells(self, case: Case, whole: float | None) -> list[str]:
        if case not in self.measured:
            return [self.left_out[case], *[""] * 5]
        rates, median = self.rates(case), self.rate([case])
        assert median is not None
        memory = statistics.median(each.peak_mib for each in self.measured[case])
        processor = min(each.processor for each in self.measured[case])
        statements = self.measured[case][0].statements
        return [
            f"{median:,.0f}",
            "" if whole is None else f"{median / whole:.3f}",
            f"{rates[0]:,.0f} to {rates[-1]:,.0f}",
            f"{processor / case.runs * 1e6:.1f}",
            f"{memory:,.0f}",
            "" if statements is None else f"{statements:,}",
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, with the command, the machine, and the versions of what was measured."""
        return {
            "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "command": shlex.join(sys.argv),
            "machine": _machine(),
            "versions": {**self.servers, **{name: version(name) for name in _LIBRARIES}},
            "measured": [
                {**asdict(case), **asdict(each)} for case, found in self.measured.items() for each in found
            ],
            "left_out": [{**asdict(case), "why": why} for case, why in self.left_out.items()],
        }

    def plot(self, path: Path) -> None:
        """Runs in a second against the number of runs, for each database and direction."""
        databases = list(dict.fromkeys(case.database for case in self.measured))
        size = (6 * len(_COMPARED), 4 * len(databases))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(databases), len(_COMPARED), squeeze=False)
        for row, database in zip(panels, databases, strict=True):
            for panel, action in zip(row, _COMPARED, strict=True):
                self._draw(panel, database, action)
        handles = {
            label: line
            for panel in panels.flat
            for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
        figure.savefig(path)

    def _draw(self, panel: Any, database: str, action: str) -> None:
        for place, (peer, name) in enumerate(PEERS.items()):
            cases = [c for c in self.measured if (c.database, c.peer, c.action) == (database, peer, action)]
            if cases:
                rates = [self.rate([case]) for case in cases]
                panel.plot([case.runs for case in cases], rates, marker="o", color=f"C{place}", label=name)
        panel.set(xscale="log", yscale="log", title=f"{NAMES[database]}: {ACTIONS[action]}")
        panel.set(xlabel="runs", ylabel=self.unit)
        panel.grid(visible=True, which="both", alpha=0.3)


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return {
        "cpu": ", ".join(models),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }
