"""Reads `reports/baselines.json`, and says in lines what simple models give and whether the networks are better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.datasets.storage import read_document
from tracker.errors import TrackerError
from tracker.evaluation.files import read_report
from tracker.evaluation.sureness import Sureness, place
from tracker.metrics import direction_of
from tracker.paths import Paths
from tracker.remedies import run_again
from tracker.shapes import entries, many, named, number, optional, plain, text
from tracker.shown import score_text

_shape = entries(
    {"data": named(text), "objective": entries({"metric": text}),
     "models": many(entries({"name": text, "metrics": named(optional(number)), "intervals": named(plain)}))}
)  # fmt: skip


def read_baselines(paths: Paths) -> Mapping[str, Any] | None:
    """The report, where it is there and of the rows that lie in data/splits now; else None."""
    try:
        told = read_report(paths.reports / "baselines.json", run_again(paths.root, "baselines"), _shape)
        manifest = read_document(paths.splits / "manifest.json", "splits", run_again(paths.root, "split"))
        now = {name: manifest["splits"][name]["digest"] for name in ("train", "validation")}
        return told if told["data"] == now else None
    except (TrackerError, KeyError, TypeError):
        return None


def baseline_line(told: Mapping[str, Any] | None) -> str | None:
    """The baselines in a line, below what is said of the choice; None where there is no report."""
    if told is None:
        return None
    metric = metric_of(told)
    each = [f"{model['name']} {score_text(model['metrics'].get(metric))}" for model in told["models"]]
    return f"baselines on the same rows: {', '.join(each)} ({metric})"


def metric_of(told: Mapping[str, Any]) -> str:
    """The objective where the baselines have it, else F1: a loop of the user's own may yield metrics that no other has."""
    metric: str = told["objective"]["metric"]
    return metric if any(metric in model["metrics"] for model in told["models"]) else "val_f1"


def baseline_lines(paths: Paths, sure: Sureness) -> list[str]:
    """That line, where there is one, and whether the networks are better than the best of these models."""
    told = read_baselines(paths)
    line = baseline_line(told)
    if told is None or line is None:
        return []
    if not sure.on_validation:
        return [f"{line.replace('on the same rows', 'on validation')}; {place(sure.rows[0])} was scored on folds"]
    words = versus(told, sure)
    return [line, f"          {words}"] if words else [line]


def versus(told: Mapping[str, Any], sure: Sureness) -> str | None:
    """Whether the chosen trial is better than the best simple model, by the rule that makes ties; None where it is not known.

    What was chosen by other seeds or by a rule is held against it by its mean, or its value, within the reach of the interval
    of the first: the same rows score, so that they tell no more apart.
    """
    name, value, of = sure.choice
    if value is None or sure.interval is None or metric_of(told) != sure.metric or not sure.on_validation:
        return None
    scores = {model["name"]: model["metrics"].get(sure.metric) for model in told["models"]}
    known = {name: value for name, value in scores.items() if value is not None}
    if not known:
        return None
    sign = 1 if direction_of(sure.metric) == "maximize" else -1
    simple = max(known, key=lambda one: sign * known[one])
    first = sure.rows[0]
    is_first = sure.confirmation is None and name == place(first)
    low, high = sure.interval if is_first else (end + value - first["value"] for end in sure.interval)
    chosen = name if is_first else f"{name} ({of}: {score_text(value)})"
    if low <= known[simple] <= high:
        ahead = sign * known[simple] > sign * value
        tie = (
            f"is ahead of {chosen}, inside its interval" if ahead else f"is a tie of {name}{' too' if is_first else ''}"
        )
        which = "no network is" if is_first else f"{name if ahead else chosen} is not"
        return f"{simple} {tie}: on these rows {which} clearly better than {simple}"
    below = (known[simple] < low) == (sign > 0)
    return f"{chosen} is {'clearly better' if below else 'clearly worse'} than {simple}, the best of them"
