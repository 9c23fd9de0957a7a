"""The wire rules of single members, on the way in and on the way out."""

from __future__ import annotations

import calendar
import datetime as dt
import pickle
import uuid
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator
from marshmallow import ValidationError

from histio.kinds.fields import FixedDecimal, Integer, RunUUID, Slug, Text, UtcTimestamp
from histio.report import Fault
from histio.wire import WireField, quote

UUID = "7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11"
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
NEW_YORK = dt.timezone(dt.timedelta(hours=-5))


def naive(*parts: int) -> dt.datetime:
    return dt.datetime(*parts)  # noqa: DTZ001 - UTC without saying so, as most columns have it


NOON = naive(2025, 12, 8, 12)


def fitted(field: WireField, column_type: Any) -> WireField:
    """*field* as the schema of a model with such a column has it."""
    field.fit(column_type)
    return field


MONEY = fitted(FixedDecimal(), sa.Numeric(10, 4))
QUANTITY = fitted(FixedDecimal(positive=True), sa.Numeric(10, 3))
BALANCE = fitted(FixedDecimal(signed=True), sa.Numeric(10, 4))
WHOLE = fitted(FixedDecimal(), sa.Numeric(5, 0))
RATIO = fitted(FixedDecimal(), sa.Numeric(4, 4))
WIDE = fitted(FixedDecimal(), sa.Numeric(38, 4))
ANY_SCALE = FixedDecimal()
AWARE = fitted(UtcTimestamp(), sa.DateTime(timezone=True))
NAIVE = fitted(UtcTimestamp(), sa.DateTime())
COUNT = fitted(Integer(minimum=1), sa.Integer())
SMALL = fitted(Integer(), sa.SmallInteger())
BIG = fitted(Integer(minimum=0), sa.BigInteger())
UNIT = fitted(Text(), sa.String(3))
NOTES = fitted(Text(allow_none=True), sa.Text())
SLUG = Slug()
KEY = fitted(Slug(), sa.String(5))
ID = RunUUID()


def load(field: WireField, wire: object) -> object:
    return field.deserialize(wire)


def dump(field: WireField, value: object) -> object:
    return field.serialize("member", SimpleNamespace(member=value))


def same(found: object, expected: object) -> bool:
    """Equal in type, and to the last digit and offset: neither 2 and 2.0 nor 0 and -0 are the same."""
    return (type(found), repr(found)) == (type(expected), repr(expected))


def codes_of(raised: pytest.ExceptionInfo[ValidationError]) -> list[str]:
    return [fault.code for fault in raised.value.messages]


@pytest.mark.parametrize(
    ("field", "wire", "value"),
    [
        (MONEY, "5.2500", Decimal("5.2500")),
        (MONEY, "5.25", Decimal("5.25")),
        (MONEY, "5", Decimal(5)),
        (MONEY, "0", Decimal(0)),
        (MONEY, "999999.9999", Decimal("999999.9999")),
        (MONEY, "5.25000000", Decimal("5.25000000")),
        (QUANTITY, "0.001", Decimal("0.001")),
        (BALANCE, "-5.25", Decimal("-5.25")),
        (BALANCE, "-0.0000", Decimal(0)),
        (WHOLE, "99999", Decimal(99999)),
        (WHOLE, "12.00", Decimal("12.00")),
        (RATIO, "0.9999", Decimal("0.9999")),
        (WIDE, "1" * 34 + ".1234", Decimal("1" * 34 + ".1234")),
        (ANY_SCALE, "1" * 40 + "." + "1" * 40, Decimal("1" * 40 + "." + "1" * 40)),
        (NAIVE, "2025-12-08T12:00:00Z", NOON),
        (NAIVE, "2025-12-08T12:00:00", NOON),
        (NAIVE, "2025-12-08T17:30:00+05:30", NOON),
        (NAIVE, "2025-12-08T12:00:00-00:00", NOON),
        (NAIVE, "2025-12-08T12:00:00.5Z", NOON.replace(microsecond=500_000)),
        (NAIVE, "2025-12-08T12:00:00.000001Z", NOON.replace(microsecond=1)),
        (NAIVE, "2025-12-31T23:30:00-05:00", naive(2026, 1, 1, 4, 30)),
        (NAIVE, "1001-01-01T00:00:00+23:59", naive(1000, 12, 31, 0, 1)),
        (NAIVE, "9998-12-31T23:59:59.999999Z", naive(9998, 12, 31, 23, 59, 59, 999_999)),
        (AWARE, "2025-12-08T12:00:00", NOON.replace(tzinfo=dt.UTC)),
        (AWARE, "2025-12-08T17:30:00+05:30", NOON.replace(tzinfo=dt.UTC)),
        (ID, UUID, UUID),
        (ID, UUID.upper(), UUID),
        (COUNT, 2, 2),
        (COUNT, 2.0, 2),
        (COUNT, 2**31 - 1, 2**31 - 1),
        (SMALL, -(2**15), -(2**15)),
        (BIG, 2**63 - 1, 2**63 - 1),
        (Integer(), 10**30, 10**30),
        (UNIT, "cup", "cup"),
        (UNIT, "🍞🍞🍞", "🍞🍞🍞"),
        (UNIT, "", ""),
        (NOTES, " two\nlines\t", " two\nlines\t"),
        (NOTES, "x" * 10_000, "x" * 10_000),
        (NOTES, None, None),
        (SLUG, "crème brûlée", "crème brûlée"),
        (SLUG, "a/b~c", "a/b~c"),
        (SLUG, "🍞" * 200, "🍞" * 200),
        (KEY, "flour", "flour"),
    ],
)
def test_a_wire_value_loads_as_its_column_takes_it(field, wire, value):
    assert same(load(field, wire), value)


@pytest.mark.parametrize(
    ("field", "value", "wire"),
    [
        (MONEY, Decimal("5.25"), "5.2500"),
        (MONEY, Decimal("5.25000000"), "5.2500"),
        (MONEY, Decimal(0), "0.0000"),
        (MONEY, Decimal("-0"), "0.0000"),
        (MONEY, Decimal("-0.00000000"), "0.0000"),
        (MONEY, Decimal("0E+7"), "0.0000"),
        (MONEY, Decimal("1E+5"), "100000.0000"),
        (MONEY, Decimal("1E-4"), "0.0001"),
        (MONEY, Decimal("999999.9999"), "999999.9999"),
        (MONEY, 5, "5.0000"),
        (MONEY, 0.1, "0.1000"),
        (MONEY, -0.0, "0.0000"),
        (MONEY, 1e-4, "0.0001"),
        (QUANTITY, Decimal("0.001"), "0.001"),
        (BALANCE, Decimal("-5.25"), "-5.2500"),
        (BALANCE, Decimal("-0.0"), "0.0000"),
        (WHOLE, Decimal("12.0"), "12"),
        (RATIO, Decimal("0.5"), "0.5000"),
        (WIDE, Decimal("1" * 34 + ".1234"), "1" * 34 + ".1234"),
        (ANY_SCALE, Decimal("1E+3"), "1000"),
        (ANY_SCALE, Decimal("5.250"), "5.250"),
        (NAIVE, NOON, "2025-12-08T12:00:00Z"),
        (NAIVE, NOON.replace(microsecond=1), "2025-12-08T12:00:00.000001Z"),
        (NAIVE, NOON.replace(microsecond=120_000), "2025-12-08T12:00:00.120000Z"),
        (NAIVE, NOON.replace(tzinfo=dt.UTC), "2025-12-08T12:00:00Z"),
        (NAIVE, NOON.replace(tzinfo=INDIA), "2025-12-08T06:30:00Z"),
        (AWARE, NOON.replace(tzinfo=INDIA), "2025-12-08T06:30:00Z"),
        (AWARE, NOON.replace(tzinfo=NEW_YORK, hour=23), "2025-12-09T04:00:00Z"),
        (AWARE, NOON, "2025-12-08T12:00:00Z"),
        (NAIVE, naive(1000, 1, 1), "1000-01-01T00:00:00Z"),
        (NAIVE, naive(9998, 12, 31, 23, 59, 59), "9998-12-31T23:59:59Z"),
        (ID, UUID, UUID),
        (ID, uuid.UUID(UUID), UUID),
        (COUNT, 2, 2),
        (COUNT, Decimal(2), 2),
        (COUNT, Decimal("2.000"), 2),
        (COUNT, 2.0, 2),
        (NOTES, None, None),
        (NOTES, "a\nb", "a\nb"),
        (UNIT, "cup", "cup"),
        (SLUG, "flour", "flour"),
    ],
)
def test_a_value_of_a_row_dumps_in_its_one_canonical_form(field, value, wire):
    assert same(dump(field, value), wire)


@pytest.mark.parametrize(
    ("field", "wire", "code", "message"),
    [
        (MONEY, "1e3", "schema", "Not a decimal string"),
        (MONEY, "NaN", "schema", "Not a decimal string"),
        (MONEY, "1\n", "schema", "Not a decimal string"),
        (MONEY, "\u0661", "schema", "Not a decimal string"),
        (MONEY, 5.25, "schema", "Not a decimal string"),
        (MONEY, Decimal("5.25"), "schema", "Not a decimal string"),
        (MONEY, None, "schema", "not be null"),
        (MONEY, "5.25001", "precision", "at most 4 digits after the point"),
        (MONEY, "1000000", "out-of-range", "at least 0 and below 1000000"),
        (MONEY, "-1", "out-of-range", "at least 0 and below 1000000"),
        (MONEY, "-0", "out-of-range", "at least 0"),
        (QUANTITY, "0.000", "out-of-range", "more than 0 and below 10000000"),
        (BALANCE, "--1", "schema", "Not a decimal string"),
        (BALANCE, "-1000000", "out-of-range", "1000000"),
        (WHOLE, "1.5", "precision", "at most 0 digits"),
        (WHOLE, "100000", "out-of-range", "below 100000"),
        (RATIO, "1", "out-of-range", "below 1"),
        (NAIVE, "2025-12-08T10:00Z", "schema", "Not an RFC 3339 timestamp"),
        (NAIVE, "2025-12-08T10:00:00Z\n", "schema", "Not an RFC 3339 timestamp"),
        (NAIVE, NOON, "schema", "Not an RFC 3339 timestamp"),
        (NAIVE, "2025-12-08T10:00:00.1234567Z", "precision", "at most six digits"),
        (NAIVE, "9999-12-08T10:00:00Z", "out-of-range", "years 1000 to 9998"),
        (NAIVE, "0999-12-08T10:00:00Z", "out-of-range", "years 1000 to 9998"),
        (NAIVE, "1000-12-08T10:00:00+01:00", "out-of-range", "1001 to 9997 with an offset"),
        (ID, f"{{{UUID}}}", "schema", "Not a hyphenated UUID"),
        (ID, UUID + "\n", "schema", "Not a hyphenated UUID"),
        (ID, uuid.UUID(UUID), "schema", "Not a hyphenated UUID"),
        (COUNT, True, "schema", "Not an integer"),
        (COUNT, "2", "schema", "Not an integer"),
        (COUNT, 2.5, "schema", "Not an integer"),
        (COUNT, Decimal(2), "schema", "Not an integer"),
        (COUNT, float("nan"), "schema", "Not an integer"),
        (COUNT, float("inf"), "schema", "Not an integer"),
        (COUNT, 0, "out-of-range", "from 1 to 2147483647"),
        (COUNT, 2**31, "out-of-range", "from 1 to 2147483647"),
        (SMALL, 2**15, "out-of-range", "from -32768 to 32767"),
        (BIG, 2**63, "out-of-range", "from 0 to 9223372036854775807"),
        (BIG, 1e300, "out-of-range", "from 0 to 9223372036854775807"),
        (UNIT, 5, "schema", "Not a string"),
        (UNIT, "cups", "out-of-range", "at most 3 characters, not 4"),
        (NOTES, "a\x00b", "schema", "NUL"),
        (NOTES, "a\ud800b", "schema", "lone surrogate"),
        (SLUG, "", "out-of-range", "1 to 200 characters, not 0"),
        (SLUG, "x" * 201, "out-of-range", "1 to 200 characters, not 201"),
        (SLUG, "flour\n", "schema", "control characters"),
        (SLUG, "\u3000flour", "schema", "white space"),
        (SLUG, "flo\ud800ur", "schema", "lone surrogate"),
        (KEY, "butter", "out-of-range", "1 to 5 characters, not 6"),
    ],
)
def test_a_wire_value_that_breaks_its_rule_is_one_fault_with_a_code(field, wire, code, message):
    with pytest.raises(ValidationError, match=message) as raised:
        load(field, wire)
    assert codes_of(raised) == [code]


MONTHS = [(year, month) for year in (2023, 2024) for month in range(1, 13)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "numbers", "accepted"),
    [
        ("{:04}-12-08T10:00:00Z", range(10_000), range(1000, 9999)),
        ("{:04}-12-08T10:00:00+00:00", range(10_000), range(1001, 9998)),
        ("{:04}-02-29T10:00:00Z", range(10_000), filter(calendar.isleap, range(1000, 9999))),
        ("2025-{:02}-28T10:00:00Z", range(100), range(1, 13)),
        *(
            (
                f"{year}-{month:02}-{{:02}}T10:00:00Z",
                range(100),
                range(1, calendar.monthrange(year, month)[1] + 1),
            )
            for year, month in MONTHS
        ),
        ("2025-12-08T{:02}:00:00Z", range(100), range(24)),
        ("2025-12-08T10:{:02}:00Z", range(100), range(60)),
        ("2025-12-08T10:00:{:02}Z", range(100), range(60)),
        ("2025-12-08T10:00:00+{:02}:00", range(100), range(24)),
        ("2025-12-08T10:00:00-{:02}:00", range(100), range(24)),
        ("2025-12-08T10:00:00+00:{:02}", range(100), range(60)),
        ("2025-12-08T10:00:00-00:{:02}", range(100), range(60)),
    ],
)
def test_a_timestamp_knows_the_calendar_and_the_clock(template, numbers, accepted):
    expected = list(accepted)
    rule = Draft202012Validator(NAIVE.assertions())
    assert [number for number in numbers if rule.is_valid(template.format(number))] == expected
    assert [load(NAIVE, template.format(number)).utcoffset() for number in expected] == [None] * len(expected)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        (MONEY, None, "schema"),
        (MONEY, Decimal("NaN"), "schema"),
        (MONEY, Decimal("sNaN"), "schema"),
        (MONEY, Decimal("Infinity"), "schema"),
        (MONEY, float("-inf"), "schema"),
        (MONEY, "a lot", "schema"),
        (MONEY, Decimal("1.23456"), "precision"),
        (MONEY, Decimal("0.00005"), "precision"),
        (MONEY, 0.1 + 0.2, "precision"),
        (MONEY, 1e-7, "precision"),
        (MONEY, Decimal(1_000_000), "out-of-range"),
        (MONEY, 1e22, "out-of-range"),
        (MONEY, Decimal(-1), "out-of-range"),
        (QUANTITY, Decimal(0), "out-of-range"),
        (QUANTITY, Decimal("-0.000"), "out-of-range"),
        (BALANCE, Decimal(-1_000_000), "out-of-range"),
        (NAIVE, None, "schema"),
        (NAIVE, "2025", "schema"),
        (NAIVE, dt.date(2025, 12, 8), "schema"),
        (NAIVE, naive(999, 12, 31), "out-of-range"),
        (NAIVE, naive(9999, 1, 1), "out-of-range"),
        (NAIVE, dt.datetime(1000, 1, 1, tzinfo=INDIA), "out-of-range"),
        (NAIVE, dt.datetime(1, 1, 1, tzinfo=INDIA), "out-of-range"),
        (AWARE, dt.datetime(9999, 12, 31, 23, tzinfo=NEW_YORK), "out-of-range"),
        (ID, None, "schema"),
        (ID, "run-1", "schema"),
        (ID, 7, "schema"),
        (COUNT, None, "schema"),
        (COUNT, 2.5, "schema"),
        (COUNT, Decimal("2.5"), "schema"),
        (COUNT, Decimal("NaN"), "schema"),
        (COUNT, float("inf"), "schema"),
        (COUNT, "2", "schema"),
        (COUNT, 0, "out-of-range"),
        (COUNT, 2**31, "out-of-range"),
        (UNIT, None, "schema"),
        (UNIT, b"cup", "schema"),
        (UNIT, "cups", "out-of-range"),
        (NOTES, "a\x00b", "schema"),
        (NOTES, "a\udfffb", "schema"),
        (SLUG, None, "schema"),
        (SLUG, "", "out-of-range"),
        (SLUG, "x" * 201, "out-of-range"),
        (SLUG, " flour", "schema"),
        (SLUG, "flour\n", "schema"),
        (SLUG, "flo\x85ur", "schema"),
    ],
)
def test_a_value_of_a_row_that_the_format_cannot_hold_is_one_fault_with_a_code(field, value, code):
    with pytest.raises(ValidationError) as raised:
        dump(field, value)
    assert codes_of(raised) == [code]


def test_a_fault_of_a_row_shows_the_value_as_the_row_has_it():
    with pytest.raises(ValidationError, match=r"at most 4 digits .* The row has Decimal\('1.23456'\)"):
        dump(MONEY, Decimal("1.23456"))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 2**20, id="text"),
        pytest.param([["x" * 200] * 200], id="lists"),
        pytest.param({"x" * 2**20: 1}, id="names"),
        pytest.param(10**5_000, id="digits"),
        pytest.param("two\nlines\u202e\ud800", id="what does not print"),
        pytest.param(object(), id="object"),
    ],
)
def test_what_a_message_shows_of_a_value_is_short_and_one_line(value):
    assert len(quote(value)) <= 500
    assert quote(value).isprintable()


def test_a_fault_is_its_message_and_carries_a_code():
    fault = Fault("Must be at least 0.", "out-of-range")
    assert (fault, fault.code) == ("Must be at least 0.", "out-of-range")
    assert Fault("Missing.").code == "schema"


def test_a_fault_keeps_its_code_when_pickled():
    assert pickle.loads(pickle.dumps(Fault("Too wide.", "precision"))).code == "precision"


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        (WHOLE, {"pattern": r"^(0|[1-9][0-9]{0,4})(\.0+)?$"}),
        (RATIO, {"pattern": r"^0(\.[0-9]{1,4}0*)?$"}),
        (BALANCE, {"pattern": r"^-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,4}0*)?$"}),
        (ANY_SCALE, {"pattern": r"^(0|[1-9][0-9]*)(\.[0-9]+)?$"}),
        (SMALL, {"type": "integer", "minimum": -32768, "maximum": 32767}),
        (Integer(), {"type": "integer"}),
        (KEY, {"minLength": 1, "maxLength": 5}),
        (UNIT, {"maxLength": 3}),
    ],
)
def test_a_rule_as_json_schema_follows_the_column(field, rule):
    assert field.assertions().items() >= rule.items()
