"""A study with folds: each trial has a run per fold, the mean is its value, and all promises of studies hold."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studies.project import Shuffled, SmallProject
from tests.studies.test_runner import Forbidden, Interrupted
from tests.tracking.at_once import sync
from tests.tracking.runs_in_mlflow import all_runs
from tracker import api
from tracker.aggregation import aggregate
from tracker.config import Config
from tracker.datasets.resampling import Resampling
from tracker.errors import ConfigError, InputError, NotFoundError
from tracker.evaluation.certainty import fold_interval
from tracker.evaluation.paired_trials import compare_trials
from tracker.evaluation.ranking import ranking_json
from tracker.evaluation.refit import plan_refit
from tracker.evaluation.sureness import Defaults, Sureness
from tracker.execution.executor import InlineExecutor
from tracker.execution.row_sets import arrays_of
from tracker.families.family import train
from tracker.records import Trial, TrialOutcome
from tracker.reporting.facts import collect
from tracker.reporting.sure_words import baselines, chosen_on
from tracker.reporting.words import headline, methods
from tracker.store.store import Store
from tracker.studies.adopt import adopt_studies, read_study
from tracker.studies.plan import Basis, plan_study, propose_trial
from tracker.studies.pull import pull_studies
from tracker.studies.result import StudyResult
from tracker.studies.runner import Progress
from tracker.terminal.forecast import forecast
from tracker.terminal.leaderboard import describe_trial, read_trial
from tracker.terminal.show_earlier import read_confirming
from tracker.terminal.show_final import describe_final, read_final

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own
FOLDS = 3
STUDIES: dict[str, Any] = {
    "folds": {"sampler": "tpe", "trials": 8, "generation": 4, "cross_validation": {"folds": FOLDS}},
    "manual": {"sampler": "manual", "configurations": [{"learning_rate": 1e-4}]},
}


def config_of(project: SmallProject, trials: int = 8, **changes: Any) -> Config:
    """The study with folds, and one of a poor configuration without."""
    studies = {**STUDIES, "folds": {**STUDIES["folds"], "trials": trials, **changes}}
    return project.config.with_("studies", studies)


def plan_of(project: SmallProject, trials: int = 8, **changes: Any) -> Any:
    """The plan of the study with folds."""
    return project.plan("folds", studies={**STUDIES, "folds": {**STUDIES["folds"], "trials": trials, **changes}})


def here(project: SmallProject) -> api.Project:
    return api.Project(project.paths, "unused", 1, "ada")


@pytest.fixture(scope="module")
def base(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with both studies, and its ranking with the look; only for tests that write nothing into it."""
    project = small_project.copy(tmp_path_factory.mktemp("folds") / "project")
    config = config_of(project)
    for name in STUDIES:
        api.tune(config, name, project=here(project), deliver=False)
    api.compare(config, here(project)).test(anyway=True)
    return project


@pytest.fixture(scope="module")
def truth(base: SmallProject) -> StudyResult:
    """The study with folds."""
    return base.run(plan_of(base), executor=Forbidden(base.data))


def test_a_run_is_scored_on_the_fold_that_it_was_not_trained_on(base: SmallProject, truth: StudyResult) -> None:
    """Trained alone on the other folds' rows, preprocessing fitted on them alone, it gives the recorded outcome."""
    rows = Resampling.of(base.data)
    assert {*base.rows("train")["who"], *base.rows("validation")["who"]} == {*rows.frame["who"]}  # no test row
    seen: list[str] = []
    for run, outcome in zip(truth.trials[5].proposal.runs, truth.trials[5].outcomes, strict=True):
        trained, scored = rows.frames(run.data["rows"])
        assert not {*trained["who"]} & {*scored["who"]}
        seen += [*scored["who"]]
        data = rows.load(run.data["rows"])
        [fitted] = [column for column in data.preprocessing["columns"] if column["name"] == "a"]
        assert np.isclose(trained["a"].mean(), fitted["center"])
        assert outcome == train(run, arrays_of(data)).outcome
    assert sorted(rows.frame["who"]) == sorted(seen)


def test_all_trials_share_folds_and_differ_by_seed(truth: StudyResult) -> None:
    """Runs of a trial have the rows of the folds in order; a trial's first run is the only one that its model is of."""
    expected = [{"fold": fold, "folds": FOLDS, "repeat": 1, "rule": 1} for fold in (1, 2, 3)]
    for trial in truth.trials:
        assert expected == [run.data["rows"] for run in trial.proposal.runs]
        assert FOLDS == len({run.seed for run in trial.proposal.runs}) == len({*trial.proposal.keys})
    assert {"folds": FOLDS, "repeats": 1, "rule": 1, "aggregate": "mean"} == truth.spec.runs


def test_the_value_is_the_mean_over_folds(truth: StudyResult) -> None:
    """By hand: 0.8, 0.6 and 0.7 have the mean 0.7, and 0.1 over the root of 3 is its standard error."""
    assert np.isclose(0.7, aggregate([0.8, 0.6, 0.7], "mean", "maximize"))
    assert np.isclose(0.7 - 0.1 / 3**0.5, aggregate([0.8, 0.6, 0.7], "mean_minus_se", "maximize"))
    for trial in truth.trials:
        assert np.isclose(np.mean([outcome.metrics["val_f1"] for outcome in trial.outcomes]), trial.value)
    assert max(trial.value for trial in truth.trials) == truth.best.value


def test_repeats_deal_the_folds_anew(base: SmallProject) -> None:
    """Two repeats of two folds are four runs; the first two are those of one repeat, keys and all."""
    once, twice = (plan_of(base, cross_validation={"folds": 2, "repeats": repeats}) for repeats in (1, 2))
    searched = {"learning_rate": 0.01, "hidden_layers": 1, "units": 8, "activation": "relu", "dropout": 0.0}
    searched["batch_size"] = 32
    few, many = (propose_trial(plan.spec, 0, 0, searched) for plan in (once, twice))
    assert few.keys == many.keys[:2]
    assert [(1, 1), (2, 1), (1, 2), (2, 2)] == [
        (run.data["rows"]["fold"], run.data["rows"]["repeat"]) for run in many.runs
    ]


@pytest.mark.parametrize("name", ["solo", "shuffled"])
def test_workers_and_order_do_not_matter(base: SmallProject, truth: StudyResult, tmp_path: Path, name: str) -> None:
    """However the runs of a trial are grouped and overtake each other, the study is the same."""
    executors = {
        "solo": lambda: InlineExecutor(base.data, most_lanes=1),
        "shuffled": lambda: Shuffled(InlineExecutor(base.data, most_lanes=2), 5),
    }
    assert truth.digest == base.run(plan_of(base), tmp_path / "store", executors[name]()).digest


@pytest.mark.parametrize("after", [4, 17])
def test_an_interrupted_study_goes_on(base: SmallProject, truth: StudyResult, tmp_path: Path, after: int) -> None:
    """Stopped between two folds of a trial, the study goes on with those that are stored, to the same digest."""
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
    """From 8 configurations to 10: the study equals one that had 10 at once, and begins with that of 8."""
    project = base.copy(tmp_path / "project")
    longer = project.run(plan_of(project, 10))
    assert (8, truth.trials) == (longer.replayed, longer.trials[:8])
    assert longer.digest == project.run(plan_of(project, 10), tmp_path / "another").digest


def test_every_fold_is_derived_again(base: SmallProject) -> None:
    """`verify` finds the study, its reports and its model's folder identical, `reproduce` the final result."""
    [found] = api.verify(config_of(base), "folds", sample=1, project=here(base))
    assert "identical" == found.state == api.reproduce("final", here(base)).state


def test_the_report_tells_folds_and_spread(base: SmallProject, truth: StudyResult) -> None:
    """A row has the value of each fold and their standard deviation; `show` names the folds, `check` counts trainings."""
    report = json.loads((base.paths.study_reports / "folds.json").read_text())
    for trial, row in zip(truth.trials, report["trials"], strict=True):
        scores = [outcome.metrics["val_f1"] for outcome in trial.outcomes]
        assert (scores, [1, 2, 3]) == (
            [run["value"] for run in row["runs"]],
            [run["rows"]["fold"] for run in row["runs"]],
        )
        assert np.isclose(np.std(scores, ddof=1), row["spread"])
    lines = describe_trial(read_trial(base.paths, "folds/0"))
    [told] = [line for line in lines if line.startswith("runs ")]
    assert all(f"(fold {fold})" in told for fold in (1, 2, 3))
    told = "\n".join(forecast(config_of(base), base.paths))
    assert "8 x 3" in told
    assert "9 trials (25 trainings)" in told


def test_the_model_is_that_of_the_first_fold_and_is_what_is_tested(base: SmallProject, truth: StudyResult) -> None:
    """Chosen by its mean, tested with the weights of its first run, checked on that run's rows, which it has not seen."""
    best = truth.best
    final = json.loads((base.paths.reports / "final.json").read_text())
    assert ("folds", best.number, best.spec.key) == (final["study"], final["trial"], final["key"])
    assert best.outcome.metrics["val_f1"] == final["validation"]["val_f1"]
    described = json.loads((base.paths.models / "folds" / "model.json").read_bytes())
    assert best.outcome.weights == described["weights"]
    _, scored = Resampling.of(base.data).frames(best.spec.data["rows"])
    found = api.load_model(base.paths.models / "folds").predict(scored)
    assert np.isclose((found["label"] == scored["kind"]).mean(), best.outcome.metrics["val_accuracy"])


def test_the_ranking_says_what_is_of_other_rows(base: SmallProject, truth: StudyResult) -> None:
    """Studies rank by their aggregates; which were scored on which rows is told, and the interval is that of folds."""
    ranking = api.compare(config_of(base), here(base))
    assert {"3 folds of train and validation": ["folds"], "validation": ["manual"]} == ranking.scored_on
    assert ranking.interval == fold_interval([outcome.metrics["val_f1"] for outcome in truth.best.outcomes])
    lines = Sureness.of(ranking_json(ranking), Defaults.of(config_of(base))).lines()
    assert any(
        "of other rows: folds on 3 folds of train and validation; manual on validation" in line for line in lines
    )
    with pytest.raises(InputError, match="folds/0 was scored on other rows, so its models have seen validation rows"):
        compare_trials(config_of(base), ["folds/0", "manual/0"], base.paths)


def test_the_interval_over_folds_is_that_of_nadeau_and_bengio() -> None:
    """By hand: of 0.8, 0.6, 0.7 the reach is 4.3027 (t, 2 degrees) times 0.1 times the root of 1/3 + 1/2."""
    low, high = fold_interval([0.8, 0.6, 0.7])
    assert np.allclose([0.7 - 0.392778, 0.7 + 0.392778], [low, high], atol=1e-5)
    assert fold_interval([0.8]) is fold_interval([0.8, None]) is None


def test_a_confirmation_puts_all_on_the_same_rows(base: SmallProject, tmp_path: Path) -> None:
    """The best configurations of all studies are trained on train and scored on validation, whatever they were found by."""
    project = base.copy(tmp_path / "project")
    config = config_of(project).with_("compare.confirm", {"top": 2, "seeds": 2})
    found = api.compare(config, here(project)).confirmation
    assert {"folds"} <= {one.row.study for one in found.contenders}
    assert all("rows" not in run.data for one in found.contenders for run in one.trial.proposal.runs)


def test_mlflow_has_one_run_per_trial_with_its_folds(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """Value, spread, means, every metric of each fold; a pull brings all of it back, the model's preprocessing too."""
    project = base.copy(tmp_path / "project")
    uri = f"sqlite:///{project.paths.root / 'mlflow.db'}"
    sync(project.paths.store, uri, "tests", "none")
    shown = {run.info.run_name: run for run in all_runs(uri, "tests")}
    for trial in truth.trials:
        metrics = shown[f"folds/{trial.number}"].data.metrics
        for fold, outcome in enumerate(trial.outcomes, start=1):
            assert outcome.metrics["val_f1"] == metrics[f"fold_{fold}/val_f1"]
            assert outcome.metrics["val_loss"] == metrics[f"fold_{fold}/val_loss"]
        assert (trial.value, trial.metrics["val_f1"]) == (metrics["value"], metrics["best_val_f1"])
        assert "seed_score" not in metrics
    assert "3" == shown["folds"].data.params["folds"]
    serving = Store.open(project.paths.store).serving(truth.spec.served_data)
    assert serving is not None
    shutil.rmtree(project.paths.store)
    with Store.open(project.paths.store) as store:
        assert [8] == [pulled.trials for pulled in pull_studies(store, uri, "tests", ["folds"])]
        assert serving == store.serving(truth.spec.served_data)
    again = project.run(plan_of(project))
    assert (8, truth.digest) == (again.replayed, again.digest)


def test_adopted_records_are_replayed(base: SmallProject, truth: StudyResult, tmp_path: Path) -> None:
    """From trials.jsonl into an empty store: nothing is trained, digest and serving are the same."""
    project = base.copy(tmp_path / "project")
    shutil.rmtree(project.paths.store)
    with Store.open(project.paths.store) as store:
        assert "folds" in adopt_studies(project.paths.models, store, {"who": "a clone"}, lambda: 1.0)
        assert store.serving(truth.spec.served_data) is not None
    again = project.run(plan_of(project), executor=Forbidden(project.data))
    assert (8, truth.digest) == (again.replayed, again.digest)


@pytest.fixture(scope="module")
def refitted(base: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """The same project with `refit`, compared and tested by a second look; only for tests that write nothing into it."""
    project = base.copy(tmp_path_factory.mktemp("refit") / "project")
    project.config = config_of(project, refit=True).with_("compare.test_looks", 2)
    study = api.tune(project.config, "folds", project=here(project), deliver=False)
    assert 8 == study.result.replayed  # no trial has another key for it
    api.compare(project.config, here(project)).test(anyway=True)
    return project


def test_the_refitted_model_is_what_is_tested(refitted: SmallProject, truth: StudyResult) -> None:
    """One run on all rows of train and validation, as long as the median fold was best; its weights are those of the look."""
    final = json.loads((refitted.paths.reports / "final.json").read_text())
    [trial] = read_study(refitted.paths.records("confirm.refit")).trials
    described = json.loads((refitted.paths.confirmed / "model" / "model.json").read_bytes())
    assert (trial.spec.key, trial.spec.candidate) == (final["key"], final["candidate"])
    assert trial.spec.key == described["key"] != truth.best.spec.key
    assert trial.outcome.weights == described["weights"]
    epochs = sorted(outcome.best_epoch for outcome in truth.best.outcomes)[1]
    assert (epochs, None) == (trial.spec.training["epochs"], trial.spec.training["early_stopping"])
    assert truth.best.spec.params == trial.spec.params
    data = Resampling.of(refitted.data).load(trial.spec.data["rows"])
    assert len(data.y_train) == len(refitted.rows("train")) + len(refitted.rows("validation"))
    assert trial.outcome == train(trial.spec, arrays_of(data)).outcome
    assert truth.best.metrics == final["validation"]  # what is told of it is what the folds said
    assert "optimism" not in final["details"]  # it has seen the rows that validation scores would be of
    assert "folds of train and validation" == final["chosen_on"]["epoch"]


def test_a_refit_is_told_and_derived_again(refitted: SmallProject, tmp_path: Path) -> None:
    """Ranking, `show final` and the bundle name it; `verify` finds it identical, its study among the others."""
    shown = read_confirming(refitted.paths, "confirm.refit/0")
    assert shown["key"] == read_final(refitted.paths)["key"]
    assert "place     confirms the choice;" in "\n".join(describe_trial(shown))
    with pytest.raises(NotFoundError, match=r"confirm\.refit has no trial 1; it has 0 to 0"):
        read_confirming(refitted.paths, "confirm.refit/1")
    ranking = json.loads((refitted.paths.reports / "ranking.json").read_text())
    assert ranking["refit"]["key"] == json.loads((refitted.paths.reports / "final.json").read_text())["key"]
    lines = "\n".join(describe_final(read_final(refitted.paths)))
    assert "first " not in lines  # no curve of rows that it was trained on
    facts = collect(refitted.paths, refitted.config)
    epochs = facts.ranking["refit"]["epochs"]
    assert f"on {facts.scored_on}" in headline(facts)[0]
    assert facts.scored_on.endswith("folds of train and validation")
    assert f"trained once more on train and validation for {epochs} epochs" in facts.kept
    assert "chosen on the same rows: 3 folds of train and validation" in chosen_on(facts)
    assert f"was trained once more on train and validation, for {epochs} epochs" in methods(facts)
    assert "validation rows" not in dict(baselines(facts)).get(facts.ranked[0].name, "")
    assert "over folds, f1" in lines
    assert "model     reports/confirm/model" in lines
    found = list(api.verify(refitted.config, sample=1, pipeline=True, project=here(refitted)))
    assert {"identical"} == {verdict.state for verdict in found}
    assert {"confirm.refit", "ranking"} <= {verdict.name for verdict in found}
    api.bundle(tmp_path / "final.zip", project=here(refitted))
    assert {"identical"} == {verdict.state for verdict in api.verify_bundle(tmp_path / "final.zip")}


def test_a_choice_without_refit_leaves_none(refitted: SmallProject, tmp_path: Path) -> None:
    """Where the chosen study does not say refit, the records of an earlier one go, and the first fold's model is scored."""
    project = refitted.copy(tmp_path / "project")
    api.tune(config_of(project), "folds", project=here(project), deliver=False)
    other = {"sampler": "random", "trials": 1, "cross_validation": {"folds": 2}, "refit": True}
    studies = {**config_of(project).model_dump(exclude_unset=True)["studies"], "other": other}
    ranking = api.compare(config_of(project).with_("studies", studies), here(project))
    assert ranking.refit is None
    assert ranking.rows[0] is ranking.scored
    assert not project.paths.records("confirm.refit").exists()


def test_length_and_threshold_of_a_refit_are_medians_over_folds(base: SmallProject) -> None:
    """By hand: best epochs 2, 7, 3 give 3 epochs; thresholds 0.2, 0.6, 0.3 give 0.3; without early stopping all epochs stay."""
    config = base.config.with_("studies", STUDIES).with_("decision.threshold", "validation")
    spec = plan_study(config, "folds", Basis(base.data.digests, "e" * 64)).spec
    searched = {"learning_rate": 0.01, "hidden_layers": 1, "units": 8, "activation": "relu", "dropout": 0.0}
    proposal = propose_trial(spec, 0, 0, {**searched, "batch_size": 32})
    outcomes = [
        TrialOutcome(run.key, "complete", 9, epoch, {"val_f1": 0.5, "decision_threshold": threshold}, (), None, None)
        for run, epoch, threshold in zip(proposal.runs, (2, 7, 3), (0.2, 0.6, 0.3), strict=True)
    ]
    plan = plan_refit(spec, Trial.of(spec, proposal, outcomes), 7)
    assert (3, 0.3, None) == tuple(plan.spec.training[name] for name in ("epochs", "threshold", "early_stopping"))
    whole = replace(
        proposal, runs=tuple(replace(run, training={**run.training, "early_stopping": None}) for run in proposal.runs)
    )
    assert 4 == plan_refit(spec, Trial.of(spec, whole, outcomes), 7).spec.training["epochs"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"repeats": 2}, "say cross_validation.repeats"),
        ({"pruner": {"name": "median"}}, "a trial of several runs has no curve of its own"),
        ({"cross_validation": {"folds": 1}}, "greater than or equal to 2"),
        ({"cross_validation": None, "refit": True}, "refit trains once more after folds"),
        ({"cross_validation": None, "aggregate": "mean"}, "aggregate says how the runs"),
    ],
)
def test_what_cannot_go_together_is_refused(base: SmallProject, changes: dict[str, Any], words: str) -> None:
    """Before anything runs, with what to say instead."""
    with pytest.raises(ConfigError, match=words):
        config_of(base, **changes)
