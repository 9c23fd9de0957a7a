"""The history over HTTP. The session is the request's, and the application says when to commit."""

from __future__ import annotations

from typing import Any

import histio
from flask import Blueprint, request

from shop.history import history
from shop.models import db

routes = Blueprint("routes", __name__)


@routes.get("/history.json")
def export_history() -> dict[str, Any]:
    """All orders and payments as one document."""
    return history.export_document()


@routes.get("/history.schema.json")
def schema_of_history() -> dict[str, Any]:
    """The JSON Schema of such documents, for whoever else reads or writes them."""
    return history.json_schema()


@routes.post("/history")
def import_history() -> tuple[dict[str, Any], int]:
    """Take in the document of the body as a whole or not at all; the report says why."""
    report = history.import_document(request.get_json(), atomic=True, dry_run="dry_run" in request.args)
    if report.rejected:
        return report.to_dict(), 422
    db.session.commit()
    return report.to_dict(), 200


@routes.errorhandler(histio.DocumentError)
def refuse(error: histio.DocumentError) -> tuple[dict[str, Any], int]:
    """Say why what came cannot be read as a document at all."""
    return {"problems": error.problems}, 400
