"""What binding forty strange host applications broke, one sentence each.

Hosts whose rows the unit of work writes are in `test_unit_of_work_hosts`.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from marshmallow import fields
from marshmallow_sqlalchemy import auto_field
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_types
from sqlalchemy.orm import Session, relationship

import histio
from histio import BindingError, ExportError, History
from tests.support.bakery import number
from tests.support.columns import AwareDateTime, Epoch, Size, host, things
from tests.support.hosts import (
    CUT,
    INSTANT,
    MOMENT,
    PARTS,
    WHOLE,
    brings_back,
    document,
    entry,
    ledger,
    model,
    run,
    text,
    to,
    word,
)
from tests.support.reports import codes_of, outcomes

# --- hosts, as compactly as they can be said -----------------------------------------------------------


# --- whose row is it? ------------------------------------------------------------------------------------


def test_entries_known_only_within_their_run_keep_their_own_subledgers(create):
    base = orm.declarative_base()
    serial = model(base, "Serial", line_id=to("lines"), code=text())
    once = sa.UniqueConstraint("run_id", "place")
    place = sa.Column(sa.Integer, nullable=False)
    line = model(base, "Line", once, run_id=to("runs"), place=place, serials=relationship("Serial"))
    host_run = model(base, "Run", lines=relationship("Line"))
    serials = ledger(serial, code=word())
    lines = ledger(line, {"identity": "place"}, place=histio.Integer(required=True), serials=serials)
    history = History(create(base.metadata), run(host_run, lines=lines))
    given = [{"id": n, "lines": [{"place": 1, "serials": [{"code": f"of {n}"}]}]} for n in (1, 2, 3)]
    brings_back(history, document(*given))


def test_an_unnamed_unique_constraint_that_is_broken_rejects_and_names_its_column(create):
    base = orm.declarative_base()
    host_run = model(base, "Run", uuid=text(36, unique=True), place=sa.Column(sa.Integer, unique=True))
    names = {"identity": "uuid"}
    kind = run(host_run, names, uuid=histio.RunUUID(required=True), place=histio.Integer(required=True))
    history = History(create(base.metadata), kind)
    assert outcomes(history.import_document(document({"uuid": number(1), "place": 5}))) == (1, 0, 0)
    report = history.import_document(document({"uuid": number(2), "place": 5}))
    assert (outcomes(report), codes_of(report.problems)) == ((0, 0, 1), [("/runs/0", "constraint")])
    assert "place" in report.problems[0].message


def test_the_same_run_of_two_tenants_keeps_its_ledger_and_is_compared_within_its_tenant(create):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs"), sku=text())
    once = sa.UniqueConstraint("tenant_id", "uuid")
    tenant = sa.Column(sa.Integer, nullable=False)
    host_run = model(base, "Run", once, tenant_id=tenant, uuid=text(36), lines=relationship("Line"))
    members = {"uuid": histio.RunUUID(required=True), "lines": ledger(line, sku=word())}
    kind = run(host_run, {"identity": "uuid"}, **members)
    engine = create(base.metadata)
    given = {t: document({"uuid": number(1), "lines": [{"sku": f"of {t}"}]}) for t in (7, 3)}
    histories = {t: History(engine, kind, values={"tenant_id": t}) for t in (7, 3)}
    assert [outcomes(histories[t].import_document(given[t])) for t in (7, 3)] == [(1, 0, 0)] * 2
    for own, other in ((7, 3), (3, 7)):
        found = histories[own].iter_runs("run", where=host_run.tenant_id == own)
        assert list(found) == given[own]["runs"]
        same = histories[own].import_document(given[own], on_duplicate="verify")
        assert (outcomes(same), same.problems) == ((0, 1, 0), ())
        differs = histories[own].import_document(given[other], on_duplicate="verify")
        assert codes_of(differs.problems) == [("/runs/0", "conflict")]


def test_a_ledger_row_of_a_subclass_is_named_and_not_cut_to_its_base(sqlite_of):
    base = orm.declarative_base()
    by_type = {"polymorphic_on": "type", "polymorphic_identity": "cash"}
    payment = model(base, "Payment", run_id=to("runs"), type=text(), __mapper_args__=by_type)
    names = {"last4": text(4), "__mapper_args__": {"polymorphic_identity": "card"}}
    card = type("Card", (payment,), names)
    host_run = model(base, "Run", payments=relationship("Payment"))
    kind = run(host_run, payments=ledger(payment, type=word()))
    rows = [host_run(id=5, payments=[payment()]), host_run(id=6, payments=[payment(), card(last4="1234")])]
    with pytest.raises(ExportError, match="run 6: The row is a Card, of which the schema of Payment"):
        History(sqlite_of(base.metadata, *rows), kind).export_document()


def test_runs_of_one_identity_are_named_and_none_is_passed_over_at_a_pages_border(sqlite_of):
    base = orm.declarative_base()
    columns = {name: sa.Column(sa.Integer) for name in ("tenant", "number")}
    host_run = model(base, "Run", sa.UniqueConstraint("tenant", "number"), day=sa.Column(sa.Date), **columns)
    kind = run(host_run, {"identity": "number", "timestamp": "day"}, day=histio.Date(allow_none=True))
    day = dt.date(2025, 12, 8)
    rows = [host_run(tenant=tenant, number=n, day=day) for n in range(150) for tenant in range(3)]
    with pytest.raises(ExportError, match="run 0: 3 rows have this number, which should") as error:
        History(sqlite_of(base.metadata, *rows), kind).export_document()
    assert {problem.uuid for problem in error.value.problems} == set(map(str, range(150)))


@pytest.mark.slow
def test_runs_of_one_identity_are_left_out_together(sqlite_of, tmp_path):
    base = orm.declarative_base()
    columns = {name: sa.Column(sa.Integer) for name in ("tenant", "number")}
    host_run = model(base, "Run", sa.UniqueConstraint("tenant", "number"), day=sa.Column(sa.Date), **columns)
    kind = run(host_run, {"identity": "number", "timestamp": "day"}, day=histio.Date(allow_none=True))
    day = dt.date(2025, 12, 8)
    rows = [host_run(tenant=tenant, number=n, day=day) for n in range(150) for tenant in range(3)]
    history = History(sqlite_of(base.metadata, *rows, host_run(tenant=1, number=999, day=day)), kind)
    for since in (None, dt.date(2000, 1, 1)):
        report = history.export_file(
            tmp_path / "runs.json", since=since, on_unreadable="skip", overwrite=True
        )
        assert (report.exported, report.skipped, report.problem_count) == (1, 450, 150)
        [record] = json.loads((tmp_path / "runs.json").read_text())["runs"]
        assert record["number"] == 999


@pytest.mark.parametrize("index", [False, True])
def test_identities_that_mariadb_takes_for_the_same_are_rejected_and_not_skipped(databases, index):
    base = orm.declarative_base()
    host_run = model(base, "Run", ref=text(unique=True, index=index))
    kind = run(host_run, {"identity": "ref"}, ref=word())
    history = History(databases.of_host("mariadb")(base.metadata), kind)
    for how, first in (("skip", (1, 0, 1)), ("verify", (0, 1, 1))):
        report = history.import_document(document({"ref": "Ab1"}, {"ref": "AB1"}), on_duplicate=how)
        assert (outcomes(report), codes_of(report.problems)) == (first, [("/runs/1", "constraint")])
        assert "the database treats the identity of another row as equal" in report.problems[0].message


@pytest.mark.parametrize("how", ["skip", "verify"])
def test_an_identity_that_a_row_of_another_kind_has_is_no_known_run(create, how):
    base = orm.declarative_base()
    by_type = {"polymorphic_on": "type", "polymorphic_identity": "task"}
    task = model(base, "Task", code=text(unique=True), type=text(), __mapper_args__=by_type)
    baking, cleaning = (
        type(name.title(), (task,), {"__mapper_args__": {"polymorphic_identity": name}})
        for name in ("baking", "cleaning")
    )
    kind = run(baking, {"identity": "code", "kind": "baking"}, code=word())
    history = History(create(base.metadata, cleaning(code="taken"), baking(code="known")), kind)
    given = document({"code": "taken"}, {"code": "known"}, {"code": "new"})
    report = history.import_document(given, on_duplicate=how)
    assert (outcomes(report), codes_of(report.problems)) == ((1, 1, 1), [("/runs/0/code", "duplicate")])
    assert "of a row that is not a baking" in report.problems[0].message


def test_text_identities_are_in_one_order_everywhere_whatever_their_length(create):
    ordered = ["B-2", "Z", "_c", "a-1", "aB2", "ab", "é"]
    for length in (20, 32, 36):
        base = orm.declarative_base()
        host_run = model(base, "Run", ref=text(length, unique=True))
        history = History(create(base.metadata), run(host_run, {"identity": "ref"}, ref=word()))
        history.import_document(document(*({"ref": ref} for ref in reversed(ordered))))
        assert [each["ref"] for each in history.iter_runs("run")] == ordered


def test_a_sequence_moves_behind_the_keys_that_came_with_runs_and_with_entries(databases):
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs"), sku=text())
    host_run = model(base, "Run", lines=relationship("Line"))
    lines = ledger(line, id=histio.Integer(required=True), sku=word())
    engine = databases.of_host("postgresql")(base.metadata)
    given = document({"id": 5, "lines": [{"id": 9, "sku": "x"}]}, {"id": 6, "lines": []})
    brings_back(History(engine, run(host_run, lines=lines)), given)
    with Session(engine) as session:
        session.add(own := host_run(lines=[line()]))
        session.commit()
        assert (own.id, own.lines[0].id) == (7, 10)


# --- what columns keep ------------------------------------------------------------------------------------


class Cents(sa.types.TypeDecorator):
    """Decimals as whole cents; what is smaller goes."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value if value is None else int(value * 100)

    def process_result_value(self, value, _dialect):
        return value if value is None else Decimal(value) / 100


class EpochMillis(Epoch):
    """Milliseconds since 1970."""

    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value and int(value.timestamp() * 1000)

    def process_result_value(self, value, _dialect):
        return value if value is None else dt.datetime.fromtimestamp(value / 1000, dt.UTC)


SINGLE = [
    ("mariadb", sa.Float()),
    ("mariadb", sa.Float(24)),
    ("postgresql", sa.REAL()),
    ("postgresql", sa.Float(24)),
]
NUMBER = histio.Number(required=True)
PRICE = histio.FixedDecimal(precision=12, scale=2, required=True)
WITHOUT_FRACTION = sa.DateTime().with_variant(postgresql.TIMESTAMP(precision=0), "postgresql")


@pytest.mark.parametrize(
    ("dialect", "column_type", "field", "kept", "lost"),
    [
        *((*single, NUMBER, 0.5, 0.123456789012) for single in SINGLE),
        *((*single, PRICE, "0.50", "1234567.89") for single in SINGLE),
        ("sqlite", Cents(), histio.FixedDecimal(required=True), "9.99", "9.999"),
        ("sqlite", Epoch(), INSTANT, WHOLE, PARTS),
        ("sqlite", EpochMillis(), INSTANT, "2025-12-08T10:00:00.125000Z", PARTS),
        ("sqlite", CUT, INSTANT, WHOLE, PARTS),
        ("postgresql", WITHOUT_FRACTION, INSTANT, WHOLE, PARTS),
        ("mariadb", AwareDateTime(), INSTANT, WHOLE, PARTS),
        ("mariadb", sa.Time(), fields.Time(required=True), "10:30:00", "10:30:00.500000"),
    ],
)
def test_what_the_column_would_round_or_cut_is_a_problem(databases, dialect, column_type, field, kept, lost):
    metadata, kind = host(column_type, field)
    history = History(databases.of_host(dialect)(metadata), kind)
    report = history.import_document(things(kept, lost))
    assert (report.imported, codes_of(report.problems)) == (1, [("/things/1/value", "precision")])
    assert history.export_document()["things"] == things(kept)["things"]


@pytest.mark.parametrize(
    ("dialect", "column_type"),
    [
        ("mariadb", sa.REAL()),
        ("mariadb", sa.Float(53)),
        ("postgresql", sa.Float()),
        ("postgresql", sa.Float(53)),
        ("sqlite", sa.REAL()),
    ],
)
def test_floats_that_are_double_keep_all_their_digits(databases, dialect, column_type):
    metadata, kind = host(column_type, NUMBER)
    history = History(databases.of_host(dialect)(metadata), kind)
    assert history.import_document(things(0.123456789012)).problems == ()
    assert [each["value"] for each in history.iter_runs("thing")] == [0.123456789012]


class InBerlin(sa.types.TypeDecorator):
    """Instants that are shown in local time."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value and value.astimezone(dt.UTC).replace(tzinfo=None)

    def process_result_value(self, value, _dialect):
        return value and value.replace(tzinfo=dt.UTC).astimezone(ZoneInfo("Europe/Berlin"))


class DecimalsAsText(sa.types.TypeDecorator):
    """As text where the database has floats alone."""

    impl = sa.Numeric(20, 6)
    cache_ok = True

    def load_dialect_impl(self, dialect):
        forms = {"sqlite": sa.String(40)}
        return dialect.type_descriptor(forms.get(dialect.name, sa.Numeric(20, 6)))

    def process_bind_param(self, value, dialect):
        return {"sqlite": str(value)}.get(dialect.name, value)

    def process_result_value(self, value, _dialect):
        return Decimal(value)


class Status(enum.Enum):
    NEW = "n"
    OPEN = "n"  # noqa: PIE796 - an alias
    DONE = "d"


FOLD = ["2025-10-26T00:15:00Z", "2025-10-26T00:59:59Z", "2025-10-26T01:15:00Z", "2025-10-26T02:15:00Z"]
NUMBERS = {"a": 10**16, "b": 10**23, "c": 1.0, "d": 0.0, "e": 5e-324, "f": 0.1, "g": 10**25}
SLASHED = sqlite_types.DATETIME(
    storage_format="%(day)02d/%(month)02d/%(year)04d %(hour)02d:%(minute)02d:%(second)02d",
    regexp=r"(?P<day>\d+)/(?P<month>\d+)/(?P<year>\d+) (?P<hour>\d+):(?P<minute>\d+):(?P<second>\d+)",
)
JSONB = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


@pytest.mark.parametrize(
    ("column_type", "field", "values"),
    [
        (sa.Enum(Status, name="status"), histio.Choice(required=True), ["NEW", "DONE"]),
        (InBerlin(), INSTANT, FOLD),
        (sa.DateTime().with_variant(SLASHED, "sqlite"), INSTANT, [WHOLE]),
        (DecimalsAsText(), histio.FixedDecimal(required=True), ["12345678901234.123456"]),
        (sa.Numeric(), histio.FixedDecimal(required=True), ["12"]),
        (sa.CHAR(4), word(), ["AB", "ABCD", ""]),
        (JSONB, histio.Json(required=True), [NUMBERS, [NUMBERS]]),
        (sa.JSON(), histio.Json(required=True), [NUMBERS, [NUMBERS]]),
    ],
)
def test_a_strange_columns_values_leave_in_one_form_and_come_back(create, column_type, field, values):
    metadata, kind = host(column_type, field)
    history = History(create(metadata), kind)
    brings_back(history, things(*values))


@pytest.mark.parametrize("column_type", [JSONB, sa.JSON()])
def test_numbers_in_json_are_the_same_bytes_from_every_database(create, column_type):
    metadata, kind = host(column_type, histio.Json(required=True))
    history = History(create(metadata), kind)
    written = {"a": 1e16, "b": 1e23, "c": 1.0, "d": -0.0, "e": 5e-324, "f": 0.1, "g": 10**25}
    history.import_document(things(written))
    [stored] = history.iter_runs("thing")
    assert json.dumps(stored["value"]) == json.dumps(NUMBERS)


def test_sqls_null_in_a_json_column_stays_null(create):
    metadata, kind = host(sa.JSON(), histio.Json(allow_none=True), nullable=True)
    engine = create(metadata)
    brings_back(History(engine, kind), things(None, {"a": None}))
    with engine.connect() as connection:
        counted = sa.text("SELECT count(*) FROM things WHERE value IS NULL")
        assert connection.execute(counted).scalar_one() == 1


def test_a_key_in_a_padded_column_is_found_and_shown_without_its_spaces(create):
    base = orm.declarative_base()
    customer = model(base, "Customer", code=sa.Column(sa.CHAR(5), unique=True))
    host_run = model(base, "Run", customer_id=to("customers"), customer=relationship("Customer"))
    kind = run(host_run, customer=histio.Slug("customer", key="code", required=True))
    history = History(create(base.metadata, customer(code="ALF"), customer(code="ALFKI")), kind)
    brings_back(history, document({"id": 1, "customer": "ALF"}, {"id": 2, "customer": "ALFKI"}))


def test_text_that_a_padded_column_would_strip_is_a_problem(create):
    metadata, kind = host(sa.CHAR(4), word())
    report = History(create(metadata), kind).import_document(things("A", "A "))
    assert (report.imported, codes_of(report.problems)) == (1, [("/things/1/value", "schema")])


def test_an_instant_is_found_at_its_very_moment_in_an_aware_column(create):
    base = orm.declarative_base()
    host_run = model(base, "Run", at=sa.Column(sa.DateTime(timezone=True), nullable=False))
    history = History(create(base.metadata), run(host_run, {"timestamp": "at"}, at=INSTANT))
    brings_back(history, document({"id": 1, "at": WHOLE}))
    elsewhere = MOMENT.astimezone(dt.timezone(dt.timedelta(hours=5)))
    for bounds in ({"since": MOMENT}, {"until": MOMENT}, {"since": elsewhere, "until": elsewhere}):
        assert len(list(history.iter_runs("run", **bounds))) == 1
    for bounds in ({"since": MOMENT.replace(second=1)}, {"until": MOMENT.replace(hour=9)}):
        assert list(history.iter_runs("run", **bounds)) == []


# --- what a binding gets wrong is told when it is made -----------------------------------------------------


class EnumText(sa.types.TypeDecorator):
    """Texts that are members of an enum in Python."""

    impl = sa.String(10)
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return Size(value).value

    def process_result_value(self, value, _dialect):
        return Size(value)


@pytest.mark.parametrize(
    ("column_type", "field", "why"),
    [
        (sa.DateTime(), fields.DateTime(), "use histio.UtcTimestamp"),
        (sa.DateTime(), fields.NaiveDateTime(), "use histio.UtcTimestamp"),
        (sa.Numeric(8, 2), fields.Float(), "use histio.Number or histio.FixedDecimal"),
        (sa.Numeric(8, 2), fields.Decimal(as_string=True), "use histio.FixedDecimal"),
        (sa.SmallInteger(), fields.Integer(strict=True), "use histio.Integer"),
        (sa.String(36), fields.UUID(), "UUID needs a column of Uuid: use histio.RunUUID"),
        (EnumText(), histio.Choice("s", "l"), "its decorator takes no text"),
    ],
)
def test_a_field_that_would_lose_what_it_reads_is_refused(column_type, field, why):
    field.required = True
    with pytest.raises(BindingError, match=why):
        History(None, host(column_type, field)[1])


def test_a_plain_string_is_held_to_the_length_of_its_column(create):
    metadata, kind = host(sa.String(5), fields.String(required=True))
    history = History(create(metadata), kind)
    report = history.import_document(things("abcde", "abcdef"))
    assert (report.imported, codes_of(report.problems)) == (1, [("/things/1/value", "schema")])
    assert not Draft202012Validator(history.json_schema()).is_valid(things("abcdef"))


def test_a_fraction_of_an_interval_that_mariadb_drops_is_a_problem(databases):
    rule = {"metadata": {"json_schema": {"type": "integer"}}, "required": True}
    metadata, kind = host(sa.Interval(), fields.TimeDelta(precision="microseconds", **rule))
    history = History(databases.of_host("mariadb")(metadata), kind)
    report = history.import_document(things(1_000_000, 1_500_001))
    assert (report.imported, codes_of(report.problems)) == (1, [("/things/1/value", "precision")])


@pytest.mark.parametrize("column_type", [sa.PickleType(), postgresql.INT4RANGE()])
def test_auto_field_has_nothing_for_pickles_and_ranges_and_says_so(column_type):
    with pytest.raises(BindingError, match=r"auto_field\(\) has no field for"):
        History(None, host(column_type, auto_field())[1])


def test_a_path_over_the_column_of_a_foreign_key_is_refused():
    base = orm.declarative_base()
    models = [model(base, "Cat", name=text()), model(base, "Product", cat_id=to("cats"))]
    slug = histio.Slug("product_id", key="cat_id.name", required=True)
    kind = run(model(base, "Run", product_id=to("products")), product=slug)
    with pytest.raises(BindingError, match="Product has no relationship 'cat_id'"):
        History(None, kind)
    assert len(models) == 2


BARE = model(orm.declarative_base(), "Bare")


@pytest.mark.parametrize("kind", [BARE, run(BARE)(), [run(BARE)], "run", entry(BARE, id=histio.Integer())])
def test_what_is_no_kind_is_refused_by_name(kind):
    with pytest.raises(BindingError, match="a kind is a subclass of RunSchema, not"):
        History(None, kind)


@pytest.mark.parametrize(
    "meta",
    [
        *({"kind": name} for name in (None, "header", "trailer", "slug", "uuid", "a b")),
        *({"collection": name} for name in (None, "version", "exported_at")),
    ],
)
def test_names_that_a_document_has_already_are_refused(meta):
    [name] = meta
    with pytest.raises(
        BindingError, match=rf"BareSchema\.Meta\.{name}: must be a name that the format does not use"
    ):
        History(None, run(BARE, meta))


@pytest.mark.parametrize("change", [5, {"run": 5}, {"rnu": lambda record: record}])
def test_an_upgrade_that_could_never_run_is_refused(change):
    with pytest.raises(
        BindingError, match=r"upgrades: 1\.0: (5 is not a function|no kind 'rnu'; this history has run)"
    ):
        History(None, run(BARE), version="2.0", upgrades={"1.0": change})


def test_two_ledgers_over_the_same_rows_are_refused():
    base = orm.declarative_base()
    line = model(base, "Line", run_id=to("runs"))
    same = {name: relationship("Line", overlaps="one,other") for name in ("one", "other")}
    with pytest.raises(BindingError, match="one and other hold the same rows"):
        History(None, run(model(base, "Run", **same), one=ledger(line), other=ledger(line)))


def test_references_that_the_session_keeps_in_another_database_are_refused(sqlite_of):
    base = orm.declarative_base()
    customer = model(base, "Customer", code=text())
    joined = relationship("Customer", primaryjoin="foreign(Run.customer_id) == Customer.id")
    host_run = model(base, "Run", customer_id=sa.Column(sa.Integer), customer=joined)
    binds = {host_run: sqlite_of(base.metadata), customer: sqlite_of(base.metadata, number=1)}
    maker = orm.sessionmaker(binds=binds)
    kind = run(host_run, customer=histio.Slug("customer", key="code", allow_none=True))
    history = History(maker, kind)
    for work in (history.export_document, lambda: history.import_document(document({"id": 1}))):
        with pytest.raises(BindingError, match="keeps Run, Customer in several databases"):
            work()


def test_tables_that_roll_nothing_back_are_refused(databases):
    base = orm.declarative_base()
    host_run = model(base, "Run", {"mariadb_engine": "MyISAM"})
    history = History(databases.of_host("mariadb")(base.metadata), run(host_run))
    with pytest.raises(BindingError, match="runs uses the storage engine MyISAM, which has no transactions"):
        history.import_document(document({"id": 1}), dry_run=True)
    assert history.export_document()["runs"] == []
