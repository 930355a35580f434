"""Entries of params.yaml that can never have an effect are told, and those that may have one are not."""

from __future__ import annotations

from typing import Any

import pytest

from tracker.config import parse_config
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


def test_one_study_that_it_changes_is_enough() -> None:
    """A common entry that one study uses is no idle one."""
    studies = {
        "a": {"sampler": "random", "trials": 3},
        "b": {"sampler": "random", "trials": 3, "search_space": {"optimizer": ["sgd"], "units": [4, 8]}},
    }
    assert [] == told(hyperparameters={"momentum": 0.9}, studies=studies)
