"""Early-stopped cross-validation: hopeless trials are not trained on all folds, whoever trains, dies or goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import Shuffled, SmallProject
from tests.studies.test_runner import Forbidden, Interrupted
from tests.tracking.at_once import sync
from tests.tracking.runs_in_mlflow import all_runs
from tracker import api
from tracker.config import Config
from tracker.execution.executor import InlineExecutor
from tracker.execution.processes import ProcessExecutor
from tracker.records import run_value, trained_runs, untrained
from tracker.store.store import Store
from tracker.studies.adopt import adopt_studies
from tracker.studies.audit import audit_study
from tracker.studies.fold_rungs import FoldDecisions, is_hopeless
from tracker.studies.pull import pull_studies
from tracker.studies.result import StudyResult, best_trial
from tracker.terminal.leaderboard import describe_trial, read_trial

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
FOLDS = 4
STUDY: dict[str, Any] = {
    "sampler": "tpe",
    "trials": 12,
    "generation": 4,
    "cross_validation": {"folds": FOLDS, "prune": "forgiving"},
}


def config_of(project: SmallProject, **changes: Any) -> Config:
    """One study with folds that stops early."""
    return project.config.with_("studies", {"folds": {**STUDY, **changes}})


def plan_of(project: SmallProject, **changes: Any) -> Any:
    return project.plan("folds", studies={"folds": {**STUDY, **changes}})


def here(project: SmallProject) -> api.Project:
    return api.Project(project.paths, "unused", 1, "ada")


@pytest.fixture(scope="module")
def base(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with the study; only for tests that write nothing into it."""
    project = small_project.copy(tmp_path_factory.mktemp("stopped") / "project")
    api.tune(config_of(project), "folds", project=here(project), deliver=False)
    return project


@pytest.fixture(scope="module")
def truth(base: SmallProject) -> StudyResult:
    """That study."""
    return base.run(plan_of(base), executor=Forbidden(base.data))


def test_the_rules_are_those_that_are_cited() -> None:
    """By hand, beside a best trial of 0.9, 0.7, 0.8: its worst fold is 0.7, its mean 0.8; a loss goes the other way."""
    best = [0.9, 0.7, 0.8]
    assert not is_hopeless([0.7], best, "maximize", "forgiving")
    assert is_hopeless([0.69], best, "maximize", "forgiving")
    assert not is_hopeless([0.6, 0.8], best, "maximize", "forgiving")  # their mean counts
    assert is_hopeless([0.79], best, "maximize", "aggressive")
    assert not is_hopeless([0.81, 0.8], best, "maximize", "aggressive")
    assert is_hopeless([0.91], best, "minimize", "forgiving")
    assert not is_hopeless([0.89], best, "minimize", "forgiving")
    assert is_hopeless([0.95, None], best, "maximize", "forgiving")


def test_hopeless_trials_are_not_trained_on_all_folds(base: SmallProject, truth: StudyResult) -> None:
    """The first generation is whole; of later ones each trial stops at the first fold that rules it out, and at no other."""
    runs = [trained_runs(trial.outcomes) for trial in truth.trials]
    assert [FOLDS] * 4 == runs[:4]
    assert min(runs) < FOLDS
    for trial in truth.trials[4:]:
        best = best_trial(truth.trials[: trial.number // 4 * 4], "maximize")
        bar = min(run_value(truth.spec, outcome) for outcome in best.outcomes)
        values = [run_value(truth.spec, outcome) for outcome in trial.outcomes[: trained_runs(trial.outcomes)]]
        means = [sum(values[:count]) / count for count in range(1, len(values) + 1)]
        assert all(mean >= bar for mean in means[:-1])
        stopped = len(values) < FOLDS
        assert not stopped or means[-1] < bar
        assert ("pruned", None) == (trial.state, trial.value) if stopped else "complete" == trial.state
        assert [untrained(key) for key in trial.proposal.keys[len(values) :]] == [*trial.outcomes[len(values) :]]
    with Store.open(base.paths.store) as store:
        assert len(store.outcomes([key for trial in truth.trials for key in trial.proposal.keys])) == sum(runs)


@pytest.mark.parametrize("name", ["solo", "two workers", "shuffled"])
def test_workers_and_order_do_not_matter(base: SmallProject, truth: StudyResult, tmp_path: Path, name: str) -> None:
    """However folds are grouped and overtake each other, the same trials stop."""
    executors = {
        "solo": lambda: InlineExecutor(base.data, most_lanes=1),
        "two workers": lambda: ProcessExecutor(base.data, 2),
        "shuffled": lambda: Shuffled(InlineExecutor(base.data, most_lanes=2), 5),
    }
    assert truth.digest == base.run(plan_of(base), tmp_path / "store", executors[name]()).digest


class Dying(InlineExecutor):
    """Ends after so many cohorts, before what the next one gave is stored."""

    left = 0

    def run(self, segments):
        for results in super().run(segments):
            if self.left == 0:
                raise Interrupted
            self.left -= 1
            yield results


def test_a_study_that_dies_after_every_write_ends_the_same(
    base: SmallProject, truth: StudyResult, tmp_path: Path
) -> None:
    """One cohort more in each life, each begun anew from the store: the same decisions, the same digest."""
    lives, ended = 0, None
    while ended is None:
        executor = Dying(base.data, most_lanes=2)
        executor.left = 1
        lives += 1
        try:
            ended = base.run(plan_of(base), tmp_path / "store", executor)
        except Interrupted:
            continue
    assert lives > 12
    assert truth.digest == ended.digest


def test_more_trials_extend_a_study(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """From 12 to 14, half of a generation: as if there had been 14 at once; no decision on the first ones changes."""
    project = base.copy(tmp_path / "project")
    longer = project.run(plan_of(project, trials=14))
    assert (12, truth.trials) == (longer.replayed, longer.trials[:12])
    assert longer.digest == project.run(plan_of(project, trials=14), tmp_path / "another").digest


def test_folds_of_a_study_in_full_are_taken(base: SmallProject, tmp_path: Path) -> None:
    """Another study, the same trials: with every fold in the store nothing is trained, and the same trials stop."""
    sampler = {"sampler": "random", "trials": 12}
    full, stopping = (
        {**sampler, "cross_validation": {"folds": FOLDS, "prune": rule}} for rule in ("never", "forgiving")
    )
    store = tmp_path / "store"
    whole = base.run(base.plan("folds", studies={"folds": full}), store)
    plan = base.plan("folds", studies={"folds": {**stopping, "generation": 4}})
    assert whole.spec.key != plan.spec.key
    taken = base.run(plan, store, Forbidden(base.data))
    assert taken.digest == base.run(plan, tmp_path / "other").digest
    assert 8 == base.plan("folds", studies={"folds": stopping}).spec.generation  # else there is nothing to look back to


def test_it_is_derived_again(base: SmallProject, truth: StudyResult) -> None:
    """`verify` decides again, and would find a decision that another rule took."""
    [found] = api.verify(config_of(base), "folds", sample=2, project=here(base))
    assert "identical" == found.state
    decisions = FoldDecisions(plan_of(base, cross_validation={"folds": FOLDS, "prune": "aggressive"}).spec)
    words = [decisions.first_other(truth.trials[start : start + 4]) for start in (0, 4, 8)]
    assert words[0] is None
    assert any(word is not None and "which is now decided otherwise" in word for word in words)


def test_an_audit_finishes_all_folds(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """What stopped trials would have come to on all folds, and the epochs that stopping saved; the study stays as it is."""
    project = base.copy(tmp_path / "project")
    with Store.open(project.paths.store) as store:
        found = audit_study(truth, store, InlineExecutor(project.data), {})
    stopped = [trial for trial in truth.trials if trial.state == "pruned"]
    assert [trial.number for trial in stopped] == [trial.number for trial in found.finished]
    assert {FOLDS} == {trained_runs(trial.outcomes) for trial in found.finished}
    assert all(trial.value is not None for trial in found.finished)
    assert sum(outcome.epochs for trial in stopped for outcome in trial.outcomes) < found.whole_epochs
    assert truth.digest == project.run(plan_of(project), executor=Forbidden(project.data)).digest


def test_reports_and_mlflow_tell_what_was_left_out(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """Stopped trials are pruned, and KILLED in MLflow, with the folds that they had; a pull and a clone bring them back."""
    report = json.loads((base.paths.study_reports / "folds.json").read_text())
    pruned = [trial for trial in truth.trials if trial.state == "pruned"]
    assert len(pruned) == report["states"]["pruned"]
    told = "\n".join(describe_trial(read_trial(base.paths, f"folds/{pruned[0].number}")))
    assert f"stopped (fold {FOLDS})" in told
    project = base.copy(tmp_path / "project")
    uri = f"sqlite:///{project.paths.root / 'mlflow.db'}"
    sync(project.paths.store, uri, "tests", "none")
    shown = {run.info.run_name: run for run in all_runs(uri, "tests")}
    for trial in truth.trials:
        run, count = shown[f"folds/{trial.number}"], trained_runs(trial.outcomes)
        assert ("KILLED" if count < FOLDS else "FINISHED") == run.info.status
        assert count == sum(name.endswith("/val_loss") for name in run.data.metrics)
    shutil.rmtree(project.paths.store)
    with Store.open(project.paths.store) as store:
        assert [12] == [pulled.trials for pulled in pull_studies(store, uri, "tests")]
    again = project.run(plan_of(project))
    assert (12, truth.digest) == (again.replayed, again.digest)
    shutil.rmtree(project.paths.store)
    with Store.open(project.paths.store) as store:
        assert ["folds"] == adopt_studies(project.paths.models, store, {"who": "a clone"}, lambda: 1.0)
    again = project.run(plan_of(project), executor=Forbidden(project.data))
    assert (12, truth.digest) == (again.replayed, again.digest)
