"""Random curves of trials, and what plain Optuna, driven by hand in the order of epochs and trials, makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import optuna
from hypothesis import strategies as st

from tracker.search.optuna_border import optuna_border
from tracker.search.pruners import Pruner, Rung

EPOCHS = 8
NAME = "study"


@dataclass(frozen=True)
class Curve:
    """What a trial reports if nobody stops it, and how it ends after its last value."""

    values: tuple[float | None, ...]
    fails: bool = False

    @property
    def ends(self) -> str:
        """A trial without any value has no objective value either."""
        return "failed" if self.fails or all(value is None for value in self.values) else "complete"


VALUES = st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(-1, 1, allow_subnormal=False)
CURVES = st.builds(
    Curve, st.lists(VALUES, min_size=1, max_size=EPOCHS).map(tuple), st.sampled_from([False] * 5 + [True])
)
GENERATIONS = st.lists(st.lists(CURVES, min_size=1, max_size=8), min_size=1, max_size=3)
FULL = st.lists(VALUES, min_size=EPOCHS, max_size=EPOCHS).map(lambda values: Curve(tuple(values)))
FULL_GENERATIONS = st.lists(st.lists(FULL, min_size=6, max_size=10), min_size=1, max_size=3)
Stops = list[tuple[int, int]]


def stops_by_hand(
    rule: optuna.pruners.BasePruner, direction: str, generations: Iterable[Sequence[Curve]], name: str = NAME
) -> Stops:
    """Epoch and number of every stop, where each running trial asks after each of its reports but the last.

    Trials that end by themselves are told when their generation has ended, in trial order.
    """
    stops: Stops = []
    with optuna_border():
        sampler = optuna.samplers.RandomSampler(0)
        study = optuna.create_study(study_name=name, direction=direction, pruner=rule, sampler=sampler)
        for curves in generations:
            begun = running = [(study.ask(), curve) for curve in curves]
            for epoch in range(1, EPOCHS + 1):
                running = [(trial, curve) for trial, curve in running if _goes_on(study, trial, curve, epoch, stops)]
            stopped = {number for _, number in stops}
            for trial, curve in begun:
                if trial.number not in stopped:
                    _tell(study, trial, curve)
    return stops


def _goes_on(study: optuna.Study, trial: optuna.Trial, curve: Curve, epoch: int, stops: Stops) -> bool:
    value = curve.values[epoch - 1]
    trial.report(math.nan if value is None else value, epoch)
    if epoch == len(curve.values):
        return False
    if trial.should_prune():
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        stops.append((epoch, trial.number))
        return False
    return True


def _tell(study: optuna.Study, trial: optuna.Trial, curve: Curve) -> None:
    if curve.ends == "complete":
        study.tell(trial, [value for value in curve.values if value is not None][-1])
    else:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)


def stops_of(pruner: Pruner, generations: Iterable[Sequence[Curve]], backwards: bool = False) -> Stops:
    """The same of a pruner of ours, which is asked at its rungs alone; rows come in any order."""
    stops: Stops = []
    start = 0
    for curves in generations:
        running = dict(enumerate(curves, start))
        pruner.begin(list(running))
        last = 0
        for rung in pruner.rungs(EPOCHS):
            rows = [_row(number, curve, last, rung) for number, curve in running.items()]
            found = pruner.decide(rung, rows[::-1] if backwards else rows)
            stops += [(rung, number) for number in found]
            ended = {row.number for row in rows if row.state != "running"} | set(found)
            running = {number: curve for number, curve in running.items() if number not in ended}
            last = rung
        pruner.end([_row(number, curve, last, EPOCHS) for number, curve in running.items()])
        start += len(curves)
    return stops


def _row(number: int, curve: Curve, last: int, rung: int) -> Rung:
    values = tuple(enumerate(curve.values, 1))[last:rung]
    return Rung(number, values, curve.ends if len(curve.values) <= rung else "running")
