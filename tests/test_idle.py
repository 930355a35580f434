"""Entries of params.yaml that can never have an effect are told, and those that may have one are not."""

from __future__ import annotations

from typing import Any

import pytest

from tracker.config import parse_config
from tracker.config.idle import misspelt
from tracker.config.settings import unusual

SPACE = {"optimizer": ["adam", "adamw"], "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
MOMENTUM = "has no effect, for it needs optimizer sgd, and that is adam or adamw; take one of them out"
BATCH = "has no effect, for it needs batch_norm false, and that is true; take one of them out"


def told(**sections: Any) -> list[str]:
    given = {"seed": 1, "search_space": SPACE, "studies": {"a": {"sampler": "random", "trials": 3}}, **sections}
    return list(unusual(parse_config(given, "params.yaml")))


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"hyperparameters": {"batch_norm": True, "layer_norm": True}}, [f"hyperparameters.layer_norm: {BATCH}"]),
        ({"hyperparameters": {"batch_norm": True, "layer_norm": False}}, []),
        (
            {"hyperparameters": {"batch_norm": True}, "search_space": {**SPACE, "layer_norm": [True, False]}},
            [f"search_space.layer_norm: {BATCH}"],
        ),
        ({"hyperparameters": {"layer_norm": True}, "search_space": {**SPACE, "batch_norm": [True, False]}}, []),
        (
            {"studies": {"m": {"sampler": "manual", "configurations": [{}, {"batch_norm": True, "layer_norm": True}]}}},
            [f"studies.m.configurations[1].layer_norm: {BATCH}"],
        ),
        (
            {"hyperparameters": {"momentum": 0.9}},
            [f"hyperparameters.momentum: {MOMENTUM}"],
        ),
        (
            {"search_space": {**SPACE, "forbid": [
                {"optimizer": "adam", "learning_rate": {"above": 0.005}},
                {"optimizer": "sgd"},
                {"learning_rate": {"above": 0.01}},
                {"batch_norm": True},
                {"optimizer": ["sgd", "adam"], "learning_rate": {"below": 0.001}},
            ]}},
            ["search_space.forbid[1]: never applies, for optimizer is adam or adamw; change it, or take it out",
             "search_space.forbid[2]: never applies, for learning_rate is from 0.0001 to 0.01; change it, or take it out",
             "search_space.forbid[3]: never applies, for batch_norm is false; change it, or take it out"],
        ),
    ],
)  # fmt: skip
def test_what_never_has_an_effect_is_told(sections: dict[str, Any], expected: list[str]) -> None:
    """Conditions that no trial meets and combinations that never occur; a study in which they may occur is enough."""
    assert expected == told(**sections)


A = {"sampler": "random", "trials": 3}
NEVER = "take fewer, or more epochs, or the pruner out"


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"studies": {"a": {**A, "pruner": {"name": "median", "n_warmup_steps": 9}}}},
         [f"studies.a.pruner: stops no trial, for n_warmup_steps is 9, and training has 9 epochs; {NEVER}"]),
        ({"studies": {"a": {**A, "pruner": "hyperband", "training": {"epochs": 1}}}},
         [f"studies.a.pruner: stops no trial, for min_resource is 1, and training has 1 epoch; {NEVER}"]),
        ({"studies": {"a": {**A, "pruner": {"name": "median", "n_warmup_steps": 8}}}}, []),
        ({"studies": {"a": {**A, "trials": 1, "enqueue": [{"learning_rate": 1e-3}, {"learning_rate": 1e-2}]}}},
         ["studies.a.enqueue: 2 configurations for 1 trial: those behind are never tried; raise trials, or take some out"]),
        ({"studies": {"a": {**A, "trials": 2, "enqueue": [{"learning_rate": 1e-3}, {"learning_rate": 1e-2}]}}}, []),
        ({"search_space": {**SPACE, "units": {"low": 4, "high": 8, "step": 10}}},
         ["search_space.units: has one value, 4, for step 10 is wider than the range; take a smaller step"]),
        ({"search_space": {**SPACE, "units": {"low": 4, "high": 8, "step": 4}}}, []),
        ({"search_space": {**SPACE, "dropout": {"low": 0.1, "high": 0.3, "step": 0.2}}}, []),
        ({"studies": {"a": {**A, "trials": 1, "enqueue": [{"learning_rate": 1e-3}, {"learning_rate": 1e-3}]}}}, []),
        ({"objective": {"metric": "val_accuracy", "direction": "minimize"}},
         ["objective: minimize val_accuracy looks for the worst, for it is to be high; leave direction out"]),
        ({"objective": {"metric": "val_loss", "direction": "maximize"}},
         ["objective: maximize val_loss looks for the worst, for it is to be low; leave direction out"]),
        ({"studies": {"a": {**A, "objectives": ["val_f1", {"metric": "parameters", "direction": "maximize"}]}}},
         ["studies.a.objectives: maximize parameters looks for the worst, for it is to be low; leave direction out"]),
        ({"training": {"epochs": 9, "metrics": ["costs:gain"]}, "objective": {"metric": "val_gain", "direction": "minimize"}},
         []),
    ],
)  # fmt: skip
def test_what_is_never_met_or_looks_for_the_worst_is_told(sections: dict[str, Any], expected: list[str]) -> None:
    """Pruners of too few epochs, configurations behind the last trial, steps wider than a range, a direction for the worst."""
    assert expected == told(**{"training": {"epochs": 9}, **sections})


def test_a_name_of_ones_own_that_misses_one_of_ours_is_told() -> None:
    """Where the code has it nowhere, and ours is not given; other names are the user's to choose."""
    model, space = {"family": "build", "entry": "net:build"}, {"optimiser": ["sgd", "adam"], "depth": [1, 2]}
    studies = {"a": {"sampler": "random", "trials": 3, "search_space": space}}

    def found(code: str, **more: Any) -> list[str]:
        values = {"learning_rat": 0.1, "width": 8, **more}
        given = {"seed": 1, "model": model, "studies": studies, "hyperparameters": values}
        return list(misspelt(parse_config(given, "params.yaml"), code))

    words = "is a name of your own, which your code does not read; did you mean"
    rate = f"hyperparameters.learning_rat: {words} learning_rate?"
    assert [rate, f"studies.a.search_space.optimiser: {words} optimizer?"] == found("params['learning_rate']")
    assert [rate] == found("params['optimiser']")
    assert [] == found("params['optimiser']", learning_rate=0.1)


def test_one_study_that_it_changes_is_enough() -> None:
    """A common entry that one study uses is no idle one."""
    studies = {
        "a": {"sampler": "random", "trials": 3},
        "b": {"sampler": "random", "trials": 3, "search_space": {"optimizer": ["sgd"], "units": [4, 8]}},
    }
    assert [] == told(hyperparameters={"momentum": 0.9}, studies=studies)
