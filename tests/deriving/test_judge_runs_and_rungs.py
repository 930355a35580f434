"""Trials of several runs, and trials that a pruner stopped, are derived again as a whole."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator

import pytest

from tests.studies.project import SmallProject
from tracker import api
from tracker.api import Project
from tracker.deriving.derive import FreshProcess
from tracker.deriving.find_trial import find_recorded, parse_record
from tracker.deriving.judge_study import FreshProcesses, verify_study
from tracker.deriving.judge_trial import reproduce_record
from tracker.store.store import Store
from tracker.tracking.run_contents import trial_record

PRUNER = {"name": "median", "n_startup_trials": 2}
STUDIES = {
    "seeds": {"sampler": "random", "trials": 3, "repeats": 2, "aggregate": "mean_minus_se"},
    "rungs": {"sampler": "random", "trials": 8, "generation": 4, "pruner": PRUNER},
}


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with a study of two runs a trial and one with a pruner; read-only."""
    project = small_project.copy(tmp_path_factory.mktemp("tuned") / "project")
    project.config = project.config.with_("studies", STUDIES)
    for name in STUDIES:
        api.tune(project.config, name, project=Project(project.paths, "unused", 1, "ada"), deliver=False)
    return project


@pytest.fixture(scope="module")
def fresh_process() -> Iterator[FreshProcess]:
    """One process for all trials."""
    with FreshProcess() as process:
        yield process


@pytest.mark.parametrize("stored", [True, False], ids=["store", "beside the model"])
@pytest.mark.parametrize("name", STUDIES)
def test_the_whole_study_is_derived_again(tuned: SmallProject, tmp_path, name: str, stored: bool) -> None:
    """Every run of every trial, every decision of the pruner, from the store or from the records beside the model."""
    copy = tuned.copy(tmp_path / "copy")
    if not stored:
        shutil.rmtree(copy.paths.store)
    with FreshProcesses() as processes:
        found = verify_study(name, copy.paths, processes)
    count = STUDIES[name]["trials"]
    assert ("identical", count, count) == (found.state, found.derived, found.counted)


def test_every_run_of_a_trial_is_derived(tuned: SmallProject, fresh_process: FreshProcess) -> None:
    """A record.json holds all runs; another number in the second is a difference that names it."""
    with Store.open(tuned.paths.store) as store:
        [(key, _)] = store.studies("seeds")
        content = trial_record(key, store.trial(key, 1))
    recorded = parse_record(content, "a test", tuned.paths)
    assert find_recorded("seeds/1", tuned.paths) == dataclasses.replace(recorded, elsewhere=None)
    [other] = recorded.others
    assert recorded.spec.seed != other.spec.seed
    where = (tuned.paths.root, tuned.paths.splits, fresh_process)
    assert "identical" == reproduce_record(recorded, *where).state
    history = [dict(entry) for entry in other.outcome.history]
    history[0]["val_loss"] += 0.5
    outcome = dataclasses.replace(other.outcome, history=tuple(history))
    altered = dataclasses.replace(recorded, others=(dataclasses.replace(other, outcome=outcome),))
    found = reproduce_record(altered, *where)
    assert ("differs", recorded.outcome.key) == (found.state, found.key)
    assert "seeds/1 (run 2 of 2): epoch 1, val_loss" in found.first_difference.words


def test_a_stopped_trial_is_derived_as_far_as_it_went(tuned: SmallProject, fresh_process: FreshProcess) -> None:
    """The epochs up to its rung are identical; no weights are expected of it."""
    with Store.open(tuned.paths.store) as store:
        [(key, _)] = store.studies("rungs")
        stopped = {number: epoch for generation in (0, 1) for number, epoch in store.stopped(key, generation).items()}
    assert stopped, "no trial was stopped; choose another pruner"
    for number, epoch in stopped.items():
        recorded = find_recorded(f"rungs/{number}", tuned.paths)
        found = reproduce_record(recorded, tuned.paths.root, tuned.paths.splits, fresh_process)
        assert ("identical", epoch, None) == (found.state, found.epochs, found.weights)
