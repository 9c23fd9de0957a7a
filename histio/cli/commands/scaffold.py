"""``histio scaffold``: print a binding of models, as source code."""

from __future__ import annotations

import click

from histio.cli.exit_codes import ExitCode
from histio.cli.history import import_object


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODULE:MODEL…")
def scaffold(models: tuple[str, ...]) -> int:
    """Print a binding of SQLAlchemy models, to be edited.

    Each MODULE:MODEL becomes a kind of run; its ledgers and references are found through its relationships.
    The output is Python: a schema for each table with all its columns, references by the likeliest natural
    key (comments name others), a catalog kind for each model that these refer to, a History, and a
    conformance test to fill in.

    \b
    Examples:
      histio scaffold histio.models:ProductionRun > binding.py
    """
    from histio.scaffold import scaffold as scaffold_models

    found = [import_object(place, option="MODULE:MODEL", example="shop.models:Order") for place in models]
    import_paths = {
        model: place for model, place in zip(found, models, strict=True) if isinstance(model, type)
    }
    click.echo(scaffold_models(*found, import_paths=import_paths), nl=False)
    return ExitCode.DONE
