"""The history over HTTP."""

import tempfile

import histio
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST, require_safe

from shop.history import history


# In docs/how-to/django.md:
@require_safe
@permission_required("shop.view_bake", raise_exception=True)
@transaction.non_atomic_requests
def download(_request: HttpRequest) -> HttpResponse:
    """All bakes, with their recipes. The file is complete before the first byte of it is sent."""
    file = tempfile.TemporaryFile()
    history().export_file(file, format="jsonl", catalog="used")
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename="history.jsonl")


@require_POST
@permission_required("shop.add_bake", raise_exception=True)
@transaction.non_atomic_requests
def upload(request: HttpRequest) -> HttpResponse:
    """Import the file of a form: all of it, or nothing. With ``dry_run``, only say what would happen."""
    if "file" not in request.FILES:
        return JsonResponse({"problems": ["choose a file"]}, status=400)
    try:
        report = history().import_file(
            request.FILES["file"].file,  # Django has put it into a temporary file if it is large
            catalog="create",
            atomic=True,
            dry_run="dry_run" in request.POST,
            max_bytes=2**30,
        )
    except histio.DocumentError as error:
        return JsonResponse({"problems": [str(problem) for problem in error.problems]}, status=422)
    return JsonResponse(report.to_dict(), status=422 if report.rejected else 200)


# So far in docs/how-to/django.md.
