"""In dicts, subclasses of the types of JSON count as these types; what JSON does not have is a problem."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import json
from decimal import Decimal

import marshmallow
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import declarative_base

import histio
from histio import History
from histio.kinds.gate import Gate
from histio.tuning import tuned
from tests.support import hosts
from tests.support.bakery import document, number, production_run
from tests.support.hosts import model, run, text


class Count(int):
    """A whole number of a host's own."""


class Ratio(float):
    """A number of a host's own."""


class Name(str):
    """A text of a host's own."""

    __slots__ = ()

    def __str__(self):
        return "not the text"


class Entries(list):
    """A list of a host's own."""


class Recipe(enum.StrEnum):
    COOKIES = "cookies"


class OldRecipe(str, enum.Enum):  # noqa: UP042 - str() of it is the name of the member
    COOKIES = "cookies"


class Batches(enum.IntEnum):
    TWO = 2


RUN = production_run()
LEDGER = RUN["consumptions"]

# Each with the run that JSON text would give.
SUBCLASSES = {
    "a run": (collections.OrderedDict(RUN), RUN),
    "a name": ({Name(name): value for name, value in RUN.items()}, RUN),
    "a text": (RUN | {"notes": Name("Test batch")}, RUN),
    "a slug": (RUN | {"recipe_slug": Recipe.COOKIES}, RUN),
    "a slug of old": (RUN | {"recipe_slug": OldRecipe.COOKIES}, RUN),
    "a unique identifier": (RUN | {"uuid": Name(number(1))}, RUN),
    "a decimal": (RUN | {"per_unit_cost": Name("0.0571")}, RUN),
    "a time": (RUN | {"produced_at": Name(RUN["produced_at"])}, RUN),
    "a whole number": (RUN | {"num_batches": Count(2)}, RUN),
    "a member of an enum": (RUN | {"num_batches": Batches.TWO}, RUN),
    "a float": (RUN | {"num_batches": Ratio(2)}, RUN | {"num_batches": 2.0}),
    "a ledger": (RUN | {"consumptions": Entries(LEDGER)}, RUN),
    "an entry": (RUN | {"consumptions": [collections.defaultdict(list, LEDGER[0])]}, RUN),
    "a false slug": (RUN | {"recipe_slug": Name("gone")}, RUN | {"recipe_slug": "gone"}),
    "a false number": (RUN | {"num_batches": Count(0)}, RUN | {"num_batches": 0}),
}
FOREIGN = {
    "tuple": (),
    "set": set(),
    "decimal": Decimal(2),
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a NaN of its own": Ratio("nan"),
    "bytes": b"2",
    "object": object(),
    "time": dt.datetime(2025, 12, 8, tzinfo=dt.UTC),
    "surrogate": "\ud800",
}
PATHS = pytest.mark.parametrize("full_path_only", [False, True], ids=["fast", "full"])


@PATHS
def test_subclasses_of_the_types_of_json_count_as_these_types(sqlite, full_path_only):
    history = History(sqlite)
    with tuned(full_path_only=full_path_only):
        for name, (given, plain) in SUBCLASSES.items():
            told = history.import_document(document(given), dry_run=True)
            assert told == history.import_document(document(plain), dry_run=True), name


@PATHS
def test_what_is_written_of_a_subclass_is_what_json_text_gives(sqlite, full_path_only):
    odd = {
        "notes": Name("Test batch"),
        "recipe_slug": OldRecipe.COOKIES,
        "uuid": Name(number(1)),
        "num_batches": Count(2),
    }
    given = document(collections.OrderedDict(RUN | odd))
    with tuned(full_path_only=full_path_only):
        assert History(sqlite).import_document(given).imported == 1
    assert list(History(sqlite).iter_runs("production_run")) == [RUN]
    assert given["production_runs"] == [RUN | odd]


def test_the_gate_accepts_subclasses_so_that_they_do_not_take_the_full_path(sqlite, caplog):
    caplog.set_level("DEBUG", "histio")
    given = [collections.OrderedDict(production_run(n)) for n in range(1, 4)]
    assert History(sqlite).import_document(document(*given)).imported == 3
    assert "full path" not in caplog.text


@PATHS
def test_what_json_does_not_have_is_a_problem_where_it_stands(sqlite, full_path_only):
    history = History(sqlite)
    with tuned(full_path_only=full_path_only):
        for name, value in FOREIGN.items():
            for member in ("notes", "num_batches", "per_unit_cost", "recipe_slug", "consumptions"):
                problems = history.check(document(RUN | {member: value}))
                assert [each.pointer for each in problems] == [f"/production_runs/0/{member}"], name


@pytest.mark.parametrize(
    ("value", "below"),
    [
        ({"a": {1}}, "/a"),
        ({"a": [1, {"b": (1,)}]}, "/a/1/b"),
        ({"a": Decimal(1)}, "/a"),
        ({"a": float("nan")}, "/a"),
        ({1: 1}, "/1"),
        ({"a": collections.OrderedDict(b=Count(1))}, None),
    ],
    ids=str,
)
def test_a_member_of_any_form_holds_only_json(sqlite_of, value, below):
    base = declarative_base()
    host_run = model(base, "Run", extra=sa.Column(sa.JSON), name=text())
    kind = run(
        host_run, extra=marshmallow.fields.Dict(allow_none=True, metadata={"description": "Anything."})
    )
    history = History(sqlite_of(base.metadata), kind)
    problems = history.check(hosts.document({"id": 1, "extra": value}))
    assert [each.pointer for each in problems] == [f"/runs/0/extra{below}"][: below is not None]


def test_an_infinity_that_is_decoded_from_a_large_number_is_a_problem_too(sqlite_of, tmp_path):
    base = declarative_base()
    host_run = model(base, "Run", extra=sa.Column(sa.JSON), more=sa.Column(sa.JSON))
    anything = marshmallow.fields.Dict(allow_none=True, metadata={"description": "Any."})
    for kind in (run(host_run, extra=anything), run(host_run, extra=anything, more=histio.Json())):
        history = History(sqlite_of(base.metadata), kind)
        (tmp_path / "runs.json").write_text('{"version": "1.0", "runs": [{"id": 1, "extra": {"a": 1e400}}]}')
        [of_file] = history.import_file(tmp_path / "runs.json", dry_run=True).problems
        [of_dict] = history.check(json.loads((tmp_path / "runs.json").read_text()))
        assert of_file.pointer == of_dict.pointer == "/runs/0/extra/a"


def test_what_an_upgrade_returns_is_checked_like_what_a_file_holds(sqlite, tmp_path):
    """The gate must not trust the types of a record that did not come from text as it is."""

    def with_a_tuple(record):
        return record | {"consumptions": tuple(record["consumptions"])}

    history = History(sqlite, *histio.schemas.BUNDLED, version="2.0", upgrades={"1.0": with_a_tuple})
    (tmp_path / "old.json").write_bytes(json.dumps(document(RUN)).encode())
    [problem] = history.import_file(tmp_path / "old.json").problems
    assert problem == history.import_document(document(RUN)).problems[0]
    assert problem.pointer == "/production_runs/0/consumptions"


def test_without_a_wheel_the_gate_says_the_same_of_what_is_no_json():
    gate = Gate(histio.kinds.json_schema.published())
    [problem] = gate.explain("production_run", RUN | {"num_batches": float("nan")}, ())
    assert problem.pointer == "/num_batches"
