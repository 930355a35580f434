"""Robustness: the kept model on rows with noise and missing columns, the same for every trial, only where it is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.studies.project import SmallProject, make_config
from tracker.confusion import count_confusion
from tracker.errors import ConfigError
from tracker.execution.row_sets import arrays_of
from tracker.metrics import scores
from tracker.standalone.load import load_model
from tracker.standalone.mlp import open_network
from tracker.training.robustness import disturbed

ASKED = {"noise": 0.5, "drop": 0.3, "metrics": ["f1", "roc_auc"]}


def test_it_decides_and_is_the_score_of_the_kept_model(fresh: SmallProject) -> None:
    """As objective its value is what the model that is served scores on the disturbed rows; no other metric moves for it."""
    plan = fresh.plan("random", training__robustness=ASKED, objective={"metric": "val_robust_f1"})
    result = fresh.run(plan)
    fresh.report(result)
    best, data = result.best, arrays_of(fresh.data)
    assert best.value == best.outcome.metrics["val_robust_f1"] == max(trial.value for trial in result.trials)
    assert 0.5 < best.outcome.metrics["val_robust_roc_auc"] < 1.0
    module = load_model(fresh.paths.models / "random").module
    tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    network = open_network({"params": best.spec.params, "labels": data.labels}, tensors)
    call = network.probabilities(disturbed(data.x_validation, data, 0.5, 0.3)).argmax(1)
    assert best.value == scores(count_confusion(data.y_validation, call, data.classes), data.positive)["f1"]
    plain = {trial.number: trial.outcome for trial in fresh.run(fresh.plan("random")).trials}
    for trial in result.trials:
        told = {name: value for name, value in trial.outcome.metrics.items() if "robust" not in name}
        assert (told, trial.outcome.weights) == (plain[trial.number].metrics, plain[trial.number].weights)


def test_a_study_that_asks_for_none_has_the_key_it_had(small_project: SmallProject) -> None:
    """None is neutral; what is asked for, and how strong the noise is, is another key."""
    plain, asked = small_project.plan("random").spec, small_project.plan("random", training__robustness=ASKED).spec
    assert plain.training["robustness"] is None
    assert small_project.plan("random", training__robustness=None).spec.key == plain.key
    other = small_project.plan("random", training__robustness={**ASKED, "noise": 0.4}).spec
    assert 3 == len({plain.key, asked.key, other.key})


def test_noise_is_on_numbers_and_columns_are_lost_whole(small_project: SmallProject) -> None:
    """Shares and deviation are as declared, categories have no noise and go together, every call gives the same bits."""
    data = arrays_of(small_project.data)
    rows = np.ones((4000, 6), dtype=np.float32)
    arrays = replace(data, blocks=(0, 3, 0, 1))
    found = disturbed(rows, arrays, 0.1, 0.25)
    assert found.tobytes() == disturbed(rows, arrays, 0.1, 0.25).tobytes()
    assert found[:7].tobytes() == disturbed(rows[:7], arrays, 0.1, 0.25).tobytes()
    lost = found == 0
    assert np.allclose(lost.mean(axis=0), 0.25, atol=0.03)
    assert (lost[:, [1, 2]] == lost[:, [3, 3]]).all()
    assert {0.0, 1.0} == set(found[:, [1, 2, 3, 5]].ravel().tolist())
    numbers = found[:, [0, 4]][~lost[:, [0, 4]]]
    assert abs(float(numbers.std()) - 0.1) < 0.005
    assert abs(float(numbers.mean()) - 1.0) < 0.005


def test_the_mask_of_a_sequence_and_what_it_hides_stay(small_project: SmallProject) -> None:
    """Steps that are there are disturbed in all channels but the mask; others are as they were."""
    arrays = replace(arrays_of(small_project.data), blocks=(), shape=(3, 2), mask=True)
    rows = np.tile(np.array([1, 1, 2, 1, 0, 0], dtype=np.float32), (50, 1))
    found = disturbed(rows, arrays, 0.1, 0.5).reshape(50, 3, 2)
    assert (found[..., 1] == [1, 1, 0]).all()
    assert (found[:, 2] == 0).all()
    assert 0.3 < (found[:, :2, 0] == 0).mean() < 0.7


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"training__robustness": {"metrics": ["f1"]}}, "training.robustness: say noise, drop, or both"),
        (
            {"training__robustness": {"noise": 0.1, "metrics": ["loss"]}},
            "training.robustness.metrics[0]: expected accuracy",
        ),
        (
            {"training__robustness": ASKED, "objective": {"metric": "val_robust_recall"}},
            "add recall to training.robustness",
        ),
        (
            {"training__robustness": ASKED, "training__early_stopping": {"monitor": "val_robust_f1"}},
            "val_robust_f1 is known of the kept epoch alone, so it cannot choose that; did you mean val_f1?",
        ),
        (
            {
                "training__robustness": ASKED,
                "studies__random__pruner": {"name": "median"},
                "objective": {"metric": "val_robust_f1"},
            },
            "studies.random.pruner: looks at every epoch, and val_robust_f1 is known of the kept one alone",
        ),
    ],
)
def test_what_it_cannot_do_is_said(changes: dict[str, Any], fault: str) -> None:
    """Nothing to disturb, a loss, a metric that is not computed, a monitor and a pruner."""
    with pytest.raises(ConfigError) as caught:
        make_config(**changes)
    assert fault in str(caught.value)
