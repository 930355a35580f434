"""The space that the best trials of a study leave: ranges around them, choices that are not clearly worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search.conftest import build_spec
from tests.search.toys import SPHERE, plainly, run_study, sphere
from tracker.errors import SpaceError
from tracker.search.entries import Interval, Options
from tracker.search.samplers import open_sampler
from tracker.search.shrink import shrink
from tracker.search.space import Space, space_from

RATE = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}


def left(entries: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], keep: float = 0.2, **changes: Any) -> Space:
    """What these trials, best first, leave of a space."""
    return shrink(build_spec("random", entries, **changes), trials_of(rows), keep)


def trials_of(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Trials with these searched values, each worse than the one before; a row without any has no value."""
    values = [1 - number / 1000 if row else None for number, row in enumerate(rows)]
    return [
        SimpleNamespace(
            value=value, ranked=value, ties=(), metrics={}, study="study", number=number,
            proposal=SimpleNamespace(searched=row),
        )
        for number, (row, value) in enumerate(zip(rows, values, strict=True))
    ]  # fmt: skip


def domain(space: Space, name: str) -> Any:
    return next(entry.domain for entry in space.entries if entry.name == name)


def test_a_range_follows_what_is_kept_by_its_mean_gap() -> None:
    """Three kept of ten, 0.1 to 0.2: the mean gap is 0.05, so 0.05 to 0.25 is left."""
    rows = [{"dropout": value} for value in (0.1, 0.2, 0.15, *[0.45] * 7)]
    assert domain(left({"dropout": {"low": 0.0, "high": 0.5}}, rows, 0.3), "dropout") == Interval(0.05, 0.25)


def test_a_range_in_the_logarithm_shrinks_there() -> None:
    """Kept 0.001 and 0.01, a decade: one more on either side; the original ends are never left."""
    rows = [{"learning_rate": value} for value in (1e-3, 1e-2, *[0.05] * 8)]
    assert domain(left(RATE, rows), "learning_rate") == Interval(1e-4, 1e-1, log=True)
    rows = [{"learning_rate": 1e-3 * 10 ** (place / 8)} for place in range(9)] + [{"learning_rate": 0.05}] * 36
    assert domain(left(RATE, rows), "learning_rate") == Interval(0.0007079, 0.01413, log=True)  # by 0.15 decades


def test_a_single_kept_value_is_not_frozen() -> None:
    """Around one value a twentieth of the width is left on either side; of numbers with steps a step at least."""
    entries = {
        "dropout": {"low": 0.0, "high": 0.5},
        "hidden_layers": {"low": 1, "high": 5},
        "units": {"low": 16, "high": 128, "step": 16},
    }
    space = left(entries, [{"dropout": 0.2, "hidden_layers": 3, "units": 128}, *[{}] * 9], 0.2)
    assert domain(space, "dropout") == Interval(0.175, 0.225)
    assert domain(space, "hidden_layers") == Interval(2, 4)
    assert domain(space, "units") == Interval(112, 128, 16)


def test_widths_of_layers_shrink_together() -> None:
    """One range for all layers: from the narrowest to the widest kept one; the number of layers shrinks by itself."""
    entries = {
        "hidden_layers": {"low": 1, "high": 5},
        "units": {"low": 8, "high": 264, "step": 8, "per": "hidden_layers"},
    }
    rows = [{"hidden_layers": 2, "units_0": 80, "units_1": 96}, {"hidden_layers": 1, "units_0": 88}]
    space = left(entries, rows, 1.0)
    assert domain(space, "hidden_layers") == Interval(1, 3)
    assert domain(space, "units") == Interval(64, 112, 8)


def test_choices_go_when_clearly_worse() -> None:
    """Ten kept of 48. Of 16 trials with a choice none is kept: by chance 0.9 %, it goes; of eight: 13 %, it stays."""
    best, rest = [{"activation": "relu"}] * 10, [{"activation": "relu"}] * 14
    often, seldom = [{"activation": "tanh"}] * 16, [{"activation": "gelu"}] * 8
    space = left({"activation": ["relu", "tanh", "gelu"]}, best + rest + often + seldom)
    assert domain(space, "activation") == Options(("relu", "gelu"))
    space = left({"activation": ["relu", "tanh", "gelu"]}, best[:9] + often[:1] + rest + often[1:] + seldom)
    assert domain(space, "activation") == Options(("relu", "tanh", "gelu"))


def test_a_name_whose_condition_went_goes_too() -> None:
    """Momentum belongs to sgd; without sgd it is not searched. Where few trials have a name it stays whole."""
    entries = {
        "optimizer": ["adamw", "sgd"],
        "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "sgd"}},
    }
    best = [{"optimizer": "adamw"}] * 12
    space = left(entries, best + [{"optimizer": "sgd", "momentum": 0.9}] * 28)
    assert [entry.name for entry in space.entries] == ["optimizer"]
    space = left(entries, best + [{"optimizer": "sgd", "momentum": 0.9}] * 2)
    assert domain(space, "momentum") == Interval(0.5, 0.99)


def test_without_a_value_nothing_is_left() -> None:
    """A study whose trials all failed says nothing; no shrinking is invented."""
    with pytest.raises(SpaceError, match="no trial has a value"):
        left(RATE, [{}, {}])


def test_a_chain_of_small_studies_finds_more_than_one_large_one() -> None:
    """Three random studies of 16, each over what the best fifth of the one before leaves, beside one of 48: sphere, 9 seeds."""

    def best(rows: Sequence[Mapping[str, Any]]) -> float:
        return max(map(sphere, rows))

    chains, whole = [], []
    for seed in range(9):
        spec = build_spec("random", SPHERE, seed=seed)
        whole.append(best(run_study(spec, 48, plainly(sphere))))
        found = 3 * [0.0]
        for link in range(3):
            rows = run_study(replace(spec, seed=seed + 100 * link), 16, plainly(sphere))
            found[link] = best(rows)
            ranked = sorted(rows, key=sphere, reverse=True)
            spec = replace(spec, space=shrink(spec, trials_of(ranked), 0.2).canonical())
        chains.append(max(found))
    assert median(chains) > 0.5 * median(whole)  # both are below 0: less than half of the distance is left


RICH = {
    "hidden_layers": {"low": 1, "high": 3},
    "units": {"low": 8, "high": 64, "step": 8, "per": "hidden_layers"},
    "optimizer": ["adamw", "sgd"],
    "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "sgd"}},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
    "batch_size": {"low": 8, "high": 256, "log": True},
}


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 40), keep=st.sampled_from([0.05, 0.2, 1.0]))
def test_what_is_left_lies_inside_and_holds_what_was_kept(seed: int, count: int, keep: float) -> None:
    """Whatever was drawn: no end lies outside, every kept value that is active is still allowed, the form is sound."""
    spec = build_spec("random", RICH, seed=seed)
    rows = open_sampler(spec).propose(0, count, 0)
    space = shrink(spec, trials_of(rows), keep)
    before = {name: entry.domain for name, entry in space_from(spec.space, spec.fixed, spec.family).names()}
    kept = rows[: max(1, -(-count * round(keep * 20) // 20))]
    for name, entry in space.names():
        if isinstance(entry.domain, Interval):
            assert before[name].low <= entry.domain.low <= entry.domain.high <= before[name].high
            assert before[name].allows(entry.domain.low)
            assert before[name].allows(entry.domain.high)
        for row in kept:
            assert name not in row or entry.domain.allows(row[name])
    again = build_spec("random", RICH, seed=seed)
    assert space.canonical() == shrink(again, trials_of(rows), keep).canonical()
