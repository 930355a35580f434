"""Finds what people name (STUDY/NUMBER, `final`, an MLflow run id, a record.json, a notebook's trial) and derives it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracker.deriving.compare_outcomes import Difference
from tracker.deriving.derive import FreshProcess
from tracker.deriving.find_trial import FINAL, Recorded, find_recorded, parse_record, recorded_trial
from tracker.deriving.judge_final import reproduce_final
from tracker.deriving.judge_trial import reproduce_record
from tracker.deriving.verdict import Verdict
from tracker.errors import InputError, TrackingError
from tracker.evaluation.files import read_report
from tracker.fields import report as report_shape
from tracker.ordering import objective_value
from tracker.paths import Paths
from tracker.records import Proposal, Trial
from tracker.remedies import run_again, stage_command
from tracker.studies.report import trial_row
from tracker.studies.study import StudyTrial
from tracker.surroundings.changes import Cause
from tracker.tracking.verdicts import TAGS, fetch_run, find_runs, tag_runs
from tracker.trees import first_difference

RUN_ID = re.compile(r"[0-9a-f]{32}")


def reproduce_target(
    target: str | StudyTrial, paths: Paths, tracking_uri: str, fresh: FreshProcess | None = None
) -> Verdict:
    """The verdict on a target. Raises NotFoundError, InputError where it names nothing that can be derived."""
    if isinstance(target, StudyTrial):
        return _reproduce(recorded_trial(target.trial, paths), paths, fresh)
    if target == FINAL:
        return reproduce_final(paths, fresh)
    if RUN_ID.fullmatch(target):
        return _reproduce_run(target, paths, tracking_uri, fresh)
    recorded = find_recorded(target, paths)
    found = _reproduce(recorded, paths, fresh)
    if not found.is_sound or target.endswith(".json") or "@" in target:
        return found  # the report speaks of the study that is found without a key
    return _compare_report(found, recorded, paths)


def _compare_report(found: Verdict, recorded: Recorded, paths: Paths) -> Verdict:
    """What people read of a trial is the report of its study; another number in it than was derived is a difference."""
    study, _, number = recorded.name.rpartition("/")
    path = paths.study_reports / f"{study}.json"
    if not path.is_file():
        return found
    report = read_report(path, run_again(path), report_shape)
    row = next((row for row in report.get("trials", []) if row.get("number") == int(number)), None)
    if row is None or row.get("key") != recorded.outcome.key:
        return found  # the store may have more trials than the report, or another study of that name
    leaf = first_difference(row, _row_again(recorded, row, report))
    if leaf is None:
        return found
    name = path.relative_to(paths.root)
    how = "bit for bit" if found.state == "identical" else "within the tolerance"
    words = f"the record is derived again {how}, so {name} was altered"
    cause = Cause(f"report.{leaf[0]}", leaf[1], leaf[2], words)
    return replace(
        found,
        state="differs",
        first_difference=Difference(None, f"{name}, {leaf[0]}", leaf[1], leaf[2]),
        causes=(cause,),
        remedy=f"{stage_command(path, 'refine' if 'refines' in report else 'tune', study)} writes it again",
    )


def _row_again(recorded: Recorded, row: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a trial as its record gives it; how runs become a value is taken from the study's spec."""
    runs = (recorded, *recorded.others)
    proposal = Proposal(row["number"], 0, recorded.searched, tuple(run.spec for run in runs))
    goals = (report["objective"], *report.get("further", ()))
    how = report.get("runs", {}).get("aggregate", "mean")
    outcomes = tuple(run.outcome for run in runs)
    values = [objective_value(one.state, one.metrics, goals[0]["metric"]) for one in outcomes]
    study = recorded.name.rpartition("/")[0]
    return trial_row(Trial.told(study, proposal, outcomes, goals, report.get("constraints", ()), how), values)


def record_verdict(found: Verdict, target: str, tracking_uri: str, experiment: str, now_s: float, host: str) -> int:
    """Writes a verdict to the tags of the run, or of the runs with its key; how many. Raises TrackingError for none."""
    kind = FINAL if target == FINAL else "trial"
    runs = [target] if RUN_ID.fullmatch(target) else find_runs(tracking_uri, experiment, kind, found.key)
    if not runs:
        raise TrackingError(f"MLflow has no run of {found.name} in {experiment!r}; run `tracker sync`, then this again")
    when = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds")
    where = f"{host} {found.environment or ''}".strip()
    tag_runs(tracking_uri, runs, dict(zip(TAGS, (found.state, when, where), strict=True)))
    return len(runs)


def _reproduce_run(run_id: str, paths: Paths, tracking_uri: str, fresh: FreshProcess | None) -> Verdict:
    run = fetch_run(tracking_uri, run_id)
    kind = run.tags.get("tracker.kind")
    if kind == FINAL:
        return reproduce_final(paths, fresh)
    if kind == "study":
        raise InputError(f"run {run_id} is a study; derive it again with `tracker verify {run.tags['tracker.study']}`")
    if kind != "trial" or run.record is None:
        raise InputError(f"run {run_id} has no record.json; only runs that tracker logged can be derived again")
    recorded = parse_record(run.record, f"run {run_id}", paths)
    return _reproduce(recorded, paths, fresh)


def _reproduce(recorded: Recorded, paths: Paths, fresh: FreshProcess | None) -> Verdict:
    return reproduce_record(recorded, paths.root, Path(paths.splits), fresh)
