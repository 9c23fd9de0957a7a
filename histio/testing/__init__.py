"""A conformance kit: does a host's binding keep what histio promises?

A host runs it in its own tests, against its own database and models:

    def make_runs(session, count):
        session.add_all(Order(number=f"{n}", …) for n in range(count))

    @pytest.mark.parametrize("case", testing.cases(history, make_runs=make_runs), ids=str)
    def test_histio(case):
        case()

Nothing stays in the database: every case has a transaction of its own, which is rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from histio.history import History
from histio.testing.cases import CASES, Case
from histio.testing.claims import need_hypothesis
from histio.testing.scene import MakeRuns

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Case", "MakeRuns", "cases", "check_host", "documents", "near_documents"]


def cases(history: History, *, make_runs: MakeRuns) -> list[Case]:
    """All that is checked, each as a function without arguments that is shown as a sentence.

    A case that does not hold raises AssertionError. One of which a part does not apply, or to which the runs
    say nothing, checks what it can and then raises `unittest.SkipTest` with the reasons.

    Args:
        history: Bound to the host's test database, whose tables exist; rows in them are left alone.
        make_runs: Adds as many runs as it is asked for to a session, of any of the kinds, all different,
            with ledger entries and everything that they refer to. It need not flush, and should not commit.

    Raises:
        TypeError: *history* is none, or an AsyncHistory.
    """
    if not isinstance(history, History):
        raise TypeError(f"the kit needs a History of the same kinds, not {type(history).__name__}")
    return [Case(sentence, check, history, make_runs) for sentence, check in CASES.items()]


def check_host(history: History, *, make_runs: MakeRuns) -> list[str]:
    """Run all `cases`; give back what was skipped, and why.

    Raises:
        ExceptionGroup: What does not hold: an AssertionError for each case that says so.
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
        raise ExceptionGroup("the binding does not keep what histio promises", failures)
    return skipped


def documents(
    history: History, *, slugs: Mapping[str, Sequence[Any]] | None = None
) -> SearchStrategy[dict[str, Any]]:
    """A Hypothesis strategy of valid documents of the history's kinds.

    Optional members are there, absent or null as the format allows; no identity and no other unique value
    comes twice.

    Args:
        history: Whose kinds; its database is not asked.
        slugs: By a member's name on the wire, values to draw from, so that references resolve.

    Raises:
        ImportError: Hypothesis is not installed.
        TypeError: Nothing is known of the values of a field.
        ValueError: *slugs* names no member of the kinds.
    """
    need_hypothesis()
    from histio.testing import strategies  # noqa: PLC0415 - the rest of the kit works without Hypothesis

    return strategies.documents(history, slugs=slugs or {})


def near_documents(
    history: History, *, slugs: Mapping[str, Sequence[Any]] | None = None
) -> SearchStrategy[dict[str, Any]]:
    """A Hypothesis strategy of `documents` with one to three changes that may make them invalid.

    Members are dropped, unknown, null, of another type, too long, one beyond their range or spelled
    otherwise. Arguments and errors as for `documents`.
    """
    need_hypothesis()
    from histio.testing import near  # noqa: PLC0415 - the rest of the kit works without Hypothesis

    return near.near_documents(history, slugs=slugs or {})
