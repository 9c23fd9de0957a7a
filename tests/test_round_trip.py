"""What is exported, imported elsewhere and exported again is the same."""

import datetime as dt
import json

from histio import History
from tests.bakery import assembly_run, document, production_run

MOMENT = dt.datetime(2025, 12, 8, 10, tzinfo=dt.UTC)


def test_a_document_comes_back_as_it_went_in(history):
    given = document(production_run(1), production_run(2), assembly=[assembly_run(1), assembly_run(2)])
    report = history.import_document(given)
    assert (report.imported, report.problems, report.warnings) == (4, (), ())
    assert json.dumps(history.export_document(exported_at=MOMENT)) == json.dumps(given)
