"""Simple models on the validation rows: what they must give, equal bytes, and no test row."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.studies.project import SmallProject
from tracker.datasets.training_data import load_training_data
from tracker.evaluation.baselines import write_baselines
from tracker.evaluation.baselines_report import baseline_line, baseline_lines, read_baselines, versus
from tracker.evaluation.sureness import Sureness
from tracker.project.stage import STAGES


def test_they_score_what_they_must(fresh: SmallProject) -> None:
    """The vote has the accuracy of the larger class and an area of one half; the others beat it on rows that can be told."""
    told = write_baselines(fresh.paths, fresh.config)
    models = {model["name"]: model for model in told["models"]}
    assert ["majority", "logistic", "boosted"] == list(models)
    data = load_training_data(fresh.paths.splits, fresh.config.preprocessing)
    largest = np.bincount(data.y_train).argmax()
    share = float((data.y_validation == largest).mean())
    assert models["majority"]["metrics"]["val_accuracy"] == pytest.approx(share, abs=1e-4)
    assert 0.5 == models["majority"]["metrics"]["val_roc_auc"]
    low, high = models["logistic"]["intervals"]["val_accuracy"]
    assert share < models["logistic"]["metrics"]["val_accuracy"] < high
    assert low > 0.5
    assert len(data.y_train) == told["train_rows"] == models["boosted"]["fitted_rows"]


def test_no_test_row_is_read_and_bytes_are_equal(fresh: SmallProject) -> None:
    """With the sealed split gone the report is written all the same, byte for byte."""
    path = fresh.paths.reports / "baselines.json"
    write_baselines(fresh.paths, fresh.config)
    content = path.read_bytes()
    shutil.rmtree(fresh.paths.sealed)
    write_baselines(fresh.paths, fresh.config)
    assert content == path.read_bytes()


def sure_of(interval: tuple[float, float] | None, metric: str = "val_f1") -> Sureness:
    """What is known of a first trial with this interval."""
    return Sureness(metric, [{"study": "tpe", "trial": 3, "value": 0.8}], interval, frozenset(), None)


@pytest.mark.parametrize(
    ("metric", "interval", "words"),
    [
        (
            "val_f1",
            (0.7, 0.9),
            "logistic is a tie of tpe/3 too: on these rows no network is clearly better than logistic",
        ),
        ("val_f1", (0.76, 0.9), "tpe/3 is clearly better than logistic, the best of them"),
        ("val_f1", (0.5, 0.6), "tpe/3 is clearly worse than logistic, the best of them"),
        ("val_loss", (0.1, 0.2), "tpe/3 is clearly better than logistic, the best of them"),
        ("val_loss", (0.5, 0.6), "tpe/3 is clearly worse than logistic, the best of them"),
        ("val_f1", None, None),
    ],
)
def test_whether_networks_are_better_is_said(
    metric: str, interval: tuple[float, float] | None, words: str | None
) -> None:
    """By the rule that makes ties: inside the first trial's interval no difference is told; losses the other way round."""
    models = [
        {"name": "majority", "metrics": {"val_f1": None, "val_loss": 0.7}},
        {"name": "logistic", "metrics": {"val_f1": 0.75, "val_loss": 0.4}},
    ]
    told = {"objective": {"metric": metric}, "models": models}
    assert words == versus(told, sure_of(interval, metric))
    other = "val_loss" if metric == "val_f1" else "val_f1"
    assert versus(told, sure_of(interval, other)) is None  # another objective than that of the baselines


CHOICE = {"choice": {"study": "random", "trial": 5, "mean": 0.7, "sd": 0.01}}


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (
            (0.7, 0.9),
            "logistic is ahead of random/5 ({}), inside its interval: on these rows random/5 is not clearly better",
        ),
        ((0.78, 0.82), "random/5 ({}) is clearly worse than logistic, the best of them"),
    ],
)
def test_the_chosen_trial_is_held_against_them(interval: tuple[float, float], words: str) -> None:
    """What a confirmation chose by its mean, what a rule took by its value, with the first one's interval about it."""
    told = {"objective": {"metric": "val_f1"}, "models": [{"name": "logistic", "metrics": {"val_f1": 0.75}}]}
    first = sure_of(interval)
    confirmed = replace(first, confirmation={"seeds": 20, "measured": CHOICE})
    preferred = replace(first, preferred={"row": {"study": "random", "trial": 5, "value": 0.7}})
    for sure, how in ((confirmed, "mean of 20 more seeds: 0.7000"), (preferred, "val_f1 as found: 0.7000")):
        assert str(versus(told, sure)).startswith(words.format(how))
    unknown = {"choice": CHOICE["choice"] | {"mean": None}}
    assert versus(told, replace(first, confirmation={"seeds": 20, "measured": unknown})) is None


def test_the_mean_of_a_tie_stands_beside_the_trial_it_is_of() -> None:
    """Not behind the simple model, where it would read as that one's."""
    told = {"objective": {"metric": "val_f1"}, "models": [{"name": "logistic", "metrics": {"val_f1": 0.65}}]}
    sure = replace(sure_of((0.7, 0.9)), confirmation={"seeds": 20, "measured": CHOICE})
    tie = "logistic is a tie of random/5: on these rows random/5 (mean of 20 more seeds: 0.7000) is not clearly better"
    assert f"{tie} than logistic" == versus(told, sure)


def test_a_report_of_other_rows_is_not_shown(fresh: SmallProject) -> None:
    """The line stands where the report is of the present rows; an undefined score is called so; a broken report is none."""
    sure = sure_of(None)
    assert [] == baseline_lines(fresh.paths, sure)
    told = write_baselines(fresh.paths, fresh.config)
    line = baseline_line(told)
    assert [line] == baseline_lines(fresh.paths, sure)
    assert "baselines on the same rows: majority " in str(line)
    told["models"][0]["metrics"]["val_f1"] = None
    assert "majority undefined, logistic 0." in str(baseline_line(told))
    told["objective"]["metric"] = "val_profit"
    assert str(baseline_line(told)).endswith("(val_f1)")
    path = fresh.paths.reports / "baselines.json"
    path.write_text(json.dumps({**told, "data": {"train": "x", "validation": "y"}}))
    assert read_baselines(fresh.paths) is None
    path.write_text("{")
    assert read_baselines(fresh.paths) is None


def test_the_stage_comes_after_the_split() -> None:
    """It is one of the stages, before any study."""
    assert ["prepare", "split", "baselines", "tune", "compare", "report"] == list(STAGES)
