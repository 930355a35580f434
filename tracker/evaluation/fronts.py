"""What a ranking says of several objectives and of constraints: fronts of studies, and how many trials broke a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.goals import front_words, goals_text
from tracker.ordering import common_further
from tracker.shown import counted


def fronts_of(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Objectives and the numbers on the front of each study that has several, from the reports of studies."""
    return {
        name: {"objectives": [report["objective"], *report["further"]], "trials": report["front"]}
        for name, report in reports.items()
        if report.get("further")
    }


def front_lines(ranking: Mapping[str, Any]) -> list[str]:
    """The size of each front and what is taken from it, from the content of `ranking.json`, for people."""
    lines, fronts = [], ranking.get("fronts", {})
    alike = common_further(front["objectives"][1:] for front in fronts.values())
    for study, front in fronts.items():
        first, second, *_ = (goal["metric"] for goal in front["objectives"])
        second = second if alike else "val_loss, for studies have other next objectives"
        rule = "" if "preferred" in ranking else f"; the best by {first} is taken, ties by {second}"
        lines.append(
            f"front:    {study}: {front_words(len(front['trials']))} ({goals_text(front['objectives'])}){rule}"
        )
    if broke := ranking.get("unranked", {}).get("infeasible"):
        lines.append(
            f"limits:   {counted(broke, 'trial')} broke a constraint of the study, and {_have(broke)} no place"
        )
    return lines


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
