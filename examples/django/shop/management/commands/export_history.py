"""``python manage.py export_history FILE``."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from shop.history import history


class Command(BaseCommand):
    help = "Write all bakes to a file, with the recipes that they name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="such as history.jsonl or history.jsonl.gz")
        parser.add_argument("--database", default="default")

    def handle(self, *, file: str, database: str, **_: Any) -> None:
        try:
            report = history(database).export_file(file, catalog="used")
        except OSError as error:
            raise CommandError(error) from error
        self.stdout.write(f"{file}: {report.exported} bakes")
