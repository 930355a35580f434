"""The small file that DVC calls metrics: a few numbers, so that `dvc metrics diff` fits a screen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.evaluation.files import write_report
from tracker.evaluation.final import was_scored


def metrics_json(final: Mapping[str, Any], ranking: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `reports/metrics.json`, from the contents of `final.json` and `ranking.json`.

    `best` has each study's best value, `confirmed` the means over further seeds, `test` the scored trial's F1 with its
    interval; `stale` says that the test scores are those of a trial that is no longer the chosen one. Where no look was spent
    there are neither.
    """
    best: dict[str, float] = {}
    for row in ranking["rows"]:
        best.setdefault(row["study"], row["value"])
    told: dict[str, Any] = {"best": dict(sorted(best.items()))}
    if confirmed := ranking.get("confirmation"):
        measured = confirmed["measured"]
        told["confirmed"] = {name: measured[name]["mean"] for name in ("choice", "defaults") if measured[name]}
        told["confirmed"]["probability"] = measured["probability"]
    if not was_scored(final):
        return told
    test = final["test"]
    low, high = test["intervals"].get("f1") or (None, None)
    return {**told, "test": {"f1": test["f1"], "low": low, "high": high}, "stale": final["stale"]}


def write_metrics(reports: Path) -> None:
    """Writes `metrics.json` from the two reports that are there."""
    final, ranking = (
        json.loads((reports / name).read_text(encoding="utf-8")) for name in ("final.json", "ranking.json")
    )
    write_report(reports / "metrics.json", metrics_json(final, ranking))
