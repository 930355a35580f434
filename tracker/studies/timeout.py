"""A safety stop by wall time: it ends a command after a whole part of a study, never a trial, and changes no key.

What it leaves is the beginning of the study, marked as cut off; the same command goes on to the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tracker.sampler_table import GENERATION, SAMPLERS
from tracker.search.samplers import plan_generations
from tracker.shown import counted
from tracker.studies.plan import StudyPlan


def parts_of(plan: StudyPlan) -> Iterator[tuple[int, int, int]]:
    """Generation, first trial and number of trials of each part after which a study may be cut off.

    Where a study that learns nothing is one generation, its trials are taken a few at a time: they follow from their numbers.
    """
    one = plan.spec.generation is None and not SAMPLERS[plan.spec.sampler["name"]].learns
    for generation, (start, count) in enumerate(plan_generations(plan.spec, plan.trials)):
        size = GENERATION if one and plan.timeout is not None else max(count, 1)
        for first in range(start, start + count, size):
            yield generation, first, min(size, start + count - first)


class Deadline:
    """Says after a part whether time is over; a part that came from the store whole never ends a study."""

    def __init__(self, plan: StudyPlan, clock: Callable[[], float]) -> None:
        self._plan, self._clock = plan, clock
        self._ends = None if plan.timeout is None else clock() + plan.timeout

    def after(self, finished: int, trained: bool) -> str | None:
        """Why the study is cut off behind its first `finished` trials, in words; None where it goes on."""
        plan = self._plan
        if self._ends is None or not trained or finished >= plan.trials or self._clock() < self._ends:
            return None
        return (
            f"timeout of {plan.timeout:,} s after {finished:,} of {counted(plan.trials, 'trial')}; "
            "not repeatable: how far it came is of this machine and its load"
        )
