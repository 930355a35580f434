"""Quasi-random search reads trial n off point n of one sequence, which covers a space more evenly than chance."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import qmc

from tracker.errors import SpaceError
from tracker.search.entries import Entry, Options
from tracker.search.qmc import open_qmc
from tracker.search.samplers import open_sampler
from tracker.search.sampling import Told
from tracker.search.space import Space, space_from

LAYERED = {
    "hidden_layers": {"low": 1, "high": 4},
    "units": {"choices": [8, 16, 32, 64], "per": "hidden_layers"},
    "optimizer": ["adamw", "sgd"],
    "momentum": {"low": 0.0, "high": 0.9},
}


def points(spec, count):
    """The trials of a study as rows of values."""
    return [list(searched.values()) for searched in open_sampler(spec).propose(0, count, 0)]


def test_it_covers_a_square_more_evenly_than_chance(make_spec):
    """For three seeds the discrepancy of 64 trials is well below that of random search, and of 50 trials too."""
    space = {"dropout": {"low": 0.0, "high": 0.5}, "weight_decay": {"low": 0.0, "high": 0.5}}
    for seed in range(3):
        for count in (64, 50):
            found = {
                sampler: qmc.discrepancy(np.array(points(make_spec(sampler, space, seed=seed), count)) * 2)
                for sampler in ("qmc", "random")
            }
            assert 2 * found["qmc"] < found["random"]


def test_choices_and_steps_have_equal_counts(make_spec):
    """Over a power of two trials each of 2, 4 or 8 values occurs equally often, alone and in pairs; three nearly so."""
    space = {
        "optimizer": ["sgd", "adam"],
        "batch_size": [8, 16, 32, 64],
        "dropout": {"low": 0.0, "high": 0.7, "step": 0.1},
        "hidden_layers": {"low": 1, "high": 3},
    }
    rows = points(make_spec("qmc", space), 64)
    assert {"sgd": 32, "adam": 32} == Counter(row[0] for row in rows)
    assert dict.fromkeys([8, 16, 32, 64], 16) == Counter(row[1] for row in rows)
    assert dict.fromkeys([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], 8) == Counter(row[2] for row in rows)
    assert {8} == set(Counter((row[0], row[1]) for row in rows).values())
    assert {21, 22} == set(Counter(row[3] for row in rows).values())


def test_logarithmic_ranges_are_even_over_magnitudes(make_spec):
    """Each decade of a range, and each factor of two of whole numbers, has its share of 256 trials."""
    space = {"learning_rate": {"low": 1e-4, "high": 1.0, "log": True}, "batch_size": {"low": 1, "high": 7, "log": True}}
    rows = points(make_spec("qmc", space), 256)
    decades = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert [64, 64, 64, 64] == [sum(low <= row[0] < high for row in rows) for low, high in pairwise(decades)]
    share = {size: 256 * math.log((size + 0.5) / (size - 0.5)) / math.log(15) for size in range(1, 8)}
    counts = Counter(row[1] for row in rows)
    assert share.keys() == counts.keys()
    assert all(abs(counts[size] - expected) < 2 for size, expected in share.items())


def test_ends_of_ranges_are_never_left(make_spec):
    """Values at the very ends are the declared ones, and a range of one value has only that."""
    space = {
        "learning_rate": {"low": 0.1, "high": 0.1, "log": True},
        "weight_decay": {"low": 0.3, "high": 0.3},
        "batch_size": {"low": 3, "high": 4, "log": True},
        "momentum": {"low": 0.1, "high": 0.7000000000000001},
        "optimizer": ["sgd"],
    }
    for searched in open_sampler(make_spec("qmc", space)).propose(0, 64, 0):
        assert (0.1, 0.3) == (searched["learning_rate"], searched["weight_decay"])
        assert searched["batch_size"] in {3, 4}
        assert 0.1 <= searched["momentum"] <= 0.7000000000000001


def test_idle_names_shift_nothing(make_spec):
    """A name keeps its place in every point: with other names idle or searched, the same trial has the same value."""
    deep = open_sampler(make_spec("qmc", LAYERED)).propose(0, 64, 0)
    for searched in deep:
        assert searched["hidden_layers"] == sum(name.startswith("units_") for name in searched)
        assert ("momentum" in searched) == (searched["optimizer"] == "sgd")
    fixed = {**LAYERED, "hidden_layers": [4], "optimizer": ["sgd"]}
    whole = open_sampler(make_spec("qmc", fixed)).propose(0, 64, 0)
    varying = LAYERED.keys() - {"hidden_layers", "optimizer"}
    for searched, all_names in zip(deep, whole, strict=True):
        shared = [name for name in searched if name.partition("_")[0] in varying]
        assert [all_names[name] for name in shared] == [searched[name] for name in shared]


def test_widths_of_a_fixed_number_of_layers(make_spec):
    """Where the number of layers is not searched, there is one place per layer."""
    spec = make_spec("qmc", {"units": {"low": 8, "high": 64, "per": "hidden_layers"}}, fixed={"hidden_layers": 3})
    assert {("units_0", "units_1", "units_2")} == {tuple(row) for row in open_sampler(spec).propose(0, 8, 0)}


def test_results_change_nothing(make_spec):
    """It learns nothing: trial 9 is the same after told trials, after taken ones, and asked alone."""
    spec = make_spec("qmc", LAYERED)
    expected = open_sampler(spec).propose(0, 10, 0)
    told, taken = open_sampler(spec), open_sampler(spec)
    told.tell([Told(number, (0.5,)) for number, _ in enumerate(told.propose(0, 9, 0))])
    taken.take(0, expected[:9])
    assert [expected[9:]] * 2 == [told.propose(1, 1, 9), taken.propose(1, 1, 9)]


def test_more_names_than_a_sequence_has_dimensions(make_spec):
    """Such a space is refused with the way out."""
    spec = make_spec("qmc", {"dropout": [0.1, 0.2]})
    assert open_qmc(spec, space_from(spec.space, spec.fixed, spec.family)).total is None
    many = Space("function", tuple(Entry(f"x{index}", Options((1, 2))) for index in range(qmc.Sobol.MAXDIM + 1)), {})
    with pytest.raises(SpaceError, match=r"21202 searched names.*more than the 21201 dimensions.*sample at random"):
        open_qmc(spec, many)
