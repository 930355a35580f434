"""A finished study as notebooks see it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.studies.project import SmallProject
from tests.studies.test_runner import WILD
from tracker.canonical import digest_arrays
from tracker.errors import NotFoundError
from tracker.studies.study import Study


@pytest.fixture(scope="module")
def finished(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallProject, Study]:
    """A project and its finished study `random`; nothing changes them."""
    project = small_project.copy(tmp_path_factory.mktemp("finished") / "project")
    return project, project.study(project.run(project.plan("random")))


def test_the_best_has_optunas_names(finished: tuple[SmallProject, Study]) -> None:
    """best_trial, best_params and best_value are of the trial with the highest val_f1."""
    study = finished[1]
    assert max(trial.value for trial in study.trials) == study.best_value
    assert study.best_value == study.best_trial.value == study.best_trial.metrics["val_f1"]
    assert study.best_trial.params == study.best_params
    assert ("random", study.result.digest) == (study.name, study.digest)


def test_the_data_frame_has_a_row_per_trial(finished: tuple[SmallProject, Study]) -> None:
    """number, state, value, params_*, metrics_*, seed, with the values of the trials."""
    study = finished[1]
    frame = study.trials_dataframe()
    assert list(range(6)) == frame["number"].to_list()
    assert ["number", "state", "value"] == list(frame.columns[:3])
    assert [trial.seed for trial in study.trials] == frame["seed"].to_list()
    assert [trial.params["learning_rate"] for trial in study.trials] == frame["params_learning_rate"].to_list()
    assert [trial.metrics["val_loss"] for trial in study.trials] == frame["metrics_val_loss"].to_list()


def test_widths_per_layer_fit_in_a_cell(fresh: SmallProject) -> None:
    """A list of widths is shown as text, so that the column can be sorted and saved."""
    configurations = [{"hidden_layers": 2, "units": [8, 12]}, {"units": 8}]
    plan = fresh.plan("manual", studies__manual={"sampler": "manual", "configurations": configurations})
    frame = fresh.study(fresh.run(plan)).trials_dataframe()
    assert ["[8,12]", 8] == frame["params_units"].to_list()


def test_the_history_has_a_row_per_epoch(finished: tuple[SmallProject, Study]) -> None:
    """Epochs count from 1; the kept one has the trial's metrics."""
    trial = finished[1].best_trial
    history = trial.history
    outcome = trial.trial.outcome
    assert list(range(1, outcome.epochs + 1)) == history["epoch"].to_list()
    assert dict(trial.metrics) == history.set_index("epoch").loc[outcome.best_epoch].to_dict()


def test_every_trial_predicts_what_it_recorded(finished: tuple[SmallProject, Study]) -> None:
    """Each trial's model, out of the store, gives its recorded predictions for the raw validation rows."""
    project, study = finished
    rows = project.rows("validation")
    for trial in study.trials:
        found = trial.predict(rows)
        assert ["label", "probability_ham", "probability_spam"] == list(found.columns)
        probabilities = found[["probability_ham", "probability_spam"]].to_numpy()
        assert trial.trial.outcome.predictions == digest_arrays({"probabilities": np.ascontiguousarray(probabilities)})


def test_a_trial_loads_as_a_module_in_evaluation_mode(finished: tuple[SmallProject, Study]) -> None:
    """load() gives a torch.nn.Module that does not drop anything and agrees with predict()."""
    project, study = finished
    rows, trial = project.rows("validation"), study.best_trial
    module = trial.load()
    assert isinstance(module, torch.nn.Module)
    assert not module.training
    with torch.no_grad():
        logits = module(torch.from_numpy(trial.model.features(rows)))
    labels = [["ham", "spam"][place] for place in logits.argmax(1)]
    assert labels == trial.predict(rows)["label"].to_list()


def test_a_failed_trial_says_why_it_has_no_model(fresh: SmallProject) -> None:
    """Its model is refused with the reason, its history is what there was, and best_trial never is one of them."""
    wild = {**WILD, "search_space": {"learning_rate": [1000.0], "dropout": {"low": 0.0, "high": 0.5}}}
    study = fresh.study(fresh.run(fresh.plan("random", **wild)))
    with pytest.raises(NotFoundError, match=r"random/0 has no model: diverged: the loss was not finite in epoch"):
        study.trials[0].load()
    assert ("failed", None) == (study.trials[0].state, study.trials[0].value)
    assert len(study.trials[0].history) < 4
    with pytest.raises(NotFoundError, match="random: no trial is best: diverged"):
        _ = study.best_params
    assert 6 == len(study.trials_dataframe())
    assert "Study(random, 6 trials, none best)" == repr(study)
    assert repr(study.trials[0]).startswith("StudyTrial(random/0, failed, value=None, params={")


def test_studies_and_trials_print_in_a_line(finished: tuple[SmallProject, Study]) -> None:
    """A notebook shows what a trial is and gave, not its whole record."""
    study = finished[1]
    best = study.best_trial
    assert f"Study(random, 6 trials, best random/{best.number}, value={best.value})" == repr(study)
    told = repr(best)
    assert told.startswith(f"StudyTrial(random/{best.number}, complete, value={best.value}, params={{'hidden_layers': ")
    assert f"'learning_rate': {best.params['learning_rate']!r}" in told
    assert len(told) < 400
    assert 6 == str(study.trials).count("StudyTrial(")


def test_a_study_goes_to_optuna(finished: tuple[SmallProject, Study]) -> None:
    """Optuna sees the same values under the same numbers."""
    study = finished[1]
    exported = study.to_optuna()
    assert [trial.value for trial in study.trials] == [trial.value for trial in exported.trials]
    assert study.best_value == exported.best_value
