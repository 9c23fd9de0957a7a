"""All cases: sentences, and functions that check them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from histio.history import History
from histio.testing.account import whole_account
from histio.testing.catalog import catalog_round_trip
from histio.testing.references import unknown_references
from histio.testing.runs import different_runs, importing_again, round_trip
from histio.testing.scene import MakeRuns
from histio.testing.statements import nothing_stays, statements_of_exports, statements_of_imports
from histio.testing.verdicts import published_schema, same_verdict

Check: TypeAlias = Callable[[History, MakeRuns], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `str` returns it as a sentence, a call checks it.

    Raises:
        AssertionError: It fails; the message says what to check.
        unittest.SkipTest: It passes as far as it could be checked; the message says why not fully.
    """

    sentence: str
    check: Check
    history: History
    make_runs: MakeRuns

    def __str__(self) -> str:
        return self.sentence

    def __call__(self) -> None:
        """Check the case in a transaction that is rolled back."""
        self.check(self.history, self.make_runs)


CASES: Mapping[str, Check] = {
    "the format has every column of the tables and every ledger of the models": whole_account,
    "make_runs adds as many runs as requested, all of them different": different_runs,
    "runs are unchanged after an export, a deletion and an import": round_trip,
    "runs that exist are skipped, and runs that differ are conflicts": importing_again,
    "a reference to a missing row is reported, and its run is not written": unknown_references,
    "a dry run and a rollback leave nothing behind": nothing_stays,
    "the number of statements of an export does not grow with the runs": statements_of_exports,
    "the number of statements of an import does not grow with the runs": statements_of_imports,
    "the JSON Schema is valid and closed, and accepts exports": published_schema,
    "the JSON Schema and the marshmallow schemas give the same verdict": same_verdict,
}

CATALOG_CASES: Mapping[str, Check] = {
    "a database without the catalog rows of runs gets them from a document": catalog_round_trip,
}
"""Further cases for a history with a catalog."""
