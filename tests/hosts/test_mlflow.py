"""MLflow: experiments and their runs, with all that is logged for them, as its tracking store keeps them.

MLflow's clients show the numbers of experiments, and paths contain them: so they travel, and the targets
are stores of their own. Times are integers of milliseconds. A new store has an experiment, "Default":
imports update it.
"""

from __future__ import annotations

import itertools
import json
import uuid

import pytest
from marshmallow.fields import Nested

import histio
from histio import Epoch, Integer, Slug, Text, testing
from tests.hosts.journey import Host, move_by_scaffold, move_with_catalog, need, travel

need("mlflow.store.tracking.sqlalchemy_store", "mlflow.entities")

from mlflow.entities import (
    Dataset,
    DatasetInput,
    ExperimentTag,
    InputTag,
    LoggedModelParameter,
    LoggedModelTag,
    Metric,
    Param,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore


class ExperimentTagSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = models.SqlExperimentTag, "key"


class ExperimentSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = models.SqlExperiment, "experiment", "experiments"
        timestamp, identity = None, "experiment_id"
        exclude = ("trace_infos", "scorers")  # not used here

    experiment_id = Integer(required=True)
    creation_time = Epoch(unit="ms", allow_none=True)
    last_update_time = Epoch(unit="ms", allow_none=True)
    tags = Nested(ExperimentTagSchema, many=True)


# In docs/how-to/recipes.md:
class MetricSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.SqlMetric
        order = ("key", "timestamp", "step", "value", "is_nan")

    timestamp = Epoch(unit="ms", required=True)


# So far docs/how-to/recipes.md.


class LatestMetricSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = models.SqlLatestMetric, "key"

    timestamp = Epoch(unit="ms", required=True)


class ParamSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = models.SqlParam, "key"


class TagSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = models.SqlTag, "key"


class RunSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = models.SqlRun, "run", "runs"
        timestamp, identity = None, "run_uuid"
        exclude = ("issues",)  # not used here

    run_uuid = Text(required=True)
    start_time = Epoch(unit="ms", allow_none=True)
    end_time = Epoch(unit="ms", allow_none=True)
    deleted_time = Epoch(unit="ms", allow_none=True)
    experiment = Slug("experiment", key="experiment_id", required=True)
    metrics = Nested(MetricSchema, many=True)
    latest_metrics = Nested(LatestMetricSchema, many=True)
    params = Nested(ParamSchema, many=True)
    tags = Nested(TagSchema, many=True)


class DatasetSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = models.SqlDataset, "dataset", "datasets"
        timestamp, identity = None, ("experiment", "name", "digest")

    experiment = Slug("experiment_id", key="experiment_id", required=True)
    name = Text(required=True)
    digest = Text(required=True)


class InputTagSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = models.SqlInputTag, "name"


class InputSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = models.SqlInput, "input", "inputs"
        timestamp, identity = None, "input_uuid"

    input_uuid = Text(required=True)
    tags = Nested(InputTagSchema, many=True)


class ModelParamSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = models.SqlLoggedModelParam, "param_key"

    experiment = Slug("experiment_id", key="experiment_id", required=True)


class ModelTagSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = models.SqlLoggedModelTag, "tag_key"

    experiment = Slug("experiment_id", key="experiment_id", required=True)


class ModelMetricSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.SqlLoggedModelMetric
        order = ("metric_name", "metric_timestamp_ms", "metric_step", "run")

    metric_timestamp_ms = Epoch(unit="ms", required=True)
    experiment = Slug("experiment_id", key="experiment_id", required=True)
    run = Slug("run_id", key="run_uuid", required=True)


class ModelSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = models.SqlLoggedModel, "logged_model", "logged_models"
        timestamp, identity = None, "model_id"

    model_id = Text(required=True)
    creation_timestamp_ms = Epoch(unit="ms", required=True)
    last_updated_timestamp_ms = Epoch(unit="ms", required=True)
    experiment = Slug("experiment", key="experiment_id", required=True)
    params = Nested(ModelParamSchema, many=True)
    tags = Nested(ModelTagSchema, many=True)
    metrics = Nested(ModelMetricSchema, many=True)


NUMBERS = itertools.count(1)
START = 1700000000123


def opened(url):
    return SqlAlchemyStore(url, "artifacts")


def create(url):
    return opened(url).engine


def fill(url):
    store = opened(url)
    numbers = [
        store.create_experiment(name, tags=[ExperimentTag("Ä", "b")]) for name in ("first", " second\n")
    ]
    runs = [
        store.create_run(number, "ann", START + place, [], f"run {place}")
        for place, number in enumerate(numbers * 2)
    ]
    first, second, third, _ = (run.info.run_id for run in runs)
    values = (1.5, 0.1, float("nan"), float("inf"), 1e-300)
    metrics = [Metric("loss", value, START + step // 2, step) for step, value in enumerate(values)]
    store.log_batch(
        first, metrics, [Param("rate", "0,1"), Param("note", " a\tb\n")], [RunTag("text", "ü" * 5000)]
    )
    store.log_batch(second, metrics[:1], [], [])
    dataset = Dataset("wine", "abc123", "local", "file:wine.csv", '{"columns": []}', "{}")
    store.log_inputs(first, [DatasetInput(dataset, [InputTag("context", "training")])])
    model = store.create_logged_model(
        numbers[0], "model", first, [LoggedModelTag("stage", "test")], [LoggedModelParameter("depth", "3")]
    )
    store.log_batch(first, [Metric("accuracy", 0.5, START, 1, model_id=model.model_id)], [], [])
    store.update_run_info(second, RunStatus.FINISHED, START + 10, "renamed")
    store.delete_run(third)
    store.delete_experiment(numbers[1])
    store.engine.dispose()


def seen(url):
    store = opened(url)
    experiments = store.search_experiments(ViewType.ALL, order_by=["experiment_id"])
    found = [see(store, experiment) for experiment in experiments]
    store.engine.dispose()
    return found


def see(store, experiment):
    number = experiment.experiment_id
    runs = store.search_runs([number], "", ViewType.ALL, order_by=["start_time", "run_id"])
    return {
        "experiment": dict(experiment),
        "runs": [run.to_dictionary() for run in runs],
        "metrics": [
            metric.to_dictionary()
            for run in runs
            for name in sorted(run.data.metrics)
            for metric in store.get_metric_history(run.info.run_id, name)
        ],
        "models": [model.to_dictionary() for model in store.search_logged_models([number])],
    }


HOST = Host(
    kinds=(ExperimentSchema, RunSchema, DatasetSchema, InputSchema, ModelSchema),
    create=create,
    fill=fill,
    seen=seen,
    options={"on_duplicate": "update"},
)


@pytest.fixture(scope="module")
def stops(new_database, tmp_path_factory):
    yield from travel(HOST, new_database, tmp_path_factory.mktemp("mlflow"))


def test_everything_arrives_everywhere(stops):
    for stop in stops[1:]:
        kinds = {name: count.imported for name, count in stop.report.by_kind.items()}
        assert kinds == {"experiment": 2, "run": 4, "dataset": 1, "input": 1, "logged_model": 1}
        assert (stop.report.updated, stop.report.problems) == (1, ())


def test_every_database_exports_the_same(stops):
    assert {stop.file for stop in stops} == {stops[0].file}


def test_experiments_runs_and_models_are_the_same_to_mlflow_everywhere(stops):
    assert "NaN" in stops[0].seen
    for stop in stops:
        assert stop.seen == stops[0].seen


def new_rows():
    """An experiment, and runs of it."""
    number = next(NUMBERS)
    yield (experiment := models.SqlExperiment(name=f"{number} of the kit", experiment_id=1000 + number))
    for place in NUMBERS:
        run = models.SqlRun(run_uuid=uuid.uuid4().hex, experiment=experiment, name=f"run {place}")
        run.metrics = [
            models.SqlMetric(key="m", value=step / 3, timestamp=START, step=step) for step in (2, 1)
        ]
        run.params = [models.SqlParam(key=key, value=key) for key in ("b", "a")]
        yield run


def make_runs(session, count):
    session.add_all(itertools.islice(new_rows(), count))


def test_the_binding_keeps_what_histio_promises(stops):
    for stop in stops[1:3]:  # SQLite, the fastest, is left to the tests of the kit
        testing.check_host(stop.history, make_runs=make_runs)


def test_what_histio_scaffolds_moves_everything(stops, new_database):
    runs = (models.SqlExperiment, models.SqlRun, models.SqlLoggedModel)
    inputs = (models.SqlDataset, models.SqlInput, models.SqlInputTag)
    move_by_scaffold(HOST, stops[0], new_database, *runs, *inputs)


def without_numbers(found):
    return {name: value for name, value in found.items() if name != "experiment_id"}


def used(text):
    """What clients see of experiments with runs. By their names, which a scaffold takes for their keys, they
    get new numbers.
    """
    found = json.loads(text, object_hook=without_numbers)
    with_runs = (each for each in found if each["runs"])
    return json.dumps(sorted(with_runs, key=lambda each: each["experiment"]["name"]))


def test_runs_and_models_take_their_experiments_along(stops, new_database):
    runs = (models.SqlRun, models.SqlLoggedModel)
    inputs = (models.SqlDataset, models.SqlInput, models.SqlInputTag)
    for _, there in move_with_catalog(HOST, stops[0], new_database, *runs, *inputs):
        assert used(there) == used(stops[0].seen)


def test_mlflow_goes_on_where_the_history_arrived(stops):
    for stop in stops:
        store = opened(stop.url)
        number = store.create_experiment("new")
        assert int(number) > 2
        run = store.create_run(number, "bob", START, [], "new")
        store.log_metric(run.info.run_id, Metric("loss", 1.0, START, 0))
        assert store.get_run(run.info.run_id).data.metrics == {"loss": 1.0}
        store.engine.dispose()
