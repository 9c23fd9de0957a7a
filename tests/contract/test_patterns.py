"""The patterns of the JSON Schema mean the same in the regular expressions of many languages.

What is compared is not a match, but what follows from it: whether a text obeys the whole rule, with what it
refuses and with its lengths.

Each engine is one process, a program in the folder ``engines``. Its input is the number of patterns, then all
patterns, then all texts, each in a line of its own as the code points in hexadecimal, with spaces between
them. Its output is a line for each pattern, with a digit for each text: 1, if the pattern is found in it.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import sqlalchemy as sa
from marshmallow import ValidationError, fields
from sqlalchemy.dialects import mysql

from histio.kinds.assertions import assertions_of, or_null
from histio.kinds.fields import Bytes, Date, Duration, Epoch, FixedDecimal, Json, RunUUID, Text, Time
from histio.kinds.fields import UtcTimestamp as Timestamp
from histio.kinds.fields.slug_text import SlugText
from histio.kinds.json_schema import published
from histio.wire import WireField
from tests.support.tools import need

Rule = dict[str, Any]
Search = Callable[[str, str], bool]
"""Whether a pattern is found in a text."""


def fitted(field: WireField, column_type: Any) -> WireField:
    field.fit(column_type)
    return field


FIELDS: dict[str, WireField] = {
    "decimal": FixedDecimal(precision=10, scale=4),
    "positive decimal": FixedDecimal(precision=10, scale=3, positive=True),
    "signed decimal": FixedDecimal(precision=10, scale=4, signed=True),
    "signed positive decimal": FixedDecimal(precision=10, scale=2, positive=True, signed=True),
    "whole decimal": FixedDecimal(precision=5, scale=0),
    "ratio": FixedDecimal(precision=4, scale=4),
    "decimal of any size": FixedDecimal(),
    "decimal of 1000 digits": FixedDecimal(precision=1000, scale=500),
    "cents": fitted(FixedDecimal(minor_units=2), sa.Integer()),
    "timestamp": Timestamp(),
    "timestamp of milliseconds": fitted(Timestamp(), mysql.DATETIME(fsp=3)),
    "timestamp of seconds": fitted(Timestamp(), mysql.DATETIME(fsp=0)),
    "date": Date(),
    "time": Time(),
    "time of seconds": fitted(Time(), mysql.TIME(fsp=0)),
    "duration": Duration(),
    "duration of seconds": fitted(Duration(), sa.Interval(second_precision=0)),
    "seconds of 32 bits": fitted(Epoch(), sa.Integer()),
    "seconds of 16 bits": fitted(Epoch(), sa.SmallInteger()),
    "seconds without a sign": fitted(Epoch(), mysql.INTEGER(unsigned=True)),
    "milliseconds of 32 bits": fitted(Epoch(unit="ms"), sa.Integer()),
    "microseconds of 64 bits": fitted(Epoch(unit="us"), sa.BigInteger()),
    "bytes": Bytes(),
    "1 byte": Bytes(max_length=1),
    "5 bytes": Bytes(max_length=5),
    "6 bytes": Bytes(max_length=6),
    "UUID": RunUUID(),
    "UUID without hyphens": fitted(RunUUID(), sa.String(32)),
    "text": Text(),
    "short text": Text(max_length=5),
    "slug": SlugText(max_length=200),
    "short slug": SlugText(max_length=5),
    "padded text": fitted(Text(), sa.CHAR(40)),
    "JSON": Json(),
}
OTHERS = {
    "UUID of marshmallow": fields.UUID(),
    "date of marshmallow": fields.Date(),
    "time of marshmallow": fields.Time(),
    "text of marshmallow": fields.String(),
    "text or null": Text(allow_none=True),
    "date or null": Date(allow_none=True),
}


def text_rules(schema: Any) -> Iterator[Rule]:
    """The rules of texts and of names in *schema* that have patterns, without what is no assertion."""
    if isinstance(schema, list):
        schema = dict(enumerate(schema))
    if not isinstance(schema, dict):
        return
    if "string" in schema.get("type", ()):
        rule = {keyword: schema[keyword] for keyword in schema.keys() & ASSERTIONS.keys()}
        yield from [rule] if "pattern" in json.dumps(rule) else []
        return
    for keyword, inner in schema.items():
        yield from [inner] if keyword == "propertyNames" else text_rules(inner)


ASSERTIONS: dict[str, Callable[[Any, str, Search], bool]] = {
    "pattern": lambda pattern, text, search: search(pattern, text),
    "minLength": lambda length, text, _: len(text) >= length,
    "maxLength": lambda length, text, _: len(text) <= length,
    "not": lambda rule, text, search: not obeys(text, rule, search),
    "anyOf": lambda rules, text, search: any(obeys(text, rule, search) for rule in rules),
    "type": lambda types, _text, _search: "string" in types,
}


def obeys(text: str, rule: Rule, search: Search) -> bool:
    """Whether *text* obeys *rule* as an engine with this *search* understands it."""
    return all(ASSERTIONS[keyword](value, text, search) for keyword, value in rule.items())


SOURCES = {
    **{name: or_null(assertions_of(field), field) for name, field in (FIELDS | OTHERS).items()},
    "the published schema": published(),
}
RULES = [rule for schema in SOURCES.values() for rule in text_rules(schema)]
RULES = [rule for place, rule in enumerate(RULES) if rule not in RULES[:place]]


def patterns_in(rule: Any) -> Iterator[str]:
    if isinstance(rule, list):
        rule = dict(enumerate(rule))
    for keyword, inner in rule.items() if isinstance(rule, dict) else ():
        yield from [inner] if keyword == "pattern" else patterns_in(inner)


PATTERNS = list(dict.fromkeys(pattern for rule in RULES for pattern in patterns_in(rule)))

# Each of these is combined with everything that engines read in different ways.
VALID = """
0 5.2500 -0.5 0.0000 999999.99990000 12345 0.5 2025-12-08 10:30:00 23:59:59.250000 P1DT2H3M4.5S -PT0S
2025-12-08T10:00:00Z 2024-02-29T23:59:59.123456+05:30 1000-01-01T00:00:00 1970-01-01T00:00:00.5Z
7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11 7D0F5F3E-6A0B-4C39-9D5C-0D6A4B1F2C11 AP8= /+== YWJj YWJjZGU= flour K sS
Ünïcode 🍪
"""

NEAR = """
. - +1 1. .5 00 01 1e3 1,5 1_000 -0 --1 0x1 NaN 1000000.0000 99999.5 0.00001 21474836.47 92233720368547758.07
2023-02-29T00:00:00Z 1900-02-29T00:00:00Z 2000-02-29T00:00:00Z 2025-04-31T00:00:00Z 2025-13-01 9999-12-31
9999-01-01T00:00:00Z 9998-12-31T23:59:59Z 9998-12-31T23:59:59+00:00 1000-01-01T00:00:00-01:00
0999-12-31T00:00:00Z 2025-12-08t10:00:00z 2025-12-08T10:00:60Z 2025-12-08T24:00:00Z
2025-12-08T10:00:00.1234567Z 2025-12-08T10:00:00.Z 2025-12-08T10:00:00+24:00 2025-12-08T10:00:00.1200
2025-12-08T10:00:00.000000-00:00 2025-12-08T10:00Z 2025-12-08T10:00:00+0530 2038-01-19T03:14:07Z
2038-01-19T03:14:08Z 1901-12-13T20:45:52Z 1901-12-13T20:45:51Z 2038-01-18T03:14:07+00:00
2038-01-18T03:14:08+00:00 2106-02-07T06:28:15Z 2106-02-07T06:28:16Z 1970-01-01T09:06:07Z 1970-01-01T09:06:08Z
1969-12-31T14:53:52Z 1970-01-25T20:31:23.647Z 1970-01-25T20:31:23.648Z 1969-12-07T03:28:36.352Z
1969-12-07T03:28:36.351Z 1969-12-07T03:28:36.35Z 24:00:00 10:30 10:30:00.2500000 10:30:00Z 1:30:00 10:30:00.
10:30:00.000000 P PT P1D P1DT -P1D +P1D P1W P1Y PT1.5H PT1H1D P123456789D PT0.1234567S PT999999999S PT1S1M
P-1D pt1s PT.5S PT5.S PT5.000S A AA AAA AAAA AB== AAB= AA=A ==== A=== -_== AAAA= AAAAAA== AAAAAAA=
7d0f5f3e6a0b4c399d5c0d6a4b1f2c11 {7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c11} 7d0f5f3e-6a0b-4c39-9d5c-0d6a4b1f2c1
"""
LONG = {
    "1": [400],
    "QUFB": [99],
    "g": [64],
    "0F": [32],
    "0f": [33],
    "x": [40, 200, 201],
    "é": [5, 6],
    "🍪": [5, 6, 200],
}

LINE_ENDS = (*"\n\r\x0b\x0c\x1c\x85\u2028\u2029", "\r\n", "\n\n")
CHARACTERS = (
    *LINE_ENDS,
    *"\x00\t\x1f \x7f\x80\x9f\xa0\xad\u1680\u180e\u2000\u200a\u200b\u200d\u202e\u202f\u205f\u2060\u3000",
    *"\ufeff\u0301\ufe0f\uffff\U0001f36a\U0010ffff",  # combining characters, and ends of planes
    *"\u0661\uff11\U0001d7d9\u017f\u212a\u0130éßÅ\u3042",  # digits, and letters that fold to ASCII
    *r"\-/$^|[]_a0",
    "&&",
)


def make_texts() -> Iterator[str]:
    yield from ("", "  ", "0." + "0" * 400, *NEAR.split(), *CHARACTERS)
    yield from (text * times for text, several in LONG.items() for times in several)
    for text in ("a b", "0f" * 32, *VALID.split()):
        yield text
        middle = len(text) // 2
        for each in CHARACTERS:
            yield from (each + text, text[:middle] + each + text[middle:], text + each, text + each * 2)
        for end in LINE_ENDS:
            yield from (f"?{end}{text}", f"{text}{end}?", f"?{end}{text}{end}?", f"{text}{end}{text}")
            # The last character of a line, or of the text, is a space.
            yield from (f"{text} {end}", f"{text} {end}{text}", f"{text}{end}{text} ", f"{text}{end} ")


TEXTS = list(dict.fromkeys(make_texts()))


@dataclass(frozen=True)
class Engine:
    """How to run an engine.

    Attributes:
        package: The package of Debian that has it.
        commands: The commands in the folder of the engines; the last one searches.
    """

    package: str
    commands: tuple[str, ...]

    def find(self, folder: Path) -> list[str]:
        """For each of PATTERNS, a digit for each of TEXTS; *folder* is for files that the engine makes."""
        need(self.commands[0].split()[0], f"get Debian's package {self.package}")
        lines = [" ".join(f"{ord(each):x}" for each in text) for text in (*PATTERNS, *TEXTS)]
        given = "".join(f"{line}\n" for line in (len(PATTERNS), *lines))
        for command in self.commands:
            arguments = command.replace("OUT", str(folder)).split()
            ran = subprocess.run(
                arguments, cwd=FOLDER, input=given, capture_output=True, encoding="utf-8", check=False
            )
            assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()


FOLDER = Path(__file__).parent / "engines"
ENGINES = {
    "JavaScript": Engine("nodejs", ("node search.mjs u",)),
    "JavaScript with sets": Engine("nodejs", ("node search.mjs v",)),
    "Go": Engine("golang-go", ("go run search.go",)),
    "PHP": Engine("php-cli", ("php search.php",)),
    "Perl": Engine("perl", ("perl search.pl",)),
    "Ruby": Engine("ruby", ("ruby search.rb",)),
    "Java": Engine("default-jdk-headless", ("java Search.java",)),
    ".NET": Engine("mono-mcs", ("mcs -out:OUT/search.exe Search.cs", "mono OUT/search.exe")),
    "C++": Engine("g++", ("g++ -O1 -D CHAR=wchar_t -o OUT/search search.cpp", "OUT/search")),
    "C++ in bytes": Engine("g++", ("g++ -O1 -D CHAR=char -o OUT/search search.cpp", "OUT/search")),
}


def in_python(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


@functools.cache
def found_in_python() -> list[str]:
    return ["".join("01"[in_python(pattern, text)] for text in TEXTS) for pattern in PATTERNS]


# In Ruby, no pattern can tell the end of a text from that of a line: a space may end a text of several lines.
DIFFERENT: dict[str, list[Rule]] = {"Ruby": [SOURCES["padded text"]]}


def test_a_pattern_uses_nothing_that_an_engine_may_lack():
    text = "\n".join(PATTERNS)
    assert "(?" not in text
    assert re.findall(r"\\(?!x[0-7][0-9a-f]|[.\-/])", text) == []
    assert [each for each in re.findall(r"\[[^]]*\]", text) if not each.isascii()] == []


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_takes_the_texts_that_its_rule_accepts(name):
    def is_taken(text: str) -> bool:
        try:
            FIELDS[name].deserialize(text)
        except ValidationError:
            return False
        return True

    rule = next(text_rules(SOURCES[name]))
    taken = [text for text in TEXTS if is_taken(text)]
    assert taken == [text for text in TEXTS if obeys(text, rule, in_python)]
    assert 0 < len(taken) < len(TEXTS)


@pytest.mark.slow
def test_a_rule_means_the_same_to_a_validator():
    for rule in RULES:
        validator = jsonschema_rs.validator_for(rule)
        accepted = [text for text in TEXTS if obeys(text, rule, in_python)]
        assert [text for text in TEXTS if validator.is_valid(text)] == accepted, rule


def find_differences(found: list[str]) -> Iterator[tuple[Rule, str]]:
    """Each rule, and each text of which an engine that has *found* this does not say what Python says."""
    rows = dict(zip(PATTERNS, found, strict=True))
    places = {text: place for place, text in enumerate(TEXTS)}
    odd = {
        pattern: {text for text, ours, theirs in zip(TEXTS, expected, row, strict=True) if ours != theirs}
        for (pattern, row), expected in zip(rows.items(), found_in_python(), strict=True)
    }

    def in_engine(pattern: str, text: str) -> bool:
        return rows[pattern][places[text]] == "1"

    for rule in RULES:
        for text in set().union(*(odd[pattern] for pattern in patterns_in(rule))):
            if obeys(text, rule, in_engine) != obeys(text, rule, in_python):
                yield rule, text


@pytest.mark.slow
def test_a_rule_means_the_same_in_rust():
    options = jsonschema_rs.RegexOptions()  # the crate that has neither look-around nor backtracking
    validators = [
        jsonschema_rs.validator_for({"pattern": each}, pattern_options=options) for each in PATTERNS
    ]
    found = ["".join("01"[validator.is_valid(text)] for text in TEXTS) for validator in validators]
    assert list(find_differences(found)) == []


@pytest.mark.slow
@pytest.mark.parametrize("language", ENGINES)
def test_a_rule_means_the_same_in_another_language(language, tmp_path):
    found = list(find_differences(ENGINES[language].find(tmp_path)))
    different = DIFFERENT.get(language, [])
    assert [(rule, text) for rule, text in found if rule not in different] == []
    assert [rule for rule in different if rule not in [odd for odd, _ in found]] == []
