"""``python manage.py import_history FILE``."""

from typing import Any

import histio
from django.core.management.base import BaseCommand, CommandError, CommandParser

from shop.history import history


# In docs/how-to/django.md:
class Command(BaseCommand):
    help = "Import the bakes of a file, and the recipes that are missing: all of them, or nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--database", default="default")
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
        parser.add_argument("--update", action="store_true", help="overwrite bakes that exist")
        parser.add_argument("--receipt", help="a .jsonl file for undo_history")

    def handle(self, *, file: str, database: str, update: bool, **options: Any) -> None:
        try:
            report = history(database).import_file(
                file,
                atomic=True,
                catalog="create",
                on_duplicate="update" if update else "skip",
                dry_run=options["dry_run"],
                receipt=options["receipt"],
            )
        except (histio.HistioError, OSError, ValueError) as error:
            raise CommandError(error) from error
        for problem in report.problems:
            self.stderr.write(str(problem))
        if report.rejected:
            raise CommandError(f"{report.rejected} rejected, nothing imported")
        self.stdout.write(f"{report.imported} imported, {report.updated} updated, {report.skipped} skipped")


# So far in docs/how-to/django.md.
