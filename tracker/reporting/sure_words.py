"""What the page says of chance: which rows chose what, optimism, the scores of each class, the curves of random studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.evaluation.baselines_report import metric_of
from tracker.evaluation.tuning_curve import TuningCurve, tuning_curve
from tracker.metrics import METRICS
from tracker.reporting.facts import Facts
from tracker.reporting.words import between, score

RATIOS = ("precision", "recall", "f1")


def chosen_on(facts: Facts) -> str:
    """Which rows chose the epoch, and which the configuration, in a sentence."""
    rows = f"the {facts.splits['validation']['rows']} validation rows" if facts.splits else "the validation rows"
    known = facts.chosen.study in facts.config.studies
    training = facts.config.training_of(facts.chosen.study) if known else facts.config.training
    if training.early_stopping is None:
        return f"The configuration was chosen on {rows}; the last epoch is kept, so no rows chose it."
    also = ", and the threshold" if facts.config.decision.threshold == "validation" else ""
    return f"The kept epoch{also} and the configuration were chosen on the same rows: {rows}."


def optimism_words(facts: Facts) -> str:
    """By how much validation was too good, in a sentence; empty where the result does not tell."""
    told = _details(facts).get("optimism") or {}
    name = facts.metric.removeprefix("val_")
    name = name if name in told else "f1"
    gap = told.get(name) or {}
    if gap.get("difference") is None:
        return ""
    more = "above" if gap["difference"] >= 0 else "below"
    ends = gap["interval"]
    words = f"On validation the scored model has {name} {score(abs(gap['difference']))} {more} that of the test rows"
    if ends is None:
        return f"{words}."
    zero = "no difference is inside" if ends[0] <= 0 <= ends[1] else "no difference lies outside"
    return f"{words} (validation minus test, 95 %: {ends[0]:.3f} to {ends[1]:.3f}; {zero})."


def classes(facts: Facts) -> list[list[str]]:
    """A line per class and one for the weighted mean: label, rows, then precision, recall, F1, each with its interval."""
    if facts.final is None:
        return []
    test, told = facts.final["test"], _details(facts)
    ends = {one["label"]: one["intervals"] for one in told.get("classes", ())}
    lines = [
        [
            one["label"],
            str(one["support"]),
            *(_with(one[name], ends.get(one["label"], {}).get(name)) for name in RATIOS),
        ]
        for one in test["classes"]
    ]
    if weighted := told.get("weighted"):
        cells = [_with(weighted[name], weighted["intervals"][name]) for name in RATIOS]
        lines.append(["weighted mean", str(facts.final["test_rows"]), *cells])
    return lines


def baselines(facts: Facts) -> list[tuple[str, str]]:
    """What simple models give on the validation rows, and the best trial beside them: name, score with its interval."""
    if facts.baselines is None:
        return []
    metric = facts.metric
    if metric_of(facts.baselines) != metric:
        return []
    lines = [
        (model["name"], _with(model["metrics"].get(metric), model["intervals"].get(metric)))
        for model in facts.baselines["models"]
    ]
    told = facts.ranking["indistinguishable"]
    return [*lines, (facts.ranked[0].name, _with(facts.ranked[0].value, None if told is None else told["interval"]))]


def curves_of(facts: Facts) -> dict[str, TuningCurve]:
    """The tuning curves of the studies whose trials are independent draws: random ones without a pruner.

    They are there for scores from 0 to 1 of which the highest is best; a trial without a value counts as 0.
    """
    metric = METRICS.get(facts.metric.removeprefix("val_"))
    if metric is None or metric.direction != "maximize" or facts.direction != "maximize":
        return {}
    found = {}
    for name, report in facts.studies.items():
        study = facts.config.studies[name]
        values = [trial["value"] or 0.0 for trial in report["trials"]]
        if study.sampler == "random" and study.pruner is None and len(values) > 1:
            found[name] = tuning_curve(values)
    return found


def _details(facts: Facts) -> Mapping[str, Any]:
    return {} if facts.final is None else facts.final.get("details") or {}


def _with(value: Any, ends: Any) -> str:
    return f"{score(value)}{between(ends)}"
