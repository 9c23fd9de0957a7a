"""The history on the command line: ``flask --app shop …``."""

from __future__ import annotations

import json
from typing import IO

import click
from flask import Blueprint

from shop.history import history
from shop.models import db
from shop.stock import catalog, sell

commands = Blueprint("commands", __name__, cli_group=None)


@commands.cli.command("init")
@click.option("--orders", default=0, show_default=True, help="How many orders to make up.")
@click.option("--empty", is_flag=True, help="Make the tables only.")
def init(orders: int, *, empty: bool) -> None:
    """Make the tables and the catalog."""
    db.create_all()
    db.session.add_all([] if empty else catalog())
    sell(db.session, orders)
    db.session.commit()


@commands.cli.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=True))
@click.option("--with-catalog", is_flag=True, help="Write the customers and products of the orders, too.")
def export_file(file: IO[str], *, with_catalog: bool) -> None:
    """Write all orders and payments to FILE."""
    json.dump(history.export_document(catalog="used" if with_catalog else None), file, indent=2)


@commands.cli.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--create-catalog", is_flag=True, help="Create customers and products that are missing.")
def import_file(file: IO[bytes], *, create_catalog: bool) -> None:
    """Read FILE: what fits goes in, and what does not is named."""
    report = history.import_document(json.load(file), catalog="create" if create_catalog else "ignore")
    db.session.commit()
    click.echo(f"{report.imported} imported, {report.skipped} skipped, {report.rejected} rejected")
    for problem in report.problems:
        click.echo(problem, err=True)
    raise SystemExit(1 if report.rejected else 0)
