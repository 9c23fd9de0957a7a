"""Parts of the format that have a definition of their own in the published schema, right and wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from histio.schemas import BUNDLED, BUNDLED_CATALOG
from tests.support.bakery import (
    assembly_run,
    consumption,
    document,
    number,
    packaging,
    production_run,
    unit_consumption,
    without,
)
from tests.support.mutants import spelled, write

SHA256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
TIME = "2025-12-09T12:00:00Z"
HEADER = {"version": "1.0", "exported_at": TIME, "kinds": ["production_run", "assembly_run"]}
TRAILER = {"counts": {"production_run": 1, "assembly_run": 0}, "sha256": SHA256, "header_sha256": SHA256}
CATALOG = [cls.Meta.kind for cls in BUNDLED_CATALOG]
KINDS = [*CATALOG, *(cls.Meta.kind for cls in BUNDLED)]
RECIPE = {"slug": "cookies", "name": "Cookies"}
UNIT = {"slug": "cookie", "display_name": "Cookie", "recipe_slug": "cookies"}
PROBLEM = {"code": "schema", "message": "Missing.", "pointer": "/production_run/uuid"}

VALID_COUNTS = [
    *["0", "-0", "-0.0", "1.0", "1e3", "1E+3", "10e-1", "0.5e1", "1e-400"],
    *["9007199254740991", "9007199254740991.0", "9007199254740991.4", "9.007199254740991e15"],
    *["1.0000000000000000000001", "0.9999999999999999999999"],
]
"""Doubles that are integers from 0 to 2**53 - 1, as JSON may spell them."""

INVALID_COUNTS = [
    *["9007199254740992", "9007199254740993", "9007199254740992.0", "9007199254740991.5", "1e16"],
    *["1e400", "1" + "0" * 400, "-1.0", "-1e-1", "1e-1", "1.5", "4.5e0"],
]

VALID_LINES = {
    "header": {"header": HEADER},
    "shortest header": {"header": {"version": "1.0"}},
    "header of a stream without trailer": {"header": HEADER | {"sealed": False}},
    "header with a predecessor": {"header": HEADER | {"follows": SHA256}},
    "header of one kind": {"header": HEADER | {"kinds": ["assembly_run"]}},
    "trailer": {"trailer": TRAILER},
    "trailer of one kind": {"trailer": TRAILER | {"counts": {"assembly_run": 5_000_000_000}}},
    "trailer of an empty stream": {"trailer": TRAILER | {"counts": {"production_run": 0}}},
    "trailer of no kind": {"trailer": TRAILER | {"counts": {}}},
    "production run": {"production_run": production_run()},
    "assembly run": {"assembly_run": assembly_run()},
    "rejected run with its problems": {"production_run": production_run(), "problems": [PROBLEM]},
    "header of a stream with a catalog": {"header": HEADER | {"catalog": CATALOG}},
    "header of a stream with a catalog of one kind": {"header": {"version": "1.0", "catalog": ["product"]}},
    "header of an empty catalog": {"header": HEADER | {"catalog": []}},
    "trailer of a stream with a catalog": {
        "trailer": TRAILER | {"counts": dict.fromkeys(CATALOG, 3), "catalog_sha256": SHA256}
    },
    "catalog row": {"recipe": RECIPE},
    "catalog row with a reference": {"finished_unit": UNIT},
    "rejected catalog row with its problems": {"recipe": RECIPE, "problems": [PROBLEM]},
    "rejected run without problems": {"problems": [], "assembly_run": assembly_run()},
    "unreadable line kept among rejects": {"unreadable": '{"production_run": ', "problems": [PROBLEM]},
    "unreadable line without problems": {"unreadable": ""},
    "header with a predecessor without runs": {
        "header": HEADER | {"follows": SHA256, "follows_header": SHA256}
    },
    **{
        f"trailer with the count {number}": {
            "trailer": TRAILER | {"counts": {"assembly_run": spelled(number)}}
        }
        for number in VALID_COUNTS
    },
}
INVALID_LINES = {
    "nothing": {},
    "no object": [production_run()],
    "bare run": production_run(),
    "document": document(production_run()),
    "two kinds": {"production_run": production_run(), "assembly_run": assembly_run()},
    "header and trailer": {"header": HEADER, "trailer": TRAILER},
    "header with problems": {"header": HEADER, "problems": []},
    "problems alone": {"problems": [PROBLEM]},
    "problems as text": {"assembly_run": assembly_run(), "problems": "Missing."},
    "problems as object": {"production_run": production_run(), "problems": PROBLEM},
    "unknown kind": {"sale": {"uuid": SHA256}},
    "unknown member beside a run": {"production_run": production_run(), "comment": ""},
    "unreadable line as null": {"unreadable": None},
    "unreadable line beside a run": {"unreadable": "{", "production_run": production_run()},
    "run as null": {"production_run": None},
    "run as list": {"assembly_run": [assembly_run()]},
    "header as null": {"header": None},
    "trailer as text": {"trailer": SHA256},
    "run that is invalid": {"production_run": production_run(num_batches="2")},
    "run of the other kind": {"assembly_run": production_run()},
    "header without version": {"header": {"exported_at": TIME}},
    "header of a newer version": {"header": HEADER | {"version": "1.1"}},
    "header with an unknown member": {"header": HEADER | {"count": 2}},
    "header with a malformed time": {"header": HEADER | {"exported_at": "2025-12-09"}},
    "header with an unknown kind": {"header": HEADER | {"kinds": ["sale"]}},
    "header with a kind twice": {"header": HEADER | {"kinds": ["assembly_run", "assembly_run"]}},
    "header with kinds as text": {"header": HEADER | {"kinds": "assembly_run"}},
    "header with sealed as text": {"header": HEADER | {"sealed": "false"}},
    "header with sealed as number": {"header": HEADER | {"sealed": 0}},
    "header with a run's kind in its catalog": {"header": HEADER | {"catalog": ["production_run"]}},
    "header with a catalog kind among the runs": {"header": HEADER | {"kinds": ["recipe"]}},
    "header with a catalog kind twice": {"header": HEADER | {"catalog": ["recipe", "recipe"]}},
    "header with the catalog as text": {"header": HEADER | {"catalog": "recipe"}},
    "header with the catalog as null": {"header": HEADER | {"catalog": None}},
    "header with the names of lists": {"header": HEADER | {"catalog": ["recipes"]}},
    "catalog row that is invalid": {"recipe": {"slug": "cookies"}},
    "catalog row of another kind": {"recipe": UNIT},
    "catalog row and run": {"recipe": RECIPE, "production_run": production_run()},
    "two catalog rows": {"recipe": RECIPE, "finished_unit": UNIT},
    "catalog rows as list": {"recipe": [RECIPE]},
    "trailer without counts": {"trailer": {"sha256": SHA256, "header_sha256": SHA256}},
    "trailer without digest": {"trailer": {"counts": {}, "header_sha256": SHA256}},
    "trailer without the header's digest": {"trailer": {"counts": {}, "sha256": SHA256}},
    "trailer with an unknown member": {"trailer": TRAILER | {"md5": ""}},
    "trailer with counts as list": {"trailer": TRAILER | {"counts": [1, 1]}},
    "trailer with the count of an unknown kind": {"trailer": TRAILER | {"counts": {"sale": 1}}},
    **{
        f"{kind} counted as {count!r}": {"trailer": TRAILER | {"counts": {kind: count}}}
        for kind in KINDS
        for count in (-1, 0.5, 2**53, True, "1", None)
    },
    **{
        f"trailer with the count {number}": {
            "trailer": TRAILER | {"counts": {"assembly_run": spelled(number)}}
        }
        for number in INVALID_COUNTS
    },
    **{
        f"{name} with {fault}": {part: members | {name: digest}}
        for part, name, members in [
            ("header", "follows", HEADER),
            ("header", "follows_header", HEADER),
            ("trailer", "sha256", TRAILER),
            ("trailer", "header_sha256", TRAILER),
            ("trailer", "catalog_sha256", TRAILER),
        ]
        for fault, digest in [
            ("capitals", SHA256.upper()),
            ("63 digits", SHA256[1:]),
            ("65 digits", SHA256 + "0"),
            ("a trailing newline", SHA256 + "\n"),
            ("a newline as its last digit", SHA256[1:] + "\n"),
            ("unicode digits", SHA256.replace("2", "\u0662")),
            ("null", None),
            ("a number", 0),
        ]
    },
}


NOTE = {"kind": "production_run", "identity": SHA256[:8], "sha256": SHA256}
RECEIPT = {"version": "1.0", "kinds": ["production_run"], "database": SHA256}

PLACE = {"at": TIME, "uuid": number(1)}
PART = {
    "name": "part-00000.jsonl.zst",
    "counts": {"production_run": 1},
    "sha256": SHA256,
    "header_sha256": SHA256,
}
MANIFEST = {
    "version": "1.0",
    "exported_at": TIME,
    "kinds": ["production_run"],
    "parts": [PART | {"counts": {"production_run": 1}, "first": PLACE, "last": PLACE}],
    "sha256": SHA256,
}
BAD_NAMES = ["", ".", "..", ".a", "../a", "a/b", "/a", "a\\b", "C:a", "a b", "a\n", "\u00e9", "x" * 201, None]

DEFINITIONS: dict[str, tuple[list[Any], list[Any]]] = {
    "production_run": ([production_run()], [assembly_run(), production_run(oven=1), document(), None]),
    "assembly_run": ([assembly_run()], [production_run(), assembly_run(oven=1), document(), []]),
    "production_consumption": ([consumption()], [packaging(), consumption(unit=None), [consumption()]]),
    "assembly_finished_unit_consumption": (
        [unit_consumption(), unit_consumption(quantity_consumed=spelled("6e1"))],
        [consumption(), unit_consumption(quantity_consumed=0)],
    ),
    "assembly_packaging_consumption": (
        [packaging(), without(packaging(), "product_slug"), without(packaging(), "ingredient_slug")],
        [
            without(packaging(), "product_slug", "ingredient_slug"),
            packaging(product_slug=None),
            unit_consumption(),
        ],
    ),
    "ingredient": ([{"slug": "rye", "display_name": ""}], [{"slug": "rye"}, {"slug": "rye", "name": "Rye"}]),
    "recipe": ([RECIPE], [UNIT, RECIPE | {"oven": 1}, {"slug": "cookies"}, {"recipes": [RECIPE]}]),
    "finished_unit": ([UNIT], [RECIPE, UNIT | {"recipe_slug": None}]),
    "finished_good": (
        [{"slug": "bag", "display_name": "Bag"}],
        [RECIPE, {"slug": "", "display_name": ""}],
    ),
    "product": (
        [{"slug": "bag", "product_name": "Bag", "ingredient_slug": "paper"}],
        [
            {"slug": "bag", "product_name": "Bag"},
            {"slug": "bag", "product_name": "Bag", "ingredient_slug": 1},
        ],
    ),
    "header": ([HEADER, {"version": "1.0"}], [{"header": HEADER}, {}, HEADER | {"version": 1.0}]),
    "trailer": ([TRAILER], [{"trailer": TRAILER}, {}, {"counts": {}}]),
    "receipt_line": (
        [
            *[{"receipt": RECEIPT}, {"receipt": RECEIPT | {"database": None}}, {"created": NOTE}],
            *[{"created": NOTE | {"sha256": None}}, {"updated": NOTE | {"before": production_run()}}],
        ],
        [
            *[RECEIPT, {"receipt": {}}, {"created": {}}, {"created": NOTE, "updated": NOTE}],
            *[{"updated": NOTE}, {"created": NOTE | {"sha256": SHA256.upper()}}, {"removed": NOTE}],
        ],
    ),
    "manifest": (
        [
            *[MANIFEST, MANIFEST | {"catalog": ["recipe"]}, MANIFEST | {"kinds": [], "parts": [PART]}],
            MANIFEST | {"parts": [PART | {"catalog_sha256": SHA256, "first": {"uuid": number(2)}}]},
        ],
        [
            *[{}, MANIFEST | {"parts": None}, without(MANIFEST, "sha256"), without(MANIFEST, "exported_at")],
            *[MANIFEST | {"version": "1.1"}, MANIFEST | {"kinds": ["recipe"]}, MANIFEST | {"sealed": True}],
            *(MANIFEST | {"parts": [PART | {"name": name}]} for name in BAD_NAMES),
            *(
                MANIFEST | {"parts": [PART | {"first": place}]}
                for place in ({}, PLACE | {"at": 1}, {"uuid": "1"}, None)
            ),
            *(MANIFEST | {"parts": [PART | {"counts": counts}]} for counts in ({"oven": 1}, {"recipe": -1})),
        ],
    ),
    "slug": (
        ["a", "a b", "x" * 200, "\U0001f36a" * 200, "\u200b", "\ufeff", "/", "~", "a\u0301"],
        [
            *["", " ", " a", "a ", "a\n", "\na", "a\r", "a\x00", "\x1fa", "a\x7f", "\x85a", "a\u2028b\u2028"],
            *["\u3000a", "a\xa0", "x" * 201, "\U0001f36a" * 201, None, 1, ["a"], {"a": "a"}],
        ],
    ),
    "timestamp": (
        [
            *["2025-12-08T10:00:00Z", "2024-02-29T23:59:59.999999+14:00", "2025-12-08T10:00:00", TIME],
            *["1000-01-01T00:00:00Z", "9998-12-31T23:59:59.9Z", "2000-02-29T00:00:00-00:00"],
        ],
        [
            *["2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2025-12-08T24:00:00Z", "2025-12-08T10:00:60Z"],
            *["0999-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "2025-12-08T10:00:00.1234567Z", f"{TIME}\n"],
            *["2025-12-08t10:00:00z", "2025-12-08 10:00:00Z", "2025-12-08", f"{TIME}\u2028", f"{TIME}\r"],
            *["", None, 1765188000],
        ],
    ),
    "uuid": (
        ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-ffff-FFFF-ffff-FFFFFFFFFFFF"],
        [
            *["0" * 32, "{00000000-0000-0000-0000-000000000000}", "00000000-0000-0000-0000-00000000000g"],
            *[
                "00000000-0000-0000-0000-000000000000\n",
                "\u06600000000-0000-0000-0000-000000000000",
                "",
                None,
            ],
        ],
    ),
}
"""By the name of a definition, what it accepts and what it does not."""


@dataclass(frozen=True)
class Fragment:
    """A part of the format.

    Attributes:
        root: The name of the definition in the published schema.
        name: What is special about it.
        text: Its JSON text.
        valid: Whether it is what the definition says.
    """

    root: str
    name: str
    text: str
    valid: bool


LINES = [(VALID_LINES, True), (INVALID_LINES, False)]
FRAGMENTS = [
    *(
        Fragment("stream_line", name, write(line), valid)
        for lines, valid in LINES
        for name, line in lines.items()
    ),
    *(
        Fragment(root, f"{verdict} {number}", write(value), verdict == "valid")
        for root, given in DEFINITIONS.items()
        for verdict, values in zip(("valid", "invalid"), given, strict=True)
        for number, value in enumerate(values, 1)
    ),
]
