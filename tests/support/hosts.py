"""Short forms for models of hosts, their kinds and documents."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import sqlalchemy as sa
from marshmallow.fields import Nested
from sqlalchemy.dialects import sqlite as sqlite_types

import histio
from histio import History
from tests.support.bakery import TIME

MOMENT = dt.datetime.fromisoformat(TIME)


def model(base: Any, name: str, /, *rules: Any, **attributes: Any) -> Any:
    """A model with an integer key, in a table that is called as the model, with an s."""
    key = {"id": sa.Column(sa.Integer, primary_key=True)}
    given = {"__tablename__": f"{name.lower()}s", "__table_args__": rules}
    return type(name, (base,), given | key | attributes)


def to(table: str, **options: Any) -> sa.Column[Any]:
    """A column with a foreign key."""
    return sa.Column(sa.ForeignKey(f"{table}.id"), **options)


def text(length: int = 20, **options: Any) -> sa.Column[Any]:
    return sa.Column(sa.String(length), **options)


def word(**options: Any) -> histio.Text:
    return histio.Text(required=True, **options)


def ledger(of: Any, meta: dict[str, Any] | None = None, /, **members: Any) -> Nested:
    """A ledger of *of*."""
    return Nested(entry(of, meta, **members), many=True)


def entry(of: Any, meta: dict[str, Any] | None = None, /, **members: Any) -> Any:
    names = {"Meta": type("Meta", (), {"model": of, "unbound": "ignore"} | (meta or {}))}
    return type(f"{of.__name__}Schema", (histio.RecordSchema,), names | members)


def run(of: Any, meta: dict[str, Any] | None = None, /, **members: Any) -> Any:
    """A kind of run that is called so, and known by its integer ``id`` unless *meta* says otherwise."""
    names = {"model": of, "kind": "run", "collection": "runs", "timestamp": None, "identity": "id"}
    names |= {"unbound": "ignore"} | (meta or {})  # what the tests do not look at
    own = {"Meta": type("Meta", (), names), names["identity"]: histio.Integer(required=True)}
    return type(f"{of.__name__}Schema", (histio.RunSchema,), own | members)


def document(*records: dict[str, Any]) -> dict[str, Any]:
    return {"version": "1.0", "exported_at": TIME, "runs": list(records)}


def brings_back(history: History, given: dict[str, Any]) -> histio.ImportReport:
    """Import *given*, and see the same bytes leave, and `verify` agree."""
    report = history.import_document(given)
    assert [str(problem) for problem in (*report.problems, *report.warnings)] == []
    assert report.imported > 0
    assert json.dumps(history.export_document(exported_at=MOMENT)) == json.dumps(given)
    again = history.import_document(given, on_duplicate="verify")
    assert (again.imported, again.problems) == (0, ())
    return report


INSTANT = histio.UtcTimestamp(required=True)


WHOLE, PARTS = "2025-12-08T10:00:00Z", "2025-12-08T10:00:00.123456Z"


CUT = sa.DateTime().with_variant(sqlite_types.DATETIME(truncate_microseconds=True), "sqlite")
