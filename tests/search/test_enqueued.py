"""Configurations that a study tries first, and what its sampler makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.studies.project import PARAMS, SmallProject, make_config
from tracker.errors import ConfigError, SpaceError
from tracker.records import StudySpec
from tracker.search.samplers import open_sampler
from tracker.search.sampling import Told

FIRST = [
    {"hidden_layers": 1, "units": 20, "activation": "tanh", "dropout": 0.25, "learning_rate": 0.1, "batch_size": 16},
    {"hidden_layers": 2, "units": 8, "activation": "relu", "dropout": 0.0, "learning_rate": 0.005, "batch_size": 32},
]


def spec_of(project: SmallProject, study: str, **changes: Any) -> StudySpec:
    """The spec of a study whose entries were changed."""
    return project.plan(study, **{f"studies__{study}__{name}": value for name, value in changes.items()}).spec


def asked(spec: StudySpec, trials: int, size: int, taken: int = 0) -> list[dict[str, Any]]:
    """What is proposed in generations of that size; the first `taken` generations are logged ones, told again."""
    whole, sampler = asked(spec, trials, size) if taken else [], open_sampler(spec)
    proposed: list[dict[str, Any]] = []
    for generation, start in enumerate(range(0, trials, size)):
        if generation < taken:
            part = whole[start : start + size]
            sampler.take(generation, part)
        else:
            part = sampler.propose(generation, min(size, trials - start), start)
        proposed += part
        sampler.tell([Told(start + place, (one["learning_rate"],)) for place, one in enumerate(part)])
    return proposed


@pytest.mark.parametrize("count", [1, 2])
def test_tpe_goes_on_from_what_it_was_given(small_project: SmallProject, count: int) -> None:
    """The first trials are the given ones; later generations learn from them; a replay from logged ones proposes the same."""
    plain = asked(spec_of(small_project, "tpe"), 16, 4)
    spec = spec_of(small_project, "tpe", enqueue=FIRST[:count])
    proposed = asked(spec, 16, 4)
    assert proposed[:count] == FIRST[:count]
    assert proposed[count:4] == plain[count:4]
    assert proposed[4:] != plain[4:]
    assert proposed == asked(spec, 16, 4, taken=1) == asked(spec, 16, 4, taken=3)
    assert proposed[:8] == asked(spec, 8, 4)


def test_a_generation_may_be_given_whole(small_project: SmallProject) -> None:
    """Two given trials, generations of one and of two; the third trial is the sampler's own, told of both."""
    for size in (1, 2):
        spec = spec_of(small_project, "tpe", enqueue=FIRST, generation=size)
        assert asked(spec, 6, size)[:2] == FIRST
        assert asked(spec, 6, size) == asked(spec, 6, size, taken=1)


@pytest.mark.parametrize("study", ["random", "grid"])
def test_samplers_that_do_not_learn(small_project: SmallProject, study: str) -> None:
    """A random trial is that of its number; a grid has all its points behind the given ones."""
    first = [{"units": 20, "batch_size": 16}] if study == "grid" else FIRST
    plain, spec = spec_of(small_project, study), spec_of(small_project, study, enqueue=first)
    count = open_sampler(plain).total or 6
    alone = open_sampler(plain).propose(0, count, 0)
    expected = [*first, *alone] if study == "grid" else [*first, *alone[2:]]
    assert open_sampler(spec).propose(0, len(expected), 0) == expected
    assert open_sampler(spec).total == (len(expected) if study == "grid" else None)


def test_what_is_given_is_part_of_the_study(small_project: SmallProject) -> None:
    """Without it no key changes; with it the study is another one, and a trial that happens to be equal the same."""
    plain, given = spec_of(small_project, "random"), spec_of(small_project, "random", enqueue=FIRST)
    assert plain.key != given.key
    assert "enqueue" not in plain.sampler
    assert plain.key == spec_of(small_project, "random", enqueue=[]).key


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"units": 20}, r"enqueue\[0\]: hidden_layers is missing"),
        ({**FIRST[0], "units": 21}, r"enqueue\[0\]: units: 21 is outside"),
        ({**FIRST[0], "learning_rate": 1.0}, r"enqueue\[0\]: learning_rate: 1.0 is outside"),
        ({**FIRST[0], "weight_decay": 0.1}, r"enqueue\[0\]: weight_decay: 0.1: the space does not search it"),
    ],
)
def test_what_is_not_in_the_space_is_refused(small_project: SmallProject, given: dict[str, Any], fault: str) -> None:
    """With its place."""
    with pytest.raises(SpaceError, match=fault):
        spec_of(small_project, "random", enqueue=[given])


def test_a_warm_start_leaves_out_what_does_not_fit(small_project: SmallProject) -> None:
    """The space may have changed since; what fits is tried first, before what is enqueued, and once."""
    warm = {"random": [{**FIRST[0], "units": 21}, FIRST[1], FIRST[1]], "manual": [FIRST[0]], "gone": [FIRST[0]]}
    assert spec_of_warm(small_project, "random", warm)["enqueue"] == [FIRST[1]]
    assert "enqueue" not in spec_of_warm(small_project, "manual", warm)


def spec_of_warm(project: SmallProject, study: str, warm: dict[str, Any]) -> dict[str, Any]:
    """The sampler's entry of a study under a warm start."""
    return dict(project.plan(study, warm_start=warm).spec.sampler)


def test_samplers_of_listed_trials_take_none() -> None:
    """A manual study has its configurations; the message says so."""
    with pytest.raises(ConfigError, match="enqueue belongs to samplers that search; manual has configurations"):
        make_config(PARAMS, studies__manual__enqueue=[{}])
