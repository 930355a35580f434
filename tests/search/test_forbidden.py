"""Forbidden combinations of a search space: no sampler tries one, and a study stays the same however it is run."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.search.conftest import build_space, build_spec
from tests.search.toys import MIXED, mixed, plainly, run_study
from tests.studies.project import SmallProject, make_config
from tracker.errors import ConfigError, SpaceError
from tracker.records import record_json
from tracker.sampler_table import SAMPLERS
from tracker.search.forbidden import redrawn
from tracker.search.samplers import open_sampler
from tracker.search.space import space_from

FORBID = [
    {"optimizer": "sgd", "learning_rate": {"above": 0.03}},
    {"activation": ["relu", "gelu"], "units": {"below": 32}},
]
FORBIDDING = {**MIXED, "forbid": FORBID}
SEARCHING = [row.name for row in SAMPLERS.values() if row.needs_trials]
TRIALS = 32


def is_forbidden(searched: Any) -> bool:
    """By hand, what FORBID says."""
    fast = searched["optimizer"] == "sgd" and searched["learning_rate"] > 0.03
    return fast or (searched["activation"] != "tanh" and searched["units"] < 32)


@pytest.mark.parametrize("sampler", SEARCHING)
def test_no_sampler_tries_a_forbidden_combination(sampler: str) -> None:
    """None is proposed, though plain proposals have some; replayed from what is known it is the same, as is a shorter study."""
    plain = run_study(build_spec(sampler, MIXED, generation=8), 8, plainly(mixed))
    spec = build_spec(sampler, FORBIDDING, generation=8)
    proposed = run_study(spec, TRIALS, plainly(mixed))
    assert any(map(is_forbidden, plain))
    assert not any(map(is_forbidden, proposed))
    assert [one for one in plain if not is_forbidden(one)] == [
        one for one, was in zip(proposed, plain, strict=False) if not is_forbidden(was)
    ]
    assert proposed == run_study(spec, TRIALS, plainly(mixed), anew=True)
    assert proposed[:12] == run_study(spec, 12, plainly(mixed))


@pytest.mark.parametrize("sampler", [row.name for row in SAMPLERS.values() if row.learns])
def test_one_that_learns_changes_the_names_of_the_combination_alone(sampler: str) -> None:
    """What it learnt of the others stays, as far as they are still active."""
    plain = run_study(build_spec(sampler, MIXED, generation=8), 8, plainly(mixed))
    proposed = run_study(build_spec(sampler, FORBIDDING, generation=8), 8, plainly(mixed))
    for one, was in zip(proposed, plain, strict=True):
        assert {name: was[name] for name in ("dropout", "hidden_layers")} == {
            name: one[name] for name in ("dropout", "hidden_layers")
        }


def test_random_is_even_over_what_is_allowed() -> None:
    """Of nine pairs one is forbidden; 800 trials spread over the other eight, a hundred each."""
    entries = {"optimizer": ["sgd", "adam", "adamw"], "activation": ["relu", "tanh", "gelu"]}
    forbid = [{"optimizer": "sgd", "activation": "relu"}]
    space = build_space({**entries, "forbid": forbid})
    drawn = [redrawn(space, {"optimizer": "sgd", "activation": "relu"}, 1, number, False) for number in range(800)]
    pairs = Counter((one["optimizer"], one["activation"]) for one in drawn)
    assert 8 == len(pairs)
    assert sum((count - 100) ** 2 / 100 for count in pairs.values()) < 24.3  # chi-square, 7 degrees: 0.1 % above


def test_a_grid_leaves_them_out() -> None:
    """Points are counted without them, and each other one comes once; a grid of forbidden points alone is none."""
    entries = {"optimizer": ["sgd", "adam"], "batch_size": [16, 32, 64], "learning_rate": [0.01, 0.1]}
    spec = build_spec("grid", {**entries, "forbid": [{"optimizer": "sgd", "learning_rate": {"above": 0.05}}]})
    sampler = open_sampler(spec)
    assert 9 == sampler.total
    assert not any(one["optimizer"] == "sgd" and one["learning_rate"] > 0.05 for one in sampler.propose(0, 9, 0))
    with pytest.raises(SpaceError, match="no point of the grid is allowed"):
        open_sampler(build_spec("grid", {**entries, "forbid": [{"optimizer": ["sgd", "adam"]}]}))


def test_fixed_names_and_layers_take_part() -> None:
    """A fixed optimizer counts; of widths by layer one is enough; a bound is allowed itself."""
    entries: dict[str, Any] = {
        "hidden_layers": [2],
        "units": {"low": 8, "high": 64, "step": 8, "per": "hidden_layers"},
        "forbid": [{"optimizer": "sgd", "units": {"above": 32}}],
    }
    space = build_space(entries, {"optimizer": "sgd"})
    assert space.forbidding({"hidden_layers": 2, "units_0": 8, "units_1": 40})
    assert not space.forbidding({"hidden_layers": 2, "units_0": 8, "units_1": 32})
    assert not build_space(entries, {"optimizer": "adam"}).forbidding({"hidden_layers": 2, "units_0": 8, "units_1": 40})


def test_they_are_part_of_the_study_and_absent_where_there_are_none() -> None:
    """The record has the clauses and gives them back; a space without any is written as ever."""
    spec = build_spec("random", FORBIDDING)
    tree = json.loads(json.dumps(record_json(spec)))["space"]
    assert space_from(tree, spec.fixed, "mlp") == space_from(spec.space, spec.fixed, "mlp")
    assert {"optimizer": ["sgd"], "learning_rate": {"above": 0.03}} in tree["forbid"]
    assert ["entries"] == list(build_spec("random", MIXED).space)


def test_a_space_that_allows_nothing_is_told() -> None:
    """It ends with a message, not with a search without end."""
    sampler = open_sampler(build_spec("random", {**MIXED, "forbid": [{"units": {"above": 0}}]}))
    with pytest.raises(SpaceError, match="10,000 draws for trial 0 found nothing that is allowed"):
        sampler.propose(0, 1, 0)


def test_a_configuration_that_is_tried_first_may_not_be_one(small_project: SmallProject) -> None:
    """It is named, and trials beside given ones are replaced as ever."""
    space = {"units": [8, 12, 20], "batch_size": [16, 32], "forbid": [{"units": 20, "batch_size": 16}]}
    tpe = {"sampler": "tpe", "trials": 8, "generation": 4, "search_space": space}
    bad = {**tpe, "enqueue": [{"units": 20, "batch_size": 16}]}
    with pytest.raises(SpaceError, match=r"studies.tpe: enqueue\[0\]: forbidden by search_space.forbid"):
        small_project.plan("tpe", studies__tpe=bad)
    plan = small_project.plan("tpe", studies__tpe={**tpe, "enqueue": [{"units": 20, "batch_size": 32}]})
    proposed = run_study(plan.spec, 8, plainly(lambda one: one["units"]))
    assert {"units": 20, "batch_size": 32} == proposed[0]
    assert {"units": 20, "batch_size": 16} not in proposed


@pytest.mark.parametrize(
    ("forbid", "fault"),
    [
        ([{"optimiser": "sgd"}], "search_space.forbid[0].optimiser: unknown"),
        ([{"units": 8}, {"optimizer": "sdg"}], "search_space.forbid[1].optimizer: expected"),
        ([{"optimizer": {"above": 1}}], "search_space.forbid[0].optimizer: has no numbers"),
        ([{"units": {"over": 1}}], "search_space.forbid[0].units: expected a value, a list of values, {above"),
        ([{}], "search_space.forbid[0]: expected at least one value"),
        (3, "search_space.forbid: expected combinations such as [{optimizer: sgd"),
    ],
)
def test_what_is_wrong_is_told(forbid: Any, fault: str) -> None:
    """Unknown names and values, bounds of what has no numbers, something else than combinations."""
    with pytest.raises(ConfigError) as raised:
        make_config(search_space__forbid=forbid)
    assert any(line.startswith(f"params.yaml: {fault}") for line in str(raised.value).splitlines()), raised.value


def test_combinations_belong_to_no_other_name() -> None:
    """A list of combinations under the name of a hyperparameter is no list of values."""
    with pytest.raises(ConfigError, match=r"search_space\.units: expected values or a range"):
        make_config(search_space__units=[{"optimizer": "sgd"}])
