"""Reads the report of a study for ranking, against the exact records that lie beside the study's model; tells environments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tracker.errors import InputError
from tracker.evaluation.files import read_report
from tracker.fields import report as report_shape
from tracker.remedies import run_again
from tracker.studies.adopt import read_study
from tracker.studies.report import study_report
from tracker.trees import first_difference


def read_study_report(path: Path, models: Path | None) -> dict[str, Any]:
    """The report of a study; where `trials.jsonl` lies in its folder of `models`, it must be what that gives.

    Raises InputError where it is another, naming the first entry, or no report; StoreCorrupt where the records are damaged.
    """
    report = read_report(path, run_again(path), report_shape)
    if models is not None:
        check_study_report(report, path, models)
    return report


def check_study_report(report: Mapping[str, Any], path: Path, models: Path) -> None:
    """Raises as `read_study_report` where a report that was read from `path` is not what its study's records give."""
    records = models / path.stem / "trials.jsonl"
    if not records.is_file():
        return
    if leaf := other_entry(report, json.dumps(study_report(read_study(records)))):
        place, there, recorded = leaf
        raise InputError(
            f"{path}: {place} is {there}, but {recorded} follows from {records}; one of them was altered or is of another "
            f"run: `tracker tune {path.stem}` writes both again"
        )


def other_entry(report: Mapping[str, Any], derived: str) -> tuple[str, Any, Any] | None:
    """The first entry of a report that is not as in the derived text.

    Left out are `mixed`, which tells of other studies, and `cut_off`, which tells of wall time.
    """
    told = {name: value for name, value in report.items() if name not in {"mixed", "cut_off"}}
    return first_difference(told, json.loads(derived))


def environments_of(reports: Iterable[Mapping[str, Any]]) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    """Which studies were computed in which environment (digest), and in how many others each mixed one ran before."""
    found: dict[str, tuple[str, ...]] = {}
    mixed: dict[str, int] = {}
    for report in reports:
        environment, name = str(report.get("environment")), str(report["study"])
        found[environment] = (*found.get(environment, ()), name)
        if report.get("mixed"):
            mixed[name] = len(report["mixed"])
    return found, mixed


def named_params(reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """The hyperparameters that any trial of these reports names, in their order."""
    return list(dict.fromkeys(name for report in reports for trial in report["trials"] for name in trial["params"]))
