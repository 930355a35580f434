"""Neutral values: what an entry holds where things are done as if the entry did not exist.

An identity leaves out what is neutral, so a release that adds an entry with a neutral value changes no key of what was
computed before. A neutral value is fixed for ever; what `params.yaml` gives by default may change, because it is written
out in every spec. The neutral values of hyperparameters stand in their table (`tracker.hyperparameters`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRAINING: dict[str, Any] = {
    "early_stopping": None,
    "device": "cpu",
    "numerics": "native",
    "metrics": [],
    "own_metrics": {},
    "robustness": None,
    "costs": [],
    "threshold": "argmax",
    "hypergradients": [],
}
PREPROCESSING: dict[str, Any] = {
    "numeric": {"impute": "none", "scale": "none", "indicator": False},
    "categorical": {"impute": "none", "encode": "onehot"},
}


def without_neutral(entries: Mapping[str, Any], neutral: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are not neutral; a section that has none left is left out too."""
    left: dict[str, Any] = {}
    for name, value in entries.items():
        inside = neutral.get(name)
        if isinstance(inside, Mapping) and isinstance(value, Mapping):
            if section := without_neutral(value, inside):
                left[name] = section
        elif name not in neutral or not is_same(value, inside):
            left[name] = value
    return left


def with_neutral(entries: Mapping[str, Any], neutral: Mapping[str, Any]) -> dict[str, Any]:
    """The entries, and the neutral values of those that are not among them."""
    whole = dict(entries)
    for name, value in neutral.items():
        if isinstance(value, Mapping):
            whole[name] = with_neutral(entries.get(name, {}), value)
        else:
            whole.setdefault(name, value)
    return whole


def is_same(value: Any, other: Any) -> bool:
    """Whether two values are equal and of one type: False is not 0."""
    return type(value) is type(other) and bool(value == other)
