"""``histio schema``: the JSON Schema, as it is, for OpenAPI, and for editors."""

import fnmatch
import json
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from histio import History, cli
from histio.cli.exit_codes import ExitCode
from histio.files import choose_format
from histio.kinds.json_schema import published
from tests.support import shop

OWN = History(None, shop.OrderSchema)


@pytest.fixture
def run(capsys):
    """Runs the command with these options; returns its exit code and what it printed."""

    def run(*options):
        code = cli.main(["schema", *options])
        printed, told = capsys.readouterr()
        return code, printed + told

    return run


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], History().json_schema()),
        (["--openapi"], History().json_schema(openapi=True)),
        (["--history", f"{__name__}:OWN"], OWN.json_schema()),
        (["--history", f"{__name__}:OWN", "--openapi"], OWN.json_schema(openapi=True)),
    ],
    ids=["published", "published for OpenAPI", "own", "own for OpenAPI"],
)
def test_the_schema_is_printed_as_the_history_returns_it(run, options, expected):
    assert run(*options) == (ExitCode.DONE, json.dumps(expected, indent=2) + "\n")


def test_editors_are_told_which_file_is_the_published_schema(run):
    code, printed = run("--editor")
    assert code == ExitCode.DONE
    told = json.loads(printed)
    [setting] = told["json.schemas"]
    entry = told["schemastore"]
    assert setting == {name: entry[name] for name in ("fileMatch", "url")}
    assert entry.keys() == {"name", "description", "fileMatch", "url"}
    url = urlsplit(setting["url"])
    assert (url.scheme, json.loads(Path(url2pathname(url.path)).read_text("utf-8"))) == ("file", published())


def test_histio_writes_documents_to_files_with_the_names_that_editors_are_told(run, tmp_path):
    told = json.loads(run("--editor")[1])
    [pattern] = told["schemastore"]["fileMatch"]
    assert fnmatch.fnmatch("2025.histio.json", pattern)
    assert choose_format("2025.histio.json") == choose_format("2025.json")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--openapi", "--editor"], "--openapi cannot be combined with --editor"),
        (["--editor", "--history", f"{__name__}:OWN"], f"histio schema --history {__name__}:OWN > history."),
    ],
    ids=["two forms", "own format"],
)
def test_what_cannot_be_printed_is_a_matter_of_usage(run, options, why):
    code, told = run(*options)
    assert code == ExitCode.USAGE
    assert why in " ".join(told.split())
