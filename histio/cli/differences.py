"""Print how two histories differ, each side by its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import histio
from histio.cli.outputs import name_file
from histio.cli.printing import Form, escape, print_all, print_line, show_file


def print_stored_differences(
    differences: Iterable[histio.Difference], file: str, history: histio.History, *, form: Form
) -> int:
    """Print *differences* between a *file* and the database of *history*; return how many there are."""
    sides = {"file": name_file(file), "database": name_database(history)}
    shown = (show_file(file), "the database")
    return _print(differences, sides, shown=shown, short=("file", "database"), form=form)


def print_file_differences(differences: Iterable[histio.Difference], a: str, b: str, *, form: Form) -> int:
    """Print *differences* between the files *a* and *b*; return how many there are."""
    shown = (show_file(a), show_file(b))
    sides = {"a": name_file(a), "b": name_file(b)}
    return _print(differences, sides, shown=shown, short=_shorten_names(*shown), form=form)


def name_database(history: histio.History) -> str:
    """The URL of the database, without secrets."""
    return name_file(history.bound.database.find_engine().url.render_as_string(hide_password=False))


def _print(
    differences: Iterable[histio.Difference],
    sides: dict[str, str],
    *,
    shown: tuple[str, str],
    short: tuple[str, str],
    form: Form,
) -> int:
    """Print *differences*.

    Args:
        differences: What to print.
        sides: The two sides, by their names in JSON.
        shown: The sides in a sentence.
        short: The sides before a value.
        form: How to print them.
    """
    a, b = sides
    total = 0

    def count() -> Iterator[histio.Difference]:
        nonlocal total
        for difference in differences:
            total += 1
            yield difference

    def to_json(difference: histio.Difference) -> dict[str, Any]:
        only_in = difference.only_in and {"a": a, "b": b}[difference.only_in]
        changes = [{"pointer": each.pointer, a: each.a, b: each.b} for each in difference.changes]
        return {**asdict(difference), "only_in": only_in, "changes": changes}

    def show(difference: histio.Difference) -> None:
        run = f"{escape(difference.kind)} {escape(difference.uuid)}:"
        if difference.only_in is not None:
            print_line(f"{run} only in {shown[difference.only_in == 'b']}")
            return
        print_line(run)
        for change in difference.changes:
            print_line(f"  {escape(change.describe(*short))}")
        if difference.more:
            print_line(f"  … and {difference.more:,} more")

    print_all(
        "differences",
        count(),
        form=form,
        show=show,
        to_json=to_json,
        first=sides,
        last=lambda: {"count": total},
    )
    return total


def _shorten_names(a: str, b: str) -> tuple[str, str]:
    """The names of two files without their folders, if they differ in the rest."""
    one, other = (name.rpartition("/")[2] for name in (a, b))
    return (one, other) if one != other else (a, b)
