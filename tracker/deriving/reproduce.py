"""Turns a recorded trial into a verdict: derived again in a fresh process, is every number of it the same, bit for bit?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tracker.canonical import digest
from tracker.deriving.causes import find_causes
from tracker.deriving.difference import Difference, first_difference
from tracker.deriving.fresh import Derived, FreshProcess
from tracker.deriving.recorded import Recorded
from tracker.deriving.rows import Missing, find_rows
from tracker.errors import TrackerError
from tracker.surroundings.changes import Cause

Verdict = Literal["identical", "differs", "cannot"]
EXIT_CODES: Mapping[Verdict, int] = {"identical": 0, "differs": 10, "cannot": 11}


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of deriving a record again.

    `first_difference` is None unless the verdict is `differs`. `causes` name what differs from when it was recorded,
    the likeliest first: none where the verdict is `identical`; what is missing where it is `cannot`, whose `remedy`
    says how to get it. `environment` is the digest of the environment that it was derived in.
    """

    verdict: Verdict
    first_difference: Difference | None = None
    causes: tuple[Cause, ...] = ()
    name: str = ""
    key: str = ""
    epochs: int = 0
    weights: str | None = None
    environment: str | None = None
    remedy: str | None = None

    @property
    def exit_code(self) -> int:
        """What `tracker reproduce` leaves with."""
        return EXIT_CODES[self.verdict]


def reproduce_record(
    recorded: Recorded, root: Path, splits: Path, fresh: FreshProcess | None = None, weights: Path | None = None
) -> Reproduction:
    """Derives a record again from the rows in `splits` and compares; derived weights go to the file `weights`.

    Without `fresh` a process is started for this trial alone.
    """
    rows = find_rows(recorded.spec, root, splits, recorded.provenance)
    if isinstance(rows, Missing):
        return _cannot(recorded, rows.causes, rows.remedy)
    process = fresh or FreshProcess()
    try:
        derived = process.derive(recorded.spec, rows, weights)
    except TrackerError as error:
        return _cannot(recorded, (Cause("process", None, None, str(error)),), "mend what the message names")
    finally:
        if fresh is None:
            process.close()
    return judge(recorded, derived)


def judge(recorded: Recorded, derived: Derived) -> Reproduction:
    """The verdict on a record and what was derived from it."""
    difference = first_difference(recorded.outcome, derived.outcome)
    altered = difference is None and recorded.spec.key != recorded.outcome.key
    if altered:
        difference = Difference(None, "key", recorded.outcome.key, recorded.spec.key)
    return Reproduction(
        verdict="identical" if difference is None else "differs",
        first_difference=difference,
        causes=() if difference is None else find_causes(recorded, derived),
        name=recorded.name,
        key=recorded.outcome.key,
        epochs=len(derived.outcome.history),
        weights=derived.outcome.weights,
        environment=digest("environment", derived.provenance["environment"]),
    )


def reproduction_json(found: Reproduction) -> dict[str, Any]:
    """A verdict as plain mappings and lists."""
    difference = found.first_difference
    return {
        "name": found.name,
        "verdict": found.verdict,
        "key": found.key,
        "epochs": found.epochs,
        "weights": found.weights,
        "environment": found.environment,
        "first_difference": None
        if difference is None
        else {name: getattr(difference, name) for name in ("epoch", "metric", "recorded", "derived", "largest")},
        "causes": [
            {name: getattr(cause, name) for name in ("name", "recorded", "present", "words")} for cause in found.causes
        ],
        "remedy": found.remedy,
    }


def _cannot(recorded: Recorded, causes: tuple[Cause, ...], remedy: str) -> Reproduction:
    key = recorded.outcome.key
    return Reproduction("cannot", causes=causes, name=recorded.name, key=key, remedy=remedy)
