"""What the page says of chance: which rows chose what, optimism, the scores of each class, the curves of random studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.evaluation.baselines_report import metric_of
from tracker.evaluation.sureness import place
from tracker.evaluation.tuning_curve import TuningCurve, tuning_curve
from tracker.metrics import METRICS, group_lines
from tracker.reporting.facts import Facts
from tracker.reporting.sure_charts import Mark
from tracker.reporting.words import between, score

RATIOS = ("precision", "recall", "f1")


def chosen_on(facts: Facts) -> str:
    """Which rows chose the epoch, and which the configuration, in a sentence."""
    rows = f"the {facts.splits['validation']['rows']} validation rows" if facts.splits else "the validation rows"
    if facts.scored_on != "validation":
        rows = facts.scored_on
    known = facts.chosen.study in facts.config.studies
    training = facts.config.training_of(facts.chosen.study) if known else facts.config.training
    if training.early_stopping is None:
        return f"The configuration was chosen on {rows}; the last epoch is kept, so no rows chose it."
    also = ", and the threshold" if facts.config.decision.threshold == "validation" else ""
    if facts.splits and facts.scored_on == "validation" and "selection" in facts.splits["validation"]:
        whole, only = facts.splits["validation"]["rows"], len(facts.splits["validation"]["selection"])
        return (
            f"The kept epoch{also} {'were' if also else 'was'} chosen on {whole - only} of {rows}, the configuration on the "
            f"other {only}, which took no part in training."
        )
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


def groups(facts: Facts) -> list[str]:
    """What intervals over test rows that stay together count, in sentences."""
    lines = [] if facts.final is None else group_lines(facts.final["test"])
    return [f"{line[0].upper()}{line[1:]}." for line in lines]


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
    if facts.scored_on_of(facts.ranked[0].study) != "validation":  # a score on other rows
        return lines
    return [*lines, (facts.ranked[0].name, _with(facts.ranked[0].value, None if told is None else told["interval"]))]


def marks(facts: Facts) -> list[Mark]:
    """The scores that the choice is judged by: simple models, the best as found, the defaults and the choice, the test rows."""
    first, told = facts.ranked[0], facts.ranking["indistinguishable"]
    found = _simple_marks(facts)
    if first.value is not None:
        found.append(Mark(f"{first.name}, best as found", first.value, None if told is None else told["interval"]))
    if (confirmed := facts.ranking.get("confirmation")) is not None:
        found += _seed_marks(confirmed)
    elif (default := facts.defaults) is not None and default.value is not None and default.name != first.name:
        found.append(Mark(f"{default.name}, the defaults", default.value, None))
    if facts.final is not None and not facts.final["stale"]:
        name, test = facts.metric.removeprefix("val_"), facts.final["test"]
        if test.get(name) is not None:
            found.append(Mark("the scored model on test rows", test[name], test["intervals"].get(name), "test"))
    return found


def _simple_marks(facts: Facts) -> list[Mark]:
    if facts.baselines is None or metric_of(facts.baselines) != facts.metric:
        return []
    told = [(model["name"], model["metrics"], model["intervals"]) for model in facts.baselines["models"]]
    scores = [(name, values.get(facts.metric), ends.get(facts.metric)) for name, values, ends in told]
    return [Mark(name, value, ends) for name, value, ends in scores if value is not None]


def _seed_marks(confirmed: Mapping[str, Any]) -> list[Mark]:
    """The defaults and the choice, as measured with seeds that chose nothing; one mark where they are the same."""
    measured = confirmed["measured"]
    rivals = {"chosen": measured["choice"], "the defaults": measured["defaults"]}
    if measured["defaults"] is not None and place(measured["defaults"]) == place(measured["choice"]):
        rivals = {"the defaults, chosen": measured["choice"]}
    known = {what: one for what, one in rivals.items() if one is not None and one["sd"] is not None}
    return [_seed_mark(what, one, confirmed["seeds"]) for what, one in reversed(known.items())]


def _seed_mark(what: str, one: Mapping[str, Any], seeds: int) -> Mark:
    ends = (one["mean"] - one["sd"], one["mean"] + one["sd"])
    return Mark(f"{place(one)}, {what}, {seeds} seeds", one["mean"], ends, "seeds")


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
