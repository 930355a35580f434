"""What every pruner of the table promises, whichever it is; a new row needs only its settings here."""

import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search.curves import EPOCHS, FULL_GENERATIONS, GENERATIONS, NAME, Curve, stops_by_hand, stops_of
from tracker.pruner_table import PRUNERS
from tracker.search.optuna_border import optuna_border
from tracker.search.optuna_pruners import FirstEpoch
from tracker.search.pruners import Rung, open_pruner

STEPS = {"n_warmup_steps": st.integers(0, 9), "interval_steps": st.integers(1, 4)}
RESOURCES = {"min_resource": st.integers(1, 9), "reduction_factor": st.integers(2, 4)}
SETTINGS = {
    "median": {"n_startup_trials": st.integers(0, 6), "n_min_trials": st.integers(1, 4), **STEPS},
    "halving": RESOURCES,
    "hyperband": RESOURCES,
    "patient": {"patience": st.integers(0, 8), "min_delta": st.sampled_from([0.0, 0.25])},
    "threshold": {"worst": st.floats(-1, 1), **STEPS},
    "first_epoch": {"epoch": st.integers(1, 9), "keep": st.integers(1, 4)},
}
DIRECTIONS = st.sampled_from(["maximize", "minimize"])


def rule_of(name, given, direction):
    """Optuna's rule with these settings."""
    match name:
        case "median":
            return optuna.pruners.MedianPruner(**given)
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner(**given)
        case "hyperband":
            return optuna.pruners.HyperbandPruner(**given, max_resource=max(EPOCHS, given["min_resource"]))
        case "patient":
            with optuna_border():  # it warns that the rule is experimental
                return optuna.pruners.PatientPruner(None, **given)
        case "threshold":
            steps = {key: value for key, value in given.items() if key != "worst"}
            return optuna.pruners.ThresholdPruner(
                **{"lower" if direction == "maximize" else "upper": given["worst"]}, **steps
            )
    return FirstEpoch(**given)


def opened(name, given, direction="maximize"):
    return open_pruner({"name": name, **given}, direction, NAME, EPOCHS)


@pytest.mark.parametrize("name", PRUNERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), generations=GENERATIONS | FULL_GENERATIONS, direction=DIRECTIONS)
def test_rungs_and_decisions(name, data, generations, direction):
    """Asked at its rungs alone it stops the trials that Optuna's rule stops when asked after every epoch.

    So do rows in another order, decisions that were stored, and the first trials of every generation that goes on.
    """
    given = data.draw(st.fixed_dictionaries(SETTINGS[name]))
    expected = stops_by_hand(rule_of(name, given, direction), direction, generations)
    assert expected == stops_of(opened(name, given, direction), generations)
    assert expected == stops_of(opened(name, given, direction), generations, backwards=True)
    shorter = [*generations[:-1], generations[-1][:-1]]
    last = sum(map(len, generations)) - 1
    assert [stop for stop in expected if stop[1] != last] == stops_of(opened(name, given, direction), shorter)
    assert all(0 < rung < EPOCHS for rung in opened(name, given, direction).rungs(EPOCHS))


@pytest.mark.parametrize("name", PRUNERS)
def test_stored_decisions_are_kept_and_noted(name):
    """After a kill the decisions of a rung are given back; those of later rungs are what they would have been."""
    given = {key: setting.usual for key, setting in PRUNERS[name].settings.items()}
    given |= {"worst": 0.4} if name == "threshold" else {}
    first = decisions(opened(name, given), {})
    assert first == decisions(opened(name, given), first)
    assert any(stopped for stopped in first.values())


def decisions(pruner, stored):
    """Which of the trials of two generations stop at each rung; what is `stored` is given back to the pruner."""
    decided = {}
    for start in (0, 9):
        running, since = list(range(start, start + 9)), 0
        pruner.begin(running)
        for rung in pruner.rungs(EPOCHS):
            known = {number: number in stored[start, rung] for number in running} if stored else None
            decided[start, rung] = pruner.decide(rung, [points(number, since, rung) for number in running], known)
            running = [number for number in running if number not in decided[start, rung]]
            since = rung
        pruner.end([points(number, since, EPOCHS, "complete") for number in running])
    return decided


def points(number, since, until, state="running"):
    return Rung(number, tuple((epoch, math.sin(epoch * (number + 1))) for epoch in range(since + 1, until + 1)), state)


def test_halving_lets_one_in_three_go_on():
    """Of nine trials, each worse than the one before, three would reach the second rung; a better one always does."""
    given = {"min_resource": 1, "reduction_factor": 3}
    falling = [Curve((1 - place / 10,) * EPOCHS) for place in range(9)]
    first = [number for epoch, number in stops_of(opened("halving", given), [falling]) if epoch == 1]
    assert 6 <= len(first)
    assert (1, 3, 9) == open_pruner({"name": "halving", **given}, "maximize", NAME, 10).rungs(10)
    rising = [Curve((place / 10,) * EPOCHS) for place in range(9)]
    assert [] == stops_of(opened("halving", given), [rising])


def test_brackets_follow_from_the_number_and_the_name():
    """Hyperband's first rung of a trial is the same whatever the others do; of another study it is another."""
    given = {"min_resource": 1, "reduction_factor": 2}
    bad = [Curve((None,) * EPOCHS)] * 12  # an undefined value stops at the first rung of its bracket

    def first_rungs(pruner, generations):
        return {number: epoch for epoch, number in stops_of(pruner, generations)}

    alone, mixed = first_rungs(opened("hyperband", given), [bad]), [bad[:5], [Curve((0.5,) * EPOCHS)] * 3, bad[8:]]
    among = first_rungs(opened("hyperband", given), mixed)
    assert len(set(alone.values())) > 1
    assert all(alone.get(number) == among.get(number) for number in (*range(5), *range(8, 12)))
    other = open_pruner({"name": "hyperband", **given}, "maximize", "another", EPOCHS)
    assert alone != first_rungs(other, [bad])


def test_first_epoch_keeps_the_best_so_far():
    """With two kept, a third trial goes on only if it is better than one of the two best before it; a tie does not."""
    curves = [Curve((value,) * EPOCHS) for value in (0.5, 0.6, 0.5, 0.55, 0.4, 0.7)]
    given = {"epoch": 1, "keep": 2}
    assert [(1, 2), (1, 4)] == stops_of(opened("first_epoch", given), [curves])
    assert [(1, 3), (1, 5)] == stops_of(opened("first_epoch", given, "minimize"), [curves])
