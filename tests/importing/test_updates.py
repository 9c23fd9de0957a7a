"""Runs that exist, made what a document says of them."""

from __future__ import annotations

import datetime as dt
import json
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Session, relationship, validates

import histio
from histio import History
from histio.models import Product, ProductionRun
from tests.support import shop
from tests.support.bakery import (
    TIME,
    assembly_run,
    consumption,
    number,
    packaging,
    production_run,
    unit_consumption,
    without,
)
from tests.support.bakery import document as bakery
from tests.support.hosts import document, entry, ledger, model, run, text, to, word
from tests.support.mapping_styles import (
    COLLECTIONS,
    STYLES,
    both_ways,
    integer,
    listen,
    listening,
    moves,
)
from tests.support.reports import codes_of
from tests.support.revisions import replay_all, strip

MOMENT = dt.datetime.fromisoformat(TIME)
LATER = "2026-01-02T03:04:05.678900Z"


def update(history: History, given: dict[str, Any], **options: Any) -> histio.ImportReport:
    return history.import_document(given, on_duplicate="update", **options)


def outcomes(report: histio.ImportReport) -> tuple[int, int, int, int]:
    return report.imported, report.updated, report.skipped, report.rejected


def entries(report: histio.ImportReport) -> tuple[int, int, int]:
    counts = report.entries
    return counts.added, counts.changed, counts.removed


def exported(history: History) -> str:
    return json.dumps(history.export_document(exported_at=MOMENT))


def becomes(
    history: History, stored: dict[str, Any], given: dict[str, Any], unwritten: tuple[str, ...] = ()
) -> histio.ImportReport:
    """Import *stored*, update it to *given*, and see *given* leave; a second update finds nothing to do.

    The report has the changes, except for *unwritten* members, which imports do not write.
    """
    assert history.import_document(stored).imported > 0
    report = update(history, given)
    assert [str(problem) for problem in report.problems] == []
    assert exported(history) == json.dumps(given)
    assert replay_all(strip(stored, unwritten), report.revisions) == strip(given, unwritten)
    again = update(history, given)
    assert (again.updated, again.rejected, entries(again)) == (0, 0, (0, 0, 0))
    return report


def flour(*numbers: int, **members: Any) -> list[dict[str, Any]]:
    return [consumption(n, **members) for n in numbers]


# --- members ---------------------------------------------------------------------------------------------


@pytest.mark.turns
@pytest.mark.parametrize(
    "members",
    [
        {"notes": None},
        {"recipe_slug": "bread", "finished_unit_slug": "loaf"},
        {"num_batches": 3, "expected_yield": 0, "actual_yield": 0},
        {"produced_at": "2025-12-09T10:00:00.000001Z", "created_at": LATER, "updated_at": LATER},
        {"total_ingredient_cost": "0.0001", "per_unit_cost": "999999.9999"},
    ],
)
def test_every_member_becomes_what_the_document_says(history, members):
    report = becomes(history, bakery(production_run()), bakery(production_run(**members)))
    assert (outcomes(report), entries(report)) == ((0, 1, 0, 0), (0, 0, 0))


def test_the_same_in_another_spelling_is_skipped_and_nothing_is_written(sqlite, count_statements):
    history = History(sqlite)
    history.import_document(bakery(production_run(), assembly=[assembly_run()]))
    statements = count_statements(sqlite)
    given = production_run(
        uuid=number(1).upper(), per_unit_cost="0.0571000", produced_at="2025-12-08T12:00:00+02:00"
    )
    assert outcomes(update(history, bakery(given, assembly=[assembly_run()]))) == (0, 0, 2, 0)
    assert [each for each in statements.all if each.startswith(("INSERT", "UPDATE", "DELETE"))] == []


def test_what_is_left_out_stays_as_it_is(history):
    history.import_document(bakery(production_run(notes="mine")))
    given = without(production_run(num_batches=7), "notes", "created_at", "updated_at", "consumptions")
    assert outcomes(update(history, {"version": "1.0", "production_runs": [given]})) == (0, 1, 0, 0)
    [stored] = history.iter_runs("production_run")
    assert without(stored, "updated_at") == without(production_run(num_batches=7, notes="mine"), "updated_at")


def test_what_an_entry_leaves_out_stays_as_it_is(history):
    stored = consumption(5, updated_at=LATER)
    history.import_document(bakery(production_run(consumptions=[stored])))
    given = without(stored, "created_at", "updated_at") | {"unit": "kg"}
    assert entries(update(history, bakery(production_run(consumptions=[given])))) == (0, 1, 0)
    [[found]] = [each["consumptions"] for each in history.iter_runs("production_run")]
    assert without(found, "updated_at") == without(stored, "updated_at") | {"unit": "kg"}


def test_onupdate_speaks_for_rows_that_change_where_the_document_does_not(engine, history):
    both = [consumption(1), consumption(2)]
    history.import_document(bakery(production_run(consumptions=both)))
    told_later = [without(both[0], "updated_at") | {"unit": "kg"}, without(both[1], "updated_at")]
    update(history, bakery(production_run(notes="new", consumptions=told_later)))
    with Session(engine) as session:
        stored = session.scalars(sa.select(ProductionRun)).one()
        assert stored.updated_at.isoformat() + "Z" == TIME
        first, second = stored.consumptions
        assert (first.updated_at.isoformat() > TIME, second.updated_at.isoformat() + "Z") == (True, TIME)


def test_a_run_of_which_only_entries_change_is_not_touched_itself(engine, history):
    bare = without(production_run(), "updated_at")
    history.import_document(bakery(production_run()))
    update(history, bakery(bare | {"consumptions": flour(9)}))
    with Session(engine) as session:
        assert session.scalar(sa.select(ProductionRun.updated_at)).isoformat() + "Z" == TIME


def test_new_runs_go_in_beside_those_that_change(history):
    history.import_document(bakery(production_run(1), production_run(2)))
    report = update(
        history, bakery(*(production_run(n, notes=f"n{n % 2}" if n > 1 else "Test batch") for n in (1, 2, 3)))
    )
    assert outcomes(report) == (1, 1, 1, 0)
    assert report.by_kind["production_run"] == histio.Counts(imported=1, updated=1, skipped=1)


# --- ledgers ---------------------------------------------------------------------------------------------


@pytest.mark.turns
@pytest.mark.parametrize(
    ("stored", "wanted", "counts"),
    [
        ([1, 2, 3], [], (0, 0, 3)),
        ([], [5, 4], (2, 0, 0)),
        ([1, 2, 3], [1, 3], (0, 0, 1)),
        ([1, 2], [1, 2, 9, 8], (2, 0, 0)),
        ([1, 2, 3], [3, 2, 1], (0, 2, 0)),
        ([1, 2, 3], [1, 9, 2, 3], (1, 2, 0)),
        ([1, 2, 3], [9, 3, 8, 1], (2, 2, 1)),
        ([1, 2], [8, 9], (2, 0, 2)),
    ],
)
def test_a_ledger_becomes_the_list_in_its_order(history, stored, wanted, counts):
    report = becomes(
        history,
        bakery(production_run(1, consumptions=flour(*stored)), production_run(2)),
        bakery(production_run(1, consumptions=flour(*wanted)), production_run(2)),
    )
    assert (outcomes(report), entries(report)) == ((0, 1, 1, 0), counts)


def test_entries_that_change_and_move_count_once(history):
    changed = [consumption(2, unit="kg"), consumption(1)]
    report = becomes(
        history,
        bakery(production_run(consumptions=flour(1, 2))),
        bakery(production_run(consumptions=changed)),
    )
    assert entries(report) == (0, 2, 0)


@pytest.mark.slow
def test_every_ledger_of_a_run_changes_with_its_references(engine, history):
    with Session(engine) as session:
        ingredient = session.scalars(sa.select(Product)).one().ingredient
        session.add(Product(product_name="Other", slug="other", ingredient=ingredient))
        session.commit()
    stored = assembly_run(packaging_consumptions=[packaging(1), packaging(2)])
    given = assembly_run(
        finished_unit_consumptions=[unit_consumption(7, finished_unit_slug="loaf", quantity_consumed=1)],
        packaging_consumptions=[packaging(2, product_slug="other"), packaging(3)],
    )
    report = becomes(history, bakery(assembly=[stored]), bakery(assembly=[given]))
    assert entries(report) == (2, 1, 2)


def test_a_product_found_by_its_ingredient_is_the_same_product(history):
    history.import_document(bakery(assembly=[assembly_run()]))
    bare = without(packaging(3_000_001), "product_slug")
    assert outcomes(update(history, bakery(assembly=[assembly_run(packaging_consumptions=[bare])]))) == (
        0,
        0,
        1,
        0,
    )


def test_an_added_entry_has_the_defaults_of_what_it_leaves_out(history):
    history.import_document(bakery(production_run(consumptions=[])))
    bare = without(consumption(4), "created_at", "updated_at")
    update(history, bakery(production_run(consumptions=[bare])))
    [[stored]] = [each["consumptions"] for each in history.iter_runs("production_run")]
    assert stored["created_at"] == stored["updated_at"] > TIME


# --- what is refused -------------------------------------------------------------------------------------


def test_a_reference_to_nothing_rejects_its_run_and_changes_nothing(history):
    stored = [production_run(1), production_run(2)]
    history.import_document(bakery(*stored))
    before = exported(history)
    bad = production_run(1, recipe_slug="cake", notes="new", consumptions=[])
    report = update(history, bakery(bad, production_run(2, notes="new")))
    assert (outcomes(report), codes_of(report.problems)) == (
        (0, 1, 0, 1),
        [("/production_runs/0/recipe_slug", "unknown-reference")],
    )
    assert entries(report) == (0, 0, 0)
    assert json.loads(exported(history))["production_runs"][0] == json.loads(before)["production_runs"][0]


def host(base, *rules, line_rules=(), entry_meta=None, run_of=None, **columns):
    """Runs with lines of a unique code, which both have a column that the format does not know."""
    line = model(
        base,
        "Line",
        *line_rules,
        run_id=to("runs"),
        code=text(unique=True),
        own=text(),
        **columns.pop("line", {}),
    )
    given = {
        "lines": relationship("Line", cascade="all, delete-orphan"),
        "own": text(),
        "note": text(),
    } | columns
    host_run = model(base, "Run", *rules, **given)
    members = {"note": histio.Text(allow_none=True)} | (run_of or {})
    lines = ledger(line, {"identity": "code"} | (entry_meta or {}), code=word())
    return host_run, line, run(host_run, lines=lines, **members)


def lines(*codes: str) -> list[dict[str, str]]:
    return [{"code": code} for code in codes]


def owned(engine, of):
    """The codes of rows with the column that the format does not know, by key."""
    with Session(engine) as session:
        return [tuple(row) for row in session.execute(sa.select(of.code, of.own).order_by(of.id))]


@pytest.mark.slow
def test_a_run_that_breaks_a_constraint_is_rejected_alone(create):
    base = orm.declarative_base()
    _, _, kind = host(base, note=text(unique=True))
    history = History(create(base.metadata), kind)
    stored = [{"id": n, "note": f"n{n}", "lines": lines(f"l{n}")} for n in range(1, 10)]
    history.import_document(document(*stored))
    given = [{"id": n, "note": f"m{n}", "lines": lines(f"k{n}")} for n in range(1, 10)]
    given[4]["note"] = "m9"
    given[8]["note"] = "m9"
    report = update(history, document(*given))
    assert outcomes(report) == (0, 8, 0, 1)
    assert [problem.code for problem in report.problems] == ["constraint"]
    assert entries(report) == (8, 0, 8)


def test_an_entry_that_something_else_needs_cannot_be_removed(create):
    base = orm.declarative_base()
    _, line, kind = host(base)
    guard = model(base, "Guard", line_id=sa.Column(sa.ForeignKey("lines.id", ondelete="RESTRICT")))
    engine = create(base.metadata)
    history = History(engine, kind)
    stored = document(*({"id": n, "note": None, "lines": lines(f"a{n}", f"b{n}")} for n in (1, 2, 3)))
    history.import_document(stored)
    with Session(engine) as session:
        session.add(guard(line_id=session.scalar(sa.select(line.id).where(line.code == "b2"))))
        session.commit()
    given = [{"id": n, "note": "new", "lines": lines(f"a{n}")} for n in (1, 2, 3)]
    report = update(history, document(*given))
    assert (outcomes(report), codes_of(report.problems)) == ((0, 2, 0, 1), [("/runs/1", "constraint")])
    assert list(history.iter_runs("run")) == [given[0], stored["runs"][1], given[2]]


def test_entries_that_others_may_point_to_are_not_written_anew(create):
    base = orm.declarative_base()
    _, _, kind = host(base)
    model(base, "Guard", line_id=sa.Column(sa.ForeignKey("lines.id", ondelete="SET NULL")))
    engine = create(base.metadata)
    history = History(engine, kind)
    history.import_document(document({"id": 1, "note": None, "lines": lines("a", "b")}))
    before = exported(history)
    report = update(history, document({"id": 1, "note": "new", "lines": lines("b", "a")}))
    assert (outcomes(report), codes_of(report.problems)) == ((0, 0, 0, 1), [("/runs/0", "conflict")])
    assert (
        "/lines cannot be put into that order: rows of guards may point to them" in report.problems[0].message
    )
    assert exported(history) == before
    assert outcomes(update(history, document({"id": 1, "note": "new", "lines": lines("a", "c")}))) == (
        0,
        1,
        0,
        0,
    )


def test_entries_of_another_run_or_of_nobodys_twice_are_duplicates(history):
    history.import_document(bakery(*(production_run(n, consumptions=flour(n)) for n in (1, 2))))
    report = update(
        history,
        bakery(production_run(1, consumptions=flour(1, 2)), production_run(2, consumptions=flour(2, 5, 5))),
    )
    assert codes_of(report.problems) == [
        ("/production_runs/0/consumptions/1/uuid", "duplicate"),
        ("/production_runs/1/consumptions/2/uuid", "duplicate-in-document"),
    ]
    assert outcomes(report) == (0, 0, 0, 2)


@pytest.mark.slow
def test_an_entry_goes_to_a_later_run_when_an_earlier_one_gives_it_away(history):
    report = becomes(
        history,
        bakery(production_run(1, consumptions=flour(1, 2)), production_run(2, consumptions=flour(3))),
        bakery(production_run(1, consumptions=flour(1)), production_run(2, consumptions=flour(3, 2))),
    )
    assert (outcomes(report), entries(report)) == ((0, 2, 0, 0), (1, 0, 1))


def test_a_new_entry_goes_to_the_first_run_that_has_it(history):
    history.import_document(bakery(production_run(1, consumptions=[]), production_run(2, consumptions=[])))
    report = update(history, bakery(*(production_run(n, consumptions=flour(7)) for n in (1, 2))))
    assert (outcomes(report), [each.pointer for each in report.problems]) == (
        (0, 1, 0, 1),
        ["/production_runs/1/consumptions/0/uuid"],
    )


@pytest.mark.slow
def test_each_copy_of_a_run_is_compared_with_what_the_one_before_it_left(history):
    history.import_document(bakery(production_run(notes="a")))
    runs = [production_run(notes=notes) for notes in ("b", "a", "a", "c")]
    report = update(history, bakery(*runs))
    assert (outcomes(report), [each.code for each in report.warnings]) == (
        (0, 3, 1, 0),
        ["duplicate-in-document"] * 3,
    )
    assert [each["notes"] for each in history.iter_runs("production_run")] == ["c"]


def test_a_copy_of_a_run_that_was_just_imported_updates_it(history):
    report = update(history, bakery(production_run(notes="a"), production_run(notes="b")))
    assert outcomes(report) == (1, 1, 0, 0)
    assert [each["notes"] for each in history.iter_runs("production_run")] == ["b"]


def test_a_stored_run_that_cannot_be_read_is_a_conflict(sqlite):
    history = History(sqlite)
    history.import_document(bakery(production_run(1), production_run(2)))
    with sqlite.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE production_runs SET produced_at = 'soon' WHERE uuid = '{number(1)}'"
        )
    report = update(history, bakery(production_run(1, notes="new"), production_run(2, notes="new")))
    assert (outcomes(report), codes_of(report.problems)) == (
        (0, 1, 0, 1),
        [("/production_runs/0", "conflict")],
    )


def test_a_key_that_is_not_the_identity_never_changes(create):
    base = orm.declarative_base()
    host_run = model(base, "Run", code=text(unique=True))
    kind = run(host_run, {"identity": "code"}, code=word(), id=histio.Integer(required=True))
    history = History(create(base.metadata), kind)
    history.import_document(document({"code": "a", "id": 5}))
    report = update(history, document({"code": "a", "id": 6}))
    assert (outcomes(report), codes_of(report.problems)) == ((0, 0, 0, 1), [("/runs/0", "conflict")])
    assert "/id: document 6, database 5, and keys never change" in report.problems[0].message


# --- what frames an import -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"dry_run": True}, {"atomic": True}])
def test_what_is_taken_back_leaves_everything_as_it_was(history, options):
    history.import_document(bakery(production_run(1), production_run(2)))
    before = exported(history)
    runs = [production_run(1, consumptions=flour(9)), production_run(2, recipe_slug="cake")]
    report = update(history, bakery(*runs), **options)
    assert (report.rejected, report.updated) == (1, int("dry_run" in options))
    assert exported(history) == before


def test_an_update_in_a_session_is_the_sessions_to_commit(engine, history):
    history.import_document(bakery(production_run()))
    before = exported(history)
    with Session(engine) as session:
        stored = session.scalars(sa.select(ProductionRun)).one()
        assert update(history, bakery(production_run(notes="new")), session=session).updated == 1
        assert stored.notes == "Test batch"
        session.refresh(stored)
        assert stored.notes == "new"
        session.rollback()
    assert exported(history) == before


@pytest.mark.thorough
def test_updates_cost_no_statement_for_each_run(engine, count_statements):
    history = History(engine)
    statements = count_statements(engine)
    counts = []
    for first, many in ((1, 20), (1001, 200)):
        numbers = range(first, first + many)
        history.import_document(
            bakery(*(production_run(n, consumptions=flour(n, n + 10_000, n + 20_000)) for n in numbers))
        )
        statements.clear()
        given = [
            production_run(n, notes="new", consumptions=flour(n + 20_000, n, unit="kg")) for n in numbers
        ]
        report = update(history, bakery(*given))
        assert (report.updated, entries(report)) == (many, (0, 2 * many, many))
        counts.append(len(statements.all))
    assert counts[0] == counts[1]


@pytest.mark.thorough
@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_added_entries_cost_no_statement_for_each_run(dialect, engine, count_statements):
    history = History(engine)
    statements = count_statements(engine)
    counts = []
    for first, many in ((1, 20), (1001, 200)):
        numbers = range(first, first + many)
        history.import_document(bakery(*(production_run(n, consumptions=flour(n)) for n in numbers)))
        statements.clear()
        given = [production_run(n, consumptions=flour(n + 20_000, n, n + 10_000)) for n in numbers]
        assert update(history, bakery(*given)).updated == many
        counts.append(len(statements.all))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_two_clients_that_update_a_run_do_not_mix_their_entries(engine, history):
    history.import_document(bakery(production_run(consumptions=flour(1, 2))))
    given = bakery(production_run(notes="b", consumptions=flour(2, 5)))
    locks, reports = threading.Event(), []

    def about_to_lock(_connection, _cursor, statement, *_):
        if "FOR UPDATE" in statement:
            locks.set()

    other = histio.create_engine(engine.url)
    sa.event.listen(other, "before_cursor_execute", about_to_lock)
    later = threading.Thread(target=lambda: reports.append(update(History(other), given)))
    with Session(engine) as session:
        update(history, bakery(production_run(notes="a", consumptions=flour(1, 4))), session=session)
        later.start()
        assert locks.wait(60)
        session.commit()
    later.join()
    other.dispose()
    assert (outcomes(reports[0]), exported(history)) == ((0, 1, 0, 0), json.dumps(given))


# --- hosts -----------------------------------------------------------------------------------------------


def test_columns_that_the_format_does_not_know_stay(create):
    base = orm.declarative_base()
    host_run, line, kind = host(base)
    engine = create(base.metadata)
    history = History(engine, kind)
    history.import_document(document({"id": 1, "note": None, "lines": lines("a", "b", "c")}))
    with Session(engine) as session:
        session.execute(sa.update(host_run).values(own="mine"))
        session.execute(sa.update(line).values(own=line.code + "!"))
        session.commit()
    given = document({"id": 1, "note": "new", "lines": lines("c", "x", "a")})
    assert entries(update(history, given)) == (1, 1, 1)
    assert exported(history) == json.dumps(given)
    assert owned(engine, line) == [("c", "c!"), ("x", None), ("a", "a!")]
    with Session(engine) as session:
        assert session.scalar(sa.select(host_run.own)) == "mine"


def test_listeners_and_validators_of_the_host_are_heard(create):
    base = orm.declarative_base()
    heard = []
    line = model(base, "Line", run_id=to("runs"), code=text(unique=True))

    class Run(base):
        __tablename__ = "runs"
        id = sa.Column(sa.Integer, primary_key=True)
        note, seen = text(), sa.Column(sa.Integer, default=0)
        lines = relationship("Line", cascade="all, delete-orphan")

        @validates("note")
        def _check(self, _name, value):
            if value == "oops":
                raise ValueError("not a note")
            return value

    def count(_mapper, _connection, row):
        row.seen += 1

    sa.event.listen(Run, "before_update", count)
    for name in ("before_insert", "before_update", "before_delete"):
        sa.event.listen(line, name, lambda *args, name=name: heard.append((name, args[2].code)))
    engine = create(base.metadata)
    kind = run(Run, note=word(), lines=ledger(line, {"identity": "code"}, code=word()))
    history = History(engine, kind)
    history.import_document(
        document(*({"id": n, "note": "n", "lines": lines(f"a{n}", f"b{n}")} for n in (1, 2, 3)))
    )
    heard.clear()
    notes = {1: "m", 2: "oops", 3: "n"}
    report = update(
        history,
        document(*({"id": n, "note": note, "lines": lines(f"a{n}", f"c{n}")} for n, note in notes.items())),
    )
    assert (outcomes(report), codes_of(report.problems)) == ((0, 2, 0, 1), [("/runs/1", "constraint")])
    assert "ValueError: not a note" in report.problems[0].message
    with Session(engine) as session:
        assert session.execute(sa.select(Run.id, Run.seen).order_by(Run.id)).all() == [(1, 1), (2, 0), (3, 1)]
    assert {("before_delete", "b1"), ("before_insert", "c1"), ("before_insert", "c3")} <= set(heard)


def test_listeners_of_the_callers_session_are_heard(sqlite_of):
    base = orm.declarative_base()
    host_run = model(base, "Run", note=text(), by=text())
    maker = orm.sessionmaker(sqlite_of(base.metadata), info={"user": "ann"})

    def stamp(session, *_):
        for row in session.dirty:
            row.by = session.info["user"]

    history = History(maker, run(host_run, note=word()))
    history.import_document(document({"id": 1, "note": "a"}, {"id": 2, "note": "a"}))
    with listening(maker, "before_flush", stamp):
        update(history, document({"id": 1, "note": "b"}, {"id": 2, "note": "a"}))
    with maker() as session:
        assert session.scalars(sa.select(host_run.by).order_by(host_run.id)).all() == ["ann", None]


@pytest.mark.parametrize("member", [False, True])
def test_a_counter_of_versions_goes_on_or_is_what_the_document_says(create, member):
    base = orm.declarative_base()
    version = integer()
    host_run = model(base, "Run", version=version, note=text(), __mapper_args__={"version_id_col": version})
    members = {"version": histio.Integer(required=True)} if member else {}
    engine = create(base.metadata)
    history = History(engine, run(host_run, note=word(), **members))
    told_too = {"version": 7} if member else {}
    history.import_document(document({"id": 1, "note": "a"} | told_too))
    for note in ("b", "c"):
        assert update(history, document({"id": 1, "note": note} | told_too)).updated == 1
    with Session(engine) as session:
        assert session.scalar(sa.select(host_run.version)) == (7 if member else 3)


@pytest.mark.slow
def test_entries_without_identity_are_told_apart_by_what_surrounds_them(create):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs"), code=text(), own=text())
    host_run = model(base, "Run", lines=relationship("Line"))
    engine = create(base.metadata)
    history = History(engine, run(host_run, lines=ledger(line, code=word())))
    history.import_document(document({"id": 1, "lines": lines("a", "b", "c", "d")}))
    with Session(engine) as session:
        session.execute(sa.update(line).values(own=line.code + "!"))
        session.commit()
    steps = [
        (lines("a", "c", "d"), (0, 0, 1), ["a!", "c!", "d!"]),
        (lines("a", "x", "d"), (0, 1, 0), ["a!", "c!", "d!"]),
        (lines("a", "x", "y", "d"), (1, 1, 0), ["a!", "c!", None, "d!"]),
        (lines("z", "y", "d"), (0, 1, 1), ["a!", None, "d!"]),
    ]
    for wanted, counts, kept in steps:
        given = document({"id": 1, "lines": wanted})
        assert entries(update(history, given)) == counts
        assert exported(history) == json.dumps(given)
        assert [own for _, own in owned(engine, line)] == kept


def test_entries_that_a_member_orders_are_known_by_it(create):
    base = orm.declarative_base()
    once = sa.UniqueConstraint("run_id", "place")
    line = model(base, "Line", once, run_id=to("runs"), place=integer(), code=text(), own=text())
    host_run = model(base, "Run", lines=relationship("Line"))
    kind = run(
        host_run, lines=ledger(line, {"order": "place"}, place=histio.Integer(required=True), code=word())
    )
    engine = create(base.metadata)
    history = History(engine, kind)

    def placed(**codes):
        return document(
            {"id": 1, "lines": [{"place": int(place[1:]), "code": code} for place, code in codes.items()]}
        )

    history.import_document(placed(p2="b", p3="c", p4="d"))
    with Session(engine) as session:
        session.execute(sa.update(line).values(own=line.code + "!"))
        session.commit()
    given = placed(p1="d", p2="x", p4="d")
    assert entries(update(history, given)) == (1, 1, 1)
    assert exported(history) == json.dumps(given)
    assert owned(engine, line) == [("x", "b!"), ("d", "d!"), ("d", None)]


@pytest.mark.slow
def test_ledgers_below_ledgers_change_at_every_depth_and_move_with_their_owners(create):
    base = orm.declarative_base()
    tag = model(base, "Tag", name=text(unique=True))
    tagged = sa.Table("tagged", base.metadata, to("lines", name="line"), to("tags", name="tag"))
    seal = model(base, "Seal", serial_id=to("serials"), mark=text(), own=text())
    serial = model(base, "Serial", line_id=to("lines"), code=text(), own=text(), seals=relationship("Seal"))
    line = model(
        base,
        "Line",
        run_id=to("runs"),
        code=text(unique=True),
        own=text(),
        extra=sa.Column(sa.JSON),
        serials=relationship("Serial"),
        tags=relationship("Tag", secondary=tagged),
    )
    host_run = model(base, "Run", lines=relationship("Line"))
    seals = ledger(seal, mark=word())
    serials = ledger(serial, code=word(), seals=seals)
    tags = histio.SlugList("tags", key="name")
    kind = run(host_run, lines=ledger(line, {"identity": "code"}, code=word(), tags=tags, serials=serials))
    engine = create(base.metadata, tag(name="t"), tag(name="u"))
    history = History(engine, kind)

    def one(code, *serials, tags=("t",)):
        below = [{"code": name, "seals": [{"mark": mark} for mark in marks]} for name, *marks in serials]
        return {"code": code, "tags": list(tags), "serials": below}

    stored = document(
        {"id": 1, "lines": [one("a", "sxy", "tz"), one("b", "uw"), one("c")]},
        {"id": 2, "lines": [one("d", "sx")]},
    )
    history.import_document(stored)
    with Session(engine) as session:
        session.execute(sa.update(seal).values(own=seal.mark + "!"))
        session.execute(sa.update(serial).values(own=serial.code + "!"))
        session.execute(sa.update(line).values(own=line.code + "!"))
        session.commit()
    given = document(
        {"id": 1, "lines": [one("c", "n1", tags=("t", "u")), one("a", "syx", "q", "tz", tags=())]},
        {"id": 2, "lines": [one("d", "sx")]},
    )
    report = update(history, given)
    assert (outcomes(report), report.problems) == ((0, 1, 1, 0), ())
    assert exported(history) == json.dumps(given)
    # b with u and w is gone; n with 1, and q, are new; c changes; a moves; t moves behind q; x and y change.
    assert entries(report) == (3, 6, 3)
    with Session(engine) as session:
        assert session.scalars(sa.select(line.own).order_by(line.id)).all() == ["c!", "d!", "a!"]
        assert set(session.scalars(sa.select(serial.own))) == {"s!", "t!", None}
        assert set(session.scalars(sa.select(seal.own))) == {"x!", "y!", "z!", None}
    assert outcomes(update(history, stored)) == (0, 1, 1, 0)
    assert exported(history) == json.dumps(stored)


@pytest.mark.slow
def test_an_entry_moves_to_another_owner_and_another_ledger_within_its_run(create):
    base = orm.declarative_base()
    serial = model(base, "Serial", line_id=to("lines"), code=text(unique=True), way=text(3))
    joins = {way: f"and_(Line.id == Serial.line_id, Serial.way == '{way}')" for way in ("up", "off")}
    line = model(
        base,
        "Line",
        run_id=to("runs"),
        code=text(unique=True),
        **{way: relationship("Serial", primaryjoin=join, overlaps="up,off") for way, join in joins.items()},
    )
    host_run = model(base, "Run", lines=relationship("Line"))
    ledgers = {way: ledger(serial, {"identity": "code"}, code=word()) for way in joins}
    kind = run(host_run, lines=ledger(line, {"identity": "code"}, code=word(), **ledgers))

    def one(code, up, off):
        return {"code": code, "up": lines(*up), "off": lines(*off)}

    report = becomes(
        History(create(base.metadata), kind),
        document({"id": 1, "lines": [one("a", "pq", "r"), one("b", "", "s")]}),
        document({"id": 1, "lines": [one("a", "sp", ""), one("b", "rq", "x")]}),
    )
    assert (outcomes(report), entries(report)) == ((0, 1, 0, 0), (4, 1, 3))


@pytest.mark.turns
@pytest.mark.parametrize("wanted", [None, {"code": "a", "note": "m"}, {"code": "b", "note": "n"}])
@pytest.mark.parametrize("stored", [None, {"code": "a", "note": "n"}])
def test_the_one_entry_of_a_ledger_comes_changes_and_goes(create, stored, wanted):
    base = orm.declarative_base()
    shipment = model(base, "Shipment", run_id=to("runs", unique=True), code=text(), note=text())
    host_run = model(base, "Run", shipment=relationship("Shipment", uselist=False))
    one = Nested(entry(shipment, {"identity": "code"}, code=word(), note=word()), allow_none=True)
    history = History(create(base.metadata), run(host_run, shipment=one))
    history.import_document(document({"id": 1, "shipment": stored}))
    given = document({"id": 1, "shipment": wanted})
    report = update(history, given)
    assert (report.updated, report.rejected) == (int(stored != wanted), 0)
    assert exported(history) == json.dumps(given)


@pytest.mark.turns
@pytest.mark.parametrize("wanted", [None, {"note": "m"}])
@pytest.mark.parametrize("stored", [None, {"note": "n"}])
def test_an_entry_whose_key_the_run_keeps_comes_changes_and_goes(create, stored, wanted):
    base = orm.declarative_base()
    detail = model(base, "Detail", note=text())
    host_run = model(base, "Run", detail_id=to("details"), detail=relationship("Detail"))
    one = Nested(entry(detail, note=word()), allow_none=True)
    engine = create(base.metadata)
    history = History(engine, run(host_run, detail=one))
    history.import_document(document({"id": 1, "detail": stored}))
    given = document({"id": 1, "detail": wanted})
    assert update(history, given).rejected == 0
    assert exported(history) == json.dumps(given)
    with Session(engine) as session:
        assert len(session.scalars(sa.select(detail)).all()) == (wanted is not None)


@pytest.mark.slow
def test_entries_that_keep_the_key_of_one_below_them_are_brought_into_order(create):
    base = orm.declarative_base()
    detail = model(base, "Detail", note=text())
    columns = {"code": text(unique=True), "detail_id": to("details"), "detail": relationship("Detail")}
    line = model(base, "Line", run_id=to("runs"), **columns)
    host_run = model(base, "Run", lines=relationship("Line"))
    one = Nested(entry(detail, note=word()), allow_none=True)
    history = History(
        create(base.metadata),
        run(host_run, lines=ledger(line, {"identity": "code"}, code=word(), detail=one)),
    )
    stored = [{"code": code, "detail": {"note": code * 2}} for code in "abc"]
    given = [stored[2], stored[0] | {"detail": {"note": "new"}}, {"code": "b", "detail": None}]
    becomes(history, document({"id": 1, "lines": stored}), document({"id": 1, "lines": given}))


RELATIONS = {
    "dynamic": {"lazy": "dynamic"},
    "write-only": {"lazy": "write_only", "passive_deletes": True},
    "view-only": {"viewonly": True},
    **{name: {"collection_class": kind} for name, kind in COLLECTIONS.items()},
}


@pytest.mark.turns
@both_ways
@pytest.mark.parametrize("options", RELATIONS.values(), ids=RELATIONS)
def test_ledgers_of_unusual_relationships_change(create, options, heard):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs", nullable=False), sku=text())
    host_run = model(base, "Run", lines=relationship("Line", **options))
    listen(host_run, heard)
    history = History(create(base.metadata), run(host_run, lines=ledger(line, sku=word())))
    skus = [{"sku": sku} for sku in "bac"]
    becomes(
        history,
        document({"id": 1, "lines": skus}, {"id": 2, "lines": skus[:1]}),
        document({"id": 1, "lines": [{"sku": sku} for sku in "zbdc"]}, {"id": 2, "lines": []}),
    )


def test_a_ledger_that_only_a_foreign_key_leads_to_changes(create):
    base = orm.declarative_base()
    serial = model(base, "Serial", line_id=to("lines", nullable=False), code=text())
    line = model(base, "Line", run_id=to("runs", nullable=False), code=text(unique=True))
    host_run = model(base, "Run")
    serials = ledger(serial, code=word())
    kind = run(host_run, lines=ledger(line, {"identity": "code"}, code=word(), serials=serials))
    stored = [{"code": code, "serials": lines(code * 2)} for code in "abc"]
    given = [{"code": code, "serials": lines(code * 3, code * 2)} for code in "cdb"]
    becomes(
        History(create(base.metadata), kind),
        document({"id": 1, "lines": stored}),
        document({"id": 1, "lines": given}),
    )


def test_ledgers_of_one_table_are_told_apart(create):
    base = orm.declarative_base()
    _, kind = moves(base, in_="Move.way == 'in'", out="Move.way == 'out'")
    becomes(
        History(create(base.metadata), kind),
        document({"id": 1, "in_": [{"qty": 1}, {"qty": 5}], "out": [{"qty": 2}, {"qty": 3}]}),
        document({"id": 1, "in_": [{"qty": 4}, {"qty": 1}, {"qty": 5}], "out": [{"qty": 3}]}),
    )


def test_a_list_of_slugs_becomes_the_list(create):
    base = orm.declarative_base()
    tag = model(base, "Tag", name=text(unique=True))
    tagged = sa.Table("tagged", base.metadata, to("runs", name="run"), to("tags", name="tag"))
    host_run = model(base, "Run", tags=relationship("Tag", secondary=tagged))
    kind = run(host_run, tags=histio.SlugList("tags", key="name"))
    history = History(create(base.metadata, *(tag(name=name) for name in "abc")), kind)
    becomes(
        history,
        document({"id": 1, "tags": ["a", "b"]}, {"id": 2, "tags": []}, {"id": 3, "tags": ["c"]}),
        document({"id": 1, "tags": ["b", "c"]}, {"id": 2, "tags": ["a"]}, {"id": 3, "tags": []}),
    )
    report = update(history, document({"id": 1, "tags": ["d"]}))
    assert codes_of(report.problems) == [("/runs/0/tags", "unknown-reference")]


@pytest.mark.slow
def test_the_shop_becomes_what_the_document_says(create):
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 1})
    changed = shop.order(
        1,
        placed_on=None,
        customer=None,
        warehouse=None,
        total="0.07",
        doubled=14,
        weight=2.5,
        colour="BLUE",
        extra=None,
        gift=True,
        tags=["old"],
        parent=None,
        lines=[
            shop.line(1, product=None, tag="new", serials=[{"text": "b"}, {"text": "x"}, {"text": "a"}]),
            shop.line(3),
        ],
        shipment=None,
    )
    given = shop.orders(changed, shop.order(2, parent=changed["uuid"]))
    stored = shop.orders(shop.order(1), shop.order(2, shipment=None, lines=[]))
    assert history.import_document(stored).imported == 2
    report = update(history, given)
    assert [str(problem) for problem in report.problems] == []
    assert outcomes(report) == (0, 2, 0, 0)
    left = {"exported_at": None}
    assert json.dumps(history.export_document() | left) == json.dumps(given | left)
    with Session(engine) as session:
        of_first = session.scalars(sa.select(shop.Line.colour).where(shop.Line.place == 1)).first()
        assert of_first is shop.Colour.BLUE
    assert outcomes(update(history, given)) == (0, 0, 2, 0)


def test_a_run_that_exists_may_come_to_refer_to_one_that_is_new(create):
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 1})
    history.import_document(shop.orders(shop.order(1)))
    other = shop.order(2, lines=[], shipment=None)
    given = shop.orders(shop.order(1, parent=other["uuid"]), other)
    assert outcomes(update(history, given)) == (1, 1, 0, 0)
    assert list(history.iter_runs("order")) == given["orders"]


@pytest.mark.slow
def test_choosing_another_reference_lets_go_of_the_one_that_is_left_out(create):
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 1})
    history.import_document(shop.orders(shop.order(1, lines=[shop.line(1)])))
    other = without(shop.line(1, tag="old"), "product")
    assert outcomes(update(history, shop.orders(shop.order(1, lines=[other])))) == (0, 1, 0, 0)
    [stored] = history.iter_runs("order")
    assert (stored["lines"][0]["product"], stored["lines"][0]["tag"]) == (None, "old")


def test_a_column_that_the_database_computes_says_nothing_of_a_difference(create):
    engine = create(shop.Base.metadata, *shop.catalog())
    history = History(engine, shop.OrderSchema, values={"shop_id": 1})
    history.import_document(shop.orders(shop.order()))
    assert outcomes(update(history, shop.orders(shop.order(doubled=1)))) == (0, 0, 1, 0)


def test_the_same_run_of_two_tenants_changes_within_its_tenant(create):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs"), code=text())
    once = sa.UniqueConstraint("tenant_id", "uuid")
    host_run = model(base, "Run", once, tenant_id=integer(), uuid=text(36), lines=relationship("Line"))
    members = {"uuid": histio.RunUUID(required=True), "lines": ledger(line, code=word())}
    kind = run(host_run, {"identity": "uuid"}, **members)
    engine = create(base.metadata)
    given = {t: document({"uuid": number(1), "lines": lines(f"of {t}")}) for t in (7, 3)}
    histories = {t: History(engine, kind, values={"tenant_id": t}) for t in (7, 3)}
    for tenant, own in histories.items():
        own.import_document(given[tenant])
    changed = document({"uuid": number(1), "lines": lines("new", "of 7")})
    assert outcomes(update(histories[7], changed)) == (0, 1, 0, 0)
    for tenant, runs in ((7, changed["runs"]), (3, given[3]["runs"])):
        assert list(histories[7].iter_runs("run", where=host_run.tenant_id == tenant)) == runs


def test_entries_whose_order_the_format_does_not_know_are_not_brought_into_another(create):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs"), code=text(unique=True), place=sa.Column(sa.Integer))
    host_run = model(base, "Run", lines=relationship("Line"))
    kind = run(host_run, lines=ledger(line, {"identity": "code", "order": "place"}, code=word()))
    history = History(create(base.metadata), kind)
    history.import_document(document({"id": 1, "lines": lines("a", "b")}))
    report = update(history, document({"id": 1, "lines": lines("b", "a")}))
    assert codes_of(report.problems) == [("/runs/0", "conflict")]
    assert "the format does not have place, which orders them" in report.problems[0].message


@pytest.mark.turns
@both_ways
@pytest.mark.parametrize("style", STYLES)
def test_a_host_mapped_in_any_style_is_left_alone_when_nothing_differs(create, style, heard):
    metadata, kind, records, rows = style(orm.declarative_base())
    listen(kind.Meta.model, heard)
    history = History(create(metadata, *rows), kind)
    history.import_document(document(*records))
    assert outcomes(update(history, document(*records))) == (0, 0, len(records), 0)


CHANGED = {
    "joined_tables": {
        "total": "2.00",
        "twice": "4.00",
        "more": "3.00",
        "lines": [{"sku": "a"}, {"sku": "c"}],
    },
    "one_table": {"oven": "warm"},
    "concrete_parent": {"name": "b"},
    "concrete_child": {"name": "b"},
    "synonyms": {"Name": "b"},
    "imperatively": {"note": "m", "lines": [{"sku": "a"}, {"sku": "c"}]},
    "dataclasses_with_defaults": {"lines": [{"sku": "b", "state": "new"}, {"sku": "a", "state": "new"}]},
}
UNWRITTEN = {"joined_tables": ("twice", "more"), "dataclasses_with_defaults": ("state",)}
"""Members that are only exported."""


@pytest.mark.turns
@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("style", STYLES)
def test_a_host_mapped_in_any_style_becomes_what_the_document_says(create, style, heard):
    metadata, kind, records, rows = style(orm.declarative_base())
    listen(kind.Meta.model, heard)
    changed = [records[0] | CHANGED[style.__name__], *records[1:]]
    unwritten = UNWRITTEN.get(style.__name__, ())
    becomes(History(create(metadata, *rows), kind), document(*records), document(*changed), unwritten)


def test_a_deferred_constraint_rejects_the_run_that_breaks_it(databases):
    base = orm.declarative_base()
    guard = model(base, "Guard")
    key = sa.ForeignKey("guards.id", deferrable=True, initially="DEFERRED")
    host_run = model(base, "Run", guard_id=sa.Column(key))
    kind = run(host_run, guard_id=histio.Integer(allow_none=True))
    history = History(databases.of_host("postgresql")(base.metadata, guard(id=1)), kind)
    history.import_document(document({"id": 1, "guard_id": 1}, {"id": 2, "guard_id": 1}))
    report = update(history, document({"id": 1, "guard_id": 9}, {"id": 2, "guard_id": None}))
    assert (outcomes(report), codes_of(report.problems)) == ((0, 1, 0, 1), [("/runs/0", "constraint")])
