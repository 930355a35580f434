"""Proposals follow from the spec and the told values alone, in any process, and longer studies extend shorter ones."""

import logging
from collections import Counter

import pytest

from tracker.canonical import canonical_json
from tracker.errors import SpaceError, TrackerError
from tracker.records import StudySpec, record_from, record_json
from tracker.sampler_table import SAMPLERS
from tracker.search.samplers import open_sampler, plan_generations, versions
from tracker.search.sampling import Told
from tracker.search.space import assemble, space_from

RICH = {
    "units": {"low": 16, "high": 128, "step": 16, "per": "hidden_layers"},
    "hidden_layers": {"low": 1, "high": 3},
    "optimizer": ["adamw", "sgd"],
    "momentum": {"low": 0.5, "high": 0.99},
    "dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
    "batch_norm": [True, False],
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "batch_size": {"low": 8, "high": 256, "log": True},
}


def score(searched):
    """A value that depends on the proposal; every trial with three layers fails."""
    if searched.get("hidden_layers") == 3:
        return None
    return -((searched.get("dropout", 0.0) - 0.2) ** 2) - searched["learning_rate"]


def told(start, values):
    return [Told(number, (value,)) for number, value in enumerate(values, start)]


def run_study(spec, trials, objective=score):
    sampler = open_sampler(spec)
    proposals = []
    for generation, (start, count) in enumerate(plan_generations(spec, trials)):
        proposed = sampler.propose(generation, count, start)
        sampler.tell(told(start, [objective(searched) for searched in proposed]))
        proposals += proposed
    return proposals


def test_manual_keeps_configurations_as_they_are(make_spec):
    """One trial per configuration, in order, over the fixed values; an empty one is the fixed values alone."""
    configurations = [{}, {"hidden_layers": 3, "units": [8, 16, 8]}, {"optimizer": "sgd", "momentum": 0.9}]
    spec = make_spec("manual", {}, configurations=configurations, fixed={"dropout": 0.25})
    sampler = open_sampler(spec)
    assert (3, None) == (sampler.total, sampler.generation_size)
    assert configurations == sampler.propose(0, 3, 0)
    space = space_from(spec.space, spec.fixed, spec.family)
    assert [0.25] * 3 == [assemble(space, searched)["dropout"] for searched in configurations]


def test_manual_faults_name_the_configuration(make_spec):
    """Every configuration that does not fit is named, all at once."""
    spec = make_spec("manual", {}, configurations=[{"units": [8]}, {}, {"width": 3}], fixed={"hidden_layers": 2})
    with pytest.raises(SpaceError) as caught:
        open_sampler(spec)
    assert "configurations[0]: units: 1 values for 2 hidden_layers" == caught.value.faults[0]
    assert caught.value.faults[1].startswith("configurations[2]: width: unknown")


def test_grid_is_the_product_in_order(make_spec):
    """The last entry varies fastest."""
    spec = make_spec("grid", {"batch_size": [16, 32], "dropout": {"low": 0.0, "high": 0.2, "step": 0.1}})
    assert [(16, 0.0), (16, 0.1), (16, 0.2), (32, 0.0), (32, 0.1), (32, 0.2)] == [
        tuple(searched.values()) for searched in run_study(spec, 6, lambda _: 0.0)
    ]


def test_grid_has_every_configuration_exactly_once(make_spec):
    """Conditions that do not hold multiply nothing, and repeated values count once."""
    spec = make_spec(
        "grid",
        {
            "momentum": [0.5, 0.9, 0.5],
            "optimizer": ["sgd", "adam"],
            "hidden_layers": {"low": 1, "high": 2},
            "units": {"choices": [8, 16], "per": "hidden_layers"},
        },
    )
    sampler = open_sampler(spec)
    assert (2 + 1) * (2 + 4) == sampler.total
    space = space_from(spec.space, spec.fixed, spec.family)
    params = [canonical_json(assemble(space, searched)) for searched in sampler.propose(0, sampler.total, 0)]
    assert {1} == set(Counter(params).values())


def test_grid_drops_configurations_that_train_alike(make_spec):
    """A conditional value equal to the fixed one it replaces makes no second trial."""
    entries = {"optimizer": ["sgd", "adam"], "dropout": {"choices": [0.1, 0.2], "when": {"optimizer": "sgd"}}}
    assert 3 == open_sampler(make_spec("grid", entries, fixed={"dropout": 0.1})).total


def test_grid_of_a_default_spaces_size(make_spec):
    """Three by two by two by two is 24 trials in one generation."""
    entries = {"learning_rate": [1e-3, 3e-3, 1e-2], "hidden_layers": [1, 2], "units": [32, 64], "dropout": [0.0, 0.2]}
    spec = make_spec("grid", entries)
    assert [(0, 24)] == plan_generations(spec, open_sampler(spec).total)


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        (
            {"dropout": {"low": 0.0, "high": 0.5}},
            "search_space.dropout: a grid cannot list all numbers from 0 to 0.5; give it a step or a list of values",
        ),
        (
            {"learning_rate": {"low": 0.0001, "high": 1.0, "step": 1e-9}},
            "search_space.learning_rate: 999900001 values from 0.0001 to 1 are too many for a grid; give it a larger step",
        ),
        (
            {"units": {"low": 1, "high": 400}, "batch_size": {"low": 1, "high": 400}},
            "the grid has more than 100000 configurations; list fewer values or sample at random",
        ),
    ],
)
def test_grid_refuses_what_it_cannot_list(make_spec, entries, fault):
    """A continuum and a product beyond the limit, each with its remedy."""
    with pytest.raises(SpaceError) as caught:
        open_sampler(make_spec("grid", entries))
    assert (fault,) == caught.value.faults


def test_log_ranges_spread_over_magnitudes(make_spec):
    """Half of a logarithmic range's draws lie below its geometric middle."""
    spec = make_spec("random", {"learning_rate": {"low": 1e-4, "high": 1.0, "log": True}})
    below = sum(searched["learning_rate"] < 1e-2 for searched in run_study(spec, 200, lambda _: 0.0))
    assert 70 < below < 130


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_a_trial_depends_on_its_number_alone(make_spec, sampler):
    """Asked alone or among others, trial 7 is the same."""
    spec = make_spec(sampler, RICH)
    assert open_sampler(spec).propose(0, 20, 0)[7:9] == open_sampler(spec).propose(3, 2, 7)


def test_a_short_generation_begins_like_a_full_one(make_spec):
    """Two trials of a generation are the first two of eight, at the start and after results."""
    spec = make_spec("tpe", RICH)
    short, full = open_sampler(spec), open_sampler(spec)
    for generation in range(4):
        values = [score(searched) for searched in short.propose(generation, 8, generation * 8)]
        full.propose(generation, 8, generation * 8)
        short.tell(told(generation * 8, values))
        full.tell(told(generation * 8, values))
    assert short.propose(4, 2, 32) == full.propose(4, 8, 32)[:2]


@pytest.mark.parametrize(
    ("sampler", "change"), [("random", "seed"), ("qmc", "seed"), ("tpe", "seed"), ("tpe", "generation")]
)
def test_seed_and_generation_size_matter(make_spec, sampler, change):
    """Another seed or generation size is another study."""
    assert run_study(make_spec(sampler, RICH), 24) != run_study(make_spec(sampler, RICH, **{change: 12}), 24)


def test_plans(make_spec):
    """Samplers that learn have full generations but the last; the others make one."""
    assert [(0, 8), (8, 8), (16, 4)] == plan_generations(make_spec("tpe", RICH), 20)
    assert [(0, 5), (5, 5)] == plan_generations(make_spec("tpe", RICH, generation=5), 10)
    assert [(0, 20)] == plan_generations(make_spec("random", RICH), 20)
    assert [] == plan_generations(make_spec("random", RICH), 0)


def test_a_taken_stepped_fraction_teaches_as_a_proposed_one(make_spec):
    """Optuna's own record of a trial holds the exact value too, so TPE goes on alike from a log of 48 trials."""
    spec = make_spec(
        "tpe", {"dropout": {"low": 0.0, "high": 0.9, "step": 0.1}, "learning_rate": {"low": 0.1, "high": 0.9}}
    )
    asked, taking = open_sampler(spec), open_sampler(spec)
    for generation in range(6):
        start = generation * 8
        proposed = asked.propose(generation, 8, start)
        taking.take(generation, proposed)
        ends = [Told(start + place, (searched["dropout"],)) for place, searched in enumerate(proposed)]
        asked.tell(ends)
        taking.tell(ends)
    assert asked.propose(6, 8, 48) == taking.propose(6, 8, 48)


def test_taking_out_of_turn_is_refused(make_spec):
    """A taken generation follows the told ones and has a value for every searched name."""
    searched = open_sampler(make_spec("tpe", RICH)).propose(0, 8, 0)
    sampler = open_sampler(make_spec("tpe", RICH))
    with pytest.raises(TrackerError, match="does not follow"):
        sampler.take(1, searched)
    with pytest.raises(TrackerError, match="optimizer is searched, yet the logged trial has no value for it"):
        sampler.take(0, [{"hidden_layers": 1, "units_0": 16}])
    sampler.take(0, searched)
    with pytest.raises(TrackerError, match="does not follow"):
        sampler.propose(1, 8, 8)


@pytest.mark.parametrize("row", SAMPLERS.values(), ids=SAMPLERS)
def test_every_row_of_the_table_is_as_it_says(make_spec, row):
    """Each sampler opens, counts its own trials exactly where the user does not, and gives the same trial when taken."""
    changes = {"configurations": [{"dropout": 0.1}, {"dropout": 0.2}]} if row.configurations else {}
    spec = make_spec(row.name, {"dropout": [0.1, 0.2]} if row.space else {}, **changes)
    sampler = open_sampler(spec)
    assert (row.needs_trials, row.generation) == (sampler.total is None, sampler.generation_size)
    assert row.learns or row.generation is None
    proposed = sampler.propose(0, 2, 0)
    if row.rebuilds:
        open_sampler(spec).take(0, proposed)


def test_unknown_sampler(make_spec):
    """The message lists the samplers there are."""
    spec = record_from(StudySpec, {**record_json(make_spec("random", RICH)), "sampler": {"name": "annealing"}})
    with pytest.raises(SpaceError, match="'annealing' is unknown; there are manual, grid, random, qmc, tpe, gp"):
        open_sampler(spec)


def test_versions_are_those_that_shape_proposals():
    """Optuna's release is part of studies that Optuna proposes for, scipy's of those that read its sequences."""
    import optuna
    import scipy

    assert [{}, {}, {"optuna": optuna.__version__}, {"scipy": scipy.__version__}, {"optuna": optuna.__version__}] == [
        versions(name) for name in ("manual", "grid", "random", "qmc", "tpe")
    ]
    assert [["scipy"], ["cmaes", "scipy"], ["optuna"], ["scipy"]] == [
        list(versions(name)) for name in ("gp", "cmaes", "nsga2", "gradient")
    ]


def test_optuna_stays_silent_and_is_left_as_it_was(make_spec, capfd):
    """No line of Optuna's is printed, and a user's own level stays."""
    before = logging.getLogger("optuna").level
    run_study(make_spec("tpe", RICH), 24)
    assert ("", "") == tuple(capfd.readouterr())
    assert before == logging.getLogger("optuna").level
