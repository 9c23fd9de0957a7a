"""Runs and entries that several members identify together, a reference to a row among them."""

from __future__ import annotations

import copy
import datetime as dt
import gzip
import json
import random

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

import histio
from histio import BindingError, DocumentError, ExportError, History, testing
from histio.cli.app import app
from histio.tuning import tuned, tuning
from tests.support import lab
from tests.support.bakery import number
from tests.support.conformance import check_host
from tests.support.lab import document, named, reading, review, sample, study, trial, visit, visits
from tests.support.mapping_styles import listening
from tests.support.reports import codes_of

MOMENT = dt.datetime.fromisoformat(lab.TIME)
EVERYTHING = document(
    study("Acme", 1, trials=[]),
    study("a b", 1),
    study("acme", 1),
    study("acme", 2, base=named("acme", 1), sample={"site": "north", "number": 1}),
    study("acme", 10, base=named("ée", 1), trials=[trial("a", 1), trial("a", 2, values=[]), trial("b", 1)]),
    study("ée", 1, base=named("acme", 2)),
    samples=[
        sample("South", 1, readings=[]),
        sample("north", 1, note="cold"),
        sample("north", 2, readings=[reading("A"), reading("a", None), reading("a", 2), reading("a", 10)]),
        sample("north", 10, readings=[reading("a", 1, 9), reading("a", 1, 8), reading("é")]),
    ],
    reviews=[
        review("Acme", 1),
        review("acme", 1, "B", verdict="poor"),
        review("acme", 1, "a"),
        review("acme", 10),
    ],
)
RUNS = 14


def outcomes(report):
    return report.imported, report.updated, report.skipped, report.rejected


def exported(history):
    return json.dumps(history.export_document(exported_at=MOMENT))


def changed(**members):
    """One study of all, with other *members*."""
    return document(study("acme", 2, base=named("acme", 1), sample={"site": "north", "number": 1}) | members)


@pytest.fixture
def engine(create):
    return create(lab.Base.metadata, *lab.catalog())


@pytest.fixture
def history(engine):
    return History(engine, *lab.KINDS)


@pytest.fixture
def full(history):
    assert outcomes(history.import_document(EVERYTHING)) == (RUNS, 0, 0, 0)
    return history


# --- there and back -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_imported_is_exported_in_the_order_of_all_members(full):
    assert exported(full) == json.dumps(EVERYTHING)


def test_the_order_in_which_runs_come_does_not_matter(history):
    mixed = copy.deepcopy(EVERYTHING)
    for name in ("samples", "studies", "reviews"):
        mixed[name].reverse()
    for each in mixed["samples"]:  # but for those of the same place, which are as they were recorded
        each["readings"].sort(key=lambda entry: (entry["key"], entry["step"] or 0), reverse=True)
    assert outcomes(history.import_document(dict(reversed(mixed.items())))) == (RUNS, 0, 0, 0)
    report = history.import_document(EVERYTHING, on_duplicate="verify")
    assert outcomes(report) == (0, 0, RUNS, 0)


@pytest.mark.turns
@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("skip", (0, 0, RUNS, 0)),
        ("verify", (0, 0, RUNS, 0)),
        ("update", (0, 0, RUNS, 0)),
        ("error", (0, 0, 0, RUNS)),
    ],
)
def test_runs_that_exist_are_known_by_all_members(full, mode, outcome):
    assert outcomes(full.import_document(EVERYTHING, on_duplicate=mode)) == outcome
    assert exported(full) == json.dumps(EVERYTHING)


def to_file(history, path):
    history.import_document(EVERYTHING)
    history.export_file(path, exported_at=MOMENT)
    return path


@pytest.mark.turns
@pytest.mark.cells(1)
@pytest.mark.parametrize("name", ["all.json", "all.jsonl", "all.jsonl.gz", "all.jsonl.zst"])
def test_files_move_them_to_a_database_with_other_row_ids(create, tmp_path, name):
    path = to_file(History(create(lab.Base.metadata, *lab.catalog()), *lab.KINDS), tmp_path / name)
    target = History(create(lab.Base.metadata, *lab.catalog(backwards=True), number=1), *lab.KINDS)
    assert outcomes(target.import_file(path)) == (RUNS, 0, 0, 0)
    assert outcomes(target.import_file(path, on_duplicate="verify")) == (0, 0, RUNS, 0)
    assert exported(target) == json.dumps(EVERYTHING)


@pytest.mark.slow
def test_the_same_bytes_leave_every_database(databases):
    engines = [databases.of_host(dialect)(lab.Base.metadata, *lab.catalog()) for dialect in DIALECTS]
    texts = []
    for engine in engines:
        history = History(engine, *lab.KINDS)
        history.import_document(EVERYTHING)
        texts.append(exported(history))
    assert texts == [json.dumps(EVERYTHING)] * 3


DIALECTS = ("sqlite", "postgresql", "mariadb")


@pytest.mark.parametrize("commit_every", [1, 3])
def test_an_import_that_commits_in_between_knows_what_it_has_written(history, tmp_path, commit_every):
    path = tmp_path / "twice.jsonl"
    lines = [json.dumps({"header": {"version": "1.0", "sealed": False, "kinds": ["sample"]}})]
    lines += [json.dumps({"sample": sample(number=n)}) for n in (1, 2, 1, 3, 2)]
    path.write_text("\n".join(lines) + "\n")
    report = history.import_file(path, commit_every=commit_every)
    assert outcomes(report) == (3, 0, 2, 0)
    assert [problem.code for problem in report.warnings] == ["duplicate-in-document"] * 2


# --- the way of the export that asks marshmallow nothing ----------------------------------------------


def test_an_export_may_take_the_fast_path_and_an_import_says_why_not(engine):
    history = History(engine, lab.VisitSchema)
    assert "visit, export: full path" not in history.explain()
    assert "visit: no UUID, unique by itself, identifies its runs" in history.explain()


@pytest.mark.slow
def test_the_fast_path_gives_every_run_once_and_in_order(engine):
    records = [visit(project, n) for project in sorted(lab.PROJECTS) for n in range(1, tuning().page // 2)]
    shuffled = random.Random(1).sample(records, len(records))
    history = History(engine, lab.VisitSchema)
    assert outcomes(history.import_document(visits(*shuffled))) == (len(records), 0, 0, 0)
    assert exported(history) == json.dumps(visits(*records))
    assert list(history.iter_runs("visit", since=MOMENT)) == []


@pytest.mark.slow
def test_a_page_that_marshmallow_has_to_read_is_no_gap(engine):
    records = [visit("acme", n) for n in range(tuning().page + 50)]
    history = History(engine, lab.VisitSchema)
    history.import_document(visits(*records))
    with engine.begin() as connection:  # what no field of the format takes
        connection.execute(sa.update(lab.Note).where(lab.Note.id == 77).values(text="a\x00b" * 0 + "x" * 40))
        connection.execute(sa.update(lab.Visit).where(lab.Visit.number == 60).values(number=-60))
    numbers = [record["number"] for record in history.iter_runs("visit")]
    assert numbers == sorted([-60, *(n for n in range(tuning().page + 50) if n != 60)])


# --- one after the other ------------------------------------------------------------------------------


keys = st.tuples(
    st.sampled_from(lab.PROJECTS), st.integers(-3, 3), st.sampled_from(["2025-12-01", "2025-12-02"])
)


@pytest.mark.slow
@given(st.lists(keys, unique_by=lambda key: key[:2], max_size=20), st.integers(1, 4))
def test_pages_of_any_size_give_every_run_once_and_in_order(found, size):
    with tuned(page=size):
        with Session(ENGINE) as session:
            session.execute(sa.delete(lab.Visit))
            projects = {each.slug: each for each in session.scalars(sa.select(lab.Project))}
            session.add_all(
                lab.Visit(project=projects[slug], number=n, began=dt.datetime.fromisoformat(day))
                for slug, n, day in found
            )
            session.commit()
        history = History(ENGINE, lab.VisitSchema)
        runs = [(run["began"][:10], run["project"], run["number"]) for run in history.iter_runs("visit")]
    assert runs == sorted((day, slug, n) for slug, n, day in found)


ENGINE = histio.create_engine("sqlite://")


@pytest.fixture(scope="module", autouse=True)
def _host():
    lab.Base.metadata.create_all(ENGINE)
    with Session(ENGINE) as session:
        session.add_all(lab.catalog())
        session.commit()
    yield
    ENGINE.dispose()


# --- who is who ---------------------------------------------------------------------------------------


def test_an_identity_is_told_in_words_of_which_no_two_are_alike(full):
    report = full.import_document(EVERYTHING, on_duplicate="error")
    assert [problem.uuid for problem in report.problems] == [
        *("South 1", "north 1", "north 2", "north 10"),
        *("Acme 1", '"a b" 1', "acme 1", "acme 2", "acme 10", "ée 1"),
        *("Acme 1 a", "acme 1 B", "acme 1 a", "acme 10 a"),
    ]
    first = report.problems[0]
    assert (first.pointer, str(first.message)) == ("/samples/0", "Duplicate site and number: South 1")


def test_members_that_look_alike_when_put_together_are_different(history):
    given = document(samples=[sample('a "b', 1), sample('"a "b"', 1), sample("", 1), sample("null", 1)])
    assert outcomes(history.import_document(given)) == (4, 0, 0, 0)
    assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, 0, 4, 0)
    words = [problem.uuid for problem in history.import_document(given, on_duplicate="error").problems]
    assert len(set(words)) == 4


def test_a_collation_that_takes_projects_for_the_same_does_not_mix_their_runs(history):
    assert outcomes(history.import_document(document(study("acme")))) == (1, 0, 0, 0)
    assert outcomes(history.import_document(document(study("Acme"), study("acme")))) == (1, 0, 1, 0)


@pytest.mark.parametrize("member", ["project", "number"])
def test_every_member_is_required(history, member):
    record = study()
    del record[member]
    report = history.import_document(document(record, study("acme", 2)))
    assert outcomes(report) == (1, 0, 0, 1)
    assert codes_of(report.problems) == [(f"/studies/0/{member}", "schema")]
    assert report.problems[0].uuid is None


def test_a_run_that_comes_twice_in_a_document_is_one(history):
    given = document(study("acme", 1), study("acme", 1, title="Another"), study("beta", 1))
    report = history.import_document(given)
    assert outcomes(report) == (2, 0, 1, 0)
    assert codes_of(report.warnings) == [("/studies/1", "duplicate-in-document")]
    assert codes_of(history.check(given)) == [("/studies/1", "duplicate-in-document")]


def test_an_entry_that_comes_twice_in_its_run_rejects_it(history):
    twice = study(trials=[trial("a", 1), trial("a", 2), trial("a", 1)])
    report = history.import_document(document(twice, study("acme", 2, trials=[trial("a", 1)])))
    assert outcomes(report) == (1, 0, 0, 1)
    assert codes_of(report.problems) == [("/studies/0/trials/2", "duplicate-in-document")]
    assert "Duplicate phase and attempt: a 1, twice in its run" in str(report.problems[0])


def test_a_run_whose_project_is_unknown_is_no_duplicate_of_another(full):
    report = full.import_document(document(study("gone", 1), study("acme", 1)))
    assert outcomes(report) == (0, 0, 1, 1)
    assert codes_of(report.problems) == [("/studies/0/project", "unknown-reference")]


# --- what is said of a run that exists ----------------------------------------------------------------


@pytest.mark.turns
@pytest.mark.cells(1)
@pytest.mark.parametrize(
    ("members", "conflict"),
    [
        ({"title": "New"}, "/title: document 'New', database 'A study'"),
        ({"trials": []}, "/trials: only in the database: first 1"),
        ({"trials": [trial(), trial("last one")]}, "/trials/1: only in the document"),
        ({"trials": [trial(score=4)]}, "/trials/0/score: document 4, database 3"),
        (
            {"trials": [trial(values=[{"value": 2}])]},
            "/trials/0/values/1: only in the database",
        ),
        ({"base": named("Acme", 1)}, "/base: document .*Acme.*database .*acme"),
        ({"sample": None}, "/sample: document null, database .*north"),
    ],
)
def test_verify_update_and_diff_see_the_same(full, tmp_path, members, conflict):
    given = changed(**members)
    report = full.import_document(given, on_duplicate="verify")
    assert outcomes(report) == (0, 0, 0, 1)
    [problem] = report.problems
    assert (problem.code, problem.uuid) == ("conflict", "acme 2")
    with pytest.raises(AssertionError, match=conflict):
        raise AssertionError(problem.message)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(given))
    differing = [each for each in histio.diff(full, path) if each.only_in is None]
    assert [(each.kind, each.uuid) for each in differing] == [("study", "acme 2")]
    assert [(each.kind, each.uuid) for each in histio.verify(path, full)] == [("study", "acme 2")]
    assert outcomes(full.import_document(given, on_duplicate="update")) == (0, 1, 0, 0)
    assert list(histio.verify(path, full)) == []
    assert outcomes(full.import_document(given, on_duplicate="verify")) == (0, 0, 1, 0)
    assert [run for run in full.iter_runs("study") if run["number"] == 2] == given["studies"]


@pytest.mark.slow
def test_an_update_of_a_run_that_was_written_before_it_finds_it(history):
    given = document(study("acme", 1), study("acme", 1, title="Later"))
    report = history.import_document(given, on_duplicate="update")
    assert outcomes(report) == (1, 1, 0, 0)
    assert [run["title"] for run in history.iter_runs("study")] == ["Later"]


@pytest.mark.parametrize(
    ("mode", "level"),
    [
        ("skip", "READ COMMITTED"),
        ("skip", "REPEATABLE READ"),
        ("verify", "READ COMMITTED"),
        ("update", "READ COMMITTED"),
    ],
)
def test_a_run_that_another_client_has_just_written_is_known(engine, level, mode):
    isolated = engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level=level)
    given = document(samples=[sample("north", 1), sample("north", 2)])
    rivals = [History(engine, *lab.KINDS)] * (engine.dialect.name != "sqlite")

    def write_first(_connection, _cursor, statement, *_):
        if rivals and statement.startswith("SELECT") and "FROM samples" in statement:
            assert outcomes(rivals.pop().import_document(given)) == (2, 0, 0, 0)

    with listening(engine, "after_cursor_execute", write_first):
        report = History(isolated, *lab.KINDS).import_document(given, on_duplicate=mode)
    assert rivals == []
    written = 2 * (engine.dialect.name == "sqlite")
    assert (report.imported, report.rejected) == (written, 0)
    assert exported(History(engine, *lab.KINDS)) == json.dumps(given)


# --- runs that name each other ------------------------------------------------------------------------


def test_a_reference_is_an_object_with_a_member_for_each_column(history):
    schema = history.json_schema()["$defs"]["review"]["properties"]["study"]
    assert schema["required"] == ["project.slug", "number"]
    Draft202012Validator(history.json_schema()).validate(EVERYTHING)


def test_runs_come_after_those_that_they_refer_to(history):
    chain = [study("acme", n, base=named("acme", n + 1)) for n in range(1, 6)] + [study("acme", 6)]
    assert outcomes(history.import_document(document(*chain, reviews=[review("acme", 3)]))) == (7, 0, 0, 0)
    assert [run["base"] for run in history.iter_runs("study")] == [run["base"] for run in chain]


def test_check_takes_runs_of_the_same_document_for_found(history):
    given = document(study("acme", 1, base=named("acme", 2)), study("acme", 2), reviews=[review("acme", 1)])
    assert history.check(given) == []
    given = document(study("acme", 1, base=named("acme", 3)), reviews=[review("acme", 1), review("beta", 1)])
    assert codes_of(history.check(given)) == [
        ("/studies/0/base", "unknown-reference"),
        ("/reviews/0/study", "unknown-reference"),
        ("/reviews/1/study", "unknown-reference"),
    ]


def test_an_unknown_run_is_named_by_all_members(history):
    report = history.import_document(document(reviews=[review("a b", 4)]))
    assert [problem.message for problem in report.problems] == ["Study not found: a b 4"]


# --- tenants ---------------------------------------------------------------------------------------------


class TenantBase(orm.DeclarativeBase):
    pass


class Site(TenantBase):
    __tablename__ = "sites"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(sa.String(40))
    tenant: Mapped[int]


class Ticket(TenantBase):
    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[int]
    site_id: Mapped[int] = mapped_column(sa.ForeignKey(Site.id))
    number: Mapped[int]
    title: Mapped[str] = mapped_column(sa.String(40))
    site: Mapped[Site] = relationship()
    __table_args__ = (sa.UniqueConstraint("tenant", "site_id", "number"),)


class TicketSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Ticket, "ticket", "tickets", None
        identity = ("site", "number")

    site = histio.Slug("site", required=True)
    number = histio.Integer(required=True)
    title = histio.Text(required=True)


@pytest.mark.slow
def test_an_identity_is_looked_for_among_the_rows_of_its_tenant(create):
    engine = create(TenantBase.metadata, Site(slug="north", tenant=7), Site(slug="north", tenant=8))
    for tenant in (7, 8):
        history = History(engine, TicketSchema, values={"tenant": tenant})
        tickets = [{"site": "north", "number": n, "title": f"{tenant}"} for n in (1, 2)]
        given = {"version": "1.0", "tickets": tickets}
        assert outcomes(history.import_document(given)) == (2, 0, 0, 0)
        assert outcomes(history.import_document(given, on_duplicate="verify")) == (0, 0, 2, 0)
        changed = {"version": "1.0", "tickets": [tickets[0] | {"title": "new"}]}
        assert outcomes(history.import_document(changed, on_duplicate="update")) == (0, 1, 0, 0)
        kept = history.export_document(where=Ticket.tenant == tenant)["tickets"]
        assert [each["title"] for each in kept] == ["new", f"{tenant}"]


# --- entries of which no two are alike anywhere ------------------------------------------------------------


class CoinBase(orm.DeclarativeBase):
    pass


class Hoard(CoinBase):
    __tablename__ = "hoards"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    coins: Mapped[list[Coin]] = relationship()


class Coin(CoinBase):
    __tablename__ = "coins"
    id: Mapped[int] = mapped_column(primary_key=True)
    hoard_id: Mapped[int] = mapped_column(sa.ForeignKey(Hoard.id))
    mint: Mapped[str] = mapped_column(sa.String(40))
    serial: Mapped[int]
    __table_args__ = (sa.UniqueConstraint("mint", "serial"),)


class CoinSchema(histio.RecordSchema):
    class Meta:
        model, identity = Coin, ("mint", "serial")

    mint = histio.Text(required=True)
    serial = histio.Integer(required=True)


class HoardSchema(histio.RunSchema):
    class Meta:
        model, kind, collection, timestamp = Hoard, "hoard", "hoards", None

    uuid = histio.RunUUID(required=True)
    coins = lab.Nested(CoinSchema, many=True)


def hoards(*coins):
    """A hoard for each list of coins."""
    runs = [
        {"uuid": number(n), "coins": [{"mint": mint, "serial": serial} for mint, serial in some]}
        for n, some in enumerate(coins)
    ]
    return {"version": "1.0", "hoards": runs}


@pytest.mark.parametrize("mode", ["skip", "update"])
def test_an_entry_of_another_run_is_a_duplicate(create, mode):
    history = History(create(CoinBase.metadata), HoardSchema)
    assert "hoard, import: fast path" in history.explain()
    assert outcomes(history.import_document(hoards([("York", 1), ("York", 2)]))) == (1, 0, 0, 0)
    given = hoards([("York", 1), ("York", 2)], [("Bath", 1), ("York", 2)], [("Bath", 2)])
    report = history.import_document(given, on_duplicate=mode)
    assert outcomes(report) == (1, 0, 1, 1)
    [problem] = report.problems
    assert (problem.pointer, problem.code) == ("/hoards/1/coins/1", "duplicate")
    assert "Duplicate mint and serial: York 2, an entry of another run" in problem.message


def test_an_entry_of_two_runs_of_a_document_goes_in_with_the_first(create):
    history = History(create(CoinBase.metadata), HoardSchema)
    given = hoards([("York", 1)], [("York", 2), ("York", 1)], [("York", 3)])
    report = history.import_document(given)
    assert outcomes(report) == (2, 0, 0, 1)
    assert codes_of(report.problems) == [("/hoards/1/coins/1", "duplicate-in-document")]
    assert codes_of(history.check(hoards([("a", 1)], [("a", 1)]))) == [
        ("/hoards/1/coins/0", "duplicate-in-document")
    ]


# --- what cannot be exported --------------------------------------------------------------------------


@pytest.fixture
def loose(create):
    """Makes a database whose columns take NULL, whatever the models say, and two visits that are fine."""
    metadata = sa.MetaData()
    for table in lab.Base.metadata.sorted_tables:
        copied = table.to_metadata(metadata)
        for column in copied.columns:
            column.nullable = column.nullable or not column.primary_key
    engine = create(metadata)
    with Session(engine) as session:
        session.add_all(lab.catalog())
        session.commit()
    History(engine, lab.VisitSchema).import_document(visits(visit("acme", 1), visit("beta", 2)))
    return engine


@pytest.mark.parametrize(
    ("column", "uuid", "pointer"),
    [
        (lab.Visit.number, "beta null", "/number"),
        (lab.Visit.project_id, "null 2", "/project"),
        (lab.Visit.began, "beta 2", "/began"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"since": dt.date(2020, 1, 1)}, {"until": dt.date(2026, 1, 1)}])
def test_a_null_in_what_orders_the_runs_is_told_with_its_row(loose, column, uuid, pointer, options):
    with loose.begin() as connection:
        connection.execute(sa.update(lab.Visit).where(lab.Visit.number == 2).values({column: None}))
    with pytest.raises(ExportError, match="NULL") as raised:
        list(History(loose, lab.VisitSchema).iter_runs("visit", **options))
    [problem] = raised.value.problems
    assert (problem.uuid, problem.pointer) == (uuid, pointer)
    assert f"{pointer[1:]} is NULL in the row with id " in problem.message


@pytest.mark.parametrize(
    ("column", "told"), [(lab.Visit.number, []), (lab.Visit.project_id, []), (lab.Visit.began, ["/began"])]
)
def test_only_a_time_that_is_null_is_told_whatever_times_are_asked_for(loose, column, told):
    with loose.begin() as connection:
        connection.execute(sa.update(lab.Visit).where(lab.Visit.number == 2).values({column: None}))
    try:
        found = list(History(loose, lab.VisitSchema).iter_runs("visit", until=dt.date(2024, 1, 1)))
    except ExportError as error:
        found = [problem.pointer for problem in error.problems]
    assert found == told


def test_the_other_runs_are_read_all_the_same(loose):
    with loose.begin() as connection:
        connection.execute(sa.update(lab.Visit).where(lab.Visit.number == 2).values(number=None))
    runs = History(loose, lab.VisitSchema).iter_runs("visit")
    assert next(runs) == visit("acme", 1)
    with pytest.raises(ExportError, match="number is NULL"):
        next(runs)


def test_a_null_in_what_identifies_an_entry_is_told_with_its_run(create):
    metadata = sa.MetaData()
    for table in lab.Base.metadata.sorted_tables:
        table.to_metadata(metadata)
    metadata.tables["trials"].columns["attempt"].nullable = True
    engine = create(metadata)
    with Session(engine) as session:
        session.add_all(lab.catalog())
        session.commit()
    history = History(engine, *lab.KINDS)
    history.import_document(document(study()))
    with engine.begin() as connection:
        connection.execute(sa.update(lab.Trial).values(attempt=None))
    with pytest.raises(ExportError, match="acme 1") as raised:
        history.export_document()
    assert [problem.pointer for problem in raised.value.problems] == ["/trials/0/attempt"]


def test_rows_that_several_members_do_not_tell_apart_are_told(create):
    metadata = sa.MetaData()
    for table in lab.Base.metadata.sorted_tables:
        table.to_metadata(metadata)
    engine = create(metadata, lab.Project(slug="acme"), lab.Project(slug="acme"))
    with Session(engine) as session:
        for project in session.scalars(sa.select(lab.Project)).all():
            session.add(lab.Visit(project=project, number=1, began=MOMENT))
        session.commit()
    with pytest.raises(ExportError, match="visit acme 1: 2 rows have this project and number"):
        History(engine, lab.VisitSchema).export_document()


# --- files --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_merge_puts_parts_together_in_the_order_of_the_export(full, tmp_path):
    full.export_file(tmp_path / "all.jsonl", exported_at=MOMENT)
    odd = full.export_document(where={"study": lab.Study.number == 1}, kinds=["study"], exported_at=MOMENT)
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    rest = {**EVERYTHING, "studies": [run for run in EVERYTHING["studies"] if run["number"] != 1][::-1]}
    (tmp_path / "rest.json").write_text(json.dumps(rest))
    report = histio.merge(
        [tmp_path / "rest.json", tmp_path / "odd.json"],
        tmp_path / "one.jsonl",
        history=full,
        exported_at=MOMENT,
    )
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "all.jsonl").read_bytes()
    assert report.by_kind["study"] == 6
    assert list(histio.diff(tmp_path / "one.jsonl", full)) == []


def test_of_a_run_in_several_files_the_last_one_counts(history, tmp_path):
    for n, title in enumerate(["Old", "New"]):
        given = document(study("acme", 1, title=title), study("beta", n, title=title))
        (tmp_path / f"{n}.json").write_text(json.dumps(given))
    histio.merge([tmp_path / "0.json", tmp_path / "1.json"], tmp_path / "one.json", history=history)
    merged = json.loads((tmp_path / "one.json").read_text())
    assert [(run["project"], run["number"], run["title"]) for run in merged["studies"]] == [
        ("acme", 1, "New"),
        ("beta", 0, "Old"),
        ("beta", 1, "New"),
    ]


def test_merge_refuses_a_run_that_lacks_a_member_of_its_identity(history, tmp_path):
    record = study()
    del record["number"]
    (tmp_path / "a.json").write_text(json.dumps(document(record)))
    with pytest.raises(DocumentError, match="Missing data for required field") as raised:
        histio.merge([tmp_path / "a.json"], tmp_path / "one.json", history=history)
    assert [problem.pointer for problem in raised.value.problems] == ["/studies/0/number"]


def test_diff_names_runs_that_one_side_has_in_the_order_of_the_export(full, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(document(study("beta", 2), study("beta", 10))))
    found = [each for each in histio.diff(tmp_path / "a.json", full) if each.kind == "study"]
    assert [(each.uuid, each.only_in) for each in found] == [
        ("Acme 1", "b"),
        ('"a b" 1', "b"),
        ("acme 1", "b"),
        ("acme 2", "b"),
        ("acme 10", "b"),
        ("beta 2", "a"),
        ("beta 10", "a"),
        ("ée 1", "b"),
    ]


def test_entries_that_their_members_order_have_no_other_order(tmp_path):
    for name, trials in (("a", [trial("x", 1), trial("y", 2)]), ("b", [trial("y", 2), trial("x", 1)])):
        (tmp_path / f"{name}.json").write_text(json.dumps(document(study(trials=trials))))
    history = History(None, *lab.KINDS)
    assert list(histio.diff(tmp_path / "a.json", tmp_path / "b.json", history=history)) == []


class RecordedTrialSchema(lab.TrialSchema):
    """A trial whose place is that of its recording."""

    class Meta(lab.TrialSchema.Meta):
        order = None


class RecordedStudySchema(lab.StudySchema):
    trials = Nested(RecordedTrialSchema, many=True)


def test_a_ledger_in_another_order_is_told_by_its_identities(tmp_path):
    for name, trials in (("a", [trial("x", 1), trial("y", 2)]), ("b", [trial("y", 2), trial("x", 1)])):
        (tmp_path / f"{name}.json").write_text(json.dumps(document(study(trials=trials))))
    history = History(None, lab.ReviewSchema, RecordedStudySchema, lab.SampleSchema)
    [difference] = histio.diff(tmp_path / "a.json", tmp_path / "b.json", history=history)
    assert difference.changes == (histio.Change("/trials", [["x", 1], ["y", 2]], [["y", 2], ["x", 1]]),)


def test_the_command_line_moves_and_compares_them(sqlite_of, tmp_path, monkeypatch, capsys):
    engine = sqlite_of(lab.Base.metadata, *lab.catalog())
    (tmp_path / "ourlab.py").write_text(
        "import histio\nfrom tests.support import lab\n"
        f"here = histio.History({str(engine.url)!r}, *lab.KINDS)\n"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.json.gz").write_bytes(gzip.compress(json.dumps(EVERYTHING).encode()))

    def run(line):
        code = app(line.split(), standalone_mode=False)
        return code, capsys.readouterr().out

    assert run("import all.json.gz --history ourlab:here")[0] in (0, None)
    assert run("verify all.json.gz --history ourlab:here")[0] in (0, None)
    (tmp_path / "new.json").write_text(json.dumps(changed(title="New")))
    code, printed = run("diff new.json all.json.gz --history ourlab:here")
    assert code == 1
    assert "study acme 2" in printed


# --- ORM objects, the conformance kit, strategies -----------------------------------------------------


def test_loading_gives_the_row_that_all_members_name(full, engine):
    with Session(engine) as session:
        loaded = lab.StudySchema().load(
            study("acme", 2, title="New", trials=[trial(score=9)]), session=session
        )
        assert loaded is session.scalars(sa.select(lab.Study).where(lab.Study.id == loaded.id)).one()
        assert [(each.id is not None, each.score) for each in loaded.trials] == [(True, 9)]
        new = lab.StudySchema().load(study("Acme", 2), session=session)
        assert new.id is None


def make_runs(session, count):
    """Samples, studies of them and reviews of those, in turn."""
    project = lab.Project(slug="kit")
    made = []
    for n in range(count):
        made.append([a_sample, a_study, a_review][n % 3](project, n, made))
    session.add_all(made)


def a_sample(_project, n, _made):
    steps = [("b", 1), ("a", 2), ("a", 1)]
    readings = [lab.Reading(key=key, step=step, value=10 * n + step) for key, step in steps]
    return lab.Sample(site="kit", number=n, note=f"Note {n}", readings=readings)


def a_study(project, n, made):
    values = [lab.Value(value=n), lab.Value(value=-n)]
    return lab.Study(
        project=project,
        number=n,
        began=MOMENT + dt.timedelta(days=n),
        title=f"Study {n}",
        sample=made[-1],
        base=next((each for each in made if isinstance(each, lab.Study)), None),
        trials=[
            lab.Trial(phase="b", attempt=n, score=n, values=values),
            lab.Trial(phase="a", attempt=n, score=1),
        ],
    )


def a_review(_project, n, made):
    return lab.Review(study=made[-1], letter="ab"[n % 2], verdict=f"Review {n}")


@pytest.mark.thorough
def test_the_conformance_kit_is_content(history):
    skipped = check_host(history, make_runs=make_runs)
    assert [reason for reason in skipped if "identity" in reason] == []


@pytest.mark.slow
def test_generated_documents_go_in_and_come_out(sqlite_of):
    history = History(sqlite_of(lab.Base.metadata), lab.SampleSchema)

    @given(testing.documents(history))
    def check(made):
        report = history.import_document(made, dry_run=True)
        assert report.rejected == 0

    check()


# --- bindings that cannot work ------------------------------------------------------------------------


def bound(schema, **options):
    meta = type("Meta", (schema.Meta,), options)
    return History(None, type(schema.__name__, (schema,), {"Meta": meta}), lab.SampleSchema, lab.ReviewSchema)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (("project", "nummer"), "Meta.identity: 'nummer' is not a required member"),
        (("project", "base"), "Meta.identity: 'base' is not a required member"),
        (("project", "trials"), "Meta.identity: 'trials' is not a required member"),
        (("number", "number"), "Meta.identity: must be different names, not"),
        ((), "Meta.identity: must be a name or several names, not"),
        (7, "Meta.identity: must be a name or several names, not 7"),
        (("project", 7), "Meta.identity: must be different names, not"),
    ],
)
def test_an_identity_of_what_identifies_nothing_is_refused(identity, message):
    with pytest.raises(BindingError, match=message):
        bound(lab.StudySchema, identity=identity)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (("key", "stop"), "Meta.order: Reading has no column 'stop'"),
        (("key", "key"), "Meta.order: must be different names, not"),
        ([], "Meta.order: must be a name or several names, not"),
    ],
)
def test_an_order_of_what_orders_nothing_is_refused(order, message):
    meta = type("Meta", (lab.ReadingSchema.Meta,), {"order": order})

    def bind() -> None:
        readings = type("Readings", (lab.ReadingSchema,), {"Meta": meta})
        History(None, type("Samples", (lab.SampleSchema,), {"readings": lab.Nested(readings, many=True)}))

    with pytest.raises(BindingError, match=message):
        bind()


def test_a_reference_that_identifies_has_one_key(sqlite_of):
    class Several(lab.VisitSchema):
        project = histio.Slug("project", fallback="slug", required=True)

    with pytest.raises(BindingError, match=r"'project' is part of .* so it needs one key alone"):
        History(None, Several)


def test_lists_name_several_members_as_tuples_do(engine):
    class Listed(lab.VisitSchema):
        class Meta(lab.VisitSchema.Meta):
            identity = ["project", "number"]

    history = History(engine, Listed)
    assert outcomes(history.import_document(visits(visit(), visit("beta")))) == (2, 0, 0, 0)
    assert outcomes(history.import_document(visits(visit(), visit("beta")))) == (0, 0, 2, 0)


def test_an_import_that_is_undone_leaves_everything_as_it_was(history, tmp_path):
    receipt = tmp_path / "receipt.jsonl"
    some = {name: rows[:2] if isinstance(rows, list) else rows for name, rows in EVERYTHING.items()}
    history.import_document(some)
    before = exported(history)
    imported = history.import_document(EVERYTHING, receipt=receipt).imported
    history.import_document(changed(base=None, trials=[]), on_duplicate="update", receipt=receipt)
    history.import_document(
        document(study("Acme", 1, trials=[trial("z", 1)], base=named("ée", 1))),
        on_duplicate="update",
        receipt=receipt,
    )
    report = history.undo(receipt)
    assert (report.removed, report.restored, report.problems) == (imported, 1, ())
    assert exported(history) == before
