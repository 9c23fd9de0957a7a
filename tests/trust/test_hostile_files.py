"""Files that are made to cost more than their size: their costs are counted, in bytes and in calls."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import histio
from histio import DocumentError, History
from tests.support import slug_lists
from tests.support.bakery import consumption, document, production_run, without
from tests.support.streams import line, text_of

MEMORY_OF_A_BYTE = 60
"""Bytes of memory for each byte of a run; docs/reference/security.md states it."""
MEMORY_OF_A_FREE_BYTE = 150
"""The same for a field of type Json, or a list of slugs."""
MEMORY = 30_000_000
"""Bytes of memory for a file of any size: for as many runs with as many faults as are held at once."""
CALLS_OF_A_BYTE = 100
"""Calls of functions for each byte of a file."""
CALLS_OF_A_RUN = 1_500
"""Calls for explaining and rejecting a run."""
CALLS = 100_000
"""Calls for a file of any size."""

SIZE = 16_000
SIZE_OF_RUNS = 4_000
"""The size of files of which each run or line is rejected: explaining them takes most of the time."""
HEADER = line("header", {"version": "1.0", "sealed": False})
SEALED = line("header", {"version": "1.0"})
RUN = json.dumps(without(production_run(1), "consumptions", "notes"))[1:-1]


def fill(piece, size=SIZE):
    """*piece* as often as it fits into *size*, as items of a list or object."""
    return (piece * (size // len(piece))).rstrip(",")


def numbered(piece, size=SIZE):
    """*piece* with another number each time."""
    return ",".join(piece % number for number in range(size // len(piece)))


def run_line(members):
    """A stream of one run with more *members*."""
    return HEADER + f'{{"production_run":{{{RUN},{members}}}}}\n'.encode()


def runs_of(items):
    """A document with these runs, as text."""
    return f'{{"version":"1.0","production_runs":[{items}]}}'.encode()


def entries_of(items):
    """A stream of one run with these ledger entries, as text."""
    return run_line(f'"consumptions":[{items}]')


MEMBERS = numbered('"k%d":1')
REPEATED_NAME = fill('"a":1,')
FAULTY = f'{{"consumptions":[{"1," * 99}1]}},'
LONG = f'{{"{"k" * 2_000}":{{{REPEATED_NAME}}}}}'
VALID = ",".join(json.dumps(consumption(number)) for number in range(SIZE // 250))
KINDS = [kind for number in range(SIZE // 10) for kind in (number, f"k{number}")]
NAMED = line("header", {"version": "1.0", "sealed": False, "catalog": ["recipe"]})
ROW = line("recipe", {"slug": "a", "name": "a"})
ROWS = fill("{},", SIZE_OF_RUNS // 7)
OPPOSITE = ["assembly_runs", "production_runs", "products", "finished_goods", "finished_units", "recipes"]
COUNTS = {f"k{number}": "x" for number in range(SIZE // 10)}
REPEATED = fill('{"a":1,"a":1},')
LISTS = fill('"production_runs":[],')
LINES = fill('{"unit":5},\n').rstrip(",\n")
FILES = {
    "numbers for entries": (entries_of(fill("1,")), 1),
    "empty entries": (entries_of(fill("{},")), 1),
    "lists for entries": (entries_of(fill("[],")), 1),
    "entries with an unknown member": (entries_of(fill('{"a":1},')), 1),
    "entries with many unknown members": (entries_of(f"{{{MEMBERS}}}"), 1),
    "entries with a wrong UUID each": (entries_of(numbered('{"uuid":%d}')), 1),
    "valid entries before a bad one": (entries_of(f"{VALID},1"), 1),
    "many unknown members": (run_line(MEMBERS), 1),
    "one name a thousand times": (run_line(fill('"a":1,')), 1),
    "repeated names in a list of lists": (run_line(f'"notes":[{REPEATED}]'), 1),
    "a long name": (run_line(f'"{"k" * SIZE}":1'), 1),
    "a long text": (run_line(f'"notes":5,"recipe_slug":"{"k" * SIZE}"'), 1),
    "a number of many digits": (run_line(f'"notes":{"1" * SIZE}'), 1),
    "deep lists": (run_line(f'"notes":{"[" * SIZE}'), 1),
    "deep objects": (HEADER + b'{"a":' * (SIZE // 5) + b"\n", 1),
    "wide and deep lists": (run_line(f'"notes":{"[" * 50}{fill("[],")}{"]" * 50}'), 1),
    "a line with many members": (HEADER + f"{{{MEMBERS}}}\n".encode(), 1),
    "a header with many kinds": (line("header", {"version": "1.0", "kinds": KINDS}), 0),
    "rows of the catalog after a run": (
        NAMED + line("production_run", None) + ROW * (SIZE_OF_RUNS // len(ROW)),
        SIZE_OF_RUNS // len(ROW),
    ),
    "a catalog of empty rows": (
        f'{{"version":"1.0","recipes":[{fill("{},", SIZE_OF_RUNS)}]}}'.encode(),
        SIZE_OF_RUNS // 3,
    ),
    "a catalog whose lists are in the opposite order": (
        f'{{"version":"1.0",{",".join(f"{name!r}:[{ROWS}]" for name in OPPOSITE)}}}'.replace(
            "'", '"'
        ).encode(),
        SIZE_OF_RUNS // 3,
    ),
    "a trailer with many counts": (
        line("header", {"version": "1.0"}) + line("trailer", {"counts": COUNTS}),
        0,
    ),
    "lines that are not JSON": (HEADER + b"x\n" * (SIZE_OF_RUNS // 2), 0),
    "blank lines": (HEADER + b"\n" * SIZE, 0),
    "a document with numbers for runs": (runs_of(fill("1,", SIZE_OF_RUNS)), 0),
    "a document with empty runs": (runs_of(fill("{},", SIZE_OF_RUNS)), SIZE_OF_RUNS // 3),
    "a document of runs with a hundred faults": (
        runs_of(fill(f'{{"consumptions":[{"1," * 99}1]}},', SIZE_OF_RUNS)),
        SIZE_OF_RUNS // 200,
    ),
    "a document with many members": (f'{{"version":"1.0",{MEMBERS}}}'.encode(), 0),
    "a document with one list a thousand times": (f'{{"version":"1.0",{LISTS}}}'.encode(), 0),
    "a document with problems on many lines": (runs_of(f'{{{RUN},\n"consumptions":[\n{LINES}]}}'), 1),
    "a document of blank lines": (b"{" + b"\n" * SIZE, 0),
}


def imported(data, history):
    return history.import_file(data, dry_run=True).problem_count


def checked(data, history):
    return sum(problem.more or 1 for problem in histio.check_file(data, history=history))


def differing(data, history):
    other = io.BytesIO(text_of(document(production_run(1))))
    return sum(len(difference.changes) for difference in histio.diff(data, other, history=history))


READERS = {
    "import_file": imported,
    "check_file": checked,
    "inspect_file": lambda data, history: histio.inspect_file(data, history=history).unreadable,
    "references": lambda data, history: sum(1 for _ in histio.references(data, history=history)),
    "audit": lambda data, history: sum(1 for _ in histio.audit(data, history=history)),
    "diff": differing,
    "merge": lambda data, history: histio.merge([data], io.BytesIO(), history=history).exported,
    "report_page": lambda data, history: histio.report_page(data, io.BytesIO(), history=history),
}


@pytest.fixture(scope="module")
def history(shelf):
    """A history that has done everything before, so that only the file costs something."""
    found = History(shelf)
    for read in READERS.values():
        read(io.BytesIO(text_of(document(production_run(1)))), found)
        spent(read, runs_of("1"), found)
    return found


def spent(read, data, history):
    """Read *data*, whatever comes of it."""
    with contextlib.suppress(DocumentError):
        read(io.BytesIO(data), history)


def count_calls(action, *arguments):
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action(*arguments)
    finally:
        sys.setprofile(before)
    return calls


def measure_memory(action, *arguments):
    tracemalloc.start()
    try:
        action(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def assert_bounded(read, data, history, *, runs, memory_of_a_byte):
    """Check that *read* makes few calls for *data*, which has *runs* to explain, and takes little memory."""
    calls = count_calls(spent, read, data, history)
    memory = measure_memory(spent, read, data, history)
    assert calls <= CALLS_OF_A_BYTE * len(data) + CALLS_OF_A_RUN * runs + CALLS
    assert memory <= memory_of_a_byte * len(data) + MEMORY


@pytest.mark.cells(10)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_costs_what_its_size_allows(history, name, reader):
    data, runs = FILES[name]
    assert_bounded(READERS[reader], data, history, runs=runs, memory_of_a_byte=MEMORY_OF_A_BYTE)


VALUES = {
    "numbers beyond all doubles": ("value", fill("1e999,")),
    "numbers of many digits": ("value", fill("0.12345678901234567891,")),
    "lists": ("value", fill("[],")),
    "objects with repeated names": ("value", fill('{"a":1,"a":1},')),
    "repeated names below a long one": ("value", LONG),
    "an object of many members": ("value", f"{{{MEMBERS}}}"),
    "unknown slugs": ("roles", numbered('"r%d"')),
    "one slug": ("roles", fill('"a",')),
    "numbers for slugs": ("roles", fill("1,")),
}


class Base(orm.DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "things"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(20))
    value: orm.Mapped[Any] = orm.mapped_column(sa.JSON)


class ThingSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp, identity = Thing, "user", "users", None, "name"

    name = histio.Text(required=True)
    value = histio.Json(required=True)


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    """By member, a history of users that have it."""
    folder = tmp_path_factory.mktemp("users")
    engines = {name: sa.create_engine(f"sqlite:///{folder}/{name}.db") for name in ("value", "roles")}
    Base.metadata.create_all(engines["value"])
    slug_lists.Base.metadata.create_all(engines["roles"])
    kinds = {"value": [ThingSchema], "roles": [slug_lists.RoleSchema, slug_lists.UserSchema]}
    yield {name: History(engine, *kinds[name]) for name, engine in engines.items()}
    for engine in engines.values():
        engine.dispose()


@pytest.mark.parametrize("reader", ["import_file", "check_file"])
@pytest.mark.parametrize("name", VALUES)
def test_a_hostile_value_of_a_host_costs_what_its_size_allows(histories, name, reader):
    member, items = VALUES[name]
    data = HEADER + f'{{"user":{{"name":"x","{member}":[{items}]}}}}\n'.encode()
    read, history = READERS[reader], histories[member]
    assert_bounded(read, data, history, runs=1, memory_of_a_byte=MEMORY_OF_A_FREE_BYTE)


def test_a_compressed_bomb_takes_the_memory_of_its_limits_only(history):
    bomb = gzip.compress(HEADER + b"x" * 50_000_000 + b"\n" + b"1\n" * 10)
    limits = {"max_bytes": 60_000_000, "max_line_bytes": 100_000}
    actions = {
        "import_file": lambda data, of: of.import_file(data, dry_run=True, **limits),
        "check_file": lambda data, of: list(histio.check_file(data, history=of, **limits)),
        "inspect_file": lambda data, of: histio.inspect_file(data, history=of, **limits),
    }
    peaks = [measure_memory(spent, action, bomb, history) for action in actions.values()]
    assert max(peaks) <= MEMORY + MEMORY_OF_A_BYTE * limits["max_line_bytes"]


def test_the_page_on_security_states_how_much_memory_files_may_take():
    page = Path(__file__).parents[2] / "docs" / "reference" / "security.md"
    stated = " ".join(page.read_text().split())
    assert f"a malicious one up to {MEMORY_OF_A_BYTE} times" in stated
    assert f"up to {MEMORY_OF_A_FREE_BYTE} times" in stated
    assert f"take up to {MEMORY // 10**6} MB" in stated
