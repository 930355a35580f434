"""`tracker clean` takes models away, in store and MLflow together, never a pinned one, and whatever is killed goes on."""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient

from tests.studies.project import SmallProject, make_table
from tests.tracking.studies import begin, proposal, run_trials
from tracker import api
from tracker.api import Project
from tracker.errors import InputError, ReplayError, StoreBusy
from tracker.evaluation.files import read_report
from tracker.paths import sqlite_address
from tracker.project.clean import clean
from tracker.store.store import Store
from tracker.store.weights import WeightFiles
from tracker.tracking.delivery import Delivery
from tracker.tracking.memory_recorder import MemoryRecorder
from tracker.tracking.run_contents import MODEL_TAG
from tracker.tracking.unload import GOING, find_loaded, unload

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
STUDIES = {"random": {"sampler": "random", "trials": 4}}


@pytest.fixture
def here(fresh: SmallProject) -> Project:
    """A project, to be cleaned."""
    return Project(fresh.paths, sqlite_address(fresh.paths.root / "mlflow.db"), 1, "ada")


def with_models(here: Project) -> dict[str, list[str]]:
    """The runs of trials that have a model in MLflow, by the study's key: whole ones, by their names."""
    client, found = MlflowClient(here.tracking_uri), dict[str, list[str]]()
    for run in client.search_runs(["1"], "tags.`tracker.kind` = 'trial'"):
        has_tag, has_folder = MODEL_TAG in run.data.tags, bool(client.list_artifacts(run.info.run_id, "model"))
        assert has_tag == has_folder
        if has_tag:
            found.setdefault(run.data.tags["tracker.study_key"], []).append(run.info.run_name or "")
    return found


def weights(here: Project) -> list[str]:
    return WeightFiles(here.paths.store / "weights").kept()


def test_superseded_models_go_and_what_was_looked_at_stays(here: Project, fresh: SmallProject) -> None:
    """Of a study that was scored, then superseded, the scored model stays; of the present one the best two.

    A dry run removes nothing; a second run finds nothing; every number stays; a model that went comes back bit for bit.
    """
    old = fresh.config.with_("studies", STUDIES)
    api.tune(old, "random", project=here, deliver=False)
    scored = api.compare(old, here).test(anyway=True).result["key"]
    new = old.with_("hyperparameters.optimizer", "sgd")
    study = api.tune(new, "random", project=here, deliver=False)
    assert not api.sync(new, here).waiting
    before, in_mlflow = weights(here), with_models(here)
    assert [4, 4] == [len(names) for names in in_mlflow.values()]

    policy = new.with_("tracking", {"experiment": "tests", "models": {"best": 2}})
    told = list(clean(policy, here.paths, here.tracking_uri, dry_run=True))
    assert "2 studies in the store, 1 of them superseded: params.yaml describes others now" == told[0]
    assert (before, in_mlflow) == (weights(here), with_models(here))

    list(clean(policy, here.paths, here.tracking_uri))
    left = with_models(here)
    assert 2 == len(left.pop(study.result.spec.key))
    assert [1] == [len(names) for names in left.values()]
    with Store.open(here.paths.store) as store:
        kept = store.outcomes([scored])[scored].weights
        assert kept in weights(here)
        assert 8 == sum(len(store.proposals(key)) for key, _ in store.studies())
    assert 3 == len(weights(here))
    again = list(clean(policy, here.paths, here.tracking_uri))
    assert "3 models" in again[1]
    assert "0 go" in again[1]
    assert api.sync(policy, here).delivered == 0  # a delivery that compares everything misses nothing

    gone = next(trial for trial in study.trials if trial.trial.outcome.weights not in weights(here))
    network = api.load_model(f"random/{gone.number}", project=here).module
    tensors = gone.load().state_dict()  # trained again by the study itself
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in tensors.items())


def test_a_model_that_comes_out_otherwise_is_refused(here: Project, fresh: SmallProject) -> None:
    """Where other rows lie there, the model that was not kept cannot be derived, and nothing else is given for it."""
    config = fresh.config.with_("studies", STUDIES)
    api.tune(config, "random", project=here, deliver=False)
    files = WeightFiles(here.paths.store / "weights")
    number = next(row["number"] for row in read_report(here.paths.study_reports / "random.json", "")["trials"])
    files.drop(files.kept())
    fresh.divide(make_table(seed=6))
    with pytest.raises(ReplayError, match=f"random/{number}: its model was not kept"):
        api.load_model(f"random/{number}", project=here)


def test_nothing_is_cleaned_while_a_study_runs(here: Project, fresh: SmallProject) -> None:
    """Its lock is held; and without a store there is nothing to clean."""
    with pytest.raises(InputError, match="no store yet"):
        list(clean(fresh.config, here.paths, here.tracking_uri))
    api.tune(fresh.config.with_("studies", STUDIES), "random", project=here, deliver=False)
    with Store.open(here.paths.store) as store, store.lock("study-random", 0.0), pytest.raises(StoreBusy):
        list(clean(fresh.config, here.paths, here.tracking_uri))
    assert 4 == len(weights(here))


class Killed(BaseException):
    """What a kill comes to in the middle of a call."""


def test_no_run_ever_says_that_a_model_is_whole_which_is_not(tmp_path: Path) -> None:
    """Killed at every single call, before or behind it: a run has the tag and every file, or no tag; then the rest goes."""
    store, key = begin(tmp_path / ".tracker")
    kept = {proposal(0).spec.key}
    with store:
        run_trials(store, key, range(2))
        loaded = MemoryRecorder()
        with Delivery(store, loaded, "all") as delivery:
            assert not delivery.deliver(None).waiting
        whole = {run.name: len(run.files) for run in loaded.runs()}
        going = find_loaded(loaded, [key], kept).going
        assert ["tpe/1"] == [run.name.partition(" ")[0] for run in going]
        counted = deepcopy(loaded)
        unload(store, counted, going)
        for place, answer_lost in product(range(counted.calls - loaded.calls), (False, True)):
            recorder = deepcopy(loaded)
            recorder.fail(place, Killed(), answer_lost=answer_lost)
            with pytest.raises(Killed):
                unload(store, recorder, going)
            assert all(MODEL_TAG not in run.tags or whole[run.name] == len(run.files) for run in recorder.runs())
            recorder.recover()
            unload(store, recorder, find_loaded(recorder, [key], kept).going)
            assert [run.tags for run in counted.runs()] == [run.tags for run in recorder.runs()]
            assert [run.files for run in counted.runs()] == [run.files for run in recorder.runs()]
    assert not any(GOING in run.tags for run in counted.runs())
