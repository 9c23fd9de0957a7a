"""Several files in one import: what belongs together goes in together, and every file is named."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
import zstandard
from sqlalchemy.orm import Session

from histio import Counts, DocumentError, History
from histio.files import Limits
from histio.files.several import open_files
from histio.models import AssemblyRun, Recipe
from tests.support import shop
from tests.support.bakery import assembly_run, document, number, production_run
from tests.support.books import InvoiceSchema, LedgerBase, SaleSchema, books
from tests.support.jobs import UPGRADES
from tests.support.reports import outcomes, rows
from tests.support.streams import document_of, line, piped, run_lines, sealed, stream_of, text_of, unsealed

EMPTY = sealed()


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Write files by name into the working directory; returns their names."""
    monkeypatch.chdir(tmp_path)

    def write(**contents):
        for name, data in contents.items():
            (tmp_path / name).write_bytes(data)
        return list(contents)

    return write


def runs(*numbers, **members):
    return [line("production_run", production_run(n, **members)) for n in numbers]


def digest(data):
    """The sha256 that the trailer of a stream states."""
    return json.loads(data.splitlines()[-1])["trailer"]["sha256"]


def following(data, *lines, by_header=False):
    """A stream of *lines* that follows the one in *data*."""
    names = {"follows": digest(data)} | ({"follows_header": header_digest(data)} if by_header else {})
    return sealed(*lines, header=line("header", {"version": "1.0", **names}))


def header_digest(data):
    """The header_sha256 that the trailer of a stream states."""
    return json.loads(data.splitlines()[-1])["trailer"]["header_sha256"]


def order_of(report):
    """The files of an import, in the order in which they were read, where each has one rejected run."""
    return [problem.file for problem in report.problems]


def places(problems):
    return [(problem.file, problem.line, problem.pointer) for problem in problems]


# --- one import ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("commit_every", [None, 1, 3, 100])
@pytest.mark.cells(1)
def test_files_of_every_form_are_one_import(engine, put, commit_every):
    wholes = [document(production_run(n), assembly=[assembly_run(n)]) for n in range(6)]
    names = put(
        a=stream_of(wholes[0]),
        b=gzip.compress(document_of(wholes[1])),
        c=json.dumps(wholes[2], indent=1).encode(),
        d=zstandard.compress(unsealed(*run_lines(wholes[3]))),
    )
    history, seen = History(engine), []
    with piped(stream_of(wholes[5])) as pipe:
        files = [*names, io.BytesIO(stream_of(wholes[4])), pipe]
        report = history.import_file(files, commit_every=commit_every, progress=seen.append)
    assert (outcomes(report), report.problems, report.warnings) == ((12, 0, 0), (), ())
    assert report.by_kind == {"production_run": Counts(imported=6), "assembly_run": Counts(imported=6)}
    assert rows(engine) == rows(engine, AssemblyRun) == 6
    assert (seen[-1].phase, seen[-1].runs, seen[-1].total_bytes) == ("import", 12, None)


def test_progress_is_that_of_all_files(sqlite, put):
    names = put(a=sealed(*runs(1, 2)), b=zstandard.compress(sealed(*runs(3))), c=sealed(*runs(4)))
    seen = []
    History(sqlite).import_file(names, commit_every=2, progress=seen.append)
    size = sum(Path(name).stat().st_size for name in names)
    last = {each.phase: (each.runs, each.bytes, each.total, each.total_bytes) for each in seen}
    assert last == {"verify": (4, size, None, size), "import": (4, size, 4, size)}


def test_a_list_of_one_file_is_that_file(sqlite, put):
    [name] = put(a=unsealed(*runs(1, recipe_slug="gone")))
    history = History(sqlite)
    assert history.import_file([name]) == history.import_file(name)
    assert history.import_file(iter([name])).problems[0].file is None


@pytest.mark.parametrize("files", [[], (), iter([])])
def test_no_files_are_an_error(sqlite, files):
    with pytest.raises(ValueError, match="there are no files"):
        History(sqlite).import_file(files)


@pytest.mark.parametrize("wrong", [5, b"a", [5], [b"a"], [["a"]], {"a": 1, "b": 2}.items()])
def test_what_is_no_file_is_an_error(sqlite, wrong):
    with pytest.raises(TypeError, match="pass a path, a URL or an open binary file"):
        History(sqlite).import_file(wrong)


def test_standard_input_is_one_of_them(sqlite, put, monkeypatch):
    names = put(a=sealed(*runs(1)))
    with piped(sealed(*runs(2))) as pipe:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(pipe))
        assert outcomes(History(sqlite).import_file([*names, "-"])) == (2, 0, 0)


@pytest.mark.parametrize(
    "files",
    [
        ["a", "b", "./a"],
        ["a", "link"],
        ["-", "b", "-"],
        ["file://a", "a"],
        ["memory://a", "b", "memory://a"],
        [io.BytesIO(EMPTY)] * 2,
    ],
)
def test_the_same_file_twice_is_an_error(sqlite, put, tmp_path, monkeypatch, files):
    put(a=EMPTY, b=EMPTY)
    (tmp_path / "link").symlink_to("a")
    monkeypatch.setattr(sys, "stdin", io.BytesIO(EMPTY))
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://a", "wb") as file:
        file.write(EMPTY)
    with pytest.raises(ValueError, match="two of the files are the same: "):
        History(sqlite).import_file(files)


# --- all or nothing ------------------------------------------------------------------------------------

LONG = sealed(*runs(*range(100, 200)))
DAMAGED = {
    "cut off": (LONG[:-300], "truncated"),
    "without its trailer": (LONG[: LONG.rindex(b"\n", 0, -1) + 1], "truncated"),
    "changed": (LONG.replace(b'"actual_yield":92', b'"actual_yield":93', 1), "corrupt"),
    "a compressed one that is cut off": (zstandard.compress(LONG)[:-9], "truncated"),
    "a document that is cut off": (document_of(document(production_run(9)))[:-20], "truncated"),
    "empty": (b"", "truncated"),
    "no history": (b"nonsense\n", "schema"),
    "an archive": (b"PK\x03\x04", "schema"),
    "of another version": (sealed(header=line("header", {"version": "9.9"})), "version"),
    "of another kind": (sealed(header=line("header", {"version": "1.0", "kinds": ["cake"]})), "schema"),
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.turns
def test_if_one_file_is_damaged_nothing_is_imported_and_it_is_named(engine, put, damage):
    data, code = DAMAGED[damage]
    for place, commit_every in itertools.product(range(3), (None, 1)):
        others = [sealed(*runs(1)), document_of(document(production_run(2)))]
        others.insert(place, data)
        names = put(**dict(zip("abc", others, strict=True)))
        with pytest.raises(DocumentError, match=f"  {names[place]}[:,] ") as caught:
            History(engine).import_file(names, commit_every=commit_every)
        assert {(each.file, each.code) for each in caught.value.problems} == {(names[place], code)}
    assert rows(engine) == 0


def test_a_missing_file_is_an_error_before_anything_is_read(sqlite, put):
    with pytest.raises(FileNotFoundError) as caught:
        History(sqlite).import_file([*put(a=sealed(*runs(1))), "b"])
    assert caught.value.filename == "b"
    assert rows(sqlite) == 0


def test_what_is_damaged_can_be_imported_up_to_the_damage(sqlite, put):
    whole, cut = sealed(*runs(1)), sealed(*runs(2, 3))
    names = put(
        a=cut[: cut.index(b"\n", 400) + 1],
        b=whole,
        c=LONG.replace(b'"actual_yield":92', b'"actual_yield":93'),
    )
    report = History(sqlite).import_file(names, allow_truncated=True)
    assert (outcomes(report), report.truncated) == ((102, 0, 0), True)
    assert [(warning.file, warning.code) for warning in report.warnings] == [
        ("a", "truncated"),
        ("c", "corrupt"),
    ]


def test_sealed_asks_it_of_every_file(sqlite, put):
    with pytest.raises(DocumentError, match="b, line 1: /header/sealed: b is not sealed"):
        History(sqlite).import_file(put(a=EMPTY, b=unsealed()), sealed=True)


def test_the_limit_of_bytes_is_that_of_each_file(sqlite, put):
    names = put(a=sealed(*runs(1)), b=sealed(*runs(2)))
    history = History(sqlite)
    size = len(sealed(*runs(1)))
    with pytest.raises(DocumentError, match=f"b, .*b is longer than max_bytes = {size}"):
        history.import_file([*names[:1], *put(b=sealed(*runs(2, 3)))], max_bytes=size)
    assert outcomes(history.import_file(put(b=sealed(*runs(2))) + names[:1], max_bytes=size)) == (2, 0, 0)


def test_one_rejected_run_of_any_file_withholds_those_of_all(sqlite, put):
    names = put(a=sealed(*runs(1)), b=sealed(*runs(2, recipe_slug="gone")), c=sealed(*runs(3)))
    report = History(sqlite).import_file(names, atomic=True)
    assert (outcomes(report), report.withheld, rows(sqlite)) == ((0, 0, 1), 2, 0)


@pytest.mark.cells(1)
def test_after_an_interruption_the_same_call_goes_on(engine, put):
    names = put(a=sealed(*runs(1, 2, 3)), b=document_of(document(production_run(4), production_run(5))))

    @sa.event.listens_for(engine, "before_cursor_execute")
    def interrupt(_connection, _cursor, statement, *_):
        if "INSERT INTO production_runs" in statement and next(written) == 3:
            raise InterruptedError

    written = itertools.count()
    with pytest.raises(InterruptedError):
        History(engine).import_file(names, commit_every=1)
    sa.event.remove(engine, "before_cursor_execute", interrupt)
    assert rows(engine) == 3
    report = History(engine).import_file(names, commit_every=2)
    assert (report.imported, report.skipped) == (2, 3)


@pytest.mark.parametrize("commit_every", [None, 1])
def test_the_receipt_is_that_of_all_files(sqlite, put, commit_every):
    names = put(a=sealed(*runs(1)), b=sealed(*runs(2, 3)))
    history = History(sqlite)
    with pytest.raises(ValueError, match="receipt: must be a file of its own"):
        history.import_file(["a", *put(**{"b.jsonl": EMPTY})], receipt="b.jsonl")
    assert history.import_file(names, receipt="c.jsonl", commit_every=commit_every).imported == 3
    assert history.undo("c.jsonl").removed == 3


@pytest.mark.parametrize("name", ["a", "b"])
def test_rejects_do_not_replace_a_file_if_the_import_may_be_rolled_back(sqlite, put, name):
    names = put(a=EMPTY, b=EMPTY)
    with pytest.raises(ValueError, match="rejects: cannot be the file itself"):
        History(sqlite).import_file(names, rejects=name, dry_run=True)


def test_rejects_may_replace_one_of_the_files_after_a_commit(sqlite, put):
    [good, bad] = [*runs(1), *runs(2, recipe_slug="gone")]
    names = put(**{"a.jsonl": unsealed(good), "b.jsonl": unsealed(good, bad)})
    assert outcomes(History(sqlite).import_file(names, rejects="b.jsonl")) == (1, 1, 1)
    assert [problem.line for problem in History(sqlite).import_file("b.jsonl").problems] == [2]


# --- what is said about them ---------------------------------------------------------------------------


def test_problems_warnings_and_rejects_name_their_file(sqlite, put, tmp_path):
    bad = production_run(3, recipe_slug="gone", consumptions=[])
    names = put(
        b=unsealed(*runs(1), b"nonsense\n", line("production_run", bad)),
        a=document_of(document(production_run(2), bad, production_run(4, num_batches=0))),
        c=unsealed(*runs(5, finished_unit_slug="loaf")),
    )
    report = History(sqlite).import_file(
        names, rejects=tmp_path / "rejects.jsonl", rename={"recipe_slug": {"gone": "absent"}}
    )
    assert outcomes(report) == (3, 0, 4)
    assert places(report.problems) == [
        ("b", 2 + 1, ""),
        ("b", 4, "/production_run/recipe_slug"),
        ("a", None, "/production_runs/1/recipe_slug"),
        ("a", None, "/production_runs/2/num_batches"),
    ]
    assert places(report.warnings) == [("c", 2, "/production_run/finished_unit_slug")]
    assert list(map(str, report.problems))[1:3] == [
        "b, line 4: /production_run/recipe_slug: Recipe not found: absent",
        "a: /production_runs/1/recipe_slug: Recipe not found: absent",
    ]
    assert [(use.file, use.line) for use in report.renamed] == [("b", 4), ("a", None)]
    _, *kept = map(json.loads, (tmp_path / "rejects.jsonl").read_bytes().splitlines())
    assert sorted(each["problems"][0]["file"] for each in kept) == ["a", "a", "b", "b"]


def test_files_of_the_same_name_get_a_number(sqlite):
    bad = unsealed(*runs(1, recipe_slug="gone"))
    report = History(sqlite).import_file([io.BytesIO(bad), io.BytesIO(bad), io.BytesIO(bad)])
    assert order_of(report) == ["the file", "the file (2)", "the file (3)"]


def test_secrets_of_urls_are_in_no_name(sqlite):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://me:secret@one", "wb") as file:
        file.write(unsealed(b"nonsense\n"))
    report = History(sqlite).import_file(["memory://me:secret@one", io.BytesIO(EMPTY)])
    assert order_of(report) == ["memory://one"]


def test_problems_are_in_the_order_of_the_files_even_if_runs_wait(sqlite_of, put):
    history = History(sqlite_of(LedgerBase.metadata), SaleSchema, InvoiceSchema)
    given = books()
    invoice = line("invoice", given["invoices"][0])
    names = put(a=unsealed(invoice), b=unsealed(b"nonsense\n"), c=unsealed(line("sale", given["sales"][0])))
    report = history.import_file(names)
    assert order_of(report) == ["a", "b"]


# --- runs of several files -----------------------------------------------------------------------------


@pytest.mark.parametrize("commit_every", [None, 1])
def test_runs_may_refer_to_runs_of_earlier_and_later_files(create, put, commit_every):
    history = History(create(LedgerBase.metadata), SaleSchema, InvoiceSchema)
    given = books()
    names = put(
        a=unsealed(line("sale", given["sales"][0])),
        b=json.dumps(given | {"sales": []}).encode(),
        c=unsealed(line("sale", given["sales"][1])),
    )
    assert outcomes(history.import_file(names, commit_every=commit_every)) == (3, 0, 0)
    assert history.export_document()["invoices"] == given["invoices"]


def test_a_hint_names_the_file_that_has_a_rejected_run(sqlite_of, put):
    history = History(sqlite_of(LedgerBase.metadata), SaleSchema, InvoiceSchema)
    given = books()
    late = [sale | {"sold_at": "late"} for sale in given["sales"]]
    names = put(
        a=unsealed(*(line("sale", sale) for sale in late)), b=unsealed(line("invoice", given["invoices"][0]))
    )
    hints = {problem.hint for problem in history.import_file(names).problems if problem.kind == "invoice"}
    assert hints == {"a, line 2 has it, but is rejected", "a, line 3 has it, but is rejected"}


@pytest.mark.parametrize(
    ("on_duplicate", "end", "stored"),
    [("skip", Counts(imported=1, skipped=1), 92), ("update", Counts(imported=1, updated=1), 90)],
)
@pytest.mark.turns
def test_a_run_of_two_files_is_a_duplicate_as_within_one(engine, put, on_duplicate, end, stored):
    names = put(a=sealed(*runs(1)), b=sealed(*runs(1, actual_yield=90)))
    report = History(engine).import_file(names, on_duplicate=on_duplicate)
    assert report.by_kind["production_run"] == end
    [warning] = report.warnings
    assert (warning.file, warning.code) == ("b", "duplicate-in-document")
    [run] = History(engine).iter_runs("production_run")
    assert run["actual_yield"] == stored


def test_only_the_chosen_kinds_of_every_file_are_imported(sqlite, put):
    names = put(
        a=stream_of(document(production_run(1), assembly=[assembly_run(1)])),
        b=document_of(document(production_run(2), assembly=[assembly_run(2)])),
    )
    assert outcomes(History(sqlite).import_file(names, kinds="assembly_run")) == (2, 0, 0)
    assert rows(sqlite) == 0


@pytest.mark.parametrize(("catalog", "end"), [("create", "Cookies"), ("update", "Biscuits")])
def test_the_catalogs_of_all_files_go_in_before_the_runs(databases, put, catalog, end):
    engine = databases("sqlite")
    flour, cookie = {"slug": "flour", "display_name": "Flour"}, {"slug": "cookie", "display_name": "Cookie"}
    documents = [
        document(production_run(n))
        | {"ingredients": [flour], "recipes": [{"slug": "cookies", "name": name}]}
        | {"finished_units": units}
        for n, name, units in [(1, "Cookies", []), (2, "Biscuits", [cookie | {"recipe_slug": "cookies"}])]
    ]
    names = put(**dict(zip("ab", map(text_of, documents), strict=True)))
    report = History(engine).import_file(names, catalog=catalog)
    assert (outcomes(report), report.warnings) == ((2, 0, 0), ())
    with Session(engine) as session:
        assert session.scalars(sa.select(Recipe.name)).all() == [end]


# --- versions ------------------------------------------------------------------------------------------


@pytest.fixture
def orders_of(sqlite_of):
    engine = sqlite_of(shop.Base.metadata, *shop.catalog())
    return History(engine, shop.OrderSchema, values={"shop_id": 7}, version="2.1", upgrades=UPGRADES)


def an_order(n, version, **members):
    """The record of an order in this version of the format, without ledgers."""
    record = shop.order(n, lines=[], shipment=None, colour="RED" if version == "2.1" else "red") | members
    if version == "1.0":
        del record["total"], record["weight"]
        record["dollars"] = 5
    return record


def orders_in(version, *records):
    """An unsealed stream of orders."""
    header = line("header", {"version": version, "sealed": False})
    return header + b"".join(line("order", record) for record in records)


def test_files_may_have_different_versions(orders_of, put):
    names = put(
        a=orders_in("1.0", an_order(1, "1.0", parent=number(3)), an_order(2, "1.0")),
        b=text_of(shop.orders(an_order(3, "1.5")) | {"version": "1.5"}),
        c=orders_in("2.1", an_order(4, "2.1", parent=number(1))),
    )
    assert outcomes(orders_of.import_file(names)) == (4, 0, 0)
    stored = {run["uuid"]: run for run in orders_of.iter_runs("order")}
    assert [(run["colour"], run["weight"], run["parent"]) for run in stored.values()] == [
        ("RED", 1.5, number(3)),
        ("RED", 1.5, None),
        ("RED", 0.1, None),
        ("RED", 0.1, number(1)),
    ]


def read_rejects(path):
    """The version of rejects, and their lines without the problems."""
    header, *lines = map(json.loads, path.read_bytes().splitlines())
    return header["header"]["version"], [(each.pop("problems"), each)[1] for each in lines]


def test_rejects_of_one_older_version_are_as_they_were_read(orders_of, put, tmp_path):
    records = [an_order(n, "1.0", customer="gone") for n in (1, 2)]
    names = put(a=orders_in("1.0", records[0]), b=orders_in("1.0", records[1]))
    orders_of.import_file(names, rejects=tmp_path / "rejects.jsonl")
    assert read_rejects(tmp_path / "rejects.jsonl") == ("1.0", [{"order": record} for record in records])


def test_rejects_of_several_versions_are_upgraded_so_that_one_file_can_hold_them(orders_of, put, tmp_path):
    path = tmp_path / "rejects.jsonl"
    blue = an_order(3, "1.5", colour="blue")
    names = put(
        a=orders_in("1.0", an_order(1, "1.0", customer="gone")),
        b=orders_in("2.1", an_order(2, "2.1", customer="gone")),
        c=orders_in("1.5", blue),
    )
    assert outcomes(orders_of.import_file(names, rejects=path)) == (0, 0, 3)
    version, kept = read_rejects(path)
    assert version == "2.1"
    [unreadable] = [json.loads(each["unreadable"]) for each in kept if "unreadable" in each]
    assert unreadable == {"order": blue}
    upgraded = an_order(1, "2.1", customer="gone", total="5.00", weight=1.5)
    assert [each["order"] for each in kept if "order" in each] == [
        upgraded,
        an_order(2, "2.1", customer="gone"),
    ]
    path.write_text(path.read_text().replace("gone", "acme"))
    assert outcomes(orders_of.import_file(path)) == (2, 0, 1)


# --- the order of files --------------------------------------------------------------------------------


def chain(*names):
    """Streams by name, each of which follows the one before it, with a run that is rejected."""
    files, last = {}, EMPTY
    for place, name in enumerate(names, 1):
        [rejected] = runs(place, recipe_slug="gone")
        last = files[name] = following(last, rejected)
    return files


ORDERS = [
    ("abcd", "abcd", "abcd"),
    ("abcd", "dcba", "abcd"),
    ("abcd", "dbca", "abcd"),
    ("abcd", "cab", "abc"),
    ("abcd", "cd", "cd"),
    ("abcd", "dac", "acd"),
    ("abcd", "ca", "ca"),  # what is between them is not there
]


@pytest.mark.parametrize(("follow", "given", "read"), ORDERS)
def test_a_file_is_read_after_the_one_that_it_follows(sqlite, put, follow, given, read):
    files = chain(*follow)
    names = put(**{name: files[name] for name in given})
    assert order_of(History(sqlite).import_file(names)) == list(read)


@pytest.mark.parametrize("commit_every", [None, 1])
@pytest.mark.parametrize("form", [bytes, gzip.compress, zstandard.compress, b"\xef\xbb\xbf".__add__])
def test_the_digest_of_a_predecessor_is_known_in_every_form(sqlite, put, form, commit_every):
    files = chain("a", "b")
    put(b=files["b"])
    with piped(form(files["a"])) as pipe:
        report = History(sqlite).import_file(["b", pipe], commit_every=commit_every)
    assert [line for _, line, _ in places(report.problems)] == [2, 2]
    assert report.problems[1].file == "b"


def test_files_that_follow_no_other_keep_their_order(sqlite, put):
    loose = {name: unsealed(*runs(n, recipe_slug="gone")) for n, name in enumerate("xyz", 10)}
    files = chain("a", "b")
    names = put(x=loose["x"], b=files["b"], y=loose["y"], a=files["a"], z=loose["z"])
    assert order_of(History(sqlite).import_file(names)) == ["x", "y", "a", "b", "z"]


def test_later_versions_of_a_run_win_in_whatever_order_the_files_are_given(sqlite, put):
    first = sealed(*runs(1, actual_yield=1))
    second = following(first, *runs(1, actual_yield=2))
    third = following(second, *runs(1, actual_yield=3))
    names = put(c=third, a=first, b=second)
    report = History(sqlite).import_file(names, on_duplicate="update")
    assert (report.imported, report.updated) == (1, 2)
    [run] = History(sqlite).iter_runs("production_run")
    assert run["actual_yield"] == 3


def test_files_without_runs_which_all_have_one_digest_are_sorted_if_that_is_clear(sqlite, put):
    [one], [two] = (runs(n, recipe_slug="gone") for n in (1, 2))
    names = put(
        a=sealed(one),
        b=following(sealed(one)),
        c=following(EMPTY),
        d=following(EMPTY, two),
        e=following(sealed(two)),
    )
    for given in (names, names[3::-1], ["d", "a", "b"]):
        assert order_of(History(sqlite).import_file(given)) == ["a", "d"]
    with pytest.raises(
        ValueError, match=r"in a circle: .*; files without runs look the same, so pass them in"
    ):
        History(sqlite).import_file(names[::-1])


def test_files_without_runs_whose_headers_are_named_are_sorted(sqlite, put):
    [one], [two] = (runs(n, recipe_slug="gone") for n in (1, 2))
    whole = sealed(one)
    files = [whole, following(whole)]
    for _ in range(2):
        files.append(following(files[-1], by_header=True))
    files.append(following(files[-1], two, by_header=True))
    names = put(**dict(zip("abcde", files, strict=True)))
    bound = History(sqlite).bound
    for given in itertools.permutations(names):
        report = History(sqlite).import_file(given, dry_run=True)
        assert order_of(report) == ["a", "e"]
        with open_files(given, bound.gate, bound.all_kinds, Limits()) as opened:
            assert opened.names == names


def test_a_good_order_is_kept_although_a_later_file_has_the_digest_too(sqlite, put):
    [one], [two] = (runs(n, recipe_slug="gone") for n in (1, 2))
    names = put(a=EMPTY, b=following(EMPTY, one), c=following(sealed(one)), d=following(EMPTY, two))
    assert order_of(History(sqlite).import_file(names)) == ["b", "d"]


def test_a_circle_of_files_is_an_error(sqlite, put):
    ones, twos = runs(1), runs(2)
    names = put(
        a=following(sealed(*twos), *ones),
        b=following(sealed(*ones), *twos),
        c=following(sealed(*ones), *runs(3)),
    )
    with pytest.raises(ValueError, match=r"the files follow each other in a circle: (a, b|b, a);"):
        History(sqlite).import_file(["c", *names[:2]])
    assert rows(sqlite) == 0


def test_follows_is_asked_of_the_file_that_is_read_first(sqlite, put):
    files = chain("a", "b")
    names = put(b=files["b"], a=files["a"])
    history = History(sqlite)
    assert history.import_file(names, follows=digest(EMPTY)).rejected == 2
    with pytest.raises(DocumentError, match="a, line 1: /header/follows: The file follows"):
        history.import_file(names, follows=digest(files["a"]))


def test_a_trailer_that_lies_is_found_when_its_file_is_read(sqlite, put):
    first = sealed(*runs(1))
    names = put(b=following(first, *runs(2)), a=first.replace(b'"actual_yield":92', b'"actual_yield":93'))
    with pytest.raises(DocumentError, match="a, line 3: /trailer/sha256"):
        History(sqlite).import_file(names)


@pytest.mark.parametrize(
    "end", [b"", b"nonsense", b'{"trailer":5}\n', b'{"trailer":{"counts":{}}}\n', b"[" * 9_999]
)
def test_without_a_valid_trailer_the_given_order_counts(sqlite, put, end):
    [bad] = runs(1, recipe_slug="gone")
    whole = sealed(bad)
    names = put(b=following(whole, bad), a=whole[: whole.index(b'{"trailer"')] + end)
    report = History(sqlite).import_file(names, allow_truncated=True)
    assert list(dict.fromkeys(order_of(report))) == ["b", "a"]
