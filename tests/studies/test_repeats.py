"""A configuration may run under several seeds: the runs train together, their mean is the value, every one is recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from tests.studies.project import Shuffled, SmallProject
from tests.studies.test_runner import Forbidden, Interrupted
from tests.tracking.at_once import sync
from tests.tracking.runs_in_mlflow import all_runs
from tracker import api
from tracker.canonical import canonical_json, parse_canonical
from tracker.execution.executor import InlineExecutor
from tracker.execution.processes import ProcessExecutor
from tracker.execution.trainer import Segment, failed
from tracker.records import TrialSpec
from tracker.seeds import derive_seed
from tracker.store.store import Store
from tracker.studies.adopt import adopt_studies
from tracker.studies.pull import pull_studies
from tracker.studies.result import StudyResult
from tracker.studies.runner import Progress
from tracker.terminal.leaderboard import describe_trial, read_trial
from tracker.terminal.show import study_summary
from tracker.tracking.report import Delivered
from tracker.tracking.run_contents import trial_record
from tracker.training.loop import Result

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
RUNS = 3


def plan_of(project: SmallProject, sampler: str = "tpe", trials: int = 8, **changes: Any) -> Any:
    """A study whose configurations run three times each."""
    study = {"sampler": sampler, "trials": trials, "repeats": RUNS}
    study |= {"generation": 4} if sampler == "tpe" else {}
    aggregate = {"aggregate": changes.pop("aggregate")} if "aggregate" in changes else {}
    return project.plan(sampler, **{f"studies__{sampler}": {**study, **aggregate}}, **changes)


def values_of(result: StudyResult, metric: str) -> list[list[float]]:
    """The metric of each run, by trial."""
    return [[float(outcome.metrics[metric] or 0.0) for outcome in trial.outcomes] for trial in result.trials]


class Counting(InlineExecutor):
    """Notes which runs trained together."""

    trained: tuple[list[TrialSpec], ...] = ()

    def run(self, segments: Sequence[Segment]) -> Iterator[list[Result]]:
        for results in super().run(segments):
            self.trained += ([result.spec for result in results],)
            yield results


@pytest.fixture(scope="module")
def base(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with the study `tpe` of 8 configurations, 3 runs each; only for tests that write nothing into it."""
    project = small_project.copy(tmp_path_factory.mktemp("repeated") / "project")
    project.report(project.run(plan_of(project)))
    return project


@pytest.fixture(scope="module")
def truth(base: SmallProject) -> StudyResult:
    """That study."""
    return base.run(plan_of(base), executor=Forbidden(base.data))


def test_a_configuration_runs_under_several_seeds_as_lanes(base: SmallProject, tmp_path: Path) -> None:
    """All runs of a configuration differ by their seed alone, and train in one cohort, beside those of others."""
    executor = Counting(base.data)
    result = base.run(plan_of(base, "random", 4), tmp_path / "store", executor)
    assert 4 * RUNS == sum(map(len, executor.trained))
    for trial in result.trials:
        runs = trial.proposal.runs
        assert (RUNS, RUNS) == (len({run.seed for run in runs}), len({run.key for run in runs}))
        assert {trial.spec.configuration} == {run.configuration for run in runs}
        assert [run.key for run in runs] == [outcome.key for outcome in trial.outcomes]
        [cohort] = [cohort for cohort in executor.trained if trial.spec in cohort]
        assert all(run in cohort for run in runs)
        seeds = [derive_seed(result.spec.seed, "training", trial.number, "repeat", run) for run in range(1, RUNS)]
        assert [derive_seed(result.spec.seed, "training", trial.number), *seeds] == [run.seed for run in runs]


def test_the_first_run_is_the_trial_without_repeats(base: SmallProject, tmp_path: Path) -> None:
    """Key and outcome are the same, so a study that ran once takes its runs from the store and trains the further ones."""
    store, executor = tmp_path / "store", Counting(base.data)
    single = base.run(base.plan("random", studies__random__trials=4), store)
    repeated = base.run(plan_of(base, "random", 4), store, executor)
    assert single.spec.key != repeated.spec.key
    assert [trial.spec.key for trial in single.trials] == [trial.spec.key for trial in repeated.trials]
    assert [trial.outcome for trial in single.trials] == [trial.outcome for trial in repeated.trials]
    trained = {spec.key for cohort in executor.trained for spec in cohort}
    assert {run.key for trial in repeated.trials for run in trial.proposal.runs[1:]} == trained
    assert base.run(plan_of(base, "random", 4), tmp_path / "another").digest == repeated.digest
    once = base.plan("random", studies__random__trials=4, studies__random__repeats=1)
    assert single.spec.key == once.spec.key


@pytest.mark.parametrize("metric", ["val_f1", "val_loss"])
@pytest.mark.parametrize("aggregate", ["mean", "mean_minus_se"])
def test_the_value_is_that_of_numpy(base: SmallProject, tmp_path: Path, metric: str, aggregate: str) -> None:
    """The mean over runs, or that made worse by one standard error: lower for a score, higher for a loss."""
    result = base.run(plan_of(base, "random", 4, aggregate=aggregate, objective={"metric": metric}), tmp_path / "store")
    runs = np.array(values_of(result, metric))
    expected = runs.mean(axis=1)
    if aggregate == "mean_minus_se":
        error = runs.std(axis=1, ddof=1) / np.sqrt(RUNS)
        assert error.max() > 0
        expected += error if metric == "val_loss" else -error
    np.testing.assert_allclose([trial.value for trial in result.trials], expected, rtol=1e-12)
    pick = np.argmin if metric == "val_loss" else np.argmax
    assert result.best is not None
    assert result.best.value == result.trials[int(pick(expected))].value
    for trial in result.trials:
        means = np.mean(
            [[outcome.metrics[name] for name in sorted(trial.metrics)] for outcome in trial.outcomes], axis=0
        )
        np.testing.assert_allclose([trial.metrics[name] for name in sorted(trial.metrics)], means, rtol=1e-12)


def test_how_runs_are_aggregated_is_part_of_the_study(base: SmallProject) -> None:
    """Other repeats, another aggregate: another study; the runs themselves have the same keys."""
    plans = [plan_of(base), plan_of(base, aggregate="mean_minus_se"), plan_of(base, studies__tpe__repeats=2)]
    assert 3 == len({plan.spec.key for plan in plans})
    assert plan_of(base).spec.key == plan_of(base, aggregate="mean").spec.key


@pytest.mark.parametrize("name", ["solo", "two workers", "shuffled"])
def test_workers_and_order_do_not_matter(base: SmallProject, truth: StudyResult, tmp_path: Path, name: str) -> None:
    """However the runs of a trial are grouped and overtake each other, the study is the same."""
    executors = {
        "solo": lambda: InlineExecutor(base.data, most_lanes=1),
        "two workers": lambda: ProcessExecutor(base.data, 2),
        "shuffled": lambda: Shuffled(InlineExecutor(base.data, most_lanes=2), 5),
    }
    assert truth.digest == base.run(plan_of(base), tmp_path / "store", executors[name]()).digest


@pytest.mark.parametrize("after", [0, 1, 2, 4, 7, 12, 20])
def test_an_interrupted_study_goes_on(base: SmallProject, truth: StudyResult, tmp_path: Path, after: int) -> None:
    """Stopped between two runs of a trial, the study goes on with the runs that are stored, to the same digest."""
    heard = 0

    def interrupt(_: Progress) -> None:
        nonlocal heard
        heard += 1
        if heard > after:
            raise Interrupted

    with pytest.raises(Interrupted):
        base.run(plan_of(base), tmp_path / "store", InlineExecutor(base.data, most_lanes=1), interrupt)
    assert truth.digest == base.run(plan_of(base), tmp_path / "store").digest


def test_more_trials_extend_a_study(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """From 8 configurations to 10: two more are run, and the study equals one that had 10 at once."""
    project = base.copy(tmp_path / "project")
    longer = project.run(plan_of(project, trials=10))
    assert (8, truth.trials) == (longer.replayed, longer.trials[:8])
    assert longer.digest == project.run(plan_of(project, trials=10), tmp_path / "another").digest


class Failing(InlineExecutor):
    """The runs with these seeds fail."""

    seeds: frozenset[int] = frozenset()

    def run(self, segments: Sequence[Segment]) -> Iterator[list[Result]]:
        for results in super().run(segments):
            yield [failed(r.spec, "it was unplugged") if r.spec.seed in self.seeds else r for r in results]


def test_a_failed_run_fails_the_trial(base: SmallProject, tmp_path: Path) -> None:
    """It has no value, says why, is never best; the other runs are kept, and nothing is averaged over those that are left."""
    plan, executor = plan_of(base, "random", 4), Failing(base.data)
    whole = base.run(plan, tmp_path / "whole")
    assert whole.best is not None
    number = whole.best.number
    executor.seeds = frozenset({whole.trials[number].proposal.runs[1].seed})
    result = base.run(plan, tmp_path / "store", executor)
    trial = result.trials[number]
    assert ("failed", None, "it was unplugged") == (trial.state, trial.value, trial.reason)
    assert ["complete", "failed", "complete"] == [outcome.state for outcome in trial.outcomes]
    assert {None} == set(trial.metrics.values())
    assert result.best is not None
    assert number != result.best.number
    assert whole.trials[:number] == result.trials[:number]
    assert result.digest == base.run(plan, tmp_path / "store", Forbidden(base.data)).digest
    assert study_summary(base.study(result)).startswith("random: 4 trials, 1 failed, best ")
    states = [shown.state.name for shown in base.study(result).to_optuna().trials]
    assert ["FAIL" if place == number else "COMPLETE" for place in range(4)] == states


def test_the_report_has_every_run(base: SmallProject, truth: StudyResult) -> None:
    """A row has value and spread over runs, and each run's seed, key, state, value and epochs."""
    report = json.loads(base.written()["reports/studies/tpe.json"])
    assert {"repeats": RUNS, "aggregate": "mean"} == report["runs"]
    for trial, row in zip(truth.trials, report["trials"], strict=True):
        runs = [float(outcome.metrics["val_f1"] or 0.0) for outcome in trial.outcomes]
        assert np.isclose(np.std(runs, ddof=1), row["spread"], rtol=1e-12)
        assert np.isclose(np.mean(runs), row["value"], rtol=1e-12)
        assert (trial.spec.configuration, trial.metrics) == (row["configuration"], row["metrics"])
        expected = [
            {
                "seed": spec.seed,
                "key": spec.key,
                "state": "complete",
                "value": value,
                "epochs": outcome.epochs,
                "metrics": dict(outcome.metrics),
            }
            for spec, outcome, value in zip(trial.proposal.runs, trial.outcomes, runs, strict=True)
        ]
        assert expected == row["runs"]
    assert truth.best is not None
    assert (truth.best.number, truth.best.value) == (report["best"], report["best_value"])
    told = "\n".join(describe_trial(read_trial(base.paths, "tpe/2")))
    assert all(f"{run['value']:.4g} (seed {run['seed']})" in told for run in report["trials"][2]["runs"])


def test_mlflow_has_one_run_per_trial(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """Value, spread and means; the score of each seed by step; the tag of the configuration; and all comes back."""
    project = base.copy(tmp_path / "project")
    uri = f"sqlite:///{project.paths.root / 'mlflow.db'}"
    assert Delivered(10, 0) == sync(project.paths.store, uri, "tests", "none")
    shown = {run.info.run_name: run for run in all_runs(uri, "tests")}
    assert {"tpe", *(f"tpe/{number}" for number in range(8))} == set(shown)
    for trial in truth.trials:
        run = shown[f"tpe/{trial.number}"]
        scores = [outcome.metrics["val_f1"] for outcome in trial.outcomes]
        history = MlflowClient(uri).get_metric_history(run.info.run_id, "seed_score")
        assert list(enumerate(scores)) == sorted((point.step, point.value) for point in history)
        assert (trial.value, trial.metrics["val_loss"]) == (
            run.data.metrics["value"],
            run.data.metrics["best_val_loss"],
        )
        assert np.isclose(np.std(scores, ddof=1), run.data.metrics["spread"], rtol=1e-12)
        assert trial.spec.configuration == run.data.tags["tracker.configuration"]
        assert [run.seed for run in trial.proposal.runs] == json.loads(run.data.params["seeds"])
    shutil.rmtree(project.paths.store)
    with Store.open(project.paths.store) as store:
        assert [8] == [pulled.trials for pulled in pull_studies(store, uri, "tests")]
    again = project.run(plan_of(project))  # its best weights alone are derived again
    assert (8, truth.digest) == (again.replayed, again.digest)
    assert Delivered(0, 0) == sync(project.paths.store, uri, "tests", "none")


def test_adopted_records_are_replayed(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """From trials.jsonl into an empty store: nothing is trained, files and digest are the same."""
    project = base.copy(tmp_path / "project")
    shutil.rmtree(project.paths.store)
    with Store.open(project.paths.store) as store:
        assert ["tpe"] == adopt_studies(project.paths.models, store, {"who": "a clone"}, lambda: 1.0)
    again = project.run(plan_of(project), executor=Forbidden(project.data))
    assert (8, truth.digest) == (again.replayed, again.digest)
    project.report(again)
    assert base.written() == project.written()


def test_every_run_is_derived_again(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """`reproduce` trains each of them: an altered second run is found, and named, though the first is what it was."""
    here = api.Project(base.paths, "unused", 1, "ada")
    assert "identical" == api.reproduce("tpe/2", here).state
    with Store.open(base.paths.store) as store:
        stored = store.trial(truth.spec.key, 2)
    path = tmp_path / "record.json"
    path.write_bytes(trial_record(truth.spec.key, stored))
    assert "identical" == api.reproduce(str(path), here).state
    record = parse_canonical(path.read_bytes())
    record["runs"][1]["outcome"]["history"][0]["val_loss"] += 0.25
    path.write_bytes(canonical_json(record))
    found = api.reproduce(str(path), here)
    assert "differs" == found.state
    assert found.first_difference is not None
    assert found.first_difference.words.startswith(f"tpe/2 (run 2 of {RUNS}): epoch 1, val_loss")


def test_a_report_with_an_altered_run_is_found(base: SmallProject, tmp_path: Path) -> None:
    """The records are derived again, so the number that people read of a run was altered."""
    project = base.copy(tmp_path / "project")
    path = project.paths.study_reports / "tpe.json"
    report = json.loads(path.read_text())
    report["trials"][2]["runs"][1]["value"] = 0.999
    path.write_text(json.dumps(report))
    found = api.reproduce("tpe/2", api.Project(project.paths, "unused", 1, "ada"))
    assert "differs" == found.state
    assert "runs.1.value" in found.first_difference.words


def test_the_study_of_a_notebook_has_means(base: SmallProject, truth: StudyResult) -> None:
    """value and metrics are means over runs; history and model are the first run's."""
    study = base.study(truth)
    trial = study.best_trial
    assert trial.value == truth.best.value == study.best_value
    assert trial.metrics == truth.best.metrics
    assert truth.best.outcomes[0].epochs == len(trial.history)
    assert truth.best.spec.seed == trial.seed
    found = trial.predict(base.rows())
    accuracy = (found["label"] == base.rows()["kind"]).mean()
    assert accuracy == truth.best.outcomes[0].metrics["val_accuracy"]
    assert study.digest != replace(truth, trials=truth.trials[:-1]).digest


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_chosen_configuration_is_scored_on_the_test_split(
    small_project: SmallProject, tmp_path: Path, name: str
) -> None:
    """The first run's model is scored, checked against that run's own validation numbers, and derived again."""
    project = small_project.copy(tmp_path / "project")
    study = {"sampler": "manual", "configurations": [{"learning_rate": 1e-4}], "repeats": RUNS}
    config = project.config.with_("studies", {name: {**study, "training": {"epochs": 1}}})
    here = api.Project(project.paths, "unused", 1, "ada")
    api.tune(config, name, project=here, deliver=False)
    api.compare(config, here).test(anyway=True)  # one epoch is no better than a majority vote
    assert "identical" == api.reproduce("final", here).state
