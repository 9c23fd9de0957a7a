"""``histio scaffold``: a binding of models, as source."""

from __future__ import annotations

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.history import import_object


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

    found = [import_object(each, option="MODULE:MODEL") for each in models]
    named = {model: each for model, each in zip(found, models, strict=True) if isinstance(model, type)}
    click.echo(made(*found, named=named), nl=False)
    return ExitCode.DONE
