"""Studies with several objectives on the page: each front as a table, and as points of all trials in which it stands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tracker.goals import constraint_text, front_words, goals_text, number_text
from tracker.ordering import has_place, ranks
from tracker.reporting.charts import FAINT, INK, SERIES, WIDE, label_axes, most_of, open_figure, svg_of
from tracker.reporting.facts import Facts
from tracker.shown import counted

MOST_SHOWN = 20  # trials of a front in a table
WIDTH = 20.0  # ratio of the ends of an axis from which on it is a logarithmic one


@dataclass(frozen=True, slots=True)
class Point:
    """A trial in a chart: its number and two of its values, whether it is on the front, keeps the limits, is chosen."""

    number: int
    x: float
    y: float
    on_front: bool
    holds: bool
    chosen: bool


def fronts(facts: Facts) -> list[dict[str, Any]]:
    """Of each study with several objectives: what it wanted, its front as a table, and a chart per further objective."""
    return [_front(facts, name, report) for name, report in facts.studies.items() if report.get("further")]


def _front(facts: Facts, study: str, report: Mapping[str, Any]) -> dict[str, Any]:
    goals, trials = [report["objective"], *report["further"]], {one["number"]: one for one in report["trials"]}
    numbers = report["front"]
    points = {place: _points(facts, study, report, place) for place in range(1, len(goals))}
    words = f"{goals_text(goals)}: {front_words(len(numbers))}."
    if limits := report.get("constraints"):
        broke = sum(bool(one.get("breaks")) for one in report["trials"])
        words += (
            f" Limits: {', '.join(map(constraint_text, limits))}; {broke} of {counted(len(trials), 'trial')} broke one."
        )
    if len(numbers) > MOST_SHOWN:
        words += f" The table has the first {MOST_SHOWN}."
    return {
        "study": study,
        "words": f"{words[0].upper()}{words[1:]}",
        "head": ["trial", *(goal["metric"] for goal in goals)],
        "body": [[f"{study}/{one}", *map(number_text, trials[one]["values"])] for one in numbers[:MOST_SHOWN]],
        "charts": [
            front_chart(study, drawn, goals[place], goals[0], len(goals) == 2) for place, drawn in points.items()
        ],
        "captions": [f"{study}, all trials by two objectives. {_caption(drawn)}" for drawn in points.values()],
    }


def _caption(points: Sequence[Point]) -> str:
    """What the marks that are drawn mean."""
    marks = ["Diamonds are the front"]
    marks += ["crosses break a limit"] if any(not one.holds and not one.on_front for one in points) else []
    marks += ["the chosen trial is ringed"] if any(one.chosen for one in points) else []
    return f"{'; '.join(marks)}. What scores far worse than most stands at the edge."


def _points(facts: Facts, study: str, report: Mapping[str, Any], place: int) -> list[Point]:
    chosen = (facts.chosen.study, facts.chosen.number)
    told = [one for one in report["trials"] if one["state"] == "complete" and all(map(ranks, one["values"]))]
    return [
        Point(
            one["number"],
            one["values"][place],
            one["values"][0],
            one["number"] in report["front"],
            has_place(one),
            (study, one["number"]) == chosen,
        )
        for one in told
    ]


def front_chart(
    study: str, points: Sequence[Point], across: Mapping[str, str], up: Mapping[str, str], joined: bool
) -> str:
    """All trials by two objectives; the front stands out, `joined` by a line where there are no more objectives."""
    edges = most_of([one.y for one in points]) if points else (0.0, 1.0)
    tops = [one.y for one in points if one.on_front]
    low, high = min([edges[0], *tops]), max([edges[1], *tops])
    with open_figure(WIDE) as (figure, axes):
        for holds, marker, label in ((True, "o", "other trials"), (False, "x", "break a limit")):
            rest = [one for one in points if not one.on_front and one.holds == holds]
            places = [min(max(one.y, low), high) for one in rest]
            if rest:
                axes.scatter([one.x for one in rest], places, s=16, color=FAINT, marker=marker, label=label)
        front = sorted((one for one in points if one.on_front), key=lambda one: (one.x, one.y))
        x, y = [one.x for one in front], [one.y for one in front]
        if joined:
            where: Literal["post", "pre"] = "post" if across["direction"] == "minimize" else "pre"
            axes.step(x, y, where=where, color=SERIES[0], linewidth=1.2)
        axes.scatter(x, y, s=30, color=SERIES[0], marker="D", label="front", zorder=3)
        ringed = [one for one in points if one.chosen]
        axes.scatter([one.x for one in ringed], [one.y for one in ringed], s=110, facecolors="none", edgecolors=INK)
        _scale(axes, [one.x for one in points])
        label_axes(axes, f"{across['metric']} ({across['direction']})", f"{up['metric']} ({up['direction']})")
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.02))
        told = ", ".join(f"{one.number} ({number_text(one.x)}, {number_text(one.y)})" for one in front[:MOST_SHOWN])
        return svg_of(figure, f"{up['metric']} by {across['metric']} of {study}; on the front are trials {told}")


def _scale(axes: Any, values: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if values and min(values) > 0 and max(values) / min(values) > WIDTH:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
