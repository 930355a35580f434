"""When a study ends before it has all its trials: decided after whole generations, from their trials alone.

So it is the same for any number of workers, after any kill, and when it is derived again.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracker.ordering import on_front
from tracker.records import StudySpec, Trial
from tracker.search.front import lows_of
from tracker.shown import counted


class Stopping:
    """Hears of each generation in order, and says when the study ends; one without a rule never does.

    A better value is one that nothing before dominates: with one objective a better one, with several another point of the
    front.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._plateau, self._budget = spec.stop.get("plateau"), spec.stop.get("epochs")
        self._size = spec.generation
        self._objectives = spec.objectives
        self._front: list[tuple[float, ...]] = []
        self._since, self._epochs = 0, 0

    def after(self, trials: Sequence[Trial]) -> str | None:
        """Why the study ends after this generation, in words; None where it goes on. The beginning of one never ends it."""
        if len(trials) != self._size:
            return None
        before = set(self._front)
        rows = [*self._front, *(lows_of(trial, self._objectives) for trial in trials if trial.ranked is not None)]
        self._front = sorted({rows[place] for place in on_front(rows)})
        self._since = 0 if set(self._front) - before else self._since + 1
        self._epochs += sum(outcome.epochs for trial in trials for outcome in trial.outcomes)
        if self._budget is not None and self._epochs >= self._budget:
            return f"{self._epochs:,} of {counted(self._budget, 'epoch')} were trained"
        if self._plateau is not None and self._since >= self._plateau:
            brought = "no new point of the front" if len(self._objectives) > 1 else "no better value"
            return f"{counted(self._since, 'generation')} brought {brought}"
        return None


def stopped(spec: StudySpec, trials: Sequence[Trial]) -> tuple[int, str] | None:
    """After how many of a study's trials it ends by its own rule, and why; None where these do not end it."""
    size = spec.generation
    if not spec.stop or size is None:
        return None
    stopping = Stopping(spec)
    for start in range(0, len(trials), size):
        part = trials[start : start + size]
        if why := stopping.after(part):
            return start + len(part), why
    return None
