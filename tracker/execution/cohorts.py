"""Turns trial specs into cohorts of one shape, large ones first; how they are grouped changes no number."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.models.mlp import Shape, shape_of
from tracker.records import TrialSpec

CACHE_NUMBERS = 172_000  # parameters of a cohort; beyond that its optimizer state leaves a core's cache (measured)
MOST_LANES = 32


def form_cohorts(
    specs: Sequence[TrialSpec], features: int, classes: int, workers: int = 1, most_lanes: int = MOST_LANES
) -> list[list[TrialSpec]]:
    """Cohorts in the order to run them: costly ones first, and enough of them that no worker idles."""
    groups: dict[Shape, list[TrialSpec]] = {}
    for spec in specs:
        groups.setdefault(shape_of(spec, features, classes), []).append(spec)
    cohorts = [
        (shape, part)
        for shape, group in groups.items()
        for part in _evenly(group, min(most_lanes, max(1, CACHE_NUMBERS // max(1, shape.numbers))))
    ]
    while 0 < len(cohorts) < 2 * workers and max(len(part) for _, part in cohorts) > 1 and workers > 1:
        largest = max(range(len(cohorts)), key=lambda index: _cost(*cohorts[index]) * (len(cohorts[index][1]) > 1))
        shape, part = cohorts.pop(largest)
        cohorts += [(shape, half) for half in _evenly(part, -(-len(part) // 2))]
    return [part for _, part in sorted(cohorts, key=lambda entry: -_cost(*entry))]


def _evenly(group: Sequence[TrialSpec], most: int) -> list[list[TrialSpec]]:
    parts = -(-len(group) // most)
    size = -(-len(group) // parts)
    return [list(group[start : start + size]) for start in range(0, len(group), size)]


def _cost(shape: Shape, part: Sequence[TrialSpec]) -> float:
    """Relative time: a fixed price per step for the cohort, and arithmetic per lane."""
    return (20_000 + len(part) * shape.numbers) / shape.batch_size
