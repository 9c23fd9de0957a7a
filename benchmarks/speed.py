"""How fast histio exports and imports, compared with other programs and with the fastest possible one.

All peers move the same made-up runs, each in a process of its own. They take turns, so that other load on the
machine affects all of them. What comes out is compared with what went in.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import data
import sqlalchemy as sa
from databases import DATABASES, Scratch, create, fill, settle, stored
from peers import PEERS, peer
from results import ACTIONS, Case, Measurement, Results

_OF_STORED_RUNS = ("export", "skip", "verify")
_MEASURE = Path(__file__).with_name("measure.py")


class LeftOutError(Exception):
    """A case is not measured; the message says why."""


class WrongResultError(Exception):
    """What came out is not what went in."""


class Bench:
    """Measures peers on one server.

    Args:
        scratch: Its databases.
        peers: The names of those that are measured where they work.
        results: Gets what is measured.
        actions: What they do.
        limit: Seconds: what needs more is left out.
    """

    def __init__(
        self,
        scratch: Scratch,
        peers: Iterable[str],
        results: Results,
        *,
        actions: Iterable[str] = ACTIONS,
        limit: int,
    ) -> None:
        self._scratch, self._results, self._limit = scratch, results, limit
        self._actions = list(actions)
        self._runs = functools.partial(data.runs, entries=results.entries or len(data.LEDGER))
        self._peers = [
            each for each in peers if scratch.database in getattr(peer(each), "DATABASES", DATABASES)
        ]
        self._pace: dict[tuple[str, str], float] = {}  # seconds per run, when last measured

    def measure(self, count: int, repeat: int, folder: Path) -> None:
        """Measure everything with *count* runs, so many times; *folder* is empty."""
        data.write(folder / "runs.jsonl", self._runs(count))
        data.write(folder / "unknown.jsonl", self._runs(count, recipe="unknown"))
        full: dict[bool, str] = {}
        for name in self._peers:
            if _has_tables(name) not in full:
                full[_has_tables(name)] = url = self._filled(name, "full", self._runs(count))
                settle(url)
        for _, name, action in itertools.product(range(repeat), self._peers, self._actions):
            case = Case(self._scratch.database, count, name, action)
            if not hasattr(peer(name), action):
                continue
            try:
                found = self._measured(case, full[_has_tables(name)], folder)
            except LeftOutError as reason:
                self._results.left_out[case] = str(reason)
            else:
                self._results.measured.setdefault(case, []).append(found)
                print(f"{case}: {count / found.seconds:,.0f} runs/s", file=sys.stderr)

    def _measured(self, case: Case, full: str, folder: Path) -> Measurement:
        pace, path = (case.peer, case.action), _file(case, folder)
        if self._pace.get(pace, 0) * case.runs > self._limit:
            raise LeftOutError(f"needs more than {self._limit} s")
        if case.action != "export" and not path.exists():
            raise LeftOutError("its export was left out")
        url = full if case.action in _OF_STORED_RUNS else self._filled(case.peer, "empty")
        self._pace[pace] = math.inf  # until it has ended in time
        found = _run(case.peer, case.action, url, path, limit=self._limit)
        self._pace[pace] = found.seconds / case.runs
        _check(case, url, path, self._runs(case.runs))
        return found

    def _filled(self, name: str, what: str, runs: Iterable[dict[str, Any]] = ()) -> str:
        """A new database with the tables of a peer, the catalog and *runs*."""
        if _has_tables(name):
            url = self._scratch.fresh(f"{what}_own")
            _run(name, "create", url, Path(), limit=self._limit)
        else:
            url = self._scratch.fresh(what)
            create(url)
        fill(url, runs)
        return url


def _has_tables(name: str) -> bool:
    return hasattr(peer(name), "create")


def _file(case: Case, folder: Path) -> Path:
    """What an action writes or reads."""
    if case.action == "reject":
        return folder / "unknown.jsonl"
    own = case.action == "export" or hasattr(peer(case.peer), "read")
    return folder / f"{case.peer if own else 'runs'}.jsonl"


def _run(name: str, action: str, url: str, path: Path, *, limit: int) -> Measurement:
    command = [sys.executable, str(_MEASURE), name, action, url, str(path), str(limit)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == -signal.SIGALRM:
        raise LeftOutError(f"needs more than {limit} s")
    done.check_returncode()
    return Measurement(**json.loads(done.stdout))


def _check(case: Case, url: str, path: Path, runs: Iterable[Any]) -> None:
    """Raise WrongResultError unless the file at *path*, or else the database, has what it should."""
    module = peer(case.peer)
    wanted: Iterable[Any] = map(getattr(module, "keeps", dict), runs)
    found: Iterable[Any] = stored(url)
    if case.action == "reject":
        wanted = ()
    elif case.action == "export" and hasattr(module, "read"):
        found = module.read(path)
    elif case.action == "export":
        found, wanted = (data.sealed(each) for each in (path, path.with_name("runs.jsonl")))
    for one, other in itertools.zip_longest(found, wanted):
        if one != other:
            raise WrongResultError(f"{case}: {one} is not {other}")


def main() -> None:
    """Measure what was asked for; print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1_000, 10_000], help="the smallest first")
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--actions", nargs="+", choices=ACTIONS, default=list(ACTIONS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument(
        "--entries", type=int, help="ledger entries of each run, to be counted; otherwise eight"
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=int, default=120, help="seconds; what needs more is left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets all numbers")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="gets a plot")
    options = parser.parse_args()
    results = Results(entries=options.entries)
    for database in options.database:
        try:
            scratch = Scratch(database)
        except sa.exc.OperationalError as error:
            print(f"{database} is left out: {error.orig}", file=sys.stderr)
            continue
        with closing(scratch):
            results.servers[database] = scratch.version
            bench = Bench(scratch, options.peers, results, actions=options.actions, limit=options.limit)
            for count in options.runs:
                with tempfile.TemporaryDirectory(prefix="histio-") as folder:
                    bench.measure(count, options.repeat, Path(folder))
        print("\n\n".join(results.tables(database)), end="\n\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results.as_json(), indent=2) + "\n")
    if options.svg:
        results.plot(options.svg)


if __name__ == "__main__":
    main()
