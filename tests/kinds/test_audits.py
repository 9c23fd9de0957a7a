"""What the numbers of a run should keep to, whatever the database took."""

from __future__ import annotations

import io

import pytest
import sqlalchemy as sa
from marshmallow import pre_load
from marshmallow.fields import Nested
from sqlalchemy import orm
from sqlalchemy.orm import relationship

import histio
from histio import BindingError, DocumentError, ExportError, History, NotConfiguredError, audit
from histio.kinds.audits import AtMost, NotEmpty, PerUnit, Sum
from tests.support import shop
from tests.support.bakery import (
    ASSEMBLY,
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    unit_consumption,
    without,
)
from tests.support.hosts import document as runs_of
from tests.support.hosts import entry, ledger, model, run, to
from tests.support.shop import order, orders
from tests.support.streams import stream_of, text_of

RUN = production_run(1, total_ingredient_cost="2.5000", per_unit_cost="0.0272")


def broken_rules(given, history=None):
    """Pointers and messages of what breaks a rule in a document."""
    found = list(audit(io.BytesIO(text_of(given)), history=history))
    assert {(each.severity, each.code) for each in found} <= {("warning", "audit")}
    return [(each.pointer, each.message) for each in found]


def in_run(changes, *ledger):
    return broken_rules(document(RUN | {"consumptions": list(ledger) or RUN["consumptions"]} | changes))


# --- the bundled rules -----------------------------------------------------------------------------------


def test_a_run_whose_numbers_fit_together_breaks_no_rule():
    assert broken_rules(document(RUN, assembly=[ASSEMBLY])) == []


@pytest.mark.parametrize(
    ("changes", "member", "message"),
    [
        ({"consumptions": []}, "consumptions", "There are no entries in consumptions."),
        (
            {"total_ingredient_cost": "2.5101", "per_unit_cost": "0.0273"},
            "total_ingredient_cost",
            "2.5101, but the entries add up to 2.5000.",
        ),
        (
            {"per_unit_cost": "0.0274"},
            "per_unit_cost",
            "0.0274, but total_ingredient_cost divided by actual_yield is 0.0272.",
        ),
        (
            {"expected_yield": 45},
            "actual_yield",
            "92 is more than 2 times expected_yield, which is 45.",
        ),
    ],
)
def test_a_production_run_is_told_what_does_not_fit(changes, member, message):
    assert in_run(changes) == [(f"/production_runs/0/{member}", message)]


@pytest.mark.parametrize(
    ("changes", "member", "message"),
    [
        (
            {"finished_unit_consumptions": [], "packaging_consumptions": []},
            "finished_unit_consumptions",
            "There are no entries in finished_unit_consumptions or packaging_consumptions.",
        ),
        (
            {"packaging_consumptions": [packaging(total_cost="9")]},
            "total_component_cost",
            "4.6760, but the entries add up to 12.4260.",
        ),
        (
            {"per_unit_cost": "1"},
            "per_unit_cost",
            "1, but total_component_cost divided by quantity_assembled is 0.9352.",
        ),
        (
            {"finished_unit_consumptions": [unit_consumption(), unit_consumption(202, total_cost="0")]},
            "finished_unit_consumptions/1/unit_cost_at_consumption",
            "0.0571, but total_cost divided by quantity_consumed is 0.0000.",
        ),
    ],
)
def test_an_assembly_run_and_its_entries_are_told_what_does_not_fit(changes, member, message):
    assert broken_rules(document(assembly=[ASSEMBLY | changes])) == [(f"/assembly_runs/0/{member}", message)]


@pytest.mark.parametrize(
    "changes",
    [
        {"total_ingredient_cost": "2.51"},  # a hundredth is rounding
        {"total_ingredient_cost": "2.49", "per_unit_cost": "0.0271"},
        {"per_unit_cost": "0.0271"},
        {"actual_yield": 0, "expected_yield": 0},
        {"actual_yield": 92.0, "expected_yield": 46.0},
    ],
)
def test_rounding_and_what_cannot_be_divided_break_no_rule(changes):
    assert in_run(changes) == []


def test_one_ledger_of_two_is_enough():
    given = without(ASSEMBLY, "packaging_consumptions") | {"total_component_cost": "3.426"}
    assert broken_rules(document(assembly=[given | {"per_unit_cost": "0.6852"}])) == []


def test_a_total_of_many_entries_is_exact():
    cents = [consumption(n, total_cost="0.1") for n in range(1, 1001)]
    assert in_run({"total_ingredient_cost": "100.0101", "per_unit_cost": "1.0871"}, *cents) == [
        ("/production_runs/0/total_ingredient_cost", "100.0101, but the entries add up to 100.0.")
    ]
    assert in_run({"total_ingredient_cost": "100.0", "per_unit_cost": "1.087"}, *cents) == []


# --- rules of hosts --------------------------------------------------------------------------------------


def audited(*rules, schema=shop.OrderSchema, **members):
    """The *schema* with other rules and members."""
    meta = type("Meta", (schema.Meta,), {"audits": rules})
    return type("AuditedSchema", (schema,), {"Meta": meta} | members)


def in_order(*rules, **members):
    """Pointers below an order, and messages."""
    found = broken_rules(orders(order(**members)), History(None, audited(*rules)))
    return [(pointer.removeprefix("/orders/0/"), message) for pointer, message in found]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            Sum("total", ("lines.quantity", "weight")),
            "total is the sum of lines.quantity and weight, within 0.01",
        ),
        (PerUnit("weight", "total", "doubled"), "weight is total divided by doubled, within 0.0001"),
        (AtMost("weight", "total"), "weight is at most total"),
        (AtMost("weight", "total", times="1.5"), "weight is at most 1.5 times total"),
        (NotEmpty(("lines", "tags")), "lines or tags has entries"),
    ],
)
def test_a_rule_says_what_it_wants(rule, text):
    assert str(rule) == text


def test_a_rule_names_members_as_they_stand_in_records():
    rules = AtMost("total", "weight"), Sum("total", ("lines.quantity",)), NotEmpty(("lines",))
    assert in_order(*rules, weight=3) == [
        ("total", "5.25 is more than weight, which is 3."),
        ("total", "5.25, but the entries add up to 3.00."),
    ]


def test_a_sum_may_have_members_of_the_record_among_its_parts():
    rule = Sum("total", ("weight", "lines.quantity"), tolerance="0")
    assert in_order(rule, weight=2.25) == []
    assert in_order(rule, weight=2.5) == [("total", "5.25, but the entries add up to 5.50.")]


def test_a_path_may_lead_through_ledgers_and_to_the_one_entry_of_a_ledger(sqlite_of):
    base = orm.declarative_base()
    count = sa.Integer
    serial = model(base, "Serial", line_id=to("lines"), worth=sa.Column(count))
    host_line = model(base, "Line", run_id=to("runs"), serials=relationship("Serial"))
    bill = model(base, "Bill", run_id=to("runs", unique=True), sum=sa.Column(count))
    ledgers = {"lines": relationship("Line"), "bill": relationship("Bill", uselist=False)}
    host_run = model(base, "Run", worth=sa.Column(count), **ledgers)
    worth = histio.Integer(allow_none=True)
    lines = ledger(host_line, serials=ledger(serial, worth=worth))
    rules = Sum("worth", ("lines.serials.worth", "bill.sum"), "0"), NotEmpty(("bill",))
    members = {"lines": lines, "bill": Nested(entry(bill, sum=worth), allow_none=True), "worth": worth}
    history = History(sqlite_of(base.metadata), run(host_run, {"audits": rules}, **members))
    serials = [{"serials": [{"worth": 1}, {"worth": 2}]}, {"serials": [{"worth": 4}]}]
    wrong = {"id": 1, "worth": 7, "lines": serials, "bill": {"sum": 8}}
    right, empty = wrong | {"id": 2, "worth": 15}, {"id": 3, "worth": 0, "lines": [], "bill": None}
    given = runs_of(wrong, right, empty)
    expected = [
        ("/runs/0/worth", "7, but the entries add up to 15."),
        ("/runs/2/bill", "There are no entries in bill."),
    ]
    assert broken_rules(given, history) == expected
    assert history.import_document(given).imported == 3
    assert [each.message for each in audit(history)] == [message for _, message in expected]


@pytest.mark.parametrize(
    ("rule", "members"),
    [
        (Sum("customer", ("lines.quantity",)), {}),  # a slug
        (Sum("total", ("lines.tag", "lines.quantity")), {}),
        (Sum("total", ("lines.quantity",)), {"lines": []}),
        (AtMost("total", "parent"), {}),  # null
        (AtMost("total", "shipment"), {}),  # an object
        (AtMost("total", "gift"), {}),  # to Python, true is 1
        (PerUnit("total", "weight", "extra"), {"extra": "Infinity"}),
        (PerUnit("total", "weight", "extra"), {"extra": "NaN"}),
        (PerUnit("total", "weight", "extra"), {"extra": 0}),
    ],
)
def test_a_rule_is_silent_where_there_is_no_number(rule, members):
    assert in_order(rule, **members) == []


@pytest.mark.parametrize("weight", [1e300, -1e300, 5e-324, 12345678901234567890123456789012345])
def test_numbers_of_any_size_are_compared_exactly(weight):
    assert in_order(Sum("weight", ("weight",), "0"), weight=weight) == []
    [(where, _)] = in_order(PerUnit("total", "weight", "doubled"), weight=weight, total="999.00")
    assert where == "total"


def test_a_share_is_told_with_as_many_digits_as_the_rule_looks_at():
    [(_, message)] = in_order(PerUnit("weight", "total", "doubled", "0.000001"), weight=0.006)
    assert message == "0.006, but total divided by doubled is 0.005000."


class EveryOther:
    """A rule of a host's own."""

    members = ("lines.place",)

    def __str__(self):
        return "places are even"

    def findings(self, record):
        for each in record["lines"]:
            yield from [("lines", f"{each['place']} is odd.")] * (each["place"] % 2)


def test_a_host_may_have_rules_of_its_own():
    assert in_order(EveryOther()) == [("lines", "1 is odd.")]


def test_rules_of_entries_stand_in_their_own_schemas():
    lines = Nested(audited(AtMost("quantity", "place"), schema=shop.LineSchema), many=True)
    found = broken_rules(orders(order()), History(None, audited(lines=lines)))
    assert found == [("/orders/0/lines/0/quantity", "1.50 is more than place, which is 1.")]


def test_a_rule_knows_members_by_their_names_on_the_wire():
    total = histio.FixedDecimal(attribute="cents", minor_units=2, required=True, data_key="with-tax")
    history = History(None, audited(AtMost("with-tax", "weight"), total=total))
    given = without(order(), "total") | {"with-tax": "5.25"}
    assert broken_rules(orders(given), history) == [
        ("/orders/0/with-tax", "5.25 is more than weight, which is 0.1.")
    ]


@pytest.mark.parametrize(
    "path", ["totl", "lines.quantty", "lines.serials.txt", "total.sum", "placed", "tags.name", ""]
)
def test_a_rule_about_what_no_schema_ever_had_is_refused_when_the_kind_is_bound(path):
    with pytest.raises(
        BindingError, match=f"AuditedSchema.Meta.audits: weight is at most {path}: there is no"
    ):
        History(None, audited(AtMost("weight", path)))


def test_a_rule_is_left_out_where_a_host_has_left_out_what_it_looks_at():
    class Lean(histio.ProductionConsumptionSchema):
        class Meta(histio.ProductionConsumptionSchema.Meta):
            exclude = ("total_cost",)
            unbound = "ignore"

    class Own(histio.RecordSchema):
        class Meta:
            model = histio.models.ProductionConsumption
            unbound = "ignore"

        uuid = histio.RunUUID(required=True)

    class Runs(histio.ProductionRunSchema):
        class Meta(histio.ProductionRunSchema.Meta):
            exclude = ("per_unit_cost",)
            unbound = "ignore"

    wrong = RUN | {"total_ingredient_cost": "9", "per_unit_cost": "9", "actual_yield": 999}
    entries = wrong["consumptions"]
    for schema in (Lean, Own):
        consumptions = [{name: each[name] for name in each if name in schema().fields} for each in entries]
        kind = type("Runs", (Runs,), {"consumptions": Nested(schema, many=True)})
        given = document(without(wrong, "per_unit_cost") | {"consumptions": consumptions})
        given = without(given, "assembly_runs")
        for bound in (kind, kind.bind(histio.models.ProductionRun)):
            assert [where for where, _ in broken_rules(given, History(None, bound))] == [
                "/production_runs/0/actual_yield"
            ]


# --- whose runs ------------------------------------------------------------------------------------------

WRONG = document(
    RUN,
    production_run(2, per_unit_cost="7", total_ingredient_cost="2.5"),
    assembly=[ASSEMBLY, assembly_run(2, total_component_cost="4.6760", per_unit_cost="1")],
)
BROKEN = [
    ("/production_runs/1/per_unit_cost", "production_run", number(2), 1),
    ("/assembly_runs/1/per_unit_cost", "assembly_run", number(2), 1),
]


def places(found):
    return [(each.pointer, each.kind, each.uuid, each.index) for each in found]


def test_a_database_and_its_export_break_the_same_rules(sqlite, tmp_path):
    history = History(sqlite)
    assert history.import_document(WRONG).rejected == 0
    history.export_file(tmp_path / "export.json.gz")
    history.export_file(tmp_path / "export.jsonl.zst")
    assert places(audit(tmp_path / "export.json.gz")) == BROKEN
    assert places(audit(history)) == [(f"/{where.split('/', 3)[3]}", *run, None) for where, *run, _ in BROKEN]
    assert [(each.line, each.pointer) for each in audit(tmp_path / "export.jsonl.zst")] == [
        (3, "/production_run/per_unit_cost"),
        (5, "/assembly_run/per_unit_cost"),
    ]


def test_a_history_without_database_cannot_be_audited():
    with pytest.raises(NotConfiguredError):
        list(audit(History()))


@pytest.mark.slow
def test_rows_that_cannot_be_exported_are_told_after_the_runs_of_their_kind(sqlite):
    History(sqlite).import_document(WRONG)
    with sqlite.begin() as connection:
        connection.execute(sa.text("UPDATE production_runs SET produced_at = 'x' WHERE id = 1"))
    found = audit(History(sqlite))
    assert next(found).uuid == number(2)
    with pytest.raises(ExportError, match=number(1)):
        next(found)


def test_of_a_damaged_file_the_runs_come_first():
    found = audit(io.BytesIO(stream_of(WRONG)[:-10]))
    assert [next(found).line, next(found).line] == [3, 5]
    with pytest.raises(DocumentError, match="within its trailer"):
        next(found)


def test_what_is_no_history_is_an_error():
    with pytest.raises(DocumentError):
        list(audit(io.BytesIO(b"[]")))


@pytest.mark.parametrize("bad", [{"notes": 5}, {"colour": "red"}, {"consumptions": "abc"}])
def test_runs_of_wrong_form_are_passed_over(bad):
    given = document(RUN | {"per_unit_cost": "7"} | bad, RUN, assembly=[5, ASSEMBLY | {"per_unit_cost": "1"}])
    assert [where for where, _ in broken_rules(given)] == ["/assembly_runs/1/per_unit_cost"]


def test_older_records_are_audited_as_the_current_version_has_them():
    def upgrade(record):
        return without(record, "euros") | {"total": record["euros"]}

    history = History(None, audited(AtMost("total", "weight")), version="2.0", upgrades={"1.0": upgrade})
    given = orders(without(order(), "total") | {"euros": "5.25"})
    assert broken_rules(given, history) == [("/orders/0/total", "5.25 is more than weight, which is 0.1.")]


@pytest.mark.slow
def test_records_that_a_hook_changes_are_audited_as_they_are_imported(sqlite_of):
    @pre_load
    def to_kilos(_schema, data, **_):
        return data | {"weight": data["weight"] / 1000}

    kind = audited(AtMost("total", "weight"), hook=to_kilos)
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    history = History(engine, kind, values={"shop_id": 7})
    given = orders(order(1, weight=5125), order(2, weight=6000))
    expected = [("/orders/0/total", "5.25 is more than weight, which is 5.125.")]
    assert broken_rules(given, history) == expected
    history.import_document(given)
    assert [(each.pointer, each.message) for each in audit(history)] == [("/total", expected[0][1])]


def test_runs_that_are_known_by_no_uuid_are_named(sqlite_of):
    base = orm.declarative_base()
    host_run = model(base, "Run", a=sa.Column(sa.Integer), b=sa.Column(sa.Integer))
    members = {name: histio.Integer(allow_none=True) for name in ("a", "b")}
    kind = run(host_run, {"audits": (AtMost("a", "b"),)}, **members)
    history = History(sqlite_of(base.metadata), kind)
    given = runs_of({"id": 4, "a": 1, "b": 1}, {"id": 5, "a": 2, "b": 1})
    history.import_document(given)
    assert places(audit(io.BytesIO(text_of(given)), history=history)) == [("/runs/1/a", "run", "5", 1)]
    assert places(audit(history)) == [("/a", "run", "5", None)]


# --- inherited rules -------------------------------------------------------------------------------------


def losing(sqlite_of, **options):
    """A kind of a subclass that has losses beside the lines that its base knows."""
    base = orm.declarative_base()
    line, loss = (model(base, name, run_id=to("runs")) for name in ("Line", "Loss"))
    host_run = model(base, "Run", lines=relationship("Line"), losses=relationship("Loss"))
    audited = run(host_run, {"audits": (NotEmpty(("lines",)),)}, lines=ledger(line))
    meta = type("Meta", (audited.Meta,), options)
    kind = type("LosingSchema", (audited,), {"Meta": meta, "losses": ledger(loss)})
    return History(sqlite_of(base.metadata), kind)


def test_a_run_of_a_subclass_is_not_empty_where_a_ledger_of_its_own_has_entries(sqlite_of):
    given = runs_of({"id": 1, "lines": [], "losses": [{}]}, {"id": 2, "lines": [], "losses": []})
    expected = [("/runs/1/lines", "There are no entries in lines or losses.")]
    assert broken_rules(given, losing(sqlite_of)) == expected


def test_a_subclass_that_names_its_rules_means_those(sqlite_of):
    given = runs_of({"id": 1, "lines": [], "losses": [{}]})
    history = losing(sqlite_of, audits=(NotEmpty(("lines",)),))
    assert broken_rules(given, history) == [("/runs/0/lines", "There are no entries in lines.")]


def test_a_rule_that_leaves_out_a_ledger_of_its_own_schema_goes_on_to_do_so(sqlite_of):
    base = orm.declarative_base()
    line, loss = (model(base, name, run_id=to("runs")) for name in ("Line", "Loss"))
    host_run = model(base, "Run", lines=relationship("Line"), losses=relationship("Loss"))
    ledgers = {"lines": ledger(line), "losses": ledger(loss)}
    audited = run(host_run, {"audits": (NotEmpty(("lines",)),)}, **ledgers)
    history = History(sqlite_of(base.metadata), type("SameSchema", (audited,), {}))
    given = runs_of({"id": 1, "lines": [], "losses": [{}]})
    assert broken_rules(given, history) == [("/runs/0/lines", "There are no entries in lines.")]


def test_rules_are_dropped_by_none(sqlite_of):
    given = runs_of({"id": 1, "lines": [], "losses": []})
    assert broken_rules(given, losing(sqlite_of, audits=None)) == []


def test_rules_of_the_bundled_schemas_are_dropped_by_none(sqlite):
    class Unaudited(histio.ProductionRunSchema):
        class Meta(histio.ProductionRunSchema.Meta):
            audits = None

    history = History(sqlite, Unaudited, histio.AssemblyRunSchema)
    assert broken_rules(document(RUN | {"consumptions": []}), history) == []
