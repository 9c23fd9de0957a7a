"""Updated runs and ledger entries that take unique values from each other."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import relationship

import histio
from histio import History
from tests.support.hosts import MOMENT, document, ledger, model, run, text, to, word
from tests.support.revisions import replay_all

number = histio.Integer(required=True)


def whole(**options):
    return sa.Column(sa.Integer, **{"nullable": False} | options)


def update(history, given, **options):
    return history.import_document(given, on_duplicate="update", **options)


def exported(history):
    return json.dumps(history.export_document(exported_at=MOMENT))


def owner(base, **attributes):
    return model(base, "Run", lines=relationship("Line", cascade="all, delete-orphan"), **attributes)


def lines_of(column, field, *rules, places=(1, 2, 3, 4), options=None, **columns):
    """Lines that are known by their code, with a *column* that is unique in each run.

    Returns the metadata, the kind, four places, the rows that these name, and further members of lines.
    """
    base = orm.declarative_base()
    unique = sa.UniqueConstraint("run_id", *columns, "place")
    given = {"run_id": to("runs", nullable=False), "code": text(unique=True), "place": column} | columns
    line = model(base, "Line", unique, *rules, **given)
    members = dict.fromkeys(columns, number)
    below = ledger(line, {"identity": "code"} | (options or {}), code=word(), place=field, **members)
    return base.metadata, run(owner(base), lines=below), places, [], dict.fromkeys(columns, 7)


def at_place():
    return lines_of(whole(), number, sa.CheckConstraint("place >= 0"))


def in_order():
    return lines_of(whole(), number, options={"order": "place"})


def nullable():
    return lines_of(whole(nullable=True), number, sa.CheckConstraint("place < 5"))


def on_a_shelf():
    return lines_of(whole(), number, shelf=whole())


def decimals():
    places = ["0.10", "0.20", "0.30", "0.40"]
    return lines_of(
        sa.Column(sa.Numeric(8, 2), nullable=False), histio.FixedDecimal(required=True), places=places
    )


def texts():
    return lines_of(text(nullable=False), word(), places="abcd")


def uuids():
    places = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(4)]
    return lines_of(sa.Column(sa.Uuid, nullable=False), histio.RunUUID(required=True), places=places)


def days():
    places = [f"2026-01-0{n}" for n in range(1, 5)]
    return lines_of(sa.Column(sa.Date, nullable=False), histio.Date(required=True), places=places)


def moments():
    places = [f"2026-01-01T00:00:0{n}Z" for n in range(1, 5)]
    return lines_of(sa.Column(sa.DateTime, nullable=False), histio.UtcTimestamp(required=True), places=places)


def in_the_key():
    base = orm.declarative_base()

    class Line(base):
        __tablename__ = "lines"
        run_id = sa.Column(sa.ForeignKey("runs.id"), primary_key=True)
        place = sa.Column(sa.Integer, primary_key=True, autoincrement=False)
        code = sa.Column(sa.String(20), unique=True)

    below = ledger(Line, {"identity": "code"}, code=word(), place=number)
    return base.metadata, run(owner(base), lines=below), (1, 2, 3, 4), [], {}


def of_tags(tags="abcdefgh"):
    base = orm.declarative_base()
    tag = model(base, "Tag", slug=text(unique=True))
    line = model(
        base,
        "Line",
        sa.UniqueConstraint("run_id", "tag_id"),
        run_id=to("runs", nullable=False),
        code=text(unique=True),
        tag_id=to("tags", nullable=False),
        tag=relationship(tag),
    )
    below = ledger(line, {"identity": "code"}, code=word(), place=histio.Slug("tag", required=True))
    rows = [tag(slug=slug) for slug in tags]
    return base.metadata, run(owner(base), lines=below), "abcd", rows, {}


HOSTS = [at_place, in_order, nullable, on_a_shelf, decimals, texts, uuids, days, moments, in_the_key, of_tags]

MOVES = {
    "remove the first": [("b", 0), ("c", 1)],
    "insert first": [("z", 0), ("a", 1), ("b", 2), ("c", 3)],
    "swap": [("b", 0), ("a", 1), ("c", 2)],
    "rotate": [("c", 0), ("a", 1), ("b", 2)],
    "replace one and swap two": [("y", 0), ("c", 1), ("b", 2)],
    "move up": [("a", 1), ("b", 2), ("c", 3)],
    "to the end": [("c", 1), ("b", 2), ("a", 3)],
    "swap and add": [("b", 0), ("a", 1), ("c", 2), ("z", 3)],
}


@pytest.mark.cells(12)
@pytest.mark.parametrize("make", HOSTS)
def test_a_ledger_becomes_the_list_though_its_places_are_unique(create, make):
    metadata, kind, places, rows, further = make()
    history = History(create(metadata, *rows), kind)

    def of(n, move):
        lines = [{"code": f"{code}{n}", "place": places[place]} | further for code, place in move]
        return {"id": n, "lines": lines}

    stored = [("a", 0), ("b", 1), ("c", 2)]
    history.import_document(document(*(of(n, stored) for n in range(len(MOVES) + 1))))
    given = document(*(of(n, move) for n, move in enumerate([*MOVES.values(), stored])))
    report = update(history, given)
    assert [str(problem) for problem in report.problems] == []
    assert (report.updated, report.skipped) == (len(MOVES), 1)
    assert exported(history) == json.dumps(given)


@pytest.mark.parametrize("make", [at_place, days, of_tags])
def test_a_value_that_is_free_for_now_is_not_one_that_another_row_takes(create, make):
    metadata, kind, places, rows, _ = make()
    history = History(create(metadata, *rows), kind)

    def of(*codes):
        lines = [{"code": code, "place": place} for code, place in zip(codes, places, strict=False) if code]
        return document({"id": 1, "lines": lines})

    history.import_document(of("a", "b", "c"))
    given = of(None, "c", "b", "a")
    assert update(history, given).rejected == 0
    assert exported(history) == json.dumps(given)


def days_of_four():
    return lines_of(whole(), number, sa.CheckConstraint("place BETWEEN 1 AND 4"))


def letters():
    column = sa.Column(sa.Enum(*"abcd", native_enum=False), nullable=False)
    return lines_of(column, histio.Choice(*"abcd", required=True), places="abcd")


def as_many_tags_as_lines():
    return of_tags("abcd")


@pytest.mark.cells(6)
@pytest.mark.parametrize("codes", ["badc", "dcba", "bcda"])
@pytest.mark.parametrize("make", [days_of_four, letters, as_many_tags_as_lines])
def test_lines_exchange_places_though_no_place_is_free(create, make, codes):
    metadata, kind, places, rows, further = make()
    history = History(create(metadata, *rows), kind)

    def of(codes):
        lines = [{"code": code, "place": place} | further for code, place in zip(codes, places, strict=True)]
        return document({"id": 1, "lines": lines})

    history.import_document(of("abcd"))
    report = update(history, of(codes))
    assert [str(problem) for problem in report.problems] == []
    assert exported(history) == json.dumps(of(codes))


def steps():
    """Stages of a run with their steps, both at unique places."""
    base = orm.declarative_base()
    stage = model(
        base,
        "Stage",
        sa.UniqueConstraint("run_id", "place"),
        run_id=to("runs", nullable=False),
        code=text(unique=True),
        place=whole(),
        steps=relationship("Step", cascade="all, delete-orphan"),
    )
    step = model(
        base,
        "Step",
        sa.UniqueConstraint("stage_id", "place"),
        stage_id=to("stages", nullable=False),
        code=text(unique=True),
        place=whole(),
    )
    of_run = model(base, "Run", stages=relationship(stage, cascade="all, delete-orphan"))
    below = ledger(step, {"identity": "code"}, code=word(), place=number)
    stages = ledger(stage, {"identity": "code"}, code=word(), place=number, steps=below)
    return base.metadata, run(of_run, stages=stages)


def test_ledgers_of_ledgers_change_places_at_every_depth(create):
    metadata, kind = steps()
    history = History(create(metadata), kind)

    def of(*stages):
        return document({"id": 1, "stages": list(stages)})

    def stage(code, place, *codes):
        below = [{"code": each, "place": at} for at, each in enumerate(codes)]
        return {"code": code, "place": place, "steps": below}

    history.import_document(of(stage("a", 1, "p", "q", "r"), stage("b", 2, "s", "t")))
    given = of(stage("b", 1, "t", "s"), stage("n", 2, "x"), stage("a", 3, "r", "y", "p"))
    report = update(history, given)
    assert [str(problem) for problem in report.problems] == []
    assert exported(history) == json.dumps(given)


# --- runs ----------------------------------------------------------------------------------------------


def numbered(*rules, **options):
    """Runs with a unique number."""
    base = orm.declarative_base()
    of_run = model(base, "Run", *rules, number=whole(**options), note=text())
    return base.metadata, run(of_run, number=number, note=histio.Text(allow_none=True))


def runs(numbers, **notes):
    return document(
        *({"id": n, "number": each, "note": notes.get(f"n{n}")} for n, each in enumerate(numbers, 1))
    )


@pytest.mark.parametrize(
    "wanted",
    [[2, 1, 3, 4, 5], [5, 4, 3, 2, 1], [2, 3, 4, 5, 6], [5, 1, 2, 3, 4], [2, 1, 4, 3, 0]],
    ids=["swap", "reverse", "shift", "rotate", "two swaps"],
)
@pytest.mark.parametrize("batch", [500, 2])
def test_runs_exchange_unique_values_within_a_batch_and_across(create, tune, batch, wanted):
    metadata, kind = numbered(sa.CheckConstraint("number >= 0"), unique=True)
    history = History(create(metadata), kind)
    history.import_document(runs([1, 2, 3, 4, 5]))
    tune(batch=batch)
    given = runs(wanted)
    dry = update(history, given, dry_run=True)
    report = update(history, given)
    assert [str(problem) for problem in report.problems] == []
    assert dry.to_dict() | {"dry_run": False} == report.to_dict()
    assert replay_all(runs([1, 2, 3, 4, 5]), report.revisions) == given
    assert exported(history) == json.dumps(given)


def test_a_run_takes_a_value_that_a_later_one_gives_up(create, tune, tmp_path):
    metadata, kind = numbered(unique=True)
    history = History(create(metadata), kind)
    history.import_document(runs(range(1, 41)))
    tune(batch=4)
    given = runs([*range(2, 41), 50])
    (tmp_path / "runs.json").write_text(json.dumps(given))
    report = history.import_file(tmp_path / "runs.json", on_duplicate="update", commit_every=10)
    assert (report.updated, report.rejected) == (40, 0)
    assert exported(history) == json.dumps(given)


def test_a_new_run_takes_a_value_that_a_later_one_gives_up(create, tune):
    metadata, kind = numbered(unique=True)
    history = History(create(metadata), kind)
    history.import_document(document({"id": 9, "number": 1, "note": None}))
    tune(batch=1)
    given = document(
        {"id": 1, "number": 1, "note": None},
        {"id": 2, "number": 2, "note": None},
        {"id": 9, "number": 2, "note": None},
    )
    report = update(history, given)
    assert (report.imported, report.updated, report.rejected) == (1, 0, 2)
    given["runs"][1]["number"] = 3
    report = update(history, given)
    assert (report.imported, report.updated, report.rejected) == (1, 2, 0)
    assert exported(history) == json.dumps(given)


def test_a_long_chain_costs_no_attempt_for_each_run(sqlite_of, tune, count_statements):
    metadata, kind = numbered(unique=True)
    engine = sqlite_of(metadata)
    history = History(engine, kind)
    history.import_document(runs(range(200)))
    tune(batch=20)
    statements = count_statements(engine)
    assert update(history, runs(range(1, 201))).updated == 200
    assert len(statements.matching("UPDATE runs")) < 60


@pytest.mark.parametrize(
    ("wanted", "rejected"),
    [
        ([2, 1, 6, 5, 4, 6], [3]),
        ([2, 1, -1, 5, 4, 6], [3]),
        ([2, 3, 4, -5, 4, 6], [1, 2, 3, 4, 5]),
        ([2, 1, 5, 4, -3, 6], [3, 5]),
        ([3, 1, 2, 5, -4, 6], [4, 5]),
    ],
    ids=["taken by another", "refused by a check", "end of a chain", "half of a swap", "two circles"],
)
def test_only_the_runs_whose_value_stays_taken_are_rejected(create, wanted, rejected):
    metadata, kind = numbered(sa.CheckConstraint("number >= 0", name="positive"), unique=True)
    history = History(create(metadata), kind)
    stored = [1, 2, 3, 4, 5, 6]
    history.import_document(runs(stored))
    report = update(history, runs(wanted))
    assert sorted(problem.index + 1 for problem in report.problems) == rejected
    assert {problem.code for problem in report.problems} == {"constraint"}
    ends = [was if n in rejected else now for n, (was, now) in enumerate(zip(stored, wanted, strict=True), 1)]
    assert [each["number"] for each in history.iter_runs("run")] == ends


def test_a_rule_that_only_the_database_has_is_found(create):
    metadata, kind = numbered()
    engine = create(metadata)
    history = History(engine, kind)
    history.import_document(runs([1, 2, 3]))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE UNIQUE INDEX later ON runs (number)"))
    given = runs([3, 1, 2])
    assert update(history, given).rejected == 0
    assert exported(history) == json.dumps(given)


def test_values_that_the_collation_treats_as_equal_are_exchanged(create):
    base = orm.declarative_base()
    of_run = model(base, "Run", name=text(unique=True, nullable=False))
    history = History(create(base.metadata), run(of_run, name=word()))

    def of(*names):
        return document(*({"id": n, "name": name} for n, name in enumerate(names, 1)))

    history.import_document(of("Crème", "Brûlée", "flour"))
    given = of("brulee", "creme", "FLOUR")
    assert update(history, given).rejected == 0
    assert exported(history) == json.dumps(given)


def test_validators_and_listeners_never_see_the_values_in_between(create):
    base = orm.declarative_base()
    seen = []

    class Run(base):
        __tablename__ = "runs"
        id = sa.Column(sa.Integer, primary_key=True)
        number = sa.Column(sa.Integer, unique=True, nullable=False)

        @orm.validates("number")
        def note(self, _name, value):
            seen.append(value)
            return value

    history = History(create(base.metadata), run(Run, number=number))
    stored, given = (
        document(*({"id": n, "number": each} for n, each in enumerate(numbers, 1)))
        for numbers in ([1, 2, 3], [3, 1, 2])
    )
    history.import_document(stored)
    seen.clear()
    assert update(history, given).updated == 3
    assert seen == [3, 1, 2]
    assert exported(history) == json.dumps(given)


@pytest.mark.parametrize("order", [(3, 4, 2, None), (4, None, 1, 2), (2, 3, 4, 1), (None, None, None, None)])
def test_runs_that_follow_each_other_change_their_order(create, order):
    base = orm.declarative_base()
    of_run = model(
        base,
        "Run",
        code=text(unique=True),
        next_id=to("runs", unique=True),
        next=relationship("Run", remote_side="Run.id"),
    )
    schema = run(of_run, code=word(), next=histio.Slug("next", key="code", allow_none=True))
    history = History(create(base.metadata), schema)

    def of(*followers):
        codes = [each and f"r{each}" for each in followers]
        return document(*({"id": n, "code": f"r{n}", "next": each} for n, each in enumerate(codes, 1)))

    assert history.import_document(of(2, 3, 4, None)).imported == 4
    assert update(history, of(*order)).rejected == 0
    assert exported(history) == json.dumps(of(*order))


def test_both_tables_of_joined_inheritance_exchange_values(create):
    base = orm.declarative_base()

    class Seated(base):
        __tablename__ = "seated"
        id = sa.Column(sa.Integer, primary_key=True)
        kind = sa.Column(sa.String(9))
        number = sa.Column(sa.Integer, unique=True, nullable=False)
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "seated"}

    class Run(Seated):
        __tablename__ = "runs"
        id = sa.Column(sa.ForeignKey("seated.id"), primary_key=True)
        seat = sa.Column(sa.String(9), unique=True, nullable=False)
        __mapper_args__ = {"polymorphic_identity": "run"}

    history = History(create(base.metadata), run(Run, number=number, seat=word()))

    def of(numbers, seats):
        pairs = enumerate(zip(numbers, seats, strict=True), 1)
        return document(*({"id": n, "number": number, "seat": seat} for n, (number, seat) in pairs))

    history.import_document(of([1, 2, 3], "abc"))
    given = of([3, 2, 1], "bca")
    assert update(history, given).updated == 3
    assert exported(history) == json.dumps(given)
