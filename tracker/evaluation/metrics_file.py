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

    `validation` is the value of the chosen trial as it was found, `confirmed` its mean over further seeds, `defaults` that of
    the defaults; `test_f1` is the F1 of the scored trial, between `low` and `high`; `stale` says that this is no longer the
    chosen trial. Where nothing was confirmed, or no look was spent, those are left out. One short name each: wider than a
    terminal nobody reads it, and the values of every study are in `ranking.json`.
    """
    told: dict[str, Any] = {"validation": ranking["chosen"]["value"]}
    if confirmed := ranking.get("confirmation"):
        measured = confirmed["measured"]
        both = {"confirmed": measured["choice"], "defaults": measured["defaults"]}
        told |= {name: one["mean"] for name, one in both.items() if one}
    if not was_scored(final):
        return told
    low, high = final["test"]["intervals"].get("f1") or (None, None)
    return {**told, "test_f1": final["test"]["f1"], "low": low, "high": high, "stale": final["stale"]}


def write_metrics(reports: Path) -> None:
    """Writes `metrics.json` from the two reports that are there."""
    final, ranking = (
        json.loads((reports / name).read_text(encoding="utf-8")) for name in ("final.json", "ranking.json")
    )
    write_report(reports / "metrics.json", metrics_json(final, ranking))
