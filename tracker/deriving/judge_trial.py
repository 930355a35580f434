"""Derives a recorded trial again in a fresh process and says whether every number of it is the same, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tracker.canonical import digest
from tracker.deriving.compare_causes import find_causes
from tracker.deriving.compare_outcomes import EQUIVALENT_WITHIN, Difference, deviation, first_difference
from tracker.deriving.derive import Derived, FreshProcess
from tracker.deriving.find_rows import Missing, find_rows
from tracker.deriving.find_trial import Recorded
from tracker.deriving.verdict import Verdict
from tracker.errors import TrackerError
from tracker.records import untrained
from tracker.surroundings.changes import Cause


def reproduce_record(
    recorded: Recorded, root: Path, splits: Path, fresh: FreshProcess | None = None, weights: Path | None = None
) -> Verdict:
    """Derives a trial again from the rows in `splits`, all of its runs, and compares; a difference comes before a deviation.

    The first run's weights go to the file `weights`. Without `fresh` a process is started for this trial alone.
    """
    found = _reproduce_run(recorded, root, splits, fresh, weights)
    for other in recorded.others:
        if other.outcome == untrained(other.spec.key):
            continue
        if not found.is_sound:
            break
        found = _worse(found, _reproduce_run(other, root, splits, fresh))
    return found


def _worse(found: Verdict, other: Verdict) -> Verdict:
    """The verdict on a trial from those on two of its runs; it bears the first run's name, key and weights."""
    if other.state == "identical" or (other.is_sound and reach_of(other) <= reach_of(found)):
        return found
    difference = other.first_difference
    if difference is not None:
        difference = replace(difference, sentence=f"{other.name}: {difference.words}")
    return replace(
        found, state=other.state, first_difference=difference, causes=other.causes, remedy=other.remedy or found.remedy
    )


def reach_of(found: Verdict) -> float:
    """The largest deviation of an equivalent trial."""
    return (found.first_difference and found.first_difference.largest) or 0.0


def _reproduce_run(
    recorded: Recorded, root: Path, splits: Path, fresh: FreshProcess | None = None, weights: Path | None = None
) -> Verdict:
    rows = find_rows(recorded.spec, root, splits, recorded.provenance)
    if isinstance(rows, Missing):
        return _cannot(recorded, rows.causes, rows.remedy)
    process = fresh or FreshProcess()
    try:
        until = recorded.outcome.epochs if recorded.outcome.state == "paused" else None
        derived = process.derive(recorded.spec, rows, weights, until)
    except TrackerError as error:
        return _cannot(recorded, (Cause("process", None, None, str(error)),), "mend what the message names")
    finally:
        if fresh is None:
            process.close()
    return judge(recorded, derived)


def judge(recorded: Recorded, derived: Derived) -> Verdict:
    """The verdict on a record and what was derived from it."""
    environment = digest("environment", derived.provenance["environment"])
    derived = _comparable(recorded, derived)
    found = Verdict(
        kind="trial",
        name=recorded.name,
        state="identical",
        key=recorded.outcome.key,
        epochs=len(derived.outcome.history),
        weights=derived.outcome.weights,
        environment=environment,
    )
    difference = first_difference(recorded.outcome, derived.outcome)
    follows = recorded.spec.key == recorded.outcome.key
    if difference is None and follows:
        return found
    difference = difference or Difference(None, "key", recorded.outcome.key, recorded.spec.key)
    causes = find_causes(recorded, derived)
    if follows and environment != recorded.spec.environment:  # in the same one nothing explains another bit
        reach = deviation(recorded.outcome, derived.outcome)
        if reach <= EQUIVALENT_WITHIN:
            causes = tuple(cause for cause in causes if not cause.name.startswith("outcome."))
            difference = replace(difference, largest=reach)
            return replace(found, state="equivalent", first_difference=difference, causes=causes)
    return replace(found, state="differs", first_difference=difference, causes=causes)


def _comparable(recorded: Recorded, derived: Derived) -> Derived:
    """What was derived, without the digest of labels where the record is of before there was one."""
    if recorded.outcome.labels is not None:
        return derived
    return replace(derived, outcome=replace(derived.outcome, labels=None))


def _cannot(recorded: Recorded, causes: tuple[Cause, ...], remedy: str) -> Verdict:
    return Verdict("trial", recorded.name, "cannot", causes=causes, remedy=remedy, key=recorded.outcome.key)
