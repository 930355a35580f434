"""Charts of how sure a result is: the tuning curve with its band, ROC, precision by recall, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracker.evaluation.tuning_curve import TuningCurve
from tracker.reporting.charts import DASHES, INK, MARKERS, SERIES, label_axes, open_figure, svg_of

SQUARE = (3.5, 3.0)  # inches


def tuning_curves(curves: Mapping[str, TuningCurve], metric: str) -> str:
    """The median best of 1, 2 ... trials of each random study, with its band."""
    with open_figure((7.2, 3.0)) as (figure, axes):
        for place, (name, curve) in enumerate(curves.items()):
            budgets, colour = range(1, len(curve.best) + 1), SERIES[place % 8]
            axes.fill_between(budgets, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(budgets, curve.best, color=colour, linestyle=DASHES[place % 4], marker=MARKERS[place % 8],
                      markevery=0.2, markersize=4, linewidth=1.3, label=name)  # fmt: skip
        label_axes(axes, "trials", f"best {metric}", whole=True)
        axes.legend(frameon=False, fontsize=8, loc="lower right")
        about = f"the best {metric} that half of all searches with so many random trials reach, with 95 % bands"
        return svg_of(figure, f"{about}: {', '.join(curves)}")


def roc(points: Sequence[Sequence[float]]) -> str:
    """Recall by the share of other rows that are called the class."""
    return _curve(points, "false positive rate", "recall", "ROC curve on the test rows", chance=True)


def precision_recall(points: Sequence[Sequence[float]]) -> str:
    """Precision by recall."""
    return _curve(points, "recall", "precision", "precision by recall on the test rows", chance=False)


def calibration(bins: Sequence[Mapping[str, Any]]) -> str:
    """How often rows are of the class, by the probability that the model gives them, with 95 % intervals."""
    mean, share = [one["mean"] for one in bins], [one["share"] for one in bins]
    down = [max(0.0, one["share"] - one["interval"][0]) for one in bins]
    up = [max(0.0, one["interval"][1] - one["share"]) for one in bins]
    with open_figure(SQUARE) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=0.8)
        axes.errorbar(mean, share, yerr=[down, up], color=SERIES[0], marker="o", markersize=4, linestyle="none",
                      linewidth=1.0, capsize=2)  # fmt: skip
        _unit(axes)
        label_axes(axes, "probability given", "share that is so")
        return svg_of(
            figure, "calibration on the test rows: share of the class by the probability given, with 95 % intervals"
        )


def _curve(points: Sequence[Sequence[float]], x: str, y: str, about: str, *, chance: bool) -> str:
    with open_figure(SQUARE) as (figure, axes):
        if chance:
            axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=0.8)
        axes.plot([one for one, _ in points], [one for _, one in points], color=SERIES[0], linewidth=1.3, marker=".")
        _unit(axes)
        label_axes(axes, x, y)
        return svg_of(figure, about)


def _unit(axes: Any) -> None:
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
