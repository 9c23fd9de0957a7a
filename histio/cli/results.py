"""Print what several commands find: problems, differences, an export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

import click

import histio
from histio.cli.groups import describe_group, group_alike
from histio.cli.outputs import WrittenFile, name_file
from histio.cli.printing import (
    Form,
    escape,
    format_size,
    pluralize,
    print_all,
    print_json,
    print_line,
    print_styled,
    print_table,
    show_file,
)
from histio.files.manifest import MANIFEST
from histio.files.urls import join

_EXAMPLES = 5

_RUNS = 20
"""The number of updated runs and catalog rows whose changes are printed."""

_CHANGES = 20
"""The number of changes of one run that are printed."""


def _print_problems(
    title: str,
    problems: Sequence[histio.Problem],
    total: int,
    *,
    codes: Mapping[str, int] | None = None,
    err: bool = False,
) -> None:
    """Print the first few *problems* of each code.

    Args:
        title: The line above them, with the *total*.
        problems: Those that the report keeps.
        total: How many there are, which may be more.
        codes: How many there are of each code; None: it is not known.
        err: Print to standard error.
    """
    by_code: dict[str, list[histio.Problem]] = {}
    for problem in problems:
        by_code.setdefault(problem.code, []).append(problem)
    if total:
        known = codes is not None and sum(codes.values()) == total
        more = f", the first {len(problems):,} of them by code" if total > len(problems) and not known else ""
        print_line(err=err)
        click.secho(f"{title}: {total:,}{more}", bold=True, err=err)
    for code in dict.fromkeys((*by_code, *(codes or {}))):
        found = by_code.get(code, [])  # a report may list none of a code
        of_code = (codes or {}).get(code, len(found))
        print_line(f"  {code} ({of_code:,})", err=err)
        groups = group_alike(found)
        shown = groups[:_EXAMPLES]
        for group in shown:
            of_group = len(group) + of_code - len(found) if len(groups) == 1 else len(group)
            exact = total <= len(problems) or len(groups) == 1
            print_line(f"    {describe_group(group, of_group if exact else None)}", err=err)
        if len(groups) > len(shown):
            print_line(f"    … and {of_code - sum(map(len, shown)):,} more", err=err)


def print_findings(
    report: histio.ImportReport | histio.UndoReport | histio.ExportReport | histio.FlattenReport,
    *,
    err: bool = False,
) -> None:
    """Print the first few problems and warnings of a *report*; *err*: to standard error."""
    problems = report.problems
    if isinstance(report, histio.UndoReport):  # a line of a receipt does not tell a person which run it is
        problems = tuple(
            replace(each, message=f"{each.kind} {each.uuid}: {each.message}") for each in problems
        )
    codes = report.problem_codes if isinstance(report, histio.ImportReport) else None
    _print_problems("Problems", problems, report.problem_count, codes=codes, err=err)
    if not isinstance(report, histio.FlattenReport):
        _print_problems("Warnings", report.warnings, report.warning_count, err=err)


def print_written(written: WrittenFile) -> None:
    """Print the name of a file that was written, with its size."""
    size = "" if written.bytes is None else f": {format_size(written.bytes)}"
    print_line(f"Wrote {escape(written.file)}{size} ({written.content})")


def print_counts(report: histio.ImportReport | histio.UndoReport, outcomes: Sequence[str]) -> None:
    """Print how many runs had each of the *outcomes*, by kind and in total."""
    counted = [*report.by_kind.items(), ("total", report)]
    rows = [(name, *(getattr(counts, each) for each in outcomes)) for name, counts in counted]
    print_table(["kind", *outcomes], rows)


def print_problems(
    problems: Iterable[histio.Problem],
    file: str | None,
    *,
    form: Form,
    show: Callable[[histio.Problem], None] | None = None,
    last: Callable[[], Mapping[str, Any]] = dict,
) -> tuple[int, int]:
    """Print each problem on a line of its own, as it is found.

    Args:
        problems: What was found.
        file: The file that was read; None: a database was.
        form: How to print them.
        show: Prints a problem as text; None: a line with its place, severity and code.
        last: Returns further members of the JSON object.

    Returns:
        The number of errors, and of warnings.
    """
    counts = {"errors": 0, "warnings": 0}

    def count() -> Iterator[histio.Problem]:
        for problem in problems:
            counts[f"{problem.severity}s"] += problem.more or 1
            yield problem

    def show_line(problem: histio.Problem) -> None:
        print_line(f"{describe_finding(problem, file)} [{problem.severity}: {problem.code}]")

    print_all("problems", count(), form=form, show=show or show_line, last=lambda: {**counts, **last()})
    return counts["errors"], counts["warnings"]


def describe_finding(problem: histio.Problem, file: str | None) -> str:
    """One line about a *problem* of a *file*, which editors can jump to; None: it is of a database."""
    place = f"{problem.kind} {problem.uuid}" if file is None else _show_place(file, problem)
    pointer = f"{problem.pointer}: " if problem.pointer else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    return escape(f"{place}: {pointer}{problem.message}{hint}")


def print_revisions(report: histio.ImportReport) -> None:
    """Print what an update changes in the first runs and catalog rows, and the number of the others."""
    if not report.revision_count:
        return
    runs = [list(group) for _, group in groupby(report.revisions, lambda each: (each.kind, each.uuid))]
    rows = sum(counts.updated for counts in report.catalog.values())
    updated = [pluralize(rows, "catalog row")] * bool(rows) + [pluralize(report.updated, "run")]
    print_line()
    click.secho(f"Changes: {report.revision_count:,} in {' and '.join(updated)}", bold=True)
    for revisions in runs[:_RUNS]:
        print_line(f"  {escape(revisions[0].kind)} {escape(revisions[0].uuid)}")
        for each in revisions[:_CHANGES]:
            _print_revision(each)
        if len(revisions) > _CHANGES:
            print_line(f"    … and {len(revisions) - _CHANGES:,} more")
    shown = sum(map(len, runs[:_RUNS]))
    left = rows + report.updated - _RUNS
    if left > 0:
        more = f"{left:,} more" if rows else pluralize(left, "more run")
        print_line(f"  … and {more} with {pluralize(report.revision_count - shown, 'change')}")
    elif report.revision_count > shown:
        print_line(f"  … and {pluralize(report.revision_count - shown, 'more change')}")


def _print_revision(revision: histio.Revision) -> None:
    from histio.similar import describe_look_alike
    from histio.wire import quote

    stored, given = (
        "nothing" if value is None else quote(value) for value in (revision.stored, revision.given)
    )
    difference = describe_look_alike(revision.stored, revision.given, ("stored", "given"))
    print_styled(
        (f"    {escape(revision.pointer)}: ", ""),
        (escape(stored), "red"),
        (" → ", ""),
        (escape(given), "green"),
        (f" ({escape(difference)})" if difference else "", ""),
    )


def _show_place(file: str, problem: histio.Problem) -> str:
    """The path of *file*, or of a part if it is a folder with an export in parts; and the line."""
    path = file if problem.file is None else join(file.removesuffix(MANIFEST) or ".", problem.file)
    return show_file(path) + ("" if problem.line is None else f":{problem.line}")


def print_export(
    report: histio.ExportReport, file: str, *, hint: str = "", digest_of: str = "runs", as_json: bool
) -> None:
    """Print counts, problems, size, digest, a *hint*; on standard error if standard output has the runs."""
    err = file == "-"
    if as_json:
        if not err:
            written = WrittenFile(name_file(file), "runs", report.bytes)
            print_json(report.to_dict() | {"written": [asdict(written)]})
        return
    print_table(["kind", "runs"], [*report.by_kind.items(), ("total", report.exported)], err=err)
    if report.catalog:
        print_line(err=err)
        print_table(["catalog", "rows"], list(report.catalog.items()), err=err)
    if report.unchanged:
        print_line(f"\nRuns left out, because the earlier export has them: {report.unchanged:,}", err=err)
    if report.skipped:
        print_line(f"\nRuns left out, because the format cannot hold them: {report.skipped:,}", err=err)
    print_findings(report, err=err)
    target = "standard output" if err else show_file(file)
    print_line(f"\nWrote {target}: {format_size(report.bytes)}", err=err)
    print_line(f"Digest of the {digest_of} (sha256): {report.sha256}", err=err)
    if report.catalog_sha256 is not None:
        print_line(f"Digest of the catalog (sha256): {report.catalog_sha256}", err=err)
    if report.header_sha256 is not None and not report.exported:  # all exports without runs have one sha256
        print_line(f"Digest of the header (sha256): {report.header_sha256}", err=err)
    if hint:
        print_line(f"\n{hint}", err=err)
