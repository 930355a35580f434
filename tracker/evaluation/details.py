"""What a report tells beyond the scores of a look: each class with intervals, weighted means, curves, calibration, optimism.

All of it follows from the same predictions of the same rows, so it takes no look of its own. Numbers are rounded to four
digits: they are for people and charts, and the exact scores stand beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.confusion import count_confusion, wilson
from tracker.design_effects import (
    SIZES,
    VERSION,
    class_influence,
    class_weights,
    design_effects,
    weighted_effect,
    weighted_influence,
)
from tracker.evaluation.optimism import optimism
from tracker.evaluation.scoring import RATIOS, index_labels
from tracker.metrics import score_intervals, scores
from tracker.separation import Cuts

DIGITS = 4
POINTS = 40  # of a curve, at most
BINS = 10  # of the calibration, of equally many rows


@dataclass(frozen=True, slots=True)
class Called:
    """Rows as a model calls them: true and called places (rows,), probabilities (rows, classes), clusters or None.

    `version` is that of the clusters' design effects.
    """

    truth: NDArray[np.int64]
    call: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    clusters: Sequence[int] | None
    version: int = VERSION

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        actual: Sequence[str],
        called: Sequence[str],
        probabilities: NDArray[np.float64],
        clusters: Sequence[int] | None,
        version: int = VERSION,
    ) -> Called:
        """From label names. Raises DataError for one that the model does not know."""
        return cls(index_labels(actual, labels), index_labels(called, labels), probabilities, clusters, version)

    def intervals(self, classes: int, place: int | None) -> dict[str, Any]:
        """The 95 % interval of each score of a class, or of all."""
        effects = None
        if self.clusters is not None:
            effects = design_effects(self.truth, self.call, self.clusters, classes, place, self.version)
        return score_intervals(count_confusion(self.truth, self.call, classes), place, effects)


def detail(test: Called, validation: Called | None, labels: Sequence[str], positive: str | None) -> dict[str, Any]:
    """The entry `details` of a result; nothing of validation where the model was trained on it."""
    classes, place = len(labels), None if positive is None else list(labels).index(positive)
    ends, scored = test.intervals(classes, place), scores(count_confusion(test.truth, test.call, classes), place)
    told: dict[str, Any] = {
        "weighted": _weighted(test, classes),
        "classes": [{"label": label, "intervals": _of_class(test, classes, c)} for c, label in enumerate(labels)],
    }
    if validation is not None:
        before = scores(count_confusion(validation.truth, validation.call, classes), place)
        around = validation.intervals(classes, place)
        told |= {"validation": {"rows": len(validation.truth), "intervals": around}}
        told |= {"optimism": optimism(before, around, scored, ends)}
    whole: dict[str, Any] = _rounded(told if place is None else told | _curves(test, place))
    return whole


def _of_class(test: Called, classes: int, place: int) -> dict[str, Any]:
    ends = test.intervals(classes, place)
    return {name: ends[name] for name in RATIOS}


def _weighted(test: Called, classes: int) -> dict[str, Any]:
    """The means over classes, weighted by how many rows each has, with intervals; undefined where a class that occurs is."""
    cells = count_confusion(test.truth, test.call, classes)
    weights = cells.sum(axis=1) / cells.sum()
    each = [scores(cells, place) for place in range(classes)]
    told: dict[str, Any] = {"intervals": {}}
    for name in RATIOS:
        parts = [(weight, one[name]) for weight, one in zip(weights.tolist(), each, strict=True) if weight]
        known = [weight * score for weight, score in parts if score is not None]
        told[name] = math.fsum(known) if len(known) == len(parts) else None
        told["intervals"][name] = _weighted_interval(test, cells, weights, name, told[name])
    return told


def _weighted_interval(
    test: Called, cells: NDArray[np.int64], weights: NDArray[np.float64], name: str, score: float | None
) -> tuple[float, float] | None:
    """Wilson's interval of the effective rows (Korn and Graubard 1998), by the delta method; the weights are taken as fixed.

    Where rows come in clusters the weights vary, too: a cluster may be of one class.
    """
    sizes = SIZES[name]
    if score is None or sizes is None:
        return None
    classes, effect, vary = len(cells), 1.0, test.clusters is not None and test.version > 2
    if vary:
        found = weighted_effect(test.truth, test.call, test.clusters or (), classes, sizes)
        if found is None:
            return None
        effect = found
    smooth = cells / effect + classes**-2  # one row more, spread over all cells
    influence = np.sum([weights[c] * class_influence(smooth, c, sizes) for c in range(classes)], axis=0)
    influence = weighted_influence(smooth, class_weights(cells), sizes) if vary else influence
    variance = math.fsum((smooth * influence**2).ravel())
    if test.clusters is not None and not vary:
        if len(set(test.clusters)) < 2:
            return None
        held = np.bincount(np.asarray(test.clusters), weights=influence[test.truth, test.call])
        variance = max(variance, math.fsum(held**2))
    middle = math.fsum((weights * smooth.diagonal() / _size(smooth, *sizes)).tolist())
    rows = middle * (1 - middle) / variance
    return wilson(score * rows, rows)


def _size(cells: NDArray[Any], by_call: float, by_truth: float) -> NDArray[np.float64]:
    size: NDArray[np.float64] = by_call * cells.sum(axis=0) + by_truth * cells.sum(axis=1)
    return size


def _curves(test: Called, place: int) -> dict[str, Any]:
    """Points of the ROC curve and of precision by recall, and the calibration; where rows of both kinds are there."""
    is_class, p = test.truth == place, test.probabilities[:, place]
    cuts = Cuts.of(is_class, p)
    others = cuts.rows - cuts.positives
    if not cuts.positives or not others:
        return {}
    kept = _spread(len(cuts.hits))
    hits, calls = cuts.hits[kept], cuts.calls[kept]
    roc = [[0.0, 0.0], *np.column_stack([(calls - hits) / others, hits / cuts.positives]).tolist()]
    recall = np.column_stack([hits / cuts.positives, hits / calls]).tolist()
    return {"roc": roc, "precision_recall": recall, "calibration": _calibration(is_class, p)}


def _spread(count: int) -> NDArray[np.int64]:
    """Places of at most so many points of a curve, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(np.int64))


def _calibration(is_class: NDArray[np.bool_], p: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Rows in bins of equal size by probability: the mean probability, how many were of the class, and its 95 % interval."""
    order = np.argsort(p, kind="stable")
    bins = [part for part in np.array_split(order, min(BINS, len(order))) if len(part)]
    return [
        {
            "mean": math.fsum(p[part].tolist()) / len(part),
            "share": int(is_class[part].sum()) / len(part),
            "interval": wilson(int(is_class[part].sum()), len(part)),
            "rows": len(part),
        }
        for part in bins
    ]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
