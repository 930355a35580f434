"""Functions with a known best value that stand for training, and studies over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tracker.records import StudySpec
from tracker.sampler_table import SAMPLERS
from tracker.search.samplers import open_sampler, plan_generations
from tracker.search.sampling import Told

Searched = Mapping[str, Any]
Ending = Callable[[int, Searched], Told]

SPHERE = {
    "optimizer": ["sgd"],
    "momentum": {"low": 0.0, "high": 0.9},
    "dropout": {"low": 0.0, "high": 0.9},
    "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
}
MIXED = {
    "optimizer": ["adamw", "sgd", "adam"],
    "momentum": {"low": 0.0, "high": 0.95},
    "hidden_layers": {"low": 1, "high": 4},
    "units": {"low": 8, "high": 128, "log": True},
    "activation": ["relu", "tanh", "gelu"],
    "dropout": {"low": 0.0, "high": 0.6, "step": 0.1},
    "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
}


def sphere(searched: Searched) -> float:
    """At most 0: how far four numbers are from the best, in parts of their ranges, squared."""
    decay, rate = math.log10(searched["weight_decay"]), math.log10(searched["learning_rate"])
    loss = (searched["dropout"] - 0.2) ** 2 + (searched["momentum"] - 0.7) ** 2
    return -loss - ((decay + 4.5) / 5) ** 2 - ((rate + 2.6) / 4) ** 2


def mixed(searched: Searched) -> float:
    """At most 0: numbers, whole numbers, a step and two choices, one of which has a number of its own."""
    optimizer = {"adamw": 0.15, "adam": 0.3, "sgd": (searched.get("momentum", 0.0) - 0.9) ** 2}
    loss = optimizer[searched["optimizer"]] + {"relu": 0.1, "tanh": 0.0, "gelu": 0.2}[searched["activation"]]
    loss += ((math.log10(searched["learning_rate"]) + 2.2) / 2) ** 2 + 0.5 * (searched["dropout"] - 0.3) ** 2
    return -loss - 0.1 * (searched["hidden_layers"] - 2) ** 2 - 0.075 * math.log(searched["units"] / 40) ** 2


def plainly(objective: Callable[[Searched], float | None]) -> Ending:
    """Every trial completes, with this value, and tells the slopes of the loss, which is its negative."""
    return lambda number, searched: Told(number, (objective(searched),), slopes=slopes_of(objective, searched))


def slopes_of(
    objective: Callable[[Searched], float | None], searched: Searched
) -> tuple[tuple[str, float | None], ...]:
    """What is a value, differentiated by every number with a fraction and turned about; nothing where it is undefined."""
    slopes = []
    for name, number in searched.items():
        if isinstance(number, float):
            far = 1e-6 * max(number, 1e-3)
            high, low = (objective({**searched, name: number + sign * far}) for sign in (1, -1))
            slopes.append((name, None if high is None or low is None else (low - high) / (2 * far)))
    return tuple(slopes)


def run_study(spec: StudySpec, trials: int, ending: Ending, anew: bool = False) -> list[dict[str, Any]]:
    """The proposals of a study. `anew`: each generation is proposed by a new sampler, to which those before were given."""
    sampler, logged = open_sampler(spec), []
    for generation, (start, count) in enumerate(plan_generations(spec, trials)):
        if anew:
            sampler = replayed(spec, logged, ending)
        proposed = sampler.propose(generation, count, start)
        sampler.tell([ending(start + place, searched) for place, searched in enumerate(proposed)])
        logged.append(proposed)
    return [searched for generation in logged for searched in generation]


def replayed(spec: StudySpec, logged: Sequence[list[dict[str, Any]]], ending: Ending) -> Any:
    """A new sampler after generations that are known: given back, or proposed again where that is needed."""
    sampler, start = open_sampler(spec), 0
    for generation, proposed in enumerate(logged):
        if SAMPLERS[spec.sampler["name"]].rebuilds:
            sampler.take(generation, [dict(sorted(searched.items())) for searched in proposed])
        else:
            assert proposed == sampler.propose(generation, len(proposed), start)
        sampler.tell([ending(start + place, searched) for place, searched in enumerate(proposed)])
        start += len(proposed)
    return sampler
