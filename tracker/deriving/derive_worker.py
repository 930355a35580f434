"""Trains trials again, in a process of its own: jobs come as lines of JSON on standard input, answers go to standard output.

`python -m tracker.deriving.derive_worker` is started by `tracker.deriving.derive`. A job holds `spec`, `root`, `splits`,
`preprocessing`, `weights` (a file to write, or null) and `until` (an epoch, or null); an answer holds `outcome` and
`provenance`, or `problem`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import canonical_json, parse_canonical
from tracker.config import Preprocessing
from tracker.datasets.training_data import TrainingData
from tracker.errors import TrackerError
from tracker.execution.executor import DataSource, InlineExecutor
from tracker.execution.trainer import Segment
from tracker.lifelines import when_orphaned
from tracker.records import TrialSpec, record_from, record_json
from tracker.surroundings.environment import asked_of
from tracker.surroundings.provenance import trained_with

Loaded = dict[tuple[str, str, str], TrainingData]


def main() -> None:
    """Answers one job after the other until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    when_orphaned()  # nobody would read the answer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what somebody's training loop prints is no answer
    loaded: Loaded = {}
    abouts: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line in sys.stdin.buffer:
        job = parse_canonical(line)
        try:
            asked = asked_of(job["spec"]["training"], str(job["spec"]["family"]))
            if asked not in abouts:
                abouts[asked] = trained_with(sys.argv, Path(job["root"]), *asked)[1]
            answer = {**retrain(job, loaded), "provenance": abouts[asked]}
        except TrackerError as error:
            answer = {"problem": str(error)}
        try:
            answers.write(canonical_json(answer) + b"\n")
            answers.flush()
        except BrokenPipeError:  # whoever asked was killed
            os._exit(1)


def retrain(job: Mapping[str, Any], loaded: Loaded) -> dict[str, Any]:
    """Trains the spec of a job alone. Raises TrackerError where the data cannot be had."""
    spec = record_from(TrialSpec, job["spec"])
    data = _data(job, loaded)
    executor = InlineExecutor(data, most_lanes=1, root=Path(job["root"]))
    [[result]] = list(executor.run([Segment(spec, job["until"])]))
    executor.close()
    if job["weights"] and result.weights is not None:
        Path(job["weights"]).write_bytes(result.weights)
    return {"outcome": record_json(result.outcome)}


def _data(job: Mapping[str, Any], loaded: Loaded) -> TrainingData:
    settings = canonical_json(job["preprocessing"]).decode()
    key = (job["root"], job["splits"], settings)
    if key not in loaded:
        loaded.clear()  # one table at a time
        loaded[key] = DataSource(Path(job["splits"]), Preprocessing.model_validate(job["preprocessing"])).load()
    return loaded[key]


if __name__ == "__main__":
    main()
