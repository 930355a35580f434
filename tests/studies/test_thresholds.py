"""A threshold between two classes decides in one way everywhere: scores, models, the test split, what is derived again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.studies.loops import NETWORK, SMALL, LoopProject
from tests.studies.project import SmallProject, make_config
from tests.training.cases import arrays, spec
from tracker.config import Compare
from tracker.deriving.judge_final import reproduce_final
from tracker.errors import ConfigError, SealError
from tracker.evaluation.compare import compare
from tracker.families.family import train, train_cohort
from tracker.records import THRESHOLD, threshold_of
from tracker.standalone.load import load_model
from tracker.studies.plan import Basis, plan_study, refuse_labels

RARE = {"training__metrics": ["average_precision"], "decision__threshold": "validation"}


@pytest.mark.parametrize("rule", ["validation", 0.2])
def test_everybody_decides_alike(fresh: SmallProject, rule: str | float) -> None:
    """Trial, model folder, ranking, test scores and what is derived again call the same rows by the same threshold."""
    result = fresh.run(fresh.plan("random", decision__threshold=rule, training__metrics=["average_precision"]))
    fresh.report(result)
    best, rows = result.best, fresh.rows()
    threshold = threshold_of(best.spec, best.outcome.metrics)
    assert threshold == (best.outcome.metrics[THRESHOLD] if rule == "validation" else rule)
    opened = load_model(fresh.paths.models / "random")
    predicted = opened.predict(rows)
    called = np.where(predicted["probability_spam"].astype(float) >= threshold, "spam", "ham")
    assert called.tolist() == predicted["label"].tolist()
    assert predicted["label"].tolist() == fresh.study(result).best_trial.predict(rows)["label"].tolist()
    assert f1_score(rows["kind"], called, pos_label="spam") == pytest.approx(best.value)

    final = compare(fresh.paths, Compare(test_looks=1), clock=lambda: 0.0).test()
    low, high = final.interval("average_precision")
    assert low <= final.score("average_precision") <= high
    found = reproduce_final(fresh.paths)
    assert ("identical", None) == (found.state, found.first_difference)


def test_a_threshold_of_validation_beats_every_other(fresh: SmallProject) -> None:
    """At each epoch no threshold gives a higher score on validation, of F1 or of the objective where that can be had."""
    result = fresh.run(
        fresh.plan("manual", decision__threshold="validation", objective__metric="val_balanced_accuracy")
    )
    assert "max_balanced_accuracy" == result.trials[0].spec.training["threshold"]
    argmax = fresh.run(fresh.plan("manual", objective__metric="val_balanced_accuracy"))
    for trial, plain in zip(result.trials, argmax.trials, strict=True):
        for row, other in zip(trial.outcome.history, plain.outcome.history, strict=False):
            assert row["val_loss"] == other["val_loss"]  # the training is the same
            assert row["val_balanced_accuracy"] >= other["val_balanced_accuracy"]
            assert 0.0 <= row[THRESHOLD] < 1.0
    assert any(t.value > p.value for t, p in zip(result.trials, argmax.trials, strict=True))


def test_what_is_not_asked_for_is_in_no_outcome_and_no_key(fresh: SmallProject) -> None:
    """`argmax` and no metrics are neutral: specs and keys are those without the entries, histories tell nothing more."""
    plain, said = fresh.plan("random"), fresh.plan("random", decision__threshold="argmax", training__metrics=[])
    assert plain.spec.key == said.spec.key
    asked = fresh.plan("random", **RARE)
    assert plain.spec.key != asked.spec.key
    assert (["average_precision"], "max_f1") == (asked.spec.training["metrics"], asked.spec.training["threshold"])
    row = fresh.run(plain).trials[0].outcome.history[0]
    assert not {"val_average_precision", "val_roc_auc", THRESHOLD} & set(row)


def test_a_metric_is_asked_for_by_whoever_names_it() -> None:
    """As objective, as monitor, in `training.metrics`; each once, in the order of the table."""
    data = {"train": "t", "validation": "v", "schema": "s"}
    config = make_config(
        objective__metric="val_roc_auc",
        training__early_stopping={"monitor": "val_average_precision", "patience": 2},
        training__metrics=["roc_auc"],
    )
    assert ["average_precision", "roc_auc"] == plan_study(config, "random", Basis(data, "e")).spec.training["metrics"]


def test_lanes_with_thresholds_give_the_bits_of_solo_training() -> None:
    """Scores, thresholds and kept epochs do not depend on the neighbours, nor on having neighbours without any."""
    data = arrays(rows=70, classes=2, validation=41)
    rules = (
        {},
        {"threshold": "max_f1"},
        {"threshold": 0.3, "metrics": ["roc_auc"]},
        {"metrics": ["average_precision"]},
    )
    specs = [
        replace(one, training={**one.training, **rule})
        for one, rule in ((spec(seed, 5, None, units=10), rule) for seed, rule in enumerate(rules))
    ]
    for one, result in zip(specs, train_cohort(specs, data), strict=True):
        alone = train(one, data)
        assert (result.outcome, result.weights) == (alone.outcome, alone.weights)


def test_three_classes_have_no_threshold() -> None:
    """A fault of the configuration, told before anything trains."""
    data = {"train": "t", "validation": "v", "schema": "s"}
    plan = plan_study(make_config(decision__threshold=0.3), "random", Basis(data, "e"))
    refuse_labels([plan], ["no", "yes"])
    with pytest.raises(ConfigError, match=r"decision\.threshold: is between two classes, the target has 3"):
        refuse_labels([plan], ["a", "b", "c"])


@pytest.mark.parametrize("value", ["half", 0, 1, 1.5, True, None])
def test_what_is_no_threshold(value: object) -> None:
    """The message says what may stand there."""
    with pytest.raises(ConfigError, match="expected argmax, validation, or a probability between 0 and 1"):
        make_config(decision__threshold=value)


def test_another_threshold_in_the_model_is_found_before_the_look(fresh: SmallProject) -> None:
    """The number that was reported is the one that decides."""
    fresh.report(fresh.run(fresh.plan("random", decision__threshold="validation")))
    path = fresh.paths.models / "random" / "model.json"
    told = json.loads(path.read_text())
    assert (3, True) == (told["format"], 0 <= told["threshold"] < 1)
    path.write_text(json.dumps({**told, "threshold": 0.99}))
    with pytest.raises(SealError, match=r"decides from 0\.99 on"):
        compare(fresh.paths, Compare(test_looks=1), clock=lambda: 0.0).test()


def test_a_loop_of_your_own_is_scored_under_the_threshold(tmp_path) -> None:
    """Its model's probabilities give the scores at the end, with the metrics that were asked for; its own curve stays."""
    project = LoopProject.with_loop(tmp_path / "own", NETWORK, nets__small=SMALL)
    plan = project.plan("manual", objective={"metric": "val_average_precision"}, **RARE)
    result = project.run(plan, executor=project.executor())
    for trial in result.trials:
        assert trial.value == trial.outcome.metrics["val_average_precision"]
        assert {"val_f1", THRESHOLD} <= set(trial.outcome.metrics)
        assert "val_f1" not in trial.outcome.history[-1]
