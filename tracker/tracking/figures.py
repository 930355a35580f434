"""Pictures beside a run, as SVG that MLflow shows: lines and counts of predictions. Text alone: they load no library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from tracker.goals import goals_text
from tracker.records import StudySpec, Trial, TrialOutcome
from tracker.search.front import front_of
from tracker.shown import counted
from tracker.store.store import Store

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 70, 20, 50, 60
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
DASHES = ("", "8 5", "2 3", "10 3 2 3")
CELL = 110
MOST_CLASSES = 12  # more cells than one can read
Spot = tuple[float, float]
Points = Sequence[Spot]


def run_figures(name: str, outcome: TrialOutcome, labels: Sequence[str] = ()) -> dict[str, bytes]:
    """The curve of a run, and the validation rows of its kept epoch by class, by the names of artifacts."""
    lines = {metric: _points(outcome.history, metric) for metric in ("train_loss", "val_loss")}
    found = {}
    if any(lines.values()):
        found["figures/learning_curve.svg"] = line_figure(f"{name}: loss by epoch", "epoch", "loss", lines)
    kept = next((row for row in outcome.history if row["epoch"] == outcome.best_epoch), {})
    if kept.get("confusion_matrix"):
        title = f"{name}: validation rows, epoch {outcome.best_epoch}"
        found |= matrix_file(title, labels, kept["confusion_matrix"])
    return found


def history_figure(name: str, metric: str, direction: str, values: Sequence[tuple[int, float]]) -> dict[str, bytes]:
    """The value of every trial of a study, and the best so far."""
    if not values:
        return {}
    best, so_far = values[0][1], []
    for number, value in values:
        best = max(best, value) if direction == "maximize" else min(best, value)
        so_far.append((float(number), best))
    lines = {"best so far": so_far, "trial": [(float(number), value) for number, value in values]}
    return {"figures/optimisation_history.svg": line_figure(f"{name}: {metric} by trial", "trial", metric, lines)}


def study_figures(store: Store, study_key: str) -> dict[str, bytes]:
    """The optimisation history of a study, of the trials that have a value."""
    spec, proposals = store.study(study_key), store.proposals(study_key)
    outcomes = store.outcomes([key for proposal in proposals for key in proposal.keys])
    whole = [one for one in proposals if all(key in outcomes for key in one.keys)]
    trials = [Trial.of(spec, one, [outcomes[key] for key in one.keys]) for one in whole]
    told = pareto_figures(spec, trials)
    values = [(trial.number, trial.value) for trial in trials if trial.value is not None and math.isfinite(trial.value)]
    return told | history_figure(spec.name, spec.objective["metric"], spec.objective["direction"], values)


def pareto_figures(spec: StudySpec, trials: Sequence[Trial]) -> dict[str, bytes]:
    """Of several objectives the first by each further one: every ranked trial, and the front."""
    front, found = set(map(id, front_of(spec, trials))), {}
    ranked = [trial for trial in trials if trial.ranked is not None]
    for place, goal in enumerate(spec.further if front else (), start=1):
        groups = {
            name: [_pair(trial, place) for trial in ranked if (id(trial) in front) == is_front]
            for name, is_front in (("other trials", False), ("front", True))
        }
        title = f"{spec.name}: front of {counted(len(front), 'trial')}; {goals_text(spec.objectives)}"
        name = "pareto_front" if place == 1 else f"pareto_front_{place}"
        found[f"figures/{name}.svg"] = points_figure(title, goal["metric"], spec.objective["metric"], groups)
    return found


def _pair(trial: Trial, place: int) -> tuple[float, float]:
    return float(trial.values[place] or 0.0), float(trial.values[0] or 0.0)


def test_figures(final: Mapping[str, Any]) -> dict[str, bytes]:
    """The confusion matrix of the test rows of a final result."""
    test = final.get("test") or {}
    title = f"{final.get('study')}/{final.get('trial')}: test rows"
    return matrix_file(title, test.get("labels") or (), test.get("confusion_matrix") or ())


test_figures.__test__ = False  # type: ignore[attr-defined] # pytest collects functions named test_*


def matrix_file(title: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> dict[str, bytes]:
    """A confusion matrix by the name of its artifact; none where classes are too many to read, or do not fit."""
    if not 0 < len(labels) == len(counts) <= MOST_CLASSES:
        return {}
    return {"figures/confusion_matrix.svg": matrix_figure(title, labels, counts)}


def line_figure(title: str, x: str, y: str, lines: Mapping[str, Points]) -> bytes:
    """Lines with axes and a legend; the last of several lies on top."""
    parts, place = _frame(lines, x, y)
    for turn, (name, line) in enumerate(lines.items()):
        look = f'stroke="{COLORS[turn % 4]}" stroke-dasharray="{DASHES[turn % 4]}" stroke-width="2" fill="none"'
        told = " ".join(f"{across:.1f},{up:.1f}" for across, up in map(place, line))
        parts.append(f'<polyline points="{told}" {look}/>')
        at = LEFT + 150 * turn
        parts.append(f'<line x1="{at}" x2="{at + 30}" y1="38" y2="38" {look}/>{_text(at + 36, 42, name, "start")}')
    return _svg(WIDTH, HEIGHT, title, parts)


def points_figure(title: str, x: str, y: str, groups: Mapping[str, Points]) -> bytes:
    """Points with axes and a legend: rings, and the last group as larger filled ones on top."""
    parts, place = _frame(groups, x, y)
    for turn, (name, points) in enumerate(groups.items()):
        last, colour = turn == len(groups) - 1, COLORS[1 - turn % 2]
        look = f'r="{6 if last else 4}" stroke="{colour}" fill="{colour if last else "none"}"'
        parts += [f'<circle cx="{across:.1f}" cy="{up:.1f}" {look}/>' for across, up in map(place, points)]
        at = LEFT + 150 * turn
        parts.append(f'<circle cx="{at + 8}" cy="38" {look}/>{_text(at + 20, 42, name, "start")}')
    return _svg(WIDTH, HEIGHT, title, parts)


def _frame(groups: Mapping[str, Points], x: str, y: str) -> tuple[list[str], Callable[[tuple[float, float]], Spot]]:
    """The axes that hold all points, and what places a point between them."""
    points = [point for group in groups.values() for point in group]
    (x0, x1), (y0, y1) = (_span([point[place] for point in points]) for place in (0, 1))
    inner = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(point: tuple[float, float]) -> Spot:
        across, up = (point[0] - x0) / (x1 - x0), (point[1] - y0) / (y1 - y0)
        return LEFT + across * inner[0], HEIGHT - BOTTOM - up * inner[1]

    return [*_axes((x0, x1), (y0, y1), x, y)], place


def matrix_figure(title: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> bytes:
    """Counts of rows, actual classes downwards, predicted ones to the right; the shade is the share of the actual class."""
    parts = [_text(150 + CELL * len(labels) / 2, 52, "predicted", "middle"), _text(8, 86, "actual", "start")]
    for row, (label, line) in enumerate(zip(labels, counts, strict=True)):
        top = 92 + row * 44
        parts += [
            _text(142, top + 27, _short(label), "end"),
            _text(150 + CELL * (row + 0.5), 84, _short(label), "middle"),
        ]
        for column, count in enumerate(line):
            left, share = 150 + CELL * column, count / max(1, sum(line))
            box = f'x="{left}" y="{top}" width="{CELL - 2}" height="42" fill="#0072b2" fill-opacity="{0.08 + 0.5 * share:.2f}"'
            parts.append(f"<rect {box}/>{_text(left + CELL / 2, top + 27, f'{count} ({share:.0%})', 'middle')}")
    return _svg(max(WIDTH // 2, 170 + CELL * len(labels)), 110 + 44 * len(labels), title, parts)


def _points(history: Sequence[Mapping[str, Any]], metric: str) -> list[tuple[float, float]]:
    told = [(row["epoch"], row.get(metric)) for row in history]
    return [
        (float(epoch), float(value)) for epoch, value in told if isinstance(value, int | float) and math.isfinite(value)
    ]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _axes(across: tuple[float, float], up: tuple[float, float], x: str, y: str) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for turn in range(5):
        share = turn / 4
        level, at = bottom - share * (bottom - TOP), LEFT + share * (right - LEFT)
        yield f'<line x1="{LEFT}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}" stroke="#c8c8c8"/>'
        yield _text(LEFT - 8, level + 4, f"{up[0] + share * (up[1] - up[0]):.4g}", "end")
        yield _text(at, bottom + 20, f"{across[0] + share * (across[1] - across[0]):.4g}", "middle")
    yield _text((LEFT + right) / 2, HEIGHT - 12, x, "middle")
    yield f'<g transform="rotate(-90 16 {HEIGHT / 2})">{_text(16, HEIGHT / 2, y, "middle")}</g>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="13">{escape(text)}</text>'


def _short(label: str) -> str:
    return label if len(label) <= 16 else f"{label[:15]}…"


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> bytes:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    name = f'font-family="sans-serif" role="img" aria-label="{escape(title, quote=True)}">'
    back = f'<rect width="{width}" height="{height}" fill="#ffffff"/>{_text(12, 20, title, "start")}'
    return "\n".join([f"{head} {name}{back}", *parts, "</svg>\n"]).encode()
