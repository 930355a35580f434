"""Turns whatever names a trial (STUDY/NUMBER, `final`, an MLflow run id, a record.json, a notebook's trial) into a verdict."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from tracker.errors import InputError, TrackingError
from tracker.evaluation.final_again import reproduce_final
from tracker.evaluation.fresh import FreshProcess
from tracker.evaluation.recorded import Recorded, find_recorded, parse_record, recorded_trial
from tracker.evaluation.reproduce import Reproduction, reproduce_record
from tracker.paths import Paths
from tracker.recording.verdicts import TAGS, fetch_run, find_runs, tag_runs
from tracker.studies.study import StudyTrial

FINAL = "final"
RUN_ID = re.compile(r"[0-9a-f]{32}")


def reproduce_target(
    target: str | StudyTrial, paths: Paths, tracking_uri: str, fresh: FreshProcess | None = None
) -> Reproduction:
    """The verdict on a target. Raises NotFoundError, InputError where it names nothing that can be derived."""
    if isinstance(target, StudyTrial):
        return _reproduce(recorded_trial(target.trial, paths), paths, fresh)
    if target == FINAL:
        return reproduce_final(paths, fresh)
    if RUN_ID.fullmatch(target):
        return _reproduce_run(target, paths, tracking_uri, fresh)
    return _reproduce(find_recorded(target, paths), paths, fresh)


def record_verdict(
    found: Reproduction, target: str, tracking_uri: str, experiment: str, now_s: float, host: str
) -> int:
    """Writes a verdict to the tags of the run, or of the runs with its key; how many. Raises TrackingError for none."""
    kind = FINAL if target == FINAL else "trial"
    runs = [target] if RUN_ID.fullmatch(target) else find_runs(tracking_uri, experiment, kind, found.key)
    if not runs:
        raise TrackingError(f"MLflow has no run of {found.name} in {experiment!r}; run `tracker sync`, then this again")
    when = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds")
    where = f"{host} {found.environment or ''}".strip()
    tag_runs(tracking_uri, runs, dict(zip(TAGS, (found.verdict, when, where), strict=True)))
    return len(runs)


def _reproduce_run(run_id: str, paths: Paths, tracking_uri: str, fresh: FreshProcess | None) -> Reproduction:
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


def _reproduce(recorded: Recorded, paths: Paths, fresh: FreshProcess | None) -> Reproduction:
    return reproduce_record(recorded, paths.root, Path(paths.splits), fresh)
