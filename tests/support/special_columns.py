"""Values that both paths import and export alike."""

from __future__ import annotations

import json

import sqlalchemy as sa
from jsonschema import Draft202012Validator

from histio import History
from histio.tuning import tuned
from tests.support.columns import exported, things


def rows_of(engine, kind):
    """What the database has of all runs, by its own types."""
    columns = [sa.type_coerce(column, sa.types.NullType()) for column in kind.Meta.model.__table__.columns]
    with engine.connect() as connection:
        return list(map(tuple, connection.execute(sa.select(*columns).order_by(columns[0]))))


def into(engine, kind, *values):
    """The report of an import of *values* into the empty table of *kind*."""
    with engine.begin() as connection:
        connection.execute(sa.delete(kind.Meta.model))
    return History(engine, kind).import_document(things(*values))


def required(field, **options):
    return field(required=True, **options)


def same_by_either_path(create, metadata, kind, values):
    engine = create(metadata)
    history = History(engine, kind)
    report = into(engine, kind, *values)
    assert ([str(problem) for problem in report.problems], report.imported) == ([], len(values))
    stored = rows_of(engine, kind)
    assert json.dumps(exported(history)) == json.dumps(things(*values))
    with tuned(full_path_only=True):
        assert json.dumps(exported(history)) == json.dumps(things(*values))
        assert into(engine, kind, *values).imported == len(values)
        assert [row[1:] for row in rows_of(engine, kind)] == [row[1:] for row in stored]
    assert Draft202012Validator(history.json_schema()).is_valid(things(*values))
    again = history.import_document(things(*values), on_duplicate="verify")
    assert (again.skipped, again.problems) == (len(values), ())
