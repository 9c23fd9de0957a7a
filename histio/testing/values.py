"""Hypothesis strategies for the values of fields."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from marshmallow import ValidationError, fields

from histio.kinds import fields as own
from histio.kinds.assertions import assertions_of
from histio.kinds.fields.slug_text import SlugText
from histio.wire import JsonSchema, WireField

Values: TypeAlias = st.SearchStrategy[Any]

_SOME_TEXTS = (
    "",
    " ",
    "a\r\nb\tc",
    "e\u0301",
    "İ",
    "ß",
    "🏳️\u200d🌈",
    "\u202ertl",
    "\ufeff",
    "\ufffe",
    "\x01\x7f\x85\u2028",
    "%s :a $1 ?",
    "'; --",
    "\\",
    "null",
)
_SOME_SLUGS = ("a", "A", "á", "a\u0301", "🍪", "a  b", "it's", "100%", "/", "~1", "\u200b", "\ufeff")
_SHORT, _LONG = 20, 1_000
_DIGITS = 9
_EXACT = 2**53
_WORD = 31
_WITH_OFFSET = range(1001, 9998)


def values_of(name: str, field: Any) -> Values:
    """A strategy for the values of the member *name*, without null.

    Raises:
        TypeError: The values are unknown.
    """
    rule = assertions_of(field)
    if "const" in rule:
        return st.just(rule["const"])
    if "enum" in rule:
        return st.sampled_from(rule["enum"])
    kind = next((each for each in type(field).__mro__ if each in _VALUES), None)
    known = kind is not None and (kind is type(field) or _has_same_form(type(field), kind))
    if kind is not None and known:
        # A column or a validator may allow less than the class.
        return _VALUES[kind](field, rule).filter(lambda value: _is_valid(field, value))
    examples = [each for each in field.metadata.get("examples", ()) if each is not None]
    if examples:
        return st.sampled_from(examples)
    if kind is not None and issubclass(kind, WireField):
        validator = Draft202012Validator(rule)
        return _VALUES[kind](field, rule).filter(
            lambda value: _is_valid(field, value) and validator.is_valid(value)
        )
    raise TypeError(
        f"{name}: the values of a {type(field).__name__} are unknown: give it an example, or an "
        'enum in metadata={"json_schema": {…}}'
    )


def _has_same_form(kind: type[Any], known: type[Any]) -> bool:
    """Whether a host's class has the same wire form as histio's."""
    ways = ("check", "assertions", "from_wire", "_deserialize", "deserialize")
    return issubclass(known, WireField) and all(getattr(kind, way) is getattr(known, way) for way in ways)


def _is_valid(field: Any, value: Any) -> bool:
    try:
        field.deserialize(value)
    except ValidationError:
        return False
    return True


def _texts(least: int, most: int | None, some: Sequence[str], characters: st.SearchStrategy[str]) -> Values:
    longest = _LONG if most is None else most
    fitting = [text for text in some if least <= len(text) <= longest]
    drawn = st.text(characters, min_size=least, max_size=max(least, min(longest, _SHORT)))
    if fitting:
        drawn = st.sampled_from(fitting) | drawn
    return drawn | st.sampled_from(["x" * longest, "😀" * longest]) if longest <= _LONG else drawn


def _text(_field: Any, rule: JsonSchema) -> Values:
    characters = st.characters(codec="utf-8", exclude_characters="\x00")
    return _texts(rule.get("minLength", 0), rule.get("maxLength"), _SOME_TEXTS, characters)


def _slug_text(_field: Any, rule: JsonSchema) -> Values:
    characters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
    texts = _texts(max(1, rule.get("minLength", 1)), rule.get("maxLength"), _SOME_SLUGS, characters)
    return texts.filter(lambda text: text == text.strip())


def _slug(field: own.Slug, rule: JsonSchema) -> Values:
    if len(field.key) > 1:
        return st.fixed_dictionaries({path: values_of(path, field.rules[path]) for path in field.key})
    return _slug_text(field, rule) if field.rule is field else values_of("key", field.rule)


def _slug_list(field: own.SlugList, rule: JsonSchema) -> Values:
    one = field.own_rule
    each = _slug(field, rule["items"]) if one is None else values_of("key", one)
    return st.lists(each, max_size=4, unique_by=lambda value: json.dumps(value).lower())


def _uuid(_field: Any, _rule: JsonSchema) -> Values:
    # Of existing versions and variants, because MariaDB's UUID type rejects others.
    hyphenated = (st.uuids(version=4) | st.uuids(version=1)).map(str)
    return hyphenated | hyphenated.map(str.upper)


def _digits(least: int, most: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=least, max_size=most)


def _decimal(field: own.FixedDecimal, _rule: JsonSchema) -> Values:
    # Without a precision, as many digits as every database keeps.
    most = _DIGITS if field.whole_digits is None else field.whole_digits
    scale = 15 - _DIGITS if field.scale is None else field.scale

    @st.composite
    def drawn(draw: st.DrawFn) -> str:
        whole = draw(_digits(0, most) | st.just("9" * most)).lstrip("0") or "0"
        fraction = draw(st.just("") | _digits(1, scale) | st.just("9" * scale)) if scale else ""
        zeros = draw(st.sampled_from(["", "", "0", "000"]))
        sign = draw(st.sampled_from(["", "-"])) if field.signed else ""
        text = f"{sign}{whole}.{fraction}{zeros}" if fraction + zeros else sign + whole
        if field.positive and not text.strip("-0."):
            return f"0.{'0' * (scale - 1)}1" if scale else "1"
        return text

    return drawn()


def _integer(field: Any, rule: JsonSchema) -> Values:
    low, high = rule.get("minimum"), rule.get("maximum")
    low = -(2**_WORD) if low is None else low
    high = max(low, 2**_WORD - 1) if high is None else high
    whole = st.sampled_from([low, high]) | st.integers(low, high)
    if isinstance(field, fields.Field) and not isinstance(field, WireField):
        return whole
    floats = st.integers(max(low, -_EXACT), max(low, min(high, _EXACT))).filter(lambda n: abs(n) <= _EXACT)
    return whole | floats.map(float) if low <= _EXACT else whole


def _number(_field: Any, rule: JsonSchema) -> Values:
    low, high = rule.get("minimum"), rule.get("maximum")
    floats = st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)
    return floats | st.integers(-_EXACT, _EXACT).filter(
        lambda n: (low is None or n >= low) and (high is None or n <= high)
    )


def _days() -> st.SearchStrategy[dt.date]:
    edges = (dt.date(1000, 1, 1), dt.date(2000, 2, 29), dt.date(1969, 12, 31), dt.date(9998, 12, 31))
    return st.sampled_from(edges) | st.dates(edges[0], edges[-1])


def _date(_field: Any, _rule: JsonSchema) -> Values:
    return _days().map(dt.date.isoformat)


def _clock(field: Any) -> Values:
    """Times of day with as many digits of a second as *field* allows."""
    most = getattr(field, "digits", 6)

    @st.composite
    def drawn(draw: st.DrawFn) -> str:
        time = draw(st.sampled_from([dt.time(), dt.time(23, 59, 59)]) | st.times())
        fraction = draw(st.just("") | _digits(1, most) | st.just("9" * most)) if most else ""
        zeros = draw(st.integers(0, 6 - len(fraction)))
        return f"{time:%H:%M:%S}" + (f".{fraction}{'0' * zeros}" if fraction or zeros else "")

    return drawn()


def _timestamp(field: Any, _rule: JsonSchema) -> Values:
    clock = _clock(field)

    @st.composite
    def drawn(draw: st.DrawFn) -> str:
        day = draw(_days())
        zones = st.sampled_from(["", "Z", "Z"])
        if day.year in _WITH_OFFSET:
            zones |= st.sampled_from(["+00:00", "-00:00", "+23:59", "-23:59", "+05:30"])
        return f"{day}T{draw(clock)}{draw(zones)}"

    return drawn()


def _time(_field: Any, _rule: JsonSchema) -> Values:
    return st.times().map(dt.time.isoformat)


def _bytes(field: own.Bytes, _rule: JsonSchema) -> Values:
    longest = _LONG if field.max_length is None else min(field.max_length, _LONG)
    drawn = st.binary(max_size=min(longest, _SHORT)) | st.sampled_from([b"\xff" * longest, b"\x00" * longest])
    return drawn.map(lambda value: base64.b64encode(value).decode("ascii"))


def _duration(field: own.Duration, _rule: JsonSchema) -> Values:
    """Durations, limited to those that can be stored as times since 1970."""
    whole = st.timedeltas(dt.timedelta(-700_000), dt.timedelta(2_900_000))
    unit = dt.timedelta(microseconds=10 ** (6 - field.digits))
    canonical = whole.map(lambda length: field.to_wire(length // unit * unit))
    return canonical | st.sampled_from(["PT0S", "-PT0S", "PT36H", "P0DT00H90M00S", "-PT1S", "P1D"])


def _epoch(field: own.Epoch, _rule: JsonSchema) -> Values:
    """Times that the column can hold, some with an offset."""
    first, last = field.minimum, field.maximum
    day = 86_400 * 10**field.digits
    within = st.integers(min(first + 2 * day, 0), max(0, last - 2 * day)).map(field.moment)
    zones = st.sampled_from([dt.timedelta(hours=23, minutes=59), dt.timedelta(hours=-5, minutes=-30)])
    shifted = st.builds(lambda moment, zone: moment.astimezone(dt.timezone(zone)).isoformat(), within, zones)
    counts = st.sampled_from([first, -1, 0, last]) | st.integers(first, last)
    return counts.map(field.to_wire) | shifted


def _boolean(_field: Any, _rule: JsonSchema) -> Values:
    return st.booleans()


def _json(field: Any, _rule: JsonSchema) -> Values:
    text = _text(field, {})
    plain = st.booleans() | st.integers(-_EXACT, _EXACT) | st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        plain | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=6,
    )


def _dict(field: Any, _rule: JsonSchema) -> Values:
    return st.dictionaries(_text(field, {}), _json(field, {}), max_size=3)


def _list(field: Any, rule: JsonSchema) -> Values:
    return st.lists(
        values_of("item", field.inner), min_size=rule.get("minItems", 0), max_size=rule.get("maxItems", 4)
    )


_VALUES: dict[type[Any], Callable[[Any, JsonSchema], Values]] = {
    own.SlugList: _slug_list,
    own.RunRef: _slug,
    own.Slug: _slug,
    SlugText: _slug_text,
    own.Text: _text,
    own.RunUUID: _uuid,
    own.UtcTimestamp: _timestamp,
    own.Epoch: _epoch,
    own.Date: _date,
    own.Time: lambda field, _rule: _clock(field),
    own.Duration: _duration,
    own.FixedDecimal: _decimal,
    own.Integer: _integer,
    own.Number: _number,
    own.Boolean: _boolean,
    own.Bytes: _bytes,
    own.Json: _json,
    fields.String: _text,
    fields.Integer: _integer,
    fields.Float: _number,
    fields.Boolean: _boolean,
    fields.UUID: _uuid,
    fields.DateTime: _timestamp,
    fields.Date: _date,
    fields.Time: _time,
    fields.Dict: _dict,
    fields.List: _list,
}
