"""Entries in MLflow's list of models: once for each study's best, whole, and of no other trial."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from tests.tracking.runs_in_mlflow import all_runs, run_named
from tests.tracking.studies import DATA, EXPERIMENT, begin, run_trials
from tests.tracking.test_models import ROWS, write
from tracker.errors import TrackingError
from tracker.tracking.delivery import Delivery
from tracker.tracking.logged_models import LOGGED_TAG, list_model
from tracker.tracking.memory_recorder import MemoryRecorder
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.recorder import Entry, Found
from tracker.tracking.run_contents import Dataset, Point
from tracker.tracking.unload import find_loaded, unload

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own


def models(uri: str) -> list[Any]:
    """All entries of the experiment."""
    client = MlflowClient(uri)
    return list(client.search_logged_models([client.get_experiment_by_name(EXPERIMENT).experiment_id]))


def test_the_best_trial_has_an_entry_that_opens_and_predicts_as_recorded(tmp_path: Path, uri: str) -> None:
    """Delivered twice and extended it is there once, with params, scores and rows; opened by its id it is that model.

    A better trial gets an entry of its own; one that somebody deleted stays deleted.
    """
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(3))
        store.finish_study(key, {"number": 1, "value": 0.12, "trials": 3})
        for _ in range(2):
            with Delivery(store, MlflowRecorder(uri, EXPERIMENT), "all") as delivery:
                assert delivery.deliver(None).problem is None
            store.finish_study(key, {"number": 1, "value": 0.12, "trials": 3})
        [model] = models(uri)
        run = run_named(uri, "tpe/1")
        assert (run.info.run_id, "READY", "tpe-1") == (model.source_run_id, str(model.status), model.name)
        assert run.data.tags[LOGGED_TAG] == model.model_id
        assert [model.model_id] == [one.model_id for one in run.outputs.model_outputs]
        assert ("0.002", "best of tpe") == (model.params["learning_rate"], model.tags["tracker.role"])
        told = {one.key: (one.value, one.dataset_digest) for one in model.metrics}
        assert told["best_val_f1"] == (run.data.metrics["best_val_f1"], DATA["validation"][:36])
        assert "train_loss" not in told
        import mlflow.pyfunc  # after our own import of it, which keeps its warnings in

        mlflow.set_tracking_uri(uri)
        opened = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
        expected = write(tmp_path / "ours", 1).predict(ROWS)
        names = ["probability_benign", "probability_malignant"]
        np.testing.assert_array_equal(expected[names].to_numpy(), opened.predict(ROWS)[names].to_numpy())
        MlflowClient(uri).delete_logged_model(model.model_id)
        run_trials(store, key, [3])
        store.finish_study(key, {"number": 3, "value": 0.32, "trials": 4})
        with Delivery(store, MlflowRecorder(uri, EXPERIMENT), "all") as delivery:
            assert delivery.deliver(None).problem is None
    assert ["tpe-3"] == [model.name for model in models(uri)]
    assert {"tpe/1", "tpe/3"} == {run.info.run_name for run in all_runs(uri) if LOGGED_TAG in run.data.tags}


def test_an_entry_goes_with_its_model(tmp_path: Path, uri: str) -> None:
    """`tracker clean` takes entry and files away with the run's model, and a later delivery makes none again."""
    store, key = begin(tmp_path / ".tracker")
    with store:
        run_trials(store, key, range(2))
        store.finish_study(key, {"number": 1, "value": 0.12, "trials": 2})
        recorder = MlflowRecorder(uri, EXPERIMENT)
        with Delivery(store, recorder, "all") as delivery:
            assert delivery.deliver(None).problem is None
        [folder] = [Path(model.artifact_location.removeprefix("file://")) for model in models(uri)]
        assert (folder / "MLmodel").is_file()
        going = find_loaded(recorder, [key], set()).going
        for _ in range(2):  # again, as after a kill
            unload(store, recorder, going)
        assert [] == models(uri)
        assert not folder.exists()
        store.finish_study(key, {"number": 1, "value": 0.12, "trials": 2})
        with Delivery(store, recorder, "all") as delivery:
            assert delivery.deliver(None).problem is None
    assert [] == models(uri)


def test_what_confirms_a_choice_has_no_entry(tmp_path: Path, uri: str) -> None:
    """The best of the seeds that confirm is no model that people choose; the scored one has an entry of its own."""
    store, key = begin(tmp_path / ".tracker", "confirm.choose")
    with store:
        run_trials(store, key, range(2), "confirm.choose")
        store.finish_study(key, {"number": 1, "value": 0.12, "trials": 2})
        with Delivery(store, MlflowRecorder(uri, EXPERIMENT), "all") as delivery:
            assert delivery.deliver(None).problem is None
    assert [] == models(uri)
    assert 3 == len(all_runs(uri))


class Killed(BaseException):
    """The end of a process, as far as a test can have it."""


def test_a_kill_at_any_call_leaves_one_whole_entry(tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed right after each call that writes, the next delivery completes the entry: one, READY, with files and numbers."""
    recorder = MlflowRecorder(uri, EXPERIMENT)
    client, experiment = MlflowClient(uri), recorder.connect()
    point = Point("best_val_f1", 0.9, 1_700_000_000_000, 0)
    rows = Dataset("table.csv", "b" * 64, "table.csv", "validation", {})

    def write(folder: Path) -> None:
        (folder / "MLmodel").write_text("flavors: {}\n")

    calls = ("create_logged_model", "log_batch", "log_outputs", "finalize_logged_model", "set_tag")
    for call in calls:
        run = client.create_run(experiment, run_name=call)
        found = Found(run.info.run_id, "FINISHED", {}, run.info.artifact_uri, call)
        entry = Entry(call, {"tracker.key": call}, {"units": "8"}, [(point, rows)])
        with monkeypatch.context() as patch:
            real = getattr(MlflowClient, call)

            def killed(*given: Any, real: Any = real, **named: Any) -> Any:
                real(*given, **named)
                raise Killed

            patch.setattr(MlflowClient, call, killed)
            with pytest.raises(Killed):
                list_model(recorder, found, entry, write)
        whole = list_model(recorder, found, entry, write)
        [model] = [one for one in models(uri) if one.source_run_id == run.info.run_id]
        assert (str(model.status), {"units": "8"}) == ("READY", model.params)
        assert [("best_val_f1", 0.9, "table.csv")] == [(m.key, m.value, m.dataset_name) for m in model.metrics]
        assert 1 == len(client.get_run(run.info.run_id).outputs.model_outputs)
        assert 1 == len(client.get_metric_history(run.info.run_id, "best_val_f1"))
        text = (Path(model.artifact_location.removeprefix("file://")) / "MLmodel").read_text()
        assert f"flavors: {{}}\nmodel_id: '{model.model_id}'\n" == text
        assert model.model_id == whole.tags[LOGGED_TAG]
    recorder.close()
    moved = shutil.move(tmp_path, tmp_path.with_name("moved"))
    MlflowRecorder(f"sqlite:///{moved}/mlflow.db", EXPERIMENT).connect()
    places = {Path(one.artifact_location.removeprefix("file://")) for one in models(f"sqlite:///{moved}/mlflow.db")}
    assert len(calls) == len([place for place in places if (place / "MLmodel").is_file()])


def test_a_place_without_such_a_list_lacks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where listing is refused the run stays as it is; where the server is away that is said."""
    recorder, asked = MemoryRecorder(), []

    def refuse(*_: Any) -> str:
        asked.append(1)
        raise TrackingError("no such endpoint")

    monkeypatch.setattr(recorder, "list_model", refuse)
    found, entry = Found("r", "FINISHED", {}, "memory:r"), Entry("m", {}, {}, ())
    assert found is list_model(recorder, found, entry, lambda folder: None)
    assert 2 == len(asked)
    recorder.away = True
    with pytest.raises(TrackingError, match="told to be away"):
        list_model(recorder, found, entry, lambda folder: None)
