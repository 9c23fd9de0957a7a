"""A conformance kit: test that a host's binding keeps the promises of histio.

Use it in your own tests, with your own database and models:

    def make_runs(session, count):
        session.add_all(Order(number=f"{n}", …) for n in range(count))

    @pytest.mark.parametrize("case", testing.cases(history, make_runs=make_runs), ids=str)
    def test_histio(case):
        case()

Each case runs in a transaction that is rolled back, so nothing stays in the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from histio.history import History
from histio.testing.cases import CASES, CATALOG_CASES, Case
from histio.testing.claims import need_hypothesis
from histio.testing.scene import MakeRuns

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Case", "MakeRuns", "cases", "check_host", "documents", "near_documents"]


def cases(history: History, *, make_runs: MakeRuns) -> list[Case]:
    """All cases to check; each is called without arguments, and `str` returns it as a sentence.

    A case that fails raises AssertionError. A case that does not fully apply, or for which the runs have no
    data, checks what it can and then raises `unittest.SkipTest` with the reasons.

    Args:
        history: A history of a test database whose tables exist. Rows in them are left alone.
        make_runs: A function of a session and a number. It adds that many runs of any of the kinds to the
            session, all different, with ledger entries and everything that they refer to. It need not flush
            and must not commit.

    Raises:
        TypeError: *history* is not a History; an AsyncHistory is not either.
    """
    if not isinstance(history, History):
        raise TypeError(f"testing needs a History of the same kinds, not {type(history).__name__}")
    checks = {**CASES, **(CATALOG_CASES if history.catalog else {})}
    return [Case(sentence, check, history, make_runs) for sentence, check in checks.items()]


def check_host(history: History, *, make_runs: MakeRuns) -> list[str]:
    """Run all `cases`, and return what was skipped, with the reasons.

    Raises:
        ExceptionGroup: Cases failed; it has the exception of each.
    """
    skipped, failures = [], []
    for case in cases(history, make_runs=make_runs):
        try:
            case()
        except SkipTest as reason:
            skipped.append(f"{case}: {reason}")
        except Exception as error:  # noqa: BLE001 - all of them are raised below
            error.add_note(f"Case: {case}.")
            failures.append(error)
    if failures:
        raise ExceptionGroup("the binding does not keep the promises of histio", failures)
    return skipped


def documents(
    history: History, *, slugs: Mapping[str, Sequence[Any]] | None = None, catalog: bool = False
) -> SearchStrategy[dict[str, Any]]:
    """A Hypothesis strategy of valid documents of the history's kinds.

    Optional members are present, absent or null, as the format allows. Identities and other unique values are
    not repeated.

    Args:
        history: A history with the kinds; its database is not used.
        slugs: By the name of a member in a record, values to draw from, so that references resolve.
        catalog: Whether documents may have catalog rows.

    Raises:
        ImportError: Hypothesis is not installed.
        TypeError: The values of a field are unknown.
        ValueError: *slugs* has a name that is not a member of the kinds.
    """
    need_hypothesis()
    from histio.testing import strategies  # noqa: PLC0415 - the rest of the kit works without Hypothesis

    return strategies.documents(history, slugs=slugs or {}, catalog=catalog)


def near_documents(
    history: History, *, slugs: Mapping[str, Sequence[Any]] | None = None
) -> SearchStrategy[dict[str, Any]]:
    """A Hypothesis strategy of `documents` with one to three changes that may make them invalid.

    A change removes a member, adds an unknown one, or replaces a value by null, by another type, by one that
    is too long or just out of range, or by another spelling.

    Args:
        history: A history with the kinds; its database is not used.
        slugs: By the name of a member in a record, values to draw from, so that references resolve.

    Raises:
        ImportError: Hypothesis is not installed.
        TypeError: The values of a field are unknown.
        ValueError: *slugs* has a name that is not a member of the kinds.
    """
    need_hypothesis()
    from histio.testing import near  # noqa: PLC0415 - the rest of the kit works without Hypothesis

    return near.near_documents(history, slugs=slugs or {})
