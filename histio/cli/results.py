"""Print the results of commands: problems, differences, exports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import islice

import click

import histio
from histio.cli.printing import print_json, print_line, print_table, safe, size

_EXAMPLES = 5


def print_problems(title: str, problems: Sequence[histio.Problem], count: int, *, err: bool = False) -> None:
    """What is wrong, grouped by code, of each group the first few; there are *count* in all."""
    groups: dict[str, list[histio.Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.code, []).append(problem)
    if count:
        more = f", the first {len(problems):,} of them by code" if count > len(problems) else ""
        print_line(err=err)
        click.secho(f"{title}: {count:,}{more}", bold=True, err=err)
    for code, found in groups.items():
        print_line(f"  {code} ({len(found):,})", err=err)
        alike = Counter(problem.message for problem in found)
        first = {problem.message: problem for problem in reversed(found)}
        for message, times in islice(alike.items(), _EXAMPLES):
            number = f"{times - 1:,} " if count <= len(problems) else ""
            more = f", and {number}more like it" if times > 1 else ""
            print_line(f"    {safe(first[message])}{more}", err=err)
        if len(alike) > _EXAMPLES:
            print_line(f"    … and {len(alike) - _EXAMPLES:,} more", err=err)


def print_problem_lines(
    problems: Iterable[histio.Problem], file: str | None, *, as_json: bool
) -> tuple[int, int]:
    """Print *problems* of a *file* or a database as they come; how many errors and warnings they were."""
    counts = {"error": 0, "warning": 0}
    for problem in problems:
        counts[problem.severity] += 1
        if as_json:
            print_json(asdict(problem), indent=None)
        else:
            line = "" if problem.line is None else f":{problem.line}"
            at = f"{problem.kind} {problem.uuid}" if file is None else f"{file}{line}"
            where = f"{problem.pointer}: " if problem.pointer else ""
            hint = f" ({problem.hint})" if problem.hint else ""
            print_line(safe(f"{at}: {where}{problem.message}{hint} [{problem.severity}: {problem.code}]"))
    return counts["error"], counts["warning"]


def print_differences(differences: Iterable[histio.Difference], a: str, b: str, *, as_json: bool) -> int:
    count = 0
    for each in differences:
        count += 1
        if as_json:
            print_json(asdict(each), indent=None)
        elif each.only_in is not None:
            print_line(
                f"{safe(each.kind)} {safe(each.uuid)}: only in {safe(a if each.only_in == 'a' else b)}"
            )
        else:
            print_line(f"{safe(each.kind)} {safe(each.uuid)}:")
            for change in each.changes:
                print_line(f"  {safe(change)}")
    return count


def print_export(report: histio.ExportReport, file: str, *, as_json: bool) -> None:
    err = file == "-"  # standard output has the runs
    if as_json:
        if not err:
            print_json(report.to_dict())
        return
    print_table(["kind", "runs"], [*report.by_kind.items(), ("total", report.exported)], err=err)
    if report.skipped:
        print_line(f"\nRuns left out, because the format cannot hold them: {report.skipped:,}", err=err)
    print_problems("Problems", report.problems, report.problem_count, err=err)
    print_problems("Warnings", report.warnings, report.warning_count, err=err)
    where = "standard output" if err else file
    print_line(f"\nWrote {safe(where)}: {size(report.bytes)}", err=err)
    print_line(f"Digest of the runs (sha256): {report.sha256}", err=err)
