"""Turns trial specs into cohorts of one shape, large ones first; how they are grouped changes no number.

Trials of the user's own code do not train together: their cohorts are hand-outs, run one trial after the other.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized

from tracker.hyperparameters import OWN_CODE
from tracker.models.mlp import Shape, shape_of
from tracker.records import TrialSpec

CACHE_NUMBERS = 172_000  # parameters of a cohort; beyond that its optimizer state leaves a core's cache (measured)
MOST_LANES = 32
HAND_OUT = 64  # trials of the user's own code handed out at once; what takes long is handed back


def form_cohorts(
    specs: Sequence[TrialSpec], features: int, classes: int, workers: int = 1, most_lanes: int = MOST_LANES
) -> list[list[TrialSpec]]:
    """Cohorts in the order to run them: costly ones first, and enough of them that no worker idles."""
    own = list(specs) if specs and specs[0].family in OWN_CODE else []  # a study has one family
    groups: dict[Shape, list[TrialSpec]] = {}
    for spec in specs if not own else []:
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
    hand_outs = _evenly(own, min(HAND_OUT, -(-len(own) // (2 * workers)))) if own else []
    return [part for _, part in sorted(cohorts, key=lambda entry: -_cost(*entry))] + hand_outs


def left_over(cohort: Sequence[TrialSpec], done: Sized) -> list[list[TrialSpec]]:
    """What of a cohort is still to be run, in halves, so that others can take part."""
    rest = list(cohort[len(done) :])
    return _evenly(rest, -(-len(rest) // 2)) if rest else []


def _evenly(group: Sequence[TrialSpec], most: int) -> list[list[TrialSpec]]:
    parts = -(-len(group) // most)
    size = -(-len(group) // parts)
    return [list(group[start : start + size]) for start in range(0, len(group), size)]


def _cost(shape: Shape, part: Sequence[TrialSpec]) -> float:
    """Relative time: a fixed price per step for the cohort, and arithmetic per lane."""
    return (20_000 + len(part) * shape.numbers) / shape.batch_size
