"""What params.yaml may say where the code, and so the names, are the user's own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.studies.loops import PARAMS
from tracker.config import Config, parse_config, read_yaml
from tracker.errors import ConfigError
from tracker.metrics import CURVES

FUNCTION = {"family": "function", "entry": "loop:fit"}
STUDIES = {"random": {"sampler": "random", "trials": 3, "search_space": {"anything": [1, 2]}}}


def config_of(**sections: Any) -> Config:
    return parse_config({"seed": 1, "model": FUNCTION, "studies": STUDIES, **sections}, "p")


def faults_of(**sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_of(**sections)
    return [fault.removeprefix("p: ") for fault in caught.value.faults]


def test_names_metrics_and_values_are_free() -> None:
    """Hyperparameters of any name and value, an objective and a monitor of any name."""
    config = parse_config(read_yaml(PARAMS.encode(), "p"), "p")
    assert ("function", "loop:fit", "cost", "minimize") == (
        config.model.family,
        config.model.entry,
        config.objective.metric,
        config.objective.direction,
    )
    config_of(
        hyperparameters={"a": 1, "b": "x", "c": True, "d": [1, "y"], "epochs": 3},
        training={"early_stopping": {"monitor": "my_score"}},
    )


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ({"family": "function"}, "model: family function needs entry: module:function, such as loop:fit"),
        ({"family": "mlp", "entry": "a:b"}, "model: entry belongs to a family with code of your own; mlp has none"),
        ({"entry": "a:b"}, "model: entry belongs to a family with code of your own; mlp has none"),
        *(
            (
                {"family": "function", "entry": entry},
                f"model: entry: expected module:function, such as loop:fit for fit() in loop.py, found {entry!r}",
            )
            for entry in (
                "",
                "loop",
                "../x:fit",
                "/x:fit",
                "a/b:fit",
                "loop.py:fit()",
                "a..b:fit",
                ".a:fit",
                "a:b:c",
                "a:b\n",
            )
        ),
    ],
)
def test_entry_and_family_belong_together(model: dict[str, str], fault: str) -> None:
    """An entry is a module beside params.yaml and a function in it; families of ours have none."""
    studies = {"random": {"sampler": "random", "trials": 3, "search_space": {"units": [8]}}}
    assert fault in faults_of(model=model, studies=studies)


def test_names_that_could_not_be_passed_on_are_refused() -> None:
    """Wherever they are declared: `seed`, which is an argument, and what is no name."""
    studies = {
        "random": {"sampler": "random", "trials": 3, "search_space": {"x y": [1]}},
        "manual": {"sampler": "manual", "configurations": [{"": 1}]},
    }
    assert [
        "hyperparameters: seed is no hyperparameter; each trial gets a seed of its own as an argument",
        "hyperparameters: 'x y' is no name; it starts with a letter and has letters, digits, _ and -",
        "hyperparameters: '' is no name; it starts with a letter and has letters, digits, _ and -",
    ] == faults_of(hyperparameters={"seed": 1}, studies=studies)


@pytest.mark.parametrize("value", [None, {"a": 1}, float("inf"), [[1]], [None]])
def test_values_are_numbers_texts_truth_values_or_lists_of_them(value: Any) -> None:
    """Whatever else YAML can say has no place in a key."""
    [fault] = faults_of(hyperparameters={"a": value})
    assert fault.startswith("hyperparameters.a: expected a ")


def test_spaces_are_checked_as_ever() -> None:
    """Conditions must name what is declared, `per` is not available."""
    space = {"a": {"low": 1, "high": 2, "when": {"absent": 1}}, "b": {"low": 1, "high": 2, "per": "a"}}
    assert [
        "search_space.a.when.absent: unknown; this family knows a, b",
        "search_space.b.per: expected no such entry for this name, found a",
    ] == faults_of(search_space=space)


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        ("val loss", "'val loss' is no name of a metric; it has letters, digits, _ . and -"),
        ("val//loss", "'val//loss' is no name of a metric; "),
        ("epoch", "'epoch' is no metric but has a meaning of its own; "),
        ("best_score", "'best_score' begins with best_, "),
    ],
)
def test_a_metric_that_no_loop_may_yield_is_refused_at_once(metric: str, fault: str) -> None:
    """The objective and the monitor have names that a loop can yield; Lightning's `val/loss` is one."""
    faults = faults_of(objective={"metric": metric}, training={"early_stopping": {"monitor": metric}})
    places = "objective.metric", "training.early_stopping.monitor"
    assert [f"{place}: {fault}" for place in places] == [
        found[: len(f"{place}: {fault}")] for place, found in zip(places, faults, strict=True)
    ]
    assert "val/loss" == config_of(objective={"metric": "val/loss"}).objective.metric


def test_metrics_of_our_own_families_are_fixed() -> None:
    """Only code of the user's own can yield other metrics; the message lists ours."""
    studies = {"s": {"sampler": "random", "trials": 3, "search_space": {"units": [8]}, "training": {}}}
    studies["s"]["training"] = {"early_stopping": {"monitor": "c"}}
    faults = faults_of(
        model={"family": "mlp"},
        objective={"metric": "a"},
        training={"early_stopping": {"monitor": "b"}},
        studies=studies,
    )
    assert ["objective.metric", "training.early_stopping.monitor", "studies.s.training.early_stopping.monitor"] == [
        fault.partition(": ")[0] for fault in faults
    ]
    assert faults[0].startswith("objective.metric: expected 'train_loss', 'val_loss', 'val_accuracy', ")
    numbers = "or with a number val_fbeta_2, val_top_k_accuracy_3"
    assert faults[0].endswith(f" or {CURVES[-1]!r}, {numbers}, found 'a'")


@pytest.mark.parametrize(
    ("metric", "end"),
    [
        ("f1", "did you mean val_f1?"),
        ("fbeta_2", "did you mean val_fbeta_2?"),
        ("val_fbeta_2.0", "fbeta wants its beta at its end, as in fbeta_2, found 'val_fbeta_2.0'"),
        ("val_gian", "did you mean val_gain?"),
        ("gain", "did you mean val_gain?"),
        ("val_robust_fl", "did you mean val_robust_f1?"),
        ("val_robust_fbeta", "fbeta wants its beta at its end, as in fbeta_2"),
        ("val_robust_loss", "found 'val_robust_loss'; did you mean val_robust_neg_log_loss?"),
        ("robust_f1", "did you mean val_robust_f1?"),
        ("parameters", "is a cost, not a score; name it in objectives or constraints of a study"),
    ],
)
def test_what_is_near_an_unknown_objective_is_told(metric: str, end: str) -> None:
    """A name without val_, of a function of one's own, with a number, of disturbed rows, and what is no score at all."""
    training = {"metrics": ["costs:gain"], "robustness": {"noise": 0.1, "metrics": ["f1"]}}
    studies = {"random": {"sampler": "random", "trials": 3, "search_space": {"units": [8, 16]}}}
    [fault] = faults_of(model={"family": "mlp"}, objective={"metric": metric}, training=training, studies=studies)
    assert fault.startswith("objective.metric: ")
    assert fault.endswith(end)
