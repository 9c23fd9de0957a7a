"""The history of the shop, by Django's own test runner: ``python manage.py test``."""

import datetime as dt
import io
import json
import tempfile
import uuid
from decimal import Decimal
from pathlib import Path

from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import TransactionTestCase, override_settings

from shop.history import history
from shop.models import Bake, Recipe, Usage

AT = dt.datetime(2025, 12, 8, 10, 0, 0, tzinfo=dt.UTC)
DETAILS = {"oven": 2, "notes": [None, True, "½ 🥐"]}


def bake(n: int = 1, **members: object) -> dict[str, object]:
    """A bake as it is written in a document."""
    return {
        "id": str(uuid.UUID(int=n)),
        "recipe": "buns",
        "baked_at": "2025-12-08T11:00:00+01:00",
        "pieces": 24,
        "cost": "5.25",
        "is_sold_out": True,
        "details": DETAILS,
        "remarks": "",
        "usages": [{"ingredient": "flour", "kilograms": "1.25", "best_before": "2026-01-01"}],
    } | members


def document(*bakes: dict[str, object]) -> bytes:
    recipe = {"slug": "buns", "name": "Hot cross buns", "is_organic": True}
    return json.dumps({"version": "1.0", "recipes": [recipe], "bakes": bakes}).encode()


class HistoryTests(TransactionTestCase):
    """histio uses a connection of its own, so these tests are not in a transaction."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_command(self, name: str, *arguments: object, **options: object) -> str:
        out = io.StringIO()
        call_command(name, *map(str, arguments), stdout=out, stderr=out, **options)
        return out.getvalue()

    def import_bakes(self, *bakes: dict[str, object], **options: object) -> str:
        (self.folder / "bakes.json").write_bytes(document(*bakes))
        return self.run_command("import_history", self.folder / "bakes.json", **options)

    def test_django_reads_what_histio_writes(self) -> None:
        self.assertEqual(self.import_bakes(bake()), "1 imported, 0 updated, 0 skipped\n")
        found = Bake.objects.get(
            pk=uuid.UUID(int=1), baked_at=AT, cost=Decimal("5.25"), is_sold_out=True, recipe__is_organic=True
        )
        self.assertEqual((found.details, found.remarks, found.pieces), (DETAILS, "", 24))
        usage = Usage.objects.get(bake=found, kilograms=Decimal("1.25"), best_before=dt.date(2026, 1, 1))
        self.assertEqual(usage.ingredient, "flour")

    def test_histio_reads_what_django_writes_and_the_same_comes_back(self) -> None:
        recipe = Recipe.objects.create(slug="buns", name="Buns")
        for microsecond in (0, 1, 120_000):
            made = Bake.objects.create(
                recipe=recipe,
                baked_at=AT.replace(microsecond=microsecond),
                pieces=3,
                cost=Decimal("9999999.99"),
                details=DETAILS,
            )
            Usage.objects.create(bake=made, ingredient="salt", kilograms=Decimal("0.005"))
        self.run_command("export_history", self.folder / "one.jsonl")
        before = list(Bake.objects.order_by("id").values())
        Bake.objects.all().delete()
        Recipe.objects.all().delete()
        self.run_command("import_history", self.folder / "one.jsonl")
        self.assertEqual(
            [each | {"recipe_id": 0} for each in Bake.objects.order_by("id").values()],
            [each | {"recipe_id": 0} for each in before],
        )
        self.run_command("export_history", self.folder / "two.jsonl")
        one, two = [(self.folder / f"{name}.jsonl").read_bytes().splitlines() for name in ("one", "two")]
        self.assertEqual(one[1:-1], two[1:-1])

    def test_a_rejected_bake_imports_nothing_and_is_named(self) -> None:
        with self.assertRaisesMessage(CommandError, "2 rejected, nothing imported"):
            self.import_bakes(bake(1), bake(2, recipe="bun"), bake(3, cost="5.255"))
        self.assertEqual((Bake.objects.count(), Recipe.objects.count()), (0, 0))

    def test_an_undo_removes_and_puts_back(self) -> None:
        self.import_bakes(bake(1))
        receipt = self.folder / "receipt.jsonl"
        told = self.import_bakes(bake(1, pieces=3), bake(2), update=True, receipt=receipt)
        self.assertEqual(told, "1 imported, 1 updated, 0 skipped\n")
        self.assertEqual(
            self.run_command("undo_history", receipt, dry_run=True), "1 removed, 1 restored, 0 left\n"
        )
        self.assertEqual(Bake.objects.count(), 2)
        self.assertEqual(self.run_command("undo_history", receipt), "1 removed, 1 restored, 0 left\n")
        self.assertEqual([each.pieces for each in Bake.objects.all()], [24])
        self.assertEqual(Usage.objects.count(), 1)

    def test_an_undo_leaves_what_was_changed_in_django(self) -> None:
        receipt = self.folder / "receipt.jsonl"
        self.import_bakes(bake(1), bake(2), receipt=receipt)
        Bake.objects.filter(pk=uuid.UUID(int=2)).update(remarks="Sold out")
        self.assertIn("1 removed, 0 restored, 2 left\n", self.run_command("undo_history", receipt))
        self.assertEqual([each.remarks for each in Bake.objects.all()], ["Sold out"])

    def test_it_refuses_to_be_used_in_a_transaction_of_djangos(self) -> None:
        with transaction.atomic(), self.assertRaisesMessage(RuntimeError, "a connection of its own"):
            history()

    @override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=10)
    def test_a_download_can_be_uploaded_again(self) -> None:
        self.import_bakes(bake())
        self.client.force_login(User.objects.create_superuser("ada"))
        downloaded = b"".join(self.client.get("/history.jsonl"))
        self.assertEqual(json.loads(downloaded.splitlines()[2])["bake"]["cost"], "5.25")
        Bake.objects.all().delete()
        for options, count in (({"dry_run": "on"}, 0), ({}, 1)):
            file = SimpleUploadedFile("history.jsonl", downloaded)
            response = self.client.post("/history/upload", {"file": file, **options})
            self.assertEqual((response.status_code, response.json()["imported"]), (200, 1))
            self.assertEqual(Bake.objects.count(), count)

    def test_an_upload_that_is_no_history_is_refused(self) -> None:
        self.client.force_login(User.objects.create_superuser("ada"))
        for content, status in ((b"[]", 422), (document(bake(cost="x")), 422)):
            response = self.client.post("/history/upload", {"file": SimpleUploadedFile("x", content)})
            self.assertEqual(response.status_code, status)
            self.assertTrue(response.json()["problems"])
        self.assertEqual(self.client.post("/history/upload").status_code, 400)

    def test_only_those_who_may_see_bakes_download_them(self) -> None:
        self.client.force_login(User.objects.create_user("eve"))
        self.assertEqual(self.client.get("/history.jsonl").status_code, 403)
        self.assertEqual(self.client.post("/history/upload").status_code, 403)
