"""Exports and imports in parts by a Dask cluster, and in an object store."""

from __future__ import annotations

import json

import pytest

from histio import History, inspect_file, merge
from histio.files.manifest import MANIFEST
from tests.support.bakery import document, production_run
from tests.support.part_victims import make_victim
from tests.support.streams import MOMENT

distributed = pytest.importorskip("distributed")
moto_server = pytest.importorskip("moto.server")
s3fs = pytest.importorskip("s3fs")

RUNS = 12


@pytest.fixture(scope="module")
def victims(tmp_path_factory):
    """A folder with modules that all processes find which are started from now on."""
    folder = tmp_path_factory.mktemp("victims")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture(scope="module")
def executor(victims):
    """The executor of a cluster of two processes."""
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.fixture
def url(engine):
    History(engine).import_document(document(*map(production_run, range(RUNS))))
    return engine.url.render_as_string(hide_password=False)


def whole(url, path):
    with History(url) as history:
        history.export_file(path, exported_at=MOMENT)
    return path.read_bytes()


def test_the_workers_of_a_cluster_write_the_parts(url, tmp_path, executor):
    with History(url) as history:
        report = history.export_parts(tmp_path / "out", parts=4, executor=executor, exported_at=MOMENT)
    merge([tmp_path / "out"], tmp_path / "merged.jsonl")
    assert report.exported == RUNS
    assert (tmp_path / "merged.jsonl").read_bytes() == whole(url, tmp_path / "whole.jsonl")


def test_a_worker_of_a_cluster_may_be_killed(url, tmp_path, monkeypatch, executor, victims):
    victim = make_victim(victims, url, monkeypatch, after=12, mark=tmp_path / "killed")
    report = victim.export_parts(tmp_path / "out", parts=4, executor=executor, exported_at=MOMENT)
    assert (tmp_path / "killed").exists()
    merge([tmp_path / "out"], tmp_path / "merged.jsonl")
    assert report.exported == RUNS
    assert (tmp_path / "merged.jsonl").read_bytes() == whole(url, tmp_path / "whole.jsonl")


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_the_workers_of_a_cluster_import_the_parts_even_if_one_is_killed(
    url, other_engine, tmp_path, monkeypatch, executor, victims
):
    with History(url) as history:
        history.export_parts(tmp_path / "out", parts=4, jobs=1)
        expected = history.export_document()
    other = other_engine.url.render_as_string(hide_password=False)
    victim = make_victim(victims, other, monkeypatch, after=20, mark=tmp_path / "killed")
    report = victim.import_parts(tmp_path / "out", executor=executor)
    assert (tmp_path / "killed").exists()
    assert (report.imported + report.skipped, report.rejected) == (RUNS, 0)
    assert victim.export_document()["production_runs"] == expected["production_runs"]


@pytest.fixture
def bucket(monkeypatch):
    """The URL of a bucket in an object store."""
    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in options.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("history")
    yield "s3://history"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_parts_are_written_to_an_object_store(url, tmp_path, bucket):
    folder = f"{bucket}/exports/today"
    store = s3fs.S3FileSystem()
    store.pipe_file("history/exports/today/part-00002.0123456789abcdef.tmp", b"of an export that was killed")
    with History(url) as history:
        report = history.export_parts(folder, parts=2, jobs=2, exported_at=MOMENT)
        with pytest.raises(FileExistsError, match=MANIFEST):
            history.export_parts(folder)
        history.export_parts(folder, parts=2, jobs=1, exported_at=MOMENT, overwrite=True)
    store.invalidate_cache()
    names = sorted(path.rpartition("/")[2] for path in store.ls("history/exports/today"))
    assert names == [MANIFEST, "part-00000.jsonl.zst", "part-00001.jsonl.zst"]
    assert json.loads(store.cat(f"history/exports/today/{MANIFEST}"))["sha256"] == report.sha256
    merge([folder], tmp_path / "merged.jsonl")
    assert (tmp_path / "merged.jsonl").read_bytes() == whole(url, tmp_path / "whole.jsonl")
    with History(url) as history:
        assert history.import_parts(folder, on_duplicate="verify").skipped == RUNS
    store.rm_file("history/exports/today/part-00001.jsonl.zst")
    [problem] = inspect_file(folder).problems
    assert (problem.code, problem.file) == ("truncated", "part-00001.jsonl.zst")
