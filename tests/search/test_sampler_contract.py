"""What every sampler of the table promises, whichever it is; a new row is held against it without a further line."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from statistics import median

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.search.conftest import build_spec
from tests.search.toys import MIXED, SPHERE, mixed, plainly, replayed, run_study, slopes_of, sphere
from tracker.canonical import canonical_json, parse_canonical
from tracker.errors import TrackerError
from tracker.records import StudySpec, record_from, record_json
from tracker.sampler_table import SAMPLERS
from tracker.search.samplers import open_sampler
from tracker.search.sampling import Told
from tracker.search.space import assemble, space_from

SEARCHING = [row.name for row in SAMPLERS.values() if row.needs_trials]
LEARNING = [row.name for row in SAMPLERS.values() if row.learns]
EXHAUSTIVE = [row.name for row in SAMPLERS.values() if not row.needs_trials]
RICH = {
    "units": {"low": 16, "high": 128, "step": 16, "per": "hidden_layers"},
    "hidden_layers": {"low": 1, "high": 3},
    "optimizer": ["adamw", "sgd"],
    "momentum": {"low": 0.5, "high": 0.99},
    "dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
    "batch_norm": {"choices": [True, False], "when": {"dropout": [0.0, 0.3]}},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "batch_size": {"low": 8, "high": 256, "log": True},
}
TRIALS = 32
SEVERAL = "with two objectives and a constraint"
CASES = [*SEARCHING, *(f"{row.name} {SEVERAL}" for row in SAMPLERS.values() if row.needs_trials and row.several)]
GOALS = {
    "further": ({"metric": "parameters", "direction": "minimize"},),
    "constraints": ({"metric": "val_recall", "least": 0.5},),
}


def case_spec(case, entries, **changes):
    """A study of the sampler that a case names, and whether it has several objectives."""
    sampler, _, several = case.partition(" ")
    return build_spec(sampler, entries, **(GOALS if several else {}), **changes)


def told_of(case, one):
    """A trial as the study of a case hears of it: of several objectives the second is the first turned about, and halved."""
    if SEVERAL not in case or one.state == "pruned":
        return one if SEVERAL not in case else Told(one.number, (None, None), state="failed")
    [value] = one.values
    other = None if value is None else -0.5 * value
    excess = (0.1 * (one.number % 4) - 0.2,) if one.state == "complete" else ()
    return replace(one, values=(value, other), excess=excess)


def ending(number, searched):
    """How a trial of RICH ends: most complete, some fail, some are pruned, one of those without a last value."""
    curve = tuple((epoch, None if number % 7 == 3 else searched["learning_rate"] * epoch) for epoch in (1, 2, 3))
    slopes = (("learning_rate", 1.0), ("momentum", None if number % 4 else -0.1))
    if number % 3 == 0:
        return Told(number, (None,), curve, "pruned", slopes)
    value = -((searched["dropout"] - 0.2) ** 2) - searched["learning_rate"]
    failed = number % 5 == 4
    return Told(number, (value,), state="failed" if failed else "complete", slopes=() if failed else slopes)


def ending_of(case):
    """How the trials of a case end."""
    return lambda number, searched: told_of(case, ending(number, searched))


@cache
def rich(case):
    """A study of this case and its proposals."""
    spec = case_spec(case, RICH, generation=8)
    return spec, run_study(spec, TRIALS, ending_of(case))


@pytest.mark.parametrize("sampler", CASES)
def test_every_configuration_is_inside_the_space(sampler):
    """Plain values of the declared types, steps to the last digit, conditional names only where they hold."""
    spec, proposals = rich(sampler)
    space = space_from(spec.space, spec.fixed, spec.family)
    domains = {entry.name: entry.domain for entry in space.entries}
    for searched in proposals:
        assert ("momentum" in searched) == (searched["optimizer"] == "sgd")
        assert ("batch_norm" in searched) == (searched["dropout"] in (0.0, 0.3))
        assert searched["hidden_layers"] == sum(name.startswith("units_") for name in searched)
        assert {bool, int, float, str} >= {type(value) for value in searched.values()}
        for name, value in searched.items():
            assert domains[name if name in domains else "units"].allows(value)
        assert searched == parse_canonical(canonical_json(searched))
        assert searched["hidden_layers"] == len(assemble(space, searched)["units"])
    assert len({canonical_json(searched) for searched in proposals}) > TRIALS - 4


@st.composite
def spaces(draw):
    """Between one and four names, each a choice, whole numbers, steps or a continuum, down to a single value."""
    low = draw(st.integers(1, 20))
    kinds = {
        "batch_size": {"low": low, "high": low + draw(st.integers(0, 200)), "log": draw(st.booleans())},
        "units": {"low": low, "high": low + draw(st.integers(0, 60)), "step": draw(st.integers(1, 9))},
        "dropout": {
            "low": 0.1,
            "high": draw(st.sampled_from([0.1, 0.2, 0.7])),
            "step": draw(st.sampled_from([0.1, None])),
        },
        "activation": draw(st.lists(st.sampled_from(["relu", "tanh", "gelu"]), min_size=1, max_size=3)),
        "learning_rate": {"low": 1e-3, "high": draw(st.sampled_from([1e-3, 1e3])), "log": True},
    }
    names = draw(st.lists(st.sampled_from(list(kinds)), min_size=1, max_size=4, unique=True))
    return {name: kinds[name] for name in names}


@pytest.mark.parametrize("sampler", CASES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=spaces(), values=st.lists(st.none() | st.floats(-1e6, 1e6), min_size=8, max_size=8))
def test_any_space_is_searched_inside(sampler, entries, values):
    """Also spaces of one value, and after any values: none at all, equal ones, huge ones."""
    spec = case_spec(sampler, entries)
    domains = {entry.name: entry.domain for entry in space_from(spec.space, spec.fixed, spec.family).entries}
    proposals = run_study(spec, 16, lambda number, _: told_of(sampler, Told(number, (values[number % 8],))))
    assert all(domains[name].allows(value) for searched in proposals for name, value in searched.items())


@pytest.mark.parametrize("sampler", CASES)
def test_continued_after_a_kill_at_every_generation(sampler):
    """Opened anew before each generation and given what is known, it proposes what it proposes when nothing happens."""
    spec, proposals = rich(sampler)
    assert proposals == run_study(spec, TRIALS, ending_of(sampler), anew=True)


@pytest.mark.parametrize("sampler", CASES)
@pytest.mark.parametrize("short", [16, 18])
def test_an_extended_study_is_the_longer_one(sampler, short):
    """A study begins with the proposals of a shorter one, even if that ended inside a generation."""
    spec, proposals = rich(sampler)
    assert proposals[:short] == run_study(spec, short, ending_of(sampler))


PROPOSE = """
import json, sys
from tests.search.test_sampler_contract import CASES, rich
print(json.dumps({case: rich(case)[1] for case in CASES}))
"""


def test_proposals_are_the_same_in_any_process():
    """Neither the process nor Python's hash seed enters a proposal; floats are equal to the last bit."""
    done = subprocess.run(
        [sys.executable, "-c", PROPOSE],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    assert {case: rich(case)[1] for case in CASES} == json.loads(done.stdout)


@pytest.mark.parametrize("sampler", CASES)
def test_another_seed_is_another_study(sampler):
    """Seeds matter from the first trial on; a spec that was written and read is the same study."""
    spec, proposals = rich(sampler)
    assert proposals[:8] != run_study(case_spec(sampler, RICH, generation=8, seed=7), 8, ending_of(sampler))
    assert spec == record_from(StudySpec, json.loads(json.dumps(record_json(spec))))


@pytest.mark.parametrize("sampler", LEARNING)
def test_results_matter(sampler):
    """Other values, another direction, other curves of pruned trials: other proposals; undefined is failed."""
    spec = build_spec(sampler, SPHERE)
    base = run_study(spec, 24, plainly(sphere))
    assert base[:8] == run_study(spec, 8, plainly(lambda _: None))
    assert base != run_study(spec, 24, plainly(lambda searched: -sphere(searched)))
    assert base != run_study(build_spec(sampler, SPHERE, direction="minimize"), 24, plainly(sphere))
    curves = [
        run_study(
            spec,
            24,
            lambda number, searched, s=sign: Told(
                number, (None,), ((1, s * sphere(searched)),), "pruned", slopes_of(sphere, searched)
            ),
        )
        for sign in (1, -1)
    ]
    assert curves[0] != curves[1]
    undefined = [run_study(spec, 24, plainly(lambda _, value=value: value)) for value in (None, float("nan"))]
    assert undefined[0] == undefined[1]


@pytest.mark.parametrize("sampler", LEARNING)
def test_another_order_is_refused(sampler):
    """A generation out of turn, too large, told of other trials or in another order is refused, not guessed at."""
    opened = open_sampler(build_spec(sampler, SPHERE))
    for generation, count, start in ((1, 8, 8), (0, 9, 0)):
        with pytest.raises(TrackerError, match="does not follow"):
            opened.propose(generation, count, start)
    opened.propose(0, 8, 0)
    with pytest.raises(TrackerError, match="does not follow"):
        opened.propose(1, 8, 8)
    told = [Told(number, (0.0,)) for number in range(9)]
    for wrong in (told[:3], told[1:], told[7::-1]):
        with pytest.raises(TrackerError, match=r"were told; \[0, 1, 2, 3, 4, 5, 6, 7\] were proposed"):
            opened.tell(wrong)


@pytest.mark.parametrize("sampler", [name for name in LEARNING if not SAMPLERS[name].rebuilds])
def test_what_cannot_be_rebuilt_is_proposed_again(sampler):
    """Taking is refused with the way out."""
    with pytest.raises(TrackerError, match=f"{sampler} keeps more than searched values and results; propose again"):
        open_sampler(build_spec(sampler, SPHERE)).take(0, [])


@pytest.mark.parametrize("sampler", EXHAUSTIVE)
def test_a_list_is_complete_wherever_it_was_cut(sampler):
    """Asked in two parts, whatever the first came to, every configuration comes exactly once."""
    listed = [{"dropout": value} for value in (0.1, 0.2, 0.3)]
    given = {"configurations": listed} if SAMPLERS[sampler].configurations else {}
    spec = build_spec(sampler, {} if given else {"dropout": [0.1, 0.2, 0.3]}, **given)
    for cut in range(1, 3):
        first = open_sampler(spec).propose(0, cut, 0)
        after = replayed(spec, [first], lambda number, _: Told(number, (None,), state="failed"))
        assert listed == first + after.propose(1, 3 - cut, cut)


BUDGETS = {"gp": 32}  # it needs fewer than half


@pytest.mark.parametrize(("objective", "entries"), [(sphere, SPHERE), (mixed, MIXED)], ids=["sphere", "mixed"])
@pytest.mark.parametrize("sampler", LEARNING)
def test_adaptive_search_clearly_beats_random_search(sampler, objective, entries):
    """The median over three seeds of what is left to the best value is less than half of what 80 random trials leave."""

    def left(name, trials):
        runs = [run_study(build_spec(name, entries, seed=seed), trials, plainly(objective)) for seed in range(3)]
        return median(min(-objective(searched) for searched in run) for run in runs)

    assert 2 * left(sampler, BUDGETS.get(sampler, 80)) < left("random", 80)


LEARNING_SEVERAL = [row.name for row in SAMPLERS.values() if row.learns and row.several]


def near_and_small(number, searched, limit=None):
    """Two objectives, how near to the best of the sphere and how small the dropout is; a constraint on one of its numbers."""
    excess = () if limit is None else (limit - searched["momentum"],)
    return Told(number, (sphere(searched), searched["dropout"]), excess=excess)


def area(runs):
    """The mean over studies of the area that their values dominate, of a square around the front."""
    areas = []
    for run in runs:
        left = [(-sphere(searched) / 0.2, searched["dropout"] / 0.4) for searched in run]
        found, height = 0.0, 1.0
        for across, up in sorted(pair for pair in left if max(pair) < 1):
            found += max(0.0, height - up) * (1 - across)
            height = min(height, up)
        areas.append(found)
    return sum(areas) / len(areas)


@pytest.mark.parametrize("sampler", LEARNING_SEVERAL)
def test_a_front_is_searched_and_a_constraint_heeded(sampler):
    """Of two objectives, learning dominates a larger area than chance; most of the last trials keep to a limit."""

    def runs(name, **changes):
        return [run_study(build_spec(name, SPHERE, seed=seed, **changes), 80, near_and_small) for seed in range(3)]

    further = ({"metric": "dropout", "direction": "minimize"},)
    assert area(runs(sampler, further=further)) > 1.2 * area(runs("random", further=further))
    spec = build_spec(sampler, SPHERE, constraints=({"metric": "momentum", "least": 0.8},))
    bounded = run_study(spec, 80, lambda number, s: replace(near_and_small(number, s, 0.8), values=(sphere(s),)))
    assert sum(searched["momentum"] >= 0.8 for searched in bounded[-24:]) > 12  # by chance 3
