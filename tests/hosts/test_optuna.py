"""Optuna: studies and their trials, as its relational storage keeps them.

A trial has no UUID: it is known by its study and its number, as in Optuna's own API. MariaDB keeps whole
seconds of Optuna's times.
"""

from __future__ import annotations

import datetime as dt
import itertools
import uuid

import pytest
from marshmallow.fields import Nested

import histio
from histio import Choice, Integer, Slug, Text, UtcTimestamp, testing
from tests.hosts.journey import Host, move_by_scaffold, move_with_catalog, need, see, travel, whole_seconds

need("optuna.storages._rdb.models", "optuna.storages._rdb.storage")

import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import TrialState


class DirectionSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.StudyDirectionModel


class StudyUserAttributeSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.StudyUserAttributeModel


class StudySystemAttributeSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.StudySystemAttributeModel


class StudySchema(histio.RunSchema):
    class Meta:
        model, kind, collection = models.StudyModel, "study", "studies"
        timestamp, identity = None, "study_name"

    study_name = Text(required=True)
    directions = Nested(DirectionSchema, many=True)
    user_attributes = Nested(StudyUserAttributeSchema, many=True)
    system_attributes = Nested(StudySystemAttributeSchema, many=True)


class ParamSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.TrialParamModel


class ValueSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.TrialValueModel


class IntermediateValueSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.TrialIntermediateValueModel


class TrialUserAttributeSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.TrialUserAttributeModel


class TrialSystemAttributeSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.TrialSystemAttributeModel


class HeartbeatSchema(histio.AutoRecordSchema):
    class Meta:
        model = models.TrialHeartbeatModel


# In docs/how-to/recipes.md:
class TrialSchema(histio.RunSchema):
    class Meta:
        model, kind, collection = models.TrialModel, "trial", "trials"
        timestamp = None
        identity = ("study", "number")

    study = Slug("study", key="study_name", text=True, required=True)
    number = Integer(minimum=0, required=True)
    state = Choice(required=True)
    started = UtcTimestamp(attribute="_datetime_start_utc", allow_none=True)
    completed = UtcTimestamp(attribute="_datetime_complete_utc", allow_none=True)
    params = Nested(ParamSchema, many=True)
    values = Nested(ValueSchema, many=True)
    intermediate_values = Nested(IntermediateValueSchema, many=True)
    user_attributes = Nested(TrialUserAttributeSchema, many=True)
    system_attributes = Nested(TrialSystemAttributeSchema, many=True)
    heartbeats = Nested(HeartbeatSchema, many=True)


# So far docs/how-to/recipes.md.


def open_storage(url):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return RDBStorage(url)


def objective(trial):
    """Reports what floats can be, and ends in all the ways in which a trial can."""
    x = trial.suggest_float("x", -10, 10)
    trial.suggest_categorical("kind", ["a", "ä", None])
    trial.set_user_attr("remark", {"text": "schön", "number": 2.0})
    for step, value in enumerate([x, float("nan"), float("inf"), 1e300]):
        trial.report(value, step)
    if trial.number == 1:
        raise optuna.TrialPruned
    if trial.number == 2:
        raise ValueError
    return [x, x, x, float("-inf")][trial.number]


def two_objectives(trial):
    return trial.suggest_int("n", 1, 5), trial.suggest_float("y", 1e-9, 1, log=True)


def fill(url):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = RDBStorage(url, heartbeat_interval=60)
    first = optuna.create_study(storage=storage, study_name=" a study\n")
    first.set_user_attr("tags", ["x", {"y": None}])
    first.set_metric_names(["loss"])
    second = optuna.create_study(storage=storage, study_name="two", directions=["minimize", "maximize"])
    first.optimize(objective, n_trials=2)
    second.optimize(two_objectives, n_trials=2)
    first.optimize(objective, n_trials=2, catch=(ValueError,))
    first.enqueue_trial({"x": 1.5})
    close(storage)


def create(url):
    storage = open_storage(url)
    close(storage)
    return storage.engine


def close(storage):
    storage.remove_session()
    storage.engine.dispose()


def seen(url):
    storage = open_storage(url)
    studies = [optuna.load_study(storage=storage, study_name=name) for name in names(storage)]
    found = [
        {
            "name": study.study_name,
            "directions": study.directions,
            "attributes": [study.user_attrs, study.metric_names],
            "trials": [vars(trial) | {"_trial_id": None} for trial in study.trials],
            "best": [trial.number for trial in study.best_trials],
        }
        for study in studies
    ]
    close(storage)
    return found


def names(storage):
    return sorted(optuna.get_all_study_names(storage))


HOST = Host(
    kinds=(StudySchema, TrialSchema),
    create=create,
    fill=fill,
    seen=seen,
    options={"truncate_times": True},
)

DAY = dt.datetime(2025, 12, 9)  # noqa: DTZ001 - as Optuna keeps it


@pytest.fixture(scope="module")
def stops(new_database, tmp_path_factory):
    yield from travel(HOST, new_database, tmp_path_factory.mktemp("optuna"))


def test_all_studies_and_trials_arrive_everywhere(stops):
    assert [(stop.report.imported, stop.report.problems) for stop in stops[1:]] == [(9, ())] * 3


def test_every_database_exports_the_same_but_for_the_digits_of_seconds_that_mariadb_does_not_keep(stops):
    sqlite, postgresql, mariadb, back = (stop.file for stop in stops)
    assert postgresql == sqlite
    assert whole_seconds(mariadb) == whole_seconds(sqlite)
    assert back == mariadb


def test_studies_and_trials_are_the_same_to_optuna_everywhere(stops):
    sqlite, postgresql, mariadb, back = (stop.seen for stop in stops)
    assert "-Infinity" in sqlite
    assert postgresql == sqlite
    assert whole_seconds(mariadb) == whole_seconds(sqlite)
    assert back == mariadb


def new_rows():
    """A study, and trials of it."""
    study = models.StudyModel(study_name=uuid.uuid4().hex)
    study.directions = [models.StudyDirectionModel(direction=StudyDirection.MINIMIZE, objective=0)]
    yield study
    for number in itertools.count():
        trial = models.TrialModel(study=study, number=number, state=TrialState.COMPLETE)
        trial._datetime_start_utc = DAY + dt.timedelta(hours=number)
        finite = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
        trial.intermediate_values = [
            models.TrialIntermediateValueModel(
                step=step, intermediate_value=1 / 3, intermediate_value_type=finite
            )
            for step in (2, 1)
        ]
        yield trial


def make_runs(session, count):
    session.add_all(itertools.islice(new_rows(), count))


def test_the_binding_keeps_what_histio_promises(stops):
    for stop in stops[1:3]:  # SQLite, the fastest, is left to the tests of the kit
        testing.check_host(stop.history, make_runs=make_runs)


def test_what_histio_scaffolds_moves_everything(stops, new_database):
    assert move_by_scaffold(HOST, stops[0], new_database, models.StudyModel, models.TrialModel) == see(
        HOST, stops[0].url
    )


def test_trials_take_their_studies_along(stops, new_database):
    for _, there in move_with_catalog(HOST, stops[0], new_database, models.TrialModel):
        assert whole_seconds(there) == whole_seconds(see(HOST, stops[0].url))


def test_optuna_goes_on_where_the_history_arrived(stops):
    for stop in stops:
        storage = open_storage(stop.url)
        study = optuna.load_study(storage=storage, study_name="two")
        study.optimize(two_objectives, n_trials=1)
        assert [trial.number for trial in study.trials] == [0, 1, 2]
        close(storage)
