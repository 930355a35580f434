"""The Pareto front of a study with several objectives: of the trials that have every value and break no constraint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracker.ordering import better_low, on_front
from tracker.records import StudySpec, Trial


def front_of(spec: StudySpec, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials that no other one is better than in all objectives, in their order; none where there is one objective."""
    if not spec.further:
        return ()
    ranked = [trial for trial in trials if trial.ranked is not None]
    return tuple(ranked[place] for place in on_front([lows_of(trial, spec.objectives) for trial in ranked]))


def lows_of(trial: Trial, objectives: Sequence[Mapping[str, str]]) -> tuple[float, ...]:
    """The values of a trial that has them all, the lower the better."""
    return tuple(value for value in better_low(trial.values, objectives) if value is not None)
