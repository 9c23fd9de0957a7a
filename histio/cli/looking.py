"""Commands that only look: at files, at databases, at both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from click.shell_completion import get_completion_class

import histio
from histio.cli.databases import (
    VARIABLE,
    database_options,
    file_argument,
    history_option,
    imported,
    opened,
    opened_for_files,
    truncating,
)
from histio.cli.exit_codes import ExitCode
from histio.cli.screen import as_json, as_lines, safe, say, say_json, say_table


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


@click.command()
@file_argument()
@database_options
@truncating
@as_lines
def check(file: str, url: str | None, named: str | None, *, truncate_times: bool, as_json: bool) -> int:
    """Tell all that is wrong with FILE.

    Looked at are its form, what comes twice, what the numbers of a run should keep to, and the seal; with a
    database, its references too. Each problem is a line FILE:LINE: POINTER: MESSAGE, to which editors jump.
    Warnings alone are no failure.

    \b
    Examples:
      histio check history.jsonl
      histio check history.jsonl --url sqlite:///branch.db
    """
    with opened_for_files(url, named, asked=True) as history:
        problems = histio.check_file(file, history=history, truncate_times=truncate_times)
        errors, warnings = _say_problems(problems, file, as_json=as_json)
    if not as_json:
        say(f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}", err=True)
    return ExitCode.BAD if errors else ExitCode.DONE


def _say_problems(problems: Iterable[histio.Problem], file: str | None, *, as_json: bool) -> tuple[int, int]:
    """Print *problems* of a *file* or a database as they come; how many errors and warnings they were."""
    counts = {"error": 0, "warning": 0}
    for problem in problems:
        counts[problem.severity] += 1
        if as_json:
            say_json(asdict(problem), indent=None)
        else:
            line = "" if problem.line is None else f":{problem.line}"
            at = f"{problem.kind} {problem.uuid}" if file is None else f"{file}{line}"
            where = f"{problem.pointer}: " if problem.pointer else ""
            hint = f" ({problem.hint})" if problem.hint else ""
            say(safe(f"{at}: {where}{problem.message}{hint} [{problem.severity}: {problem.code}]"))
    return counts["error"], counts["warning"]


@click.command()
@file_argument()
@database_options
@as_lines
def verify(file: str, url: str | None, named: str | None, *, as_json: bool) -> int:
    """Make sure that a database has all of FILE, unaltered.

    What the database has beyond it is no difference; histio diff tells that too. Nothing is written.

    \b
    Examples:
      histio verify history.jsonl --url sqlite:///bakery.db
    """
    with opened(url, named) as history:
        found = (each for each in histio.diff(file, history) if each.only_in != "b")
        count = _say_differences(found, file, "the database", as_json=as_json)
    if not as_json:
        say(
            f"{_counted(count, 'run')} differ or are missing." if count else "The database has all of it.",
            err=True,
        )
    return ExitCode.BAD if count else ExitCode.DONE


@click.command()
@file_argument("a")
@file_argument("b", required=False)
@database_options
@as_lines
def diff(a: str, b: str | None, url: str | None, named: str | None, *, as_json: bool) -> int:
    """Tell in what two histories differ.

    They are the files A and B, or the file A and a database. Runs are compared by what they mean: "5.25"
    is "5.2500". The exit code is 1 where something differs.

    \b
    Examples:
      histio diff history.jsonl later.jsonl
      histio diff history.jsonl --url sqlite:///bakery.db
    """
    if a == b == "-":
        raise click.UsageError("Standard input can be read once only.")
    if b is not None:
        with opened_for_files(url, named) as history:
            count = _say_differences(histio.diff(a, b, history=history), a, b, as_json=as_json)
    else:
        with opened(url, named) as history:
            count = _say_differences(histio.diff(a, history), a, "the database", as_json=as_json)
    if not as_json:
        say(
            f"{_counted(count, 'run')} differ{'s' if count == 1 else ''}." if count else "No differences.",
            err=True,
        )
    return ExitCode.BAD if count else ExitCode.DONE


def _say_differences(differences: Iterable[histio.Difference], a: str, b: str, *, as_json: bool) -> int:
    count = 0
    for each in differences:
        count += 1
        if as_json:
            say_json(asdict(each), indent=None)
        elif each.only_in is not None:
            say(f"{safe(each.kind)} {safe(each.uuid)}: only in {safe(a if each.only_in == 'a' else b)}")
        else:
            say(f"{safe(each.kind)} {safe(each.uuid)}:")
            for change in each.changes:
                say(f"  {safe(change)}")
    return count


@click.command()
@file_argument()
@history_option
@as_json
def inspect(file: str, named: str | None, *, as_json: bool) -> int:
    """Tell what is in FILE.

    How many runs, of when, its digest, and the slugs that are used most.

    \b
    Examples:
      histio inspect history.jsonl
    """
    with opened_for_files(None, named) as history:
        found = histio.inspect_file(file, history=history)
    if as_json:
        say_json(found.to_dict())
    else:
        _say_inspection(found)
    return ExitCode.BAD if found.problems else ExitCode.DONE


def _to_the_second(moment: str | None) -> str:
    return re.sub(r"\.[0-9]+", "", moment or "")


def _say_inspection(found: histio.Inspection) -> None:
    sealed = "sealed" if found.sealed else "not sealed"
    say(f"{'A stream, ' + sealed if found.form == 'stream' else 'A document'}, format {safe(found.version)}")
    for name, value in (
        ("exported at", found.exported_at),
        ("follows", found.follows),
        ("sha256", found.sha256),
    ):
        if value is not None:
            say(f"{name:<12} {safe(value)}")
    if found.unreadable:
        say(f"{_counted(found.unreadable, 'line')} that are no run: histio check tells why")
    for problem in found.problems:
        say(f"damaged      {safe(problem)}")
    say()
    rows = []
    for kind, of in found.kinds.items():
        rows.append((kind, of.runs, _to_the_second(of.first), _to_the_second(of.last)))
        rows += [(f"  {ledger}", entries, "", "") for ledger, entries in of.entries.items()]
    say_table(["kind", "count", "first", "last"], rows)
    for member, used in found.most_used.items():
        say()
        say_table([member, "uses"], list(used.items()))


@click.command()
@file_argument()
@database_options
@click.option("--missing-json", is_flag=True, help="Print what is missing as one JSON object, by member.")
@as_lines
def references(file: str, url: str | None, named: str | None, *, missing_json: bool, as_json: bool) -> int:
    """Tell which slugs FILE needs, and which are missing.

    Without a database, they are counted. What has close matches shows them; histio import --rename reads a
    slug as another. The exit code is 1 where a run would be rejected for what is missing.

    \b
    Examples:
      histio references history.jsonl
      histio references history.jsonl --url sqlite:///branch.db
      histio references history.jsonl --missing-json
    """
    missing: dict[str, dict[str, Any]] = {}
    lacking = False
    if missing_json and as_json:
        raise click.UsageError("--missing-json and --json exclude each other.")
    with opened_for_files(url, named, asked=True) as history:
        if missing_json and not history.bound.has_database:
            raise click.UsageError(f"--missing-json: which database? Say --url URL, or set {VARIABLE}.")
        rows = []
        for each in histio.references(file, history=history):
            lacking = lacking or (each.found is False and each.required)
            if each.found is False:
                told = {"model": each.model, "uses": each.uses, "required": each.required}
                missing.setdefault(each.member, {})[each.slug] = told | {"hint": each.hint}
            if as_json:
                say_json(each.to_dict(), indent=None)
            elif not missing_json:
                rows.append(_reference_row(each))
    if missing_json:
        say_json(missing)
    elif not as_json:
        say_table(["member", "slug", "uses", "in the database"], rows)
    return ExitCode.BAD if lacking else ExitCode.DONE


def _reference_row(each: histio.Needed) -> tuple[object, ...]:
    if each.found is None:
        state = "not asked"
    elif each.found:
        state = "yes"
    else:
        state = "NO" if each.required else "no, which is only warned of"
        state += f": {each.hint}" if each.hint else ""
    return each.member, each.slug, each.uses, state


@click.command()
@file_argument(required=False)
@database_options
@as_lines
def audit(file: str | None, url: str | None, named: str | None, *, as_json: bool) -> int:
    """Hold the numbers of a file or a database to their rules.

    Totals against the sums of their ledgers, costs per unit against totals, yields that cannot be, runs
    without entries: what the schemas declare, with the tolerances shown. The exit code is 1 where something
    breaks a rule.

    \b
    Examples:
      histio audit history.jsonl
      histio audit --url sqlite:///bakery.db
    """
    with opened_for_files(url, named) if file is not None else opened(url, named) as history:
        given = history if file is None else file
        _, count = _say_problems(histio.audit(given, history=history), file, as_json=as_json)
        if not as_json:
            from histio.kinds.auditing import audits_of

            for kind in history.bound.kinds:
                for rule in (rule for table in kind.table.all() for rule in audits_of(table)):
                    say(f"rule of {kind.name}: {rule}", err=True)
            say(_counted(count, "finding"), err=True)
    return ExitCode.BAD if count else ExitCode.DONE


@click.command()
@database_options
def explain(url: str | None, named: str | None) -> int:
    """Show which columns of the models are in the format.

    Lists, for each table, the columns and relationships that are in the format, excluded, filled by the
    import, or not moved, such as row ids. With a database, also shows which kinds take the fast path, and
    why others do not.

    \b
    Examples:
      histio explain
      histio explain --url sqlite:///bakery.db
    """
    with opened_for_files(url, named, asked=True) as history:
        click.echo(history.explain())
    return ExitCode.DONE


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODULE:MODEL…")
def scaffold(models: tuple[str, ...]) -> int:
    """Print a binding of SQLAlchemy models, as source to edit.

    Each MODULE:MODEL becomes a kind of run; its ledgers and references are found through its relationships.
    The source has a schema for each table with all of its columns, references by the likeliest natural key
    (comments name other keys), a History, and a conformance test to fill in. It imports MODEL from MODULE.

    \b
    Examples:
      histio scaffold histio.models:ProductionRun > binding.py
    """
    from histio.scaffold import scaffold as made

    found = [imported(each, "MODULE:MODEL") for each in models]
    named = {model: each for model, each in zip(found, models, strict=True) if isinstance(model, type)}
    click.echo(made(*found, named=named), nl=False)
    return ExitCode.DONE


@click.command()
@history_option
def schema(named: str | None) -> int:
    """Print the JSON Schema of documents.

    That is the published one (draft 2020-12), or that of a History. Any validator in any language gives the
    verdict of histio with it. Its definition stream_line is for one line of a stream.

    \b
    Examples:
      histio schema > history-1.0.schema.json
    """
    with opened_for_files(None, named) as history:
        click.echo(json.dumps(history.json_schema(), indent=2))
    return ExitCode.DONE


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print a script that makes a SHELL complete commands.

    \b
    Examples:
      histio completion bash > ~/.local/share/bash-completion/completions/histio
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - the choice is click's own
    click.echo(made(context.find_root().command, {}, "histio", "_HISTIO_COMPLETE").source())
    return ExitCode.DONE


COMMANDS = (check, verify, diff, inspect, references, audit, explain, scaffold, schema, completion)
