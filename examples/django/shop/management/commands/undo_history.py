"""``python manage.py undo_history RECEIPT``."""

from typing import Any

import histio
from django.core.management.base import BaseCommand, CommandError, CommandParser

from shop.history import history


class Command(BaseCommand):
    help = "Take back the imports that have written a receipt."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("receipt")
        parser.add_argument("--database", default="default")
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")

    def handle(self, *, receipt: str, database: str, dry_run: bool, **_: Any) -> None:
        try:
            report = history(database).undo(receipt, dry_run=dry_run)
        except (histio.HistioError, OSError, ValueError) as error:
            raise CommandError(error) from error
        for problem in report.problems:
            self.stderr.write(str(problem))
        self.stdout.write(f"{report.removed} removed, {report.restored} restored, {report.left} left")
