"""Puts segments into cohorts of one shape on the same rows, costly ones first; how they are grouped changes no number.

Runs of families that never train together come as hand-outs, run one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized

from tracker.execution.row_sets import rows_named
from tracker.execution.trainer import Segment
from tracker.families.family import Shape, open_family

CACHE_NUMBERS = 172_000  # parameters of a cohort; beyond that its optimizer state leaves a core's cache (measured)
MOST_LANES = 32
HAND_OUT = 64  # runs that train alone, handed out at once; what takes long is handed back

Cohort = list[Segment]


class Cohorts:
    """Forms cohorts, and keeps together what paused together: the process that holds it can then go on with it."""

    def __init__(self, features: int, classes: int, workers: int = 1, most_lanes: int = MOST_LANES) -> None:
        self._features, self._classes = features, classes
        self.workers, self._most_lanes = workers, most_lanes  # workers: for how many cohorts are cut
        self._together: dict[str, int] = {}
        self._formed = 0

    def form(self, segments: Sequence[Segment]) -> list[Cohort]:
        """Cohorts in the order to run them: those that wait already, then the others."""
        waiting: dict[int, Cohort] = {}
        for segment in segments:
            if (number := self._together.get(segment.spec.key)) is not None:
                waiting.setdefault(number, []).append(segment)
        fresh = [segment for segment in segments if segment.spec.key not in self._together]
        return [*waiting.values(), *form_cohorts(fresh, self._features, self._classes, self.workers, self._most_lanes)]

    def emptied(self) -> Cohorts:
        """The same where nothing waits."""
        return Cohorts(self._features, self._classes, self.workers, self._most_lanes)

    def paused(self, keys: Iterable[str]) -> None:
        """These runs paused together."""
        self._formed += 1
        self._together.update(dict.fromkeys(keys, self._formed))

    def lost(self, keys: Iterable[str]) -> None:
        """Whatever held these runs is gone, or they have ended."""
        for key in keys:
            self._together.pop(key, None)


def form_cohorts(
    segments: Sequence[Segment], features: int, classes: int, workers: int = 1, most_lanes: int = MOST_LANES
) -> list[Cohort]:
    """Cohorts in the order to run them: costly ones first, and enough of them that no worker idles."""
    groups: dict[tuple[Shape, str | None], Cohort] = {}
    alone: Cohort = []
    for segment in segments:
        shape = open_family(segment.spec.family).shape(segment.spec, features, classes)
        together = alone if shape is None else groups.setdefault((shape, rows_named(segment.spec)), [])
        together.append(segment)
    cohorts = [
        (shape, part)
        for (shape, _), group in groups.items()
        for part in _evenly(group, min(most_lanes, max(1, CACHE_NUMBERS // max(1, shape.numbers))))
    ]
    while 0 < len(cohorts) < 2 * workers and max(len(part) for _, part in cohorts) > 1 and workers > 1:
        largest = max(range(len(cohorts)), key=lambda index: _cost(*cohorts[index]) * (len(cohorts[index][1]) > 1))
        shape, part = cohorts.pop(largest)
        cohorts += [(shape, half) for half in _evenly(part, -(-len(part) // 2))]
    hand_outs = _evenly(alone, min(HAND_OUT, -(-len(alone) // (2 * workers)))) if alone else []
    return [part for _, part in sorted(cohorts, key=lambda entry: -_cost(*entry))] + hand_outs


def left_over(cohort: Sequence[Segment], done: Sized) -> list[Cohort]:
    """What of a cohort is still to be run, in halves, so that others can take part."""
    rest = list(cohort[len(done) :])
    return _evenly(rest, -(-len(rest) // 2)) if rest else []


def _evenly(group: Sequence[Segment], most: int) -> list[Cohort]:
    parts = -(-len(group) // most)
    size = -(-len(group) // parts)
    return [list(group[start : start + size]) for start in range(0, len(group), size)]


def _cost(shape: Shape, part: Sequence[Segment]) -> float:
    """Relative time: a fixed price per step for the cohort, and arithmetic per lane."""
    return (20_000 + len(part) * shape.numbers) / shape.batch_size
