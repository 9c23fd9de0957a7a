"""What a database's collation takes for the same is told with both values, the column and the constraint."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Session, relationship

import histio
from histio import History
from tests.support.hosts import document, ledger, model, run, to, word
from tests.support.reports import codes_of, outcomes

FOLDED = {"sqlite": "NOCASE", "postgresql": "histio_folded", "mariadb": "utf8mb4_general_ci"}
EXACT = {"sqlite": "BINARY", "postgresql": "C", "mariadb": "utf8mb4_bin"}


@pytest.fixture(params=["bulk", "unit of work"])
def listened(request):
    """What makes a model's rows be written in the one way or the other."""
    listeners = {"bulk": [], "unit of work": [lambda *_: None]}[request.param]

    def listen(host_run):
        for listener in listeners:
            sa.event.listen(host_run, "before_insert", listener)

    return listen


@pytest.fixture
def make(databases, dialect):
    """Makes the tables of a host in a database that has a collation without case."""
    made = "COLLATION IF NOT EXISTS histio_folded (provider = icu, locale = 'und-u-ks-level2', "
    statements = {"postgresql": [f"CREATE {made} deterministic = false)"]}

    def create(base, *rows):
        with databases.of_host(dialect)(sa.MetaData()).begin() as connection:
            for statement in statements.get(dialect, []):
                connection.exec_driver_sql(statement)
        return databases.of_host(dialect)(base.metadata, *rows)

    return create


def folded(dialect, **options):
    return sa.Column(sa.String(20, collation=FOLDED[dialect]), **options)


def exact(dialect, **options):
    return sa.Column(sa.String(20, collation=EXACT[dialect]), **options)


def only(report):
    [problem] = report.problems
    return problem


@pytest.mark.parametrize("how", ["skip", "error", "update", "verify"])
def test_the_identity_of_a_stored_run(make, dialect, listened, how):
    base = orm.declarative_base()
    host_run = model(base, "Run", sa.UniqueConstraint("ref", name="uq_ref"), ref=folded(dialect))
    listened(host_run)
    history = History(make(base, host_run(ref="Ab1")), run(host_run, {"identity": "ref"}, ref=word()))
    report = history.import_document(document({"ref": "AB1"}, {"ref": "x"}), on_duplicate=how)
    assert (outcomes(report), codes_of(report.problems)) == ((1, 0, 1), [("/runs/0", "constraint")])
    assert only(report).message.startswith(
        "Cannot be written: runs.ref: 'AB1' is the same as the stored 'Ab1' in"
    )
    assert f"collation {FOLDED[dialect]} (constraint uq_ref)" in only(report).message


def test_the_identities_of_two_runs_of_one_document(make, dialect, listened):
    base = orm.declarative_base()
    host_run = model(base, "Run", sa.UniqueConstraint("ref", name="uq_ref"), ref=folded(dialect))
    listened(host_run)
    history = History(make(base), run(host_run, {"identity": "ref"}, ref=word()))
    report = history.import_document(document({"ref": "Ab1"}, {"ref": "b"}, {"ref": "aB1"}))
    assert (outcomes(report), codes_of(report.problems)) == ((2, 0, 1), [("/runs/2", "constraint")])
    assert "runs.ref: 'aB1' is the same as the stored 'Ab1'" in only(report).message


def test_a_primary_key_of_text(make, dialect, listened):
    base = orm.declarative_base()
    names = {"__tablename__": "runs", "ref": folded(dialect, primary_key=True)}
    host_run = type("Run", (base,), names)
    listened(host_run)
    history = History(make(base, host_run(ref="abc")), run(host_run, {"identity": "ref"}, ref=word()))
    report = history.import_document(document({"ref": "ABC"}))
    assert "runs.ref: 'ABC' is the same as the stored 'abc'" in only(report).message


def test_a_unique_key_that_is_not_the_identity(make, dialect, listened):
    base = orm.declarative_base()
    host_run = model(base, "Run", sa.UniqueConstraint("code", name="uq_code"), code=folded(dialect))
    listened(host_run)
    history = History(make(base, host_run(id=9, code="Flour")), run(host_run, code=word()))
    report = history.import_document(document({"id": 1, "code": "flour"}, {"id": 2, "code": "x"}))
    assert (outcomes(report), codes_of(report.problems)) == ((1, 0, 1), [("/runs/0", "constraint")])
    assert "runs.code: 'flour' is the same as the stored 'Flour'" in only(report).message
    assert "uq_code" in only(report).message
    assert "identity" not in only(report).message


def test_a_unique_key_that_only_the_database_knows(make, dialect, listened):
    base = orm.declarative_base()
    host_run = model(base, "Run", code=folded(dialect), place=sa.Column(sa.Integer))
    listened(host_run)
    engine = make(base, host_run(id=9, code="Flour", place=1), host_run(id=8, code="FLOUR", place=2))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX uq_hidden ON runs (place, code)")
    history = History(engine, run(host_run, code=word(), place=histio.Integer(required=True)))
    report = history.import_document(document({"id": 1, "code": "flour", "place": 2}))
    assert "runs.code: 'flour' is the same as the stored 'FLOUR'" in only(report).message


def with_lines(base, listened, rule, column, **columns):
    """A host whose lines have a name, and are unique by the *rule*, and a kind of it."""
    line = model(base, "Line", rule, run_id=to("runs", nullable=False), name=column, **columns)
    host_run = model(base, "Run", lines=relationship("Line"))
    listened(host_run)
    return host_run, line


def test_two_members_of_one_ledger(make, dialect, listened):
    base = orm.declarative_base()
    rule = sa.UniqueConstraint("run_id", "name", name="uq_line")
    host_run, line = with_lines(base, listened, rule, folded(dialect))
    stored = host_run(id=9, lines=[line(name="FLOUR"), line(name="salt")])
    kind = run(host_run, lines=ledger(line, name=word()))
    history = History(make(base, stored), kind)
    names = ["egg", "Flour", "milk", "flour", "water"]
    given = document(
        {"id": 1, "lines": [{"name": name} for name in names]}, {"id": 2, "lines": [{"name": "Flour"}]}
    )
    report = history.import_document(given)
    assert (outcomes(report), codes_of(report.problems)) == ((1, 0, 1), [("/runs/0/lines/3", "constraint")])
    assert "lines.name: 'flour' is the same as 'Flour' in the column's" in only(report).message
    assert "uq_line" in only(report).message
    assert history.import_document(given, dry_run=True).problems == report.problems
    assert [each["id"] for each in history.iter_runs("run")] == [2, 9]


def test_identities_of_ledger_entries_within_a_run(make, dialect, listened):
    base = orm.declarative_base()
    rule = sa.UniqueConstraint("run_id", "name", name="uq_line")
    host_run, line = with_lines(base, listened, rule, folded(dialect))
    history = History(make(base), run(host_run, lines=ledger(line, {"identity": "name"}, name=word())))
    report = history.import_document(document({"id": 1, "lines": [{"name": "a"}, {"name": "A"}]}))
    assert codes_of(report.problems) == [("/runs/0/lines/1", "constraint")]
    assert "lines.name: 'A' is the same as 'a' in" in only(report).message


def test_the_identity_of_an_entry_of_another_run(make, dialect, listened):
    base = orm.declarative_base()
    rule = sa.UniqueConstraint("name", name="uq_name")
    host_run, line = with_lines(base, listened, rule, folded(dialect))
    kind = run(host_run, lines=ledger(line, {"identity": "name"}, name=word()))
    history = History(make(base, host_run(id=9, lines=[line(name="abc")])), kind)
    report = history.import_document(document({"id": 1, "lines": [{"name": "x"}, {"name": "ABC"}]}))
    assert codes_of(report.problems) == [("/runs/0/lines/1", "constraint")]
    assert "lines.name: 'ABC' is the same as the stored 'abc' in" in only(report).message


def test_entries_below_entries(make, dialect, listened):
    base = orm.declarative_base()
    rule = sa.UniqueConstraint("line_id", "code", name="uq_serial")
    serial = model(base, "Serial", rule, line_id=to("lines", nullable=False), code=folded(dialect))
    line = model(base, "Line", run_id=to("runs"), serials=relationship("Serial"))
    host_run = model(base, "Run", lines=relationship("Line"))
    listened(host_run)
    kind = run(host_run, lines=ledger(line, serials=ledger(serial, code=word())))
    history = History(make(base), kind)
    lines = [{"serials": [{"code": "a"}, {"code": "b"}]}, {"serials": [{"code": "A"}, {"code": "a"}]}]
    report = history.import_document(document({"id": 1, "lines": lines}))
    assert codes_of(report.problems) == [("/runs/0/lines/1/serials/1", "constraint")]
    assert "serials.code: 'a' is the same as 'A' in" in only(report).message


def test_slugs_of_a_list_that_its_association_table_takes_for_the_same(make, dialect, listened):
    base = orm.declarative_base()
    role = type("Role", (base,), {"__tablename__": "roles", "name": exact(dialect, primary_key=True)})
    holds = sa.Table(
        "run_roles",
        base.metadata,
        sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
        folded_key := folded(dialect, primary_key=True, name="role_name"),
    )
    host_run = model(
        base,
        "Run",
        roles=relationship(
            "Role",
            secondary=holds,
            primaryjoin="Run.id == run_roles.c.run_id",
            secondaryjoin=lambda: role.name == orm.foreign(folded_key),
        ),
    )
    listened(host_run)
    roles = histio.SlugList("roles", key="name")
    history = History(make(base, role(name="admin"), role(name="Admin")), run(host_run, roles=roles))
    report = history.import_document(
        document({"id": 1, "roles": ["admin", "Admin"]}, {"id": 2, "roles": ["Admin"]})
    )
    assert (outcomes(report), codes_of(report.problems)) == ((1, 0, 1), [("/runs/0/roles", "constraint")])
    assert "run_roles.role_name: 'admin' is the same as 'Admin' in" in only(report).message


def test_an_update_that_the_stored_entries_are_in_the_way_of(make, dialect):
    base = orm.declarative_base()
    host_run = model(base, "Run", sa.UniqueConstraint("code", name="uq_code"), code=folded(dialect))
    rows = [host_run(id=1, code="x"), host_run(id=9, code="Flour")]
    history = History(make(base, *rows), run(host_run, code=word()))
    report = history.import_document(document({"id": 1, "code": "FLOUR"}), on_duplicate="update")
    assert codes_of(report.problems) == [("/runs/0", "constraint")]
    assert "runs.code: 'FLOUR' is the same as the stored 'Flour' in" in only(report).message


@pytest.mark.parametrize(
    ("collation", "stored", "given"),
    [
        ("utf8mb4_general_ci", "strasse ", "strasse"),
        ("utf8mb4_general_ci", "gros", "groß"),
        ("utf8mb4_unicode_ci", "strasse", "straße"),
        ("utf8mb4_general_ci", "creme", "crème"),
        ("utf8mb4_bin", "padded", "padded "),
    ],
)
def test_whatever_mariadb_takes_for_the_same(databases, collation, stored, given):
    base = orm.declarative_base()
    column = sa.Column(sa.String(20, collation=collation))
    host_run = model(base, "Run", sa.UniqueConstraint("code", name="uq_code"), code=column)
    engine = databases.of_host("mariadb")(base.metadata, host_run(id=9, code=stored))
    report = History(engine, run(host_run, code=word())).import_document(document({"id": 1, "code": given}))
    assert f"runs.code: {given!r} is the same as the stored {stored!r} in" in only(report).message
    assert f"collation {collation} (constraint uq_code)" in only(report).message


def test_values_that_are_the_same_are_no_matter_of_a_collation(make, dialect):
    base = orm.declarative_base()
    host_run = model(base, "Run", sa.UniqueConstraint("code", name="uq_code"), code=folded(dialect))
    history = History(make(base, host_run(id=9, code="x")), run(host_run, code=word()))
    report = history.import_document(document({"id": 1, "code": "x"}))
    assert only(report).message == "Cannot be written: uq_code"


@pytest.mark.slow
def test_a_large_ledger_takes_few_attempts(make, dialect, count_statements):
    base = orm.declarative_base()
    rule = sa.UniqueConstraint("run_id", "name", name="uq_line")
    line = model(base, "Line", rule, run_id=to("runs", nullable=False), name=folded(dialect))
    host_run = model(base, "Run", lines=relationship("Line"))
    engine = make(base)
    history = History(engine, run(host_run, lines=ledger(line, name=word())))
    names = [f"n{n}" for n in range(2_000)]
    names[1_500] = "N700"
    statements = count_statements(engine)
    report = history.import_document(document({"id": 1, "lines": [{"name": name} for name in names]}))
    assert codes_of(report.problems) == [("/runs/0/lines/1500", "constraint")]
    assert "'N700' is the same as 'n700'" in only(report).message
    assert len(statements.matching("INSERT INTO lines")) < 40


def test_the_session_of_the_caller_goes_on_after_a_collision(make, dialect):
    base = orm.declarative_base()
    host_run = model(base, "Run", sa.UniqueConstraint("code", name="uq_code"), code=folded(dialect))
    kind = run(host_run, code=word())
    with Session(make(base, host_run(id=9, code="Flour"))) as session:
        session.add(host_run(id=8, code="own"))
        given = document({"id": 1, "code": "flour"}, {"id": 2, "code": "y"})
        assert outcomes(History(None, kind).import_document(given, session=session)) == (1, 0, 1)
        session.commit()
        assert session.scalars(sa.select(host_run.code).order_by(host_run.id)).all() == ["y", "own", "Flour"]
