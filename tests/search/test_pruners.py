"""What the one pruner over Optuna's rules asks of those that drive it, and what it refuses."""

import optuna
import pytest

from tests.search.curves import NAME, Curve, stops_of
from tracker.errors import SpaceError, TrackerError
from tracker.search.optuna_pruners import OptunaPruner
from tracker.search.pruners import Rung, open_pruner


def pruner_of(rule, direction="maximize"):
    return OptunaPruner(rule(), lambda epoch: True, direction, NAME)


def test_a_completed_trial_counts_from_the_next_generation_on():
    """One that ends by itself stops nobody of its own generation, so that more trials in it change no decision."""
    curves = [Curve((0.1, 0.1)), Curve((0.9,)), Curve((0.1, 0.1))]
    pruner = pruner_of(lambda: optuna.pruners.MedianPruner(n_startup_trials=1))
    assert [(1, 3)] == stops_of(pruner, [curves, [Curve((0.05, 0.1)), Curve((0.95, 0.1))]])


def test_known_decisions_are_kept():
    """What was decided before stands, whatever the rule says now; the others are decided by the rule."""
    pruner = pruner_of(lambda: optuna.pruners.MedianPruner(n_startup_trials=1))
    pruner.begin([0])
    pruner.end([Rung(0, ((1, 0.5), (2, 0.5)), "complete")])
    pruner.begin([1, 2, 3, 4])
    rows = [Rung(number, ((1, value),)) for number, value in ((1, 0.9), (2, 0.1), (3, 0.1), (4, 0.9))]
    assert (1, 3) == pruner.decide(1, rows, {1: True, 2: False})


def test_rungs_are_below_the_last_epoch():
    """After the last epoch nothing is left to stop; a single epoch has no rung."""
    pruner = OptunaPruner(optuna.pruners.NopPruner(), lambda epoch: epoch % 2 == 0, "maximize", NAME)
    assert [(2, 4), (2,), (), ()] == [pruner.rungs(epochs) for epochs in (6, 4, 2, 1)]


def row(number, epochs, state="running"):
    return Rung(number, tuple((epoch, 0.5) for epoch in epochs), state)


@pytest.mark.parametrize(
    "rows",
    [
        [row(0, [1, 2])],
        [row(0, [1, 2]), row(1, [1, 2]), row(2, [1, 2])],
        [row(0, [1, 2]), row(0, [1, 2])],
        [row(0, [1, 2]), row(1, [1])],
        [row(0, [1, 2]), row(1, [2])],
        [row(0, [1, 2]), row(1, [2, 3])],
        [row(0, [1, 2]), row(1, [1, 2, 3], "complete")],
    ],
    ids=["one is missing", "one too many", "one twice", "too short", "late", "shifted", "too long"],
)
def test_rows_that_do_not_fit_are_refused(rows):
    """Nothing is guessed where a trial or an epoch is missing, and the generation can still go on."""
    pruner = pruner_of(lambda: optuna.pruners.MedianPruner(n_startup_trials=2))
    pruner.begin([0, 1])
    with pytest.raises(TrackerError, match="expected"):
        pruner.decide(2, rows)
    assert () == pruner.decide(2, [row(0, [1, 2]), row(1, [1], "complete")])
    pruner.end([row(0, [3], "complete")])
    pruner.begin([2])


def test_generations_follow_each_other():
    """A generation begins after the one before it ended, with the next numbers; it ends with all its trials."""
    pruner = pruner_of(lambda: optuna.pruners.MedianPruner(n_startup_trials=2))
    with pytest.raises(TrackerError, match=r"\[1\] cannot begin: 0 began before"):
        pruner.begin([1])
    pruner.begin([0])
    with pytest.raises(TrackerError, match=r"of which \[0\] have not ended"):
        pruner.begin([1])
    with pytest.raises(TrackerError, match=r"\[0\] are running; a generation ends when all its trials have ended"):
        pruner.end([row(0, [1])])
    pruner.end([Rung(0, (), "failed")])
    pruner.begin([1])


def test_unknown_pruner():
    """The message lists the pruners there are."""
    with pytest.raises(SpaceError, match="'wilcoxon' is unknown; there are median, halving"):
        open_pruner({"name": "wilcoxon"}, "maximize", NAME, 8)
