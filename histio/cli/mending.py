"""Show rejects to people, and mend them one at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import click

import histio
from histio.cli.editor import edit_text
from histio.cli.outputs import RejectsOutput, name_file
from histio.cli.printing import escape, format_size, pluralize, print_line, show_file
from histio.mending.corrections import Corrections
from histio.mending.edit import explain_unreadable
from histio.mending.lines import MISSING, UNREADABLE, Line
from histio.mending.mend import Mending, UnknownSlug, find_unknown_slug
from histio.mending.survey import Survey, alike
from histio.report import KEPT
from histio.wire import quote

ShowProgress: TypeAlias = Callable[[], AbstractContextManager[Callable[[histio.Progress], None] | None]]

_GROUPS = 20
"""The number of groups of problems that are printed."""


def is_terminal() -> bool:
    """Whether somebody can be asked."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def describe_survey(file: str, survey: Survey) -> RejectsOutput:
    """The problems of *file*, for JSON."""
    return RejectsOutput(
        file=name_file(file),
        rejected=survey.rejected,
        mended=survey.rejected - survey.left,
        left=survey.left,
        codes=survey.codes(),
        groups=tuple(survey.groups(KEPT)),
        group_count=survey.group_count,
    )


def print_survey(file: str, survey: Survey, *, has_database: bool) -> None:
    """Print how many runs of *file* are rejected, and why: the problems of most runs first."""
    mended = survey.rejected - survey.left
    rejected = f"{show_file(file)}: {survey.rejected:,} rejected"
    print_line(f"{rejected}, {mended:,} of them mended" if mended else rejected)
    for group in survey.groups(_GROUPS):
        member = f"{group.member}: " if group.member else ""
        hint = f" ({group.hint})" if group.hint else ""
        more = ", …" if group.runs > len(group.lines) else ""
        lines = f"line{'s' if group.runs > 1 else ''} {', '.join(map(str, group.lines))}{more}"
        print_line(escape(f"{group.runs:>7,}  {member}{group.message}{hint} [{group.code}], {lines}"))
    others = survey.group_count - _GROUPS
    if others > 0:
        print_line(f"         … and {others:,} more kinds of problem")
    if not has_database:
        print_line("References are checked only with a database: --url URL.")


def write_mended(target: Path, mending: Mending, corrections: Corrections, *, options: str) -> None:
    """Write the mended runs to *target*, and print what to do next.

    Args:
        target: The file to write.
        mending: The rejects.
        corrections: What was corrected.
        options: The options of the next command.
    """
    survey = mending.survey
    mended = survey.rejected - survey.left
    print_line()
    if mended:
        mending.write(target)
        size = format_size(target.stat().st_size)
        print_line(
            f"Wrote {show_file(str(target))}: {size}, {pluralize(mended, 'mended run')}. To import it:"
        )
        print_line(f"  histio import {show_file(str(target))}{options}")
    if not survey.left:
        corrections.remove()
        return
    if mended:
        corrections.note_output(target)
    kept = f", the corrections so far in {show_file(str(corrections.path))}" if corrections.exist else ""
    print_line(f"{pluralize(survey.left, 'run')} left{kept}. To continue, repeat the command.")


@contextmanager
def report_kept(corrections: Corrections) -> Iterator[None]:
    """If the block is interrupted, say where the corrections are."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        if corrections.exist:
            file = show_file(str(corrections.path))
            print_line(f"\nThe corrections so far are in {file}. To continue, repeat the command.", err=True)
        raise


class Walk:
    """Goes through the runs that have problems, and asks what to do with each.

    Args:
        mending: The rejects.
        show_progress: Shows the progress of a check of all runs.
    """

    def __init__(self, mending: Mending, show_progress: ShowProgress) -> None:
        self._mending = mending
        self._show_progress = show_progress
        self._survey = mending.survey
        self._skipped: set[object] = set()

    def run(self) -> None:
        """Go through the runs up to the last one, or until somebody quits."""
        number: int | None = 0
        while (number := self._survey.next_left(number or 0)) is not None:
            if not self._visit(number):
                return

    def _visit(self, number: int) -> bool:
        """Ask what to do with the run of the line *number*, until it is mended or skipped; False: quit."""
        problems = self._survey.problems(number)
        if any(alike(problem) in self._skipped for problem in problems):
            return True
        self._show(number, problems)
        while problems:
            unknown = self._find_unknown(number, problems)
            alike_count = max(self._survey.count(alike(problem)) for problem in problems)
            match _ask(unknown, alike_count):
                case "e":
                    self._edit(number, problems)
                case "r" if unknown is not None:
                    self._rename(unknown)
                    self._print_problems(self._mending.line(number), self._survey.problems(number))
                case "s":
                    return True
                case "a":
                    self._skipped.update(map(alike, problems))
                    return True
                case "q":
                    return False
            problems = self._survey.problems(number)
        print_line("Mended.")
        return True

    def _show(self, number: int, problems: Sequence[histio.Problem]) -> None:
        """Print which run it is, and its problems."""
        line = self._mending.line(number)
        place = f"{self._survey.place(number):,} of {self._survey.rejected:,}"
        identity = next((problem.uuid for problem in problems if problem.uuid), None)
        print_line()
        click.secho(
            escape(f"{place}, line {number:,}: {line.kind or 'no run'} {identity or ''}".rstrip()), bold=True
        )
        known = [
            f"{member} {quote(line.value[member])}"
            for member in self._mending.identifying_members(line.kind)
            if isinstance(line.value, dict) and member in line.value
        ]
        if known:
            print_line(escape(f"  {', '.join(known)}"))
        self._print_problems(line, problems)
        if line.kind == UNREADABLE and (error := explain_unreadable(line.value, self._mending.max_depth)):
            print_line(escape(f"  {error}"))

    def _print_problems(self, line: Line, problems: Sequence[histio.Problem]) -> None:
        for problem in problems:
            value = line.value_at(problem.pointer)
            shown = "" if value is MISSING or isinstance(value, dict | list) else f" {quote(value)}"
            above, _, pointer = problem.pointer[1:].partition("/")
            place = f"/{pointer}{shown}: " if above and pointer else ""
            hint = f" ({problem.hint})" if problem.hint else ""
            print_line(escape(f"  {place}{problem.message}{hint}"))

    def _find_unknown(self, number: int, problems: Sequence[histio.Problem]) -> UnknownSlug | None:
        line = self._mending.line(number)
        return next(filter(None, (find_unknown_slug(problem, line) for problem in problems)), None)

    def _edit(self, number: int, problems: Sequence[histio.Problem]) -> None:
        """Let somebody edit the run, and print the problems that it has then."""
        before = self._mending.line(number)
        text = self._mending.text_to_edit(number)
        edited = edit_text(text, name="unreadable.txt" if before.kind in (None, "unreadable") else "run.json")
        if edited is None or edited.strip() in ("", text.strip()):
            print_line("Nothing was changed.")
            return
        left = self._mending.correct(number, edited)
        error = explain_unreadable(edited, self._mending.max_depth)
        if error is not None:
            print_line(escape(f"{error} Your text is kept: edit it again."))
            return
        after = self._mending.line(number)
        self._print_problems(after, left)
        for problem in problems:
            self._offer_rename(problem, before, after)

    def _offer_rename(self, problem: histio.Problem, before: Line, after: Line) -> None:
        """If a *problem* of a slug is solved, offer to rename the slug in the other runs, too."""
        unknown, new = find_unknown_slug(problem, before), after.value_at(problem.pointer)
        others = self._survey.count(alike(problem))
        if unknown is None or not others or not isinstance(new, str) or new == unknown.slug:
            return
        rename = escape(f"Rename {unknown.member} {unknown.slug} to {new}")
        if click.confirm(f"{rename} in {pluralize(others, 'other run')}, too?"):
            self._rename(unknown, new)

    def _rename(self, unknown: UnknownSlug, new: str | None = None) -> None:
        """Rename a slug in all runs, and print how many are mended."""
        if new is None:
            new = _ask_slug(unknown)
        left = self._survey.left
        with self._show_progress() as progress:
            self._mending.rename(unknown, new, progress)
        mended = pluralize(left - self._survey.left, "run")
        print_line(escape(f"Renamed {unknown.member} {unknown.slug} to {new}: {mended} mended."))


def _ask(unknown: UnknownSlug | None, alike_count: int) -> str:
    """Ask what to do with a run; return the letter of the answer.

    Args:
        unknown: A slug of it that names no row.
        alike_count: The number of runs that have the same problem, itself included.
    """
    actions = {"e": "edit"}
    if unknown is not None:
        new = f" to {unknown.matches[0]}" if len(unknown.matches) == 1 else ""
        actions["r"] = f"rename {unknown.member} {unknown.slug}{new} in all runs"
    actions["s"] = "skip"
    if alike_count > 1:
        actions["a"] = f"skip all {alike_count:,} like it"
    actions["q"] = "quit"
    print_line(escape("  " + ", ".join(f"{letter} = {action}" for letter, action in actions.items())))
    answer: str = click.prompt("What to do", type=click.Choice(list(actions), case_sensitive=False))
    return answer


def _ask_slug(unknown: UnknownSlug) -> str:
    """Ask for the slug to use instead of an *unknown* one."""
    if len(unknown.matches) == 1:
        return unknown.matches[0]
    question = f"Rename {unknown.member} {unknown.slug} to"
    best = next(iter(unknown.matches), None)
    if best is not None:
        question += f" [{best}]"
    answer: str = click.prompt(escape(question), default=best, show_default=False)
    return answer.strip()
