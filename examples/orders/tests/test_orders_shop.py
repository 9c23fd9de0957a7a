"""What the shop promises: its history moves whole, with every reference checked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from histio import testing
from jsonschema import Draft202012Validator

from shop.history import history
from shop.models import Customer, LineDiscount, Order, OrderLine, Payment, Product, db
from shop.stock import sell

HISTORY = (Order, OrderLine, LineDiscount, Payment)


@pytest.fixture
def document(shop):
    return shop.test_client().get("/history.json").json


def runs(app):
    exported = app.test_client().get("/history.json").json
    return exported["orders"], exported["payments"]


def stored(app):
    with app.app_context():
        return [db.session.scalar(sa.select(sa.func.count()).select_from(model)) for model in HISTORY]


def change(app, statement):
    with app.app_context():
        db.session.execute(statement)
        db.session.commit()


def test_an_order_is_exported_with_its_lines_and_without_row_ids(document):
    order = document["orders"][0]
    assert list(order) == ["uuid", "customer_email", "placed_at", "status", "note", "total", "lines"]
    assert (order["customer_email"], order["placed_at"]) == ("ada@example.org", "2025-06-01T09:30:00Z")
    discount = {"reason": "Summer sale", "amount": "1.50"}
    assert order["lines"] == [
        {"product_name": "Teapot", "quantity": 2, "unit_price": "24.90", "discounts": [discount]},
        {"product_name": "Teacup", "quantity": 2, "unit_price": "7.50", "discounts": []},
    ]


def test_a_payment_names_its_order_and_tells_cents_as_a_decimal(document):
    payment = document["payments"][0]
    assert payment["order_uuid"] == document["orders"][0]["uuid"]
    assert payment["amount"] == document["orders"][0]["total"] == "63.30"


def test_what_a_branch_imports_it_exports_the_same(shop, branch, document):
    response = branch.test_client().post("/history", json=document)
    assert (response.status_code, response.json["imported"]) == (200, 6)
    assert runs(branch) == runs(shop)
    assert stored(branch) == stored(shop)


def test_what_is_there_already_is_skipped(shop, document):
    response = shop.test_client().post("/history", json=document)
    assert (response.status_code, response.json["imported"], response.json["skipped"]) == (200, 0, 6)
    assert stored(shop) == [3, 6, 3, 3]


def test_a_missing_product_is_named_with_what_may_have_been_meant(branch, document):
    change(branch, sa.update(Product).where(Product.name == "Teapot").values(name="Tea pot"))
    response = branch.test_client().post("/history", json=document)
    problem = response.json["problems"][0]
    assert response.status_code == 422
    assert (problem["code"], problem["pointer"]) == ("unknown-reference", "/orders/0/lines/0/product_name")
    assert problem["message"] == "Product not found: Teapot"
    assert problem["hint"] == "did you mean Tea pot or Teacup?"
    assert stored(branch) == [0, 0, 0, 0]


def test_one_bad_order_keeps_the_whole_request_out(branch, document):
    document["orders"][0]["lines"][1]["product_name"] = "Samovar"
    response = branch.test_client().post("/history", json=document)
    assert (response.status_code, response.json["imported"], response.json["rejected"]) == (422, 0, 2)
    assert stored(branch) == [0, 0, 0, 0]


def test_on_the_command_line_the_good_orders_go_in_and_the_bad_one_is_left_out_whole(
    branch, document, tmp_path
):
    document["orders"][0]["lines"][1]["product_name"] = "Samovar"
    file = tmp_path / "history.json"
    file.write_text(json.dumps(document))
    result = branch.test_cli_runner().invoke(args=["import", str(file)])
    assert (result.exit_code, result.stdout) == (1, "4 imported, 0 skipped, 2 rejected\n")
    line, payment = result.stderr.splitlines()
    assert line == "/orders/0/lines/1/product_name: Product not found: Samovar"
    assert payment.startswith(f"/payments/0/order_uuid: Order not found: {document['orders'][0]['uuid']}")
    assert stored(branch) == [2, 4, 2, 2]


def test_the_command_line_writes_the_file_that_it_reads(shop, branch, tmp_path):
    file = str(tmp_path / "history.json")
    assert shop.test_cli_runner().invoke(args=["export", file]).exit_code == 0
    assert (
        branch.test_cli_runner().invoke(args=["import", file]).output == "6 imported, 0 skipped, 0 rejected\n"
    )
    assert runs(branch) == runs(shop)


def test_a_shop_without_anything_gets_the_customers_and_products_of_the_orders(shop, open_shop, tmp_path):
    third, file = open_shop("third", empty=True), str(tmp_path / "whole.json")
    assert shop.test_cli_runner().invoke(args=["export", "--with-catalog", file]).exit_code == 0
    result = third.test_cli_runner().invoke(args=["import", file])
    assert result.stdout == "0 imported, 0 skipped, 6 rejected\n"
    result = third.test_cli_runner().invoke(args=["import", "--create-catalog", file])
    assert result.output == "6 imported, 0 skipped, 0 rejected\n"
    assert runs(third) == runs(shop)
    with third.app_context():
        assert sorted(db.session.scalars(sa.select(Product.name))) == ["Teacup", "Teapot"]


def test_init_makes_a_shop_of_nothing(shop):
    with shop.app_context():
        db.drop_all()
    assert shop.test_cli_runner().invoke(args=["init", "--orders", "2"]).exit_code == 0
    assert stored(shop) == [2, 4, 2, 2]


def test_payments_may_come_later_than_their_orders(shop, branch, document):
    client = branch.test_client()
    client.post("/history", json={"version": "1.0", "orders": document["orders"]})
    client.post("/history", json={"version": "1.0", "payments": document["payments"]})
    assert runs(branch) == runs(shop)


def test_a_total_is_computed_and_never_read(shop, branch, document):
    document["orders"][0]["total"] = "0.01"
    assert branch.test_client().post("/history", json=document).status_code == 200
    assert runs(branch) == runs(shop)


def test_a_dry_run_tells_what_would_happen_and_writes_nothing(branch, document):
    trial = branch.test_client().post("/history?dry_run", json=document).json
    assert (trial["dry_run"], trial["imported"]) == (True, 6)
    assert stored(branch) == [0, 0, 0, 0]
    assert branch.test_client().post("/history", json=document).json == trial | {"dry_run": False}


def test_the_transaction_is_the_application_s_to_commit_or_to_roll_back(branch, document):
    with branch.app_context():
        db.session.add(Customer(email="joan@example.org", name="Joan"))
        document["orders"][0]["customer_email"] = "joan@example.org"
        assert history.import_document(document).imported == 6
        assert db.session.scalars(sa.select(Order)).first().customer.name == "Joan"
        db.session.rollback()
        assert db.session.scalars(sa.select(Customer.name)).all() == ["Ada", "Grace"]
    assert stored(branch) == [0, 0, 0, 0]


def test_the_schema_that_is_served_takes_the_document_that_is_served(shop, document):
    schema = shop.test_client().get("/history.schema.json").json
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(document)
    document["orders"][0]["lines"][0]["quantity"] = 0
    assert [error.message for error in validator.iter_errors(document)] == ["0 is less than the minimum of 1"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "Must be object, not []."),
        ({"version": "1.0"}, "Must have customers or products or orders or payments."),
        (
            {"version": "9.0", "orders": []},
            "Format 9.0 is newer than 1.0, the newest that this histio reads.",
        ),
        ({"version": "1.0", "orders": [], "returns": []}, "Unknown field."),
    ],
)
def test_what_is_no_document_of_the_shop_is_a_bad_request_and_says_why(branch, body, message):
    response = branch.test_client().post("/history", json=body)
    assert response.status_code == 400
    assert [problem["message"] for problem in response.json["problems"]] == [message]


def make_runs(session, count):
    sell(session, count // 2)  # an order and its payment are two runs


@pytest.mark.parametrize("case", testing.cases(history, make_runs=make_runs), ids=str)
def test_the_binding_keeps_what_histio_promises(branch, case):
    with branch.app_context():
        case()


def test_the_readme_shows_the_binding_as_it_is():
    folder = Path(__file__).parent.parent
    _, shown, *_ = re.split("```(?:python)?\n", (folder / "README.md").read_text())
    binding = (folder / "shop" / "history.py").read_text().splitlines()
    assert [line for line in shown.splitlines() if line not in binding] == []
