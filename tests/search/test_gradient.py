"""How a search along hypergradients steps, from what it was told alone; its promises stand in the contract suite."""

from __future__ import annotations

from typing import Any

import pytest

from tests.search.conftest import build_space, build_spec
from tests.studies.project import SmallProject
from tracker.errors import SpaceError
from tracker.records import HYPERGRADIENT
from tracker.search.entries import place_of
from tracker.search.gradient import FIRST, GROWS, SHRINKS, moved_names
from tracker.search.samplers import open_sampler
from tracker.search.sampling import Told
from tracker.search.space import Space, space_from

RATE = {"learning_rate": {"low": 1e-4, "high": 1.0, "log": True}, "activation": ["relu", "tanh"]}
START = {"learning_rate": 0.1, "activation": "relu"}
TRAINED = {"epochs": 4, "early_stopping": None}


def places(told: list[dict[str, float | None]], first: float) -> list[float]:
    """Where one start goes, as parts of the range, from this learning rate, when it is told these slopes in turn."""
    spec = build_spec("gradient", RATE, generation=1)
    domains = {entry.name: entry.domain for entry in space_from(spec.space, spec.fixed, spec.family).entries}
    sampler = open_sampler(spec)
    sampler.take(0, [{"learning_rate": first, "activation": "tanh"}])
    found = []
    for number, slopes in enumerate(told):
        sampler.tell([Told(number, (None,), state="complete" if slopes else "failed", slopes=tuple(slopes.items()))])
        proposed = sampler.propose(number + 1, 1, number + 1)[0]
        found.append(place_of(proposed["learning_rate"], domains["learning_rate"]))
        if found[-1] != found[0]:
            assert proposed["activation"] == "tanh" or slopes == {}
    return found


def test_a_start_steps_down_the_loss() -> None:
    """A tenth of the range against the sign, a fifth further while the sign stays, half as far when it turns."""
    second = 0.5 - FIRST - FIRST * GROWS
    expected = [0.5 - FIRST, second, second + FIRST * GROWS * SHRINKS]
    told = [{"learning_rate": 1e-9}, {"learning_rate": 1e9}, {"learning_rate": -2.0}]
    assert expected == pytest.approx(places(told, 1e-2))
    assert [0.5 + FIRST] == pytest.approx(places([{"learning_rate": -1e-9}], 1e-2))


def test_a_step_that_led_astray_is_halved() -> None:
    """Where training failed, half of the way back; steps from there are half as long."""
    assert [0.6, 0.55, 0.55 + FIRST * SHRINKS * GROWS] == pytest.approx(
        places([{"learning_rate": -1.0}, {}, {"learning_rate": -1.0}], 1e-2)
    )


@pytest.mark.parametrize("slope", [0.0, None, float("nan"), float("inf"), 1.0])
def test_a_start_that_cannot_move_begins_elsewhere(slope: float | None) -> None:
    """At a bound that the slope points beyond, or without any finite slope, it is a new point, not the same trial again."""
    spec = build_spec("gradient", RATE, generation=1)
    sampler = open_sampler(spec)
    sampler.take(0, [{"learning_rate": 1e-4, "activation": "relu"}])
    sampler.tell([Told(0, (0.5,), slopes=(("learning_rate", slope),))])
    assert sampler.propose(1, 1, 1)[0]["learning_rate"] > 2e-4


def test_the_worst_start_is_given_up() -> None:
    """Of four starts with two trials each the one with the worst best value begins elsewhere; the others step on."""
    spec = build_spec("gradient", RATE, generation=4)
    sampler = open_sampler(spec)
    for generation, values in enumerate([(0.5, 0.2, 0.9, 0.7), (0.6, 0.1, 0.1, 0.8)]):
        before = sampler.propose(generation, 4, 4 * generation) if generation else [START] * 4
        if not generation:
            sampler.take(0, before)
        told = [
            Told(4 * generation + place, (value,), slopes=(("learning_rate", 1e-3),))
            for place, value in enumerate(values)
        ]
        sampler.tell(told)
    after = sampler.propose(2, 4, 8)
    size = (1.0 / 1e-4) ** (FIRST * GROWS)
    ratios = [then["learning_rate"] / now["learning_rate"] for then, now in zip(before, after, strict=True)]
    assert [True, False, True, True] == [ratio == pytest.approx(size) for ratio in ratios]


@pytest.mark.parametrize(
    ("space", "fault"),
    [
        (
            build_space({"units": [8, 16]}),
            "needs a range without steps of one of learning_rate, weight_decay, momentum",
        ),
        (build_space({"learning_rate": {"low": 0.1, "high": 0.3, "step": 0.1}}), "there is none"),
        (build_space({**RATE, "optimizer": ["sgd", "lion"]}), "optimizer lion are signs, without a derivative"),
        (build_space(RATE, {"optimizer": "lion"}), "optimizer lion are signs"),
        (Space("cnn", (), {}), "cannot differentiate the training of family cnn; it can of mlp"),
    ],
)
def test_what_has_no_hypergradient_is_refused(space: Space, fault: str) -> None:
    """Before anything runs, with what to change."""
    with pytest.raises(SpaceError, match=fault):
        moved_names(space)


def test_a_study_steps_along_what_training_told(small_project: SmallProject, tmp_path: Any) -> None:
    """Training tells the hypergradients of the searched ranges, other studies none; each start goes against their signs."""
    study = {"sampler": "gradient", "trials": 6, "generation": 3}
    plan = small_project.plan("random", studies__random=study, training=TRAINED)
    assert [] == small_project.plan("tpe", training=TRAINED).spec.training["hypergradients"]
    assert ["learning_rate"] == plan.spec.training["hypergradients"]
    trials = small_project.run(plan, tmp_path / "store").trials
    for before, after in zip(trials[:3], trials[3:], strict=True):
        slope = before.metrics[HYPERGRADIENT + "learning_rate"]
        rates = [one.proposal.searched["learning_rate"] for one in (before, after)]
        assert slope
        assert (slope > 0) == (rates[0] > rates[1])
        assert {**before.proposal.searched, "learning_rate": 0} == {**after.proposal.searched, "learning_rate": 0}


def test_starts_may_be_given(small_project: SmallProject) -> None:
    """What is enqueued is a start of the first generation, and steps on from there; beside it are the sampler's own."""
    space = {"learning_rate": RATE["learning_rate"]}
    study = {"sampler": "gradient", "trials": 4, "generation": 2, "search_space": space}
    spec = small_project.plan("random", studies__random={**study, "enqueue": [{"learning_rate": 0.01}]}).spec
    sampler = open_sampler(spec)
    first = sampler.propose(0, 2, 0)
    own = open_sampler(small_project.plan("random", studies__random=study).spec).propose(0, 2, 0)
    assert [{"learning_rate": 0.01}, own[1]] == first
    sampler.tell([Told(number, (0.5,), slopes=(("learning_rate", 1.0),)) for number in range(2)])
    assert 0.01 / (1.0 / 1e-4) ** FIRST == pytest.approx(sampler.propose(1, 2, 2)[0]["learning_rate"])


def test_a_study_without_a_slope_is_refused_by_name(small_project: SmallProject) -> None:
    """The fault of the space stands under the study's name, as any other."""
    study = {"sampler": "gradient", "trials": 4, "search_space": {"units": {"low": 8, "high": 16}}}
    with pytest.raises(SpaceError, match=r"studies\.random: sampler gradient needs a range without steps"):
        small_project.plan("random", studies__random=study)
