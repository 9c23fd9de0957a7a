"""Faults are counted as marshmallow would collect them."""

import copy
import io
import json
import random

import marshmallow
import pytest
from marshmallow import ValidationError, validates_schema

import histio
from histio import History, cli
from histio.importing.fault_counts import FaultCounter
from histio.wire import faults_in
from tests.support.bakery import assembly_run, consumption, document, number, production_run
from tests.support.shop import OrderSchema, order
from tests.support.streams import stream_of

HEADER = {"version": "1.0", "kinds": ["production_run"], "sealed": False}
VALUES = (None, True, 0, -1, 2**40, 0.5, "", "x", "1.5", "2025-12-08T10:00:00Z", [], [1, "a"], {}, {"a": {}})


class StrictEntry(histio.ProductionConsumptionSchema):
    """A schema of ledger entries with a rule of its own."""

    @validates_schema(skip_on_field_errors=False)
    def _has_no_x(self, data, **_):
        if data.get("unit") in ("", "x"):
            raise ValidationError({"unit": ["No unit."], "total_cost": ["No cost."]})


class Strict(histio.ProductionRunSchema):
    class Meta(histio.ProductionRunSchema.Meta):
        model = histio.models.ProductionRun

    consumptions = marshmallow.fields.List(marshmallow.fields.Nested(StrictEntry))


class Flat(marshmallow.Schema):
    """A schema that is not histio's."""

    numbers = marshmallow.fields.List(marshmallow.fields.Integer(strict=True), required=True)
    points = marshmallow.fields.List(
        marshmallow.fields.Nested(marshmallow.Schema.from_dict({"x": marshmallow.fields.Integer()})),
        validate=marshmallow.validate.Length(max=3),
    )
    one = marshmallow.fields.Nested(
        marshmallow.Schema.from_dict({"y": marshmallow.fields.Integer(required=True)}),
        unknown=marshmallow.EXCLUDE,
    )
    names = marshmallow.fields.Pluck(
        marshmallow.Schema.from_dict({"z": marshmallow.fields.Str()}), "z", many=True
    )


SCHEMAS = {
    "production_run": (History().bound.kinds[0].table.schema, production_run()),
    "assembly_run": (History().bound.kinds[1].table.schema, assembly_run()),
    "order": (History(None, OrderSchema).bound.kinds[0].table.schema, order()),
    "strict": (History(None, Strict).bound.kinds[0].table.schema, production_run()),
    "flat": (Flat(), {"numbers": [1, 2], "points": [{"x": 1}], "one": {"y": 2, "u": 3}, "names": ["a", "b"]}),
}


def places(value, *steps):
    """The steps to each value in a JSON value."""
    yield steps
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in inner:
        yield from places(below, *steps, step)


def change(record, draw):
    """Replace, remove, add or repeat something somewhere in *record*."""
    *above, last = draw.choice(list(places(record))[1:] or [("x",)])
    owner = record
    for step in above:
        owner = owner[step]
    what = draw.randrange(4)
    if what == 0 and owner:
        del owner[last]
    elif what == 1 and isinstance(owner, list):
        owner += [copy.deepcopy(owner[0])] * 2
    elif what == 2 and isinstance(owner, dict):
        owner[f"x{draw.randrange(3)}"] = 1
    else:
        owner[last] = copy.deepcopy(draw.choice(VALUES))


def raised(schema, record):
    try:
        schema.load(record)
    except ValidationError as error:
        return sum(1 for _ in faults_in(error.messages))
    return 0


@pytest.mark.parametrize("kind", SCHEMAS)
def test_as_many_faults_are_counted_as_are_collected(kind):
    schema, valid = SCHEMAS[kind]
    counter, draw = FaultCounter(), random.Random(kind)
    assert counter.count(schema, valid) == raised(schema, valid) == 0
    for _ in range(300):
        record = copy.deepcopy(valid)
        for _ in range(draw.randrange(1, 9)):
            change(record, draw)
        assert counter.count(schema, record) == raised(schema, record), json.dumps(record)


ENTRIES = {
    "numbers": [1] * 3_000,
    "empty objects": [{}] * 3_000,
    "unknown members": [{f"x{n}": n} for n in range(3_000)],
    "the last entries": [consumption(n) for n in range(100)] + [consumption(9_999, unit=5)] * 1_500,
}
FAULTS = {"numbers": 3_000, "empty objects": 15_000, "unknown members": 18_000, "the last entries": 1_500}


@pytest.mark.parametrize("entries", ENTRIES)
def test_a_run_with_very_many_faults_lists_the_first_hundred_and_counts_all(sqlite, tmp_path, entries):
    given = document(production_run(1, notes=5, consumptions=ENTRIES[entries]), production_run(2))
    history, rejects = History(sqlite), tmp_path / "rejects.jsonl"
    total = FAULTS[entries] + 1
    report = history.import_document(given)
    last = report.problems[-1]
    assert (report.imported, report.problem_count, len(report.problems)) == (1, total, 101)
    assert report.problems[0].pointer == "/production_runs/0/notes"
    assert str(last) == f"/production_runs/0: … and {total - 100:,} more of them."
    assert (last.more, last.kind, last.uuid) == (total - 100, "production_run", number(1))
    assert history.check(given) == list(report.problems)
    from_file = history.import_file(io.BytesIO(stream_of(given)), rejects=rejects)
    assert (from_file.problem_count, len(from_file.problems)) == (total, 101)
    assert len(json.loads(rejects.read_bytes().splitlines()[1])["problems"]) == 101
    found = list(histio.check_file(io.BytesIO(json.dumps(given).encode())))
    assert [problem.more for problem in found if problem.severity == "error"] == [None] * 100 + [total - 100]


def test_a_run_with_very_many_unknown_members_lists_the_first_hundred(sqlite):
    run = production_run(1) | {f"x{n}": n for n in range(2_999)} | {1: 1}
    report = History(sqlite).import_document(document(run))
    assert (report.problem_count, len(report.problems)) == (3_000, 101)
    assert {problem.message for problem in report.problems[:-1]} == {"Unknown field."}


def test_the_envelope_of_a_document_lists_the_first_hundred_problems(sqlite):
    given = document() | {f"x{n}": n for n in range(3_000)}
    with pytest.raises(histio.DocumentError, match="and 2980 more") as caught:
        History(sqlite).import_document(given)
    assert [problem.more for problem in caught.value.problems] == [None] * 100 + [2_900]


def test_unknown_references_warnings_and_renamings_of_a_run_are_listed_up_to_a_hundred(sqlite):
    entries = [consumption(n, ingredient_slug="gone" if n % 2 else "old") for n in range(1, 301)]
    given = document(production_run(1, consumptions=entries))
    report = History(sqlite).import_document(given, rename={"ingredient_slug": {"old": "flour"}})
    assert (report.imported, report.warning_count, len(report.warnings)) == (1, 150, 101)
    assert (report.warnings[-1].more, report.warnings[-1].severity) == (50, "warning")
    assert (report.renamed_count, len(report.renamed)) == (150, 100)


def test_repeated_names_are_listed_up_to_a_hundred_in_a_run():
    repeated = '"x": 1,' * 300
    run = repeated + '"x": 1, ' + json.dumps(production_run(1))[1:]
    document_text = f'{{"version": "1.0", "production_runs": [{{{run}]}}'
    stream_text = f'{json.dumps({"header": HEADER})}\n{{"production_run": {{{run}}}\n'
    for text, steps in ((document_text, "/production_runs/0"), (stream_text, "/production_run")):
        found = list(histio.check_file(io.BytesIO(text.encode())))
        repetitions = [problem for problem in found if problem.code == "duplicate-member" and problem.kind]
        assert [problem.more for problem in repetitions] == [None] * 100 + [200]
        assert {problem.pointer for problem in repetitions} == {f"{steps}/x", steps}


def test_repeated_names_of_an_envelope_are_listed_up_to_a_hundred():
    repeated = '"production_runs": [],' * 300
    found = list(histio.check_file(io.BytesIO(f'{{{repeated}"version": "1.0"}}'.encode())))
    assert [problem.more for problem in found] == [None] * 100 + [199]


def test_a_command_counts_the_problems_that_are_not_listed(tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(document(production_run(1, consumptions=[1] * 3_000))))
    assert cli.main(["check", str(path)]) == 1
    output, errors = capsys.readouterr()
    assert output.splitlines()[100].endswith("/production_runs/0: … and 2,900 more of them. [error: schema]")
    assert errors == "3,000 errors, 0 warnings\n"


def test_a_difference_of_a_run_of_wrong_form_lists_the_first_hundred_changes(tmp_path, capsys):
    for name, entries in (("a", [{}] * 3_000), ("b", [])):
        given = document(production_run(1, consumptions=entries))
        (tmp_path / name).with_suffix(".json").write_text(json.dumps(given))
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    [difference] = histio.diff(*files)
    assert (len(difference.changes), difference.more) == (100, 2_900)
    assert str(difference).splitlines()[-1] == "  … and 2,900 more"
    assert cli.main(["diff", *map(str, files)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "  … and 2,900 more"
