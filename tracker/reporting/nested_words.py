"""What `tracker nested` found, on the page: the score on rows that chose nothing, and the choice of each outer fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.evaluation.nested import outer_plan
from tracker.reporting.facts import Facts
from tracker.reporting.words import between, score, short
from tracker.studies.plan import StudyPlan


def nested(facts: Facts) -> list[dict[str, Any]]:
    """Of each study that was nested: a sentence or three, and its outer folds as a table."""
    return [
        {
            "words": " ".join(_sentences(facts, told)),
            "head": ["outer fold", told["metric"], "rows", "chosen inside", "searched"],
            "body": [_fold_row(fold, told["metric"]) for fold in told["folds"]],
        }
        for told in facts.nested
    ]


def _sentences(facts: Facts, told: Mapping[str, Any]) -> list[str]:
    metric, study = told["metric"], told["study"]
    found = f"{score(told['mean'])}{between(told['interval'])}"
    words = [f"{study}, nested over {told['outer']} outer folds: {metric} {found}, on rows that chose nothing."]
    if told["mean"] is not None and told["inside"] is not None:
        words.append(f"Inside, the rows that chose promised {score(told['inside'])} on average.")
    if not _is_present(facts, told):
        words.append(f"That was another study than {study} as it is now: `tracker nested {study}` scores this one.")
    return words


def _is_present(facts: Facts, told: Mapping[str, Any]) -> bool:
    """Whether the studies of its folds are what the study that is recorded here gives; nothing is known without one."""
    result = facts.results.get(told["study"])
    if result is None:
        return True
    plan = StudyPlan(result.spec, len(result.trials))
    keys = [outer_plan(plan, fold["fold"], told["outer"]).spec.key for fold in told["folds"]]
    return keys == [fold["key"] for fold in told["folds"]]


def _fold_row(fold: Mapping[str, Any], metric: str) -> list[str]:
    searched = ", ".join(f"{name} {short(value)}" for name, value in fold["searched"].items())
    return [
        str(fold["fold"]),
        score(fold["scores"][metric]),
        str(fold["rows"]),
        f"{fold['study']}/{fold['trial']}",
        searched or "the defaults",
    ]
