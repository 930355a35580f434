"""Charts of how sure a result is: scores at a glance, the tuning curve with its band, ROC, precision by recall, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.evaluation.tuning_curve import TuningCurve
from tracker.reporting.charts import DASHES, INK, MARKERS, SERIES, label_axes, open_figure, svg_of
from tracker.reporting.words import score

SQUARE = (3.5, 3.0)  # inches
KINDS = {"rows": "o", "seeds": "s", "test": "D"}


@dataclass(frozen=True, slots=True)
class Mark:
    """A score with what is known of its luck: the 95 % ends over `rows` or `test` rows, or those of one sd over `seeds`."""

    name: str
    value: float
    ends: Sequence[float] | None
    kind: str = "rows"


def glance(marks: Sequence[Mark], metric: str) -> str:
    """What the choice, its rivals and simple models score, one under the other; far ones stand at the edge with a triangle."""
    known = [mark for mark in marks if mark.ends is not None] or list(marks)
    middle = sorted(mark.value for mark in known)[len(known) // 2]
    reach = 3 * max((abs(end - mark.value) for mark in known for end in mark.ends or ()), default=math.inf)
    near = [mark for mark in marks if abs(mark.value - middle) <= reach]
    low = min(end for mark in near for end in (mark.value, *(mark.ends or ())))
    high = max(end for mark in near for end in (mark.value, *(mark.ends or ())))
    with open_figure((5.8, 0.7 + 0.28 * len(marks))) as (figure, axes):
        for place, mark in enumerate(reversed(marks)):
            colour = SERIES[0] if mark.kind == "rows" else SERIES[1 if mark.kind == "seeds" else 2]
            if mark not in near:
                edge = low if mark.value < low else high
                axes.plot([edge], [place], marker="<" if mark.value < low else ">", color=colour, markersize=6)
            else:
                if mark.ends is not None:
                    axes.plot(mark.ends, [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
                axes.plot([mark.value], [place], marker=KINDS[mark.kind], color=colour, markersize=6)
            axes.text(
                1.01, place, score(mark.value), va="center", fontsize=8, color=INK, transform=axes.get_yaxis_transform()
            )
        axes.set_yticks(range(len(marks)), [mark.name for mark in reversed(marks)])
        axes.set_ylim(-0.6, len(marks) - 0.4)
        axes.margins(x=0.03)
        label_axes(axes, metric, "")
        return svg_of(figure, f"{metric}: " + ", ".join(f"{mark.name} {score(mark.value)}" for mark in marks))


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
