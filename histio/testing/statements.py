"""Cases about the number of statements, and about rollbacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from histio.history import History
from histio.kinds.table import Kind
from histio.resolving.circles import find_reachable
from histio.testing.claims import FEW, MANY, demand, demand_whole, skip
from histio.testing.scene import Document, MakeRuns, Scene, scene


def nothing_stays(history: History, make_runs: MakeRuns) -> None:
    """Check that a dry run and a rollback leave no rows."""
    with scene(history, make_runs, FEW) as stage:
        document = stage.export()
        stage.clear()
        before = stage.counts()
        trial = stage.run(document, dry_run=True)
        demand_counts(before, stage.counts(), "a dry run")
        with stage.undone():
            report = stage.run(document)
            demand_whole(report, document)
            demand(
                stage.counts() != before, "The import reports that it wrote runs, but no table has more rows."
            )
        demand_counts(before, stage.counts(), "an import that was rolled back")
        demand(
            replace(trial, dry_run=False) == report,
            "The report of a dry run differs from that of the import:",
            (f"dry run: {trial}", f"import: {report}"),
        )


def demand_counts(before: Mapping[str, int], after: Mapping[str, int], what: str) -> None:
    """Raise AssertionError if the numbers of rows have changed after *what*."""
    demand(
        before == after,
        f"After {what}, the numbers of rows have changed. Look for listeners and triggers that write "
        "elsewhere, and for tables whose engine has no transactions:",
        tuple(f"{name}: {before[name]} → {after[name]}" for name in before if before[name] != after[name]),
    )


def statements_of_exports(history: History, make_runs: MakeRuns) -> None:
    """Check that the number of statements of an export is constant."""

    def executed(stage: Scene, kind: Kind) -> Counter[str]:
        with stage.statements() as seen:
            stage.export(kind)
            if history.catalog:
                stage.export(kind, catalog="used")
        return seen

    _demand_constant(
        "exporting",
        _by_kind(history, make_runs, FEW, executed),
        _by_kind(history, make_runs, MANY, executed),
        "Check fields that follow relationships by themselves (Method, Function, properties).",
    )


def statements_of_imports(history: History, make_runs: MakeRuns) -> None:
    """Check that the number of statements of an import is constant, for kinds for which this is promised."""
    reasons: dict[str, str] = {}

    def executed(stage: Scene, kind: Kind) -> Counter[str]:
        document = documents[id(stage)]
        refers = find_reachable(stage.kinds, lambda one, other: any(one.refers_to(other)))
        circle = [
            each for each in stage.kinds if each is kind or (each in refers[kind] and kind in refers[each])
        ]
        only = {name: document[name] for name in ("version", *(each.collection for each in circle))}
        if kind is circle[0]:  # it imports the others too
            with stage.statements() as seen:
                report = stage.run(only)
            demand_whole(report, only)
        if kind in refers[kind]:
            reasons[kind.name] = "its runs refer to each other, and are written level by level"
        elif kind.name in report.unit_of_work:
            why = "; ".join(report.unit_of_work[kind.name])
            reasons[kind.name] = f"its rows are created as objects, because {why}"
        return Counter() if kind.name in reasons else seen

    documents: dict[int, Document] = {}

    def prepare(stage: Scene) -> None:
        documents[id(stage)] = stage.export()
        stage.clear()

    small, large = (_by_kind(history, make_runs, count, executed, prepare) for count in (FEW, MANY))
    _demand_constant("importing", small, large, "Check triggers, and listeners of the engine.")
    skip([f"statements of importing {name} were not counted: {why}" for name, why in reasons.items()])


def _by_kind(
    history: History,
    make_runs: MakeRuns,
    count: int,
    executed: Callable[[Scene, Kind], Counter[str]],
    prepare: Callable[[Scene], None] = lambda _: None,
) -> dict[str, tuple[int, Counter[str]]]:
    """The number of runs, and the statements executed for them, by kind."""
    with scene(history, make_runs, count) as stage:
        prepare(stage)
        return {kind.name: (len(stage.identities[kind.name]), executed(stage, kind)) for kind in stage.kinds}


def _demand_constant(
    doing: str,
    small: Mapping[str, tuple[int, Counter[str]]],
    large: Mapping[str, tuple[int, Counter[str]]],
    advice: str,
) -> None:
    for kind, (many, of_many) in large.items():
        few, of_few = small[kind]
        # One more statement may be for a ledger that the few runs lack.
        grown = {text: number for text, number in of_many.items() if number > of_few[text] + 1}
        demand(
            not grown or many == few or not few,  # `different_runs` reports kinds without runs
            f"The number of statements of {doing} grows with the number of runs. {advice} For {few} and for "
            f"{many} runs of the kind {kind}, there were:",
            tuple(f"{of_few[text]} and {number} of: {_shorten(text)}" for text, number in grown.items()),
        )


def _shorten(text: str) -> str:
    """Shorten a statement to one line."""
    line = " ".join(text.split())
    head, found, tail = line.partition(" FROM ")
    return f"{head[:60]}… FROM {tail[:240]}" if found else line[:300]
