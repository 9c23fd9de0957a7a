"""MLflow: experiments and their runs, with metrics, parameters, tags and inputs, as its tracking store keeps them.

Its clients show the numbers of experiments, and paths contain them: so those travel as they are, and the targets are
databases of their own. A fresh store has an experiment already, "Default": imports update it.
"""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from marshmallow.fields import Nested

import histio
from histio import Boolean, Epoch, Integer, Number, Slug, Text, testing
from tests.hosts.journey import Host, need, scaffolded, travel

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
    RunTag,
    ViewType,
)
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore


# --8<-- [start:binding]
class ExperimentTagSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = models.SqlExperimentTag, "key"


class ExperimentSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = models.SqlExperiment, "experiment", "experiments"
        timestamp, identity = None, "experiment_id"
        # What this application does not use.
        exclude = ("trace_infos", "scorers", "label_schemas", "review_queues")

    experiment_id = Integer(required=True)
    creation_time = Epoch(unit="ms", allow_none=True)
    last_update_time = Epoch(unit="ms", allow_none=True)
    tags = Nested(ExperimentTagSchema, many=True)


class MetricSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.SqlMetric
        order = ("key", "timestamp", "step", "value", "is_nan")

    timestamp = Epoch(unit="ms", required=True)


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
        exclude = ("issues",)

    start_time = Epoch(unit="ms", allow_none=True)
    end_time = Epoch(unit="ms", allow_none=True)
    deleted_time = Epoch(unit="ms", allow_none=True)
    experiment = Slug("experiment", key="experiment_id", required=True)
    metrics = Nested(MetricSchema, many=True)
    latest_metrics = Nested(LatestMetricSchema, many=True)
    params = Nested(ParamSchema, many=True)
    tags = Nested(TagSchema, many=True)


# --8<-- [end:binding]
