"""A reader of histories that knows the published schema and JSON, and nothing of histio."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.streams import KINDS

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "history-1.0.schema.json").read_text())
SLUGS = {
    "recipe_slug": {"cookies", "bread"},
    "finished_unit_slug": {"cookie", "loaf"},
    "finished_good_slug": {"gift-bag"},
}
"""What `tests.support.bakery.stock` has."""

_VALIDATORS = {
    name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})
    for name in (*KINDS.values(), "header")
}
_ROOT = Draft202012Validator(SCHEMA)
MAX_DEPTH = 64


NO_JSON = object()


def read(data: bytes) -> Any:
    """The value of a JSON text in UTF-8; `NO_JSON`: it is none, or nested too deeply."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=refuse)
    except (ValueError, RecursionError):
        return NO_JSON
    return value if _depth(value) <= MAX_DEPTH else NO_JSON


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = [*value.values()]
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def has_valid_envelope(document: Any) -> bool:
    """Whether a document is one, whatever its runs are."""
    empty = document
    if isinstance(document, dict):
        empty = {
            name: [] if name in KINDS and isinstance(value, list) else value
            for name, value in document.items()
        }
    return _ROOT.is_valid(empty)


def begins_unsealed(line: Any) -> bool:
    """Whether a line is the header of a stream that needs no trailer."""
    if not isinstance(line, dict) or list(line) != ["header"]:
        return False
    return _VALIDATORS["header"].is_valid(line["header"]) and line["header"].get("sealed") is False


def items_of(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """The runs of a document, right or wrong, each with its kind."""
    return [(kind, run) for name, kind in KINDS.items() for run in document.get(name, [])]


def item_of(line: Any) -> tuple[str, Any]:
    """The kind and the run of a line of a stream; the kind is empty if it is none."""
    if isinstance(line, dict) and list(line) in [[kind] for kind in KINDS.values()]:
        return next(iter(line.items()))
    return "", None


def is_right(kind: str, run: Any) -> bool:
    """Whether a run can be imported, if no other has its identities."""
    if not kind or not _is_text(run) or not _VALIDATORS[kind].is_valid(run):
        return False
    units = run.get("finished_unit_consumptions") or []
    known = [SLUGS[name] >= {record[name]} for record in (run, *units) for name in SLUGS if name in record]
    products = [
        (entry.get("product_slug"), entry.get("ingredient_slug"))
        for entry in run.get("packaging_consumptions") or []
    ]
    return all(known) and all(
        product == "bag-100" or (product is None and ingredient == "bag") for product, ingredient in products
    )


def _is_text(value: Any) -> bool:
    """Whether all texts in *value* can be encoded."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return not isinstance(value, list) or all(map(_is_text, value))


def identities(kind: str, run: Any) -> list[tuple[str, str]]:
    """The UUID of a run, and those of its ledgers' entries with the names of their lists."""
    if not isinstance(run, dict):
        return []
    ledgers = [(name, entries) for name, entries in run.items() if isinstance(entries, list)]
    records = [(kind, run), *((name, entry) for name, entries in ledgers for entry in entries)]
    return [
        (name, record["uuid"].lower())
        for name, record in records
        if isinstance(record, dict) and isinstance(record.get("uuid"), str)
    ]


def is_same(given: Any, stored: Any, name: str = "") -> bool:
    """Whether what is stored is what was given; members that were left out may be anything."""
    if isinstance(given, dict):
        # Of two references to a product, the first one counts.
        names = given.keys() - ({"ingredient_slug"} if "product_slug" in given else ())
        return all(is_same(given[name], stored.get(name), name) for name in names)
    if isinstance(given, list):
        return len(given) == len(stored) and all(map(is_same, given, stored))
    meaning = _meaning_of(name)
    return bool(meaning(given) == meaning(stored)) and isinstance(given, bool) == isinstance(stored, bool)


def _meaning_of(name: str) -> Callable[[Any], Any]:
    """A function of values of a member that is equal where they mean the same."""
    if name.endswith("_at"):
        return _instant
    if "cost" in name or name == "quantity_consumed":
        return Decimal
    return str.lower if name == "uuid" else lambda value: value


def _instant(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
