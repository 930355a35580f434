"""Runs the stages prepare, split and every study on the present data: through DVC where there is a dvc.yaml, else directly."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

from tracker.config import Config, read_yaml
from tracker.errors import ConfigError, OutOfTime, TrackerError
from tracker.remedies import find_dvc, has_dvc

GRACE_S = 10.0  # between the signal that asks a stage to end and the one that ends it


def run_pipeline(config: Config, root: Path, timeout_s: float | None) -> None:
    """Tunes every study on the present data; no stage that opens the test split is among them.

    Raises OutOfTime when the time is over (what was computed is in the store), TrackerError where a stage fails, with its
    exit code.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    for words in commands(config, root):
        _run(words, root, until)


def commands(config: Config, root: Path) -> list[list[str]]:
    """What is run, in its order.

    DVC runs studies even where it knows their inputs: they also depend on warm_start.yaml, which no stage watches because a
    project begins without it. What was trained comes from the store all the same. Refinements for which an older dvc.yaml has
    no stage run directly.
    """
    stage = [sys.executable, "-m", "tracker.cli", "stage"]
    if not has_dvc(root) or (dvc := find_dvc()) is None:
        return [[*stage, *words] for words in (["prepare"], ["split"], *(["tune", name] for name in config.studies))]
    anew = [dvc, "repro", "--force", "--single-item"]
    refine = [*anew, "refine@{}"] if "refine" in _stages(root / "dvc.yaml") else [*stage, "tune", "{}"]
    behind = [name for name in config.studies if name in config.refinements]  # each behind what it refines
    return [
        [dvc, "repro", "split"],
        [*anew, "tune"],
        *([word.format(name) if word[-2:] == "{}" else word for word in refine] for name in behind),
    ]


def _stages(path: Path) -> Collection[str]:
    """The names of the stages in dvc.yaml; none where it is broken, which DVC says itself."""
    try:
        stages = read_yaml(path.read_bytes(), path.name).get("stages")
    except (OSError, ConfigError, AttributeError):
        return ()
    return stages if isinstance(stages, dict) else ()


def _run(words: list[str], root: Path, until: float | None) -> None:
    process = subprocess.Popen(words, cwd=root, start_new_session=True)  # noqa: S603  words are ours
    try:
        left = None if until is None else max(0.0, until - time.monotonic())
        code = process.wait(left)
    except subprocess.TimeoutExpired:
        _end(process)
        raise OutOfTime("the time is over; what was tuned is kept, and the same command goes on from there") from None
    except BaseException:
        _end(process)
        raise
    if code:
        error = TrackerError(f"{' '.join([Path(words[0]).name, *words[1:]])} left with {code}; what it said is above")
        error.exit_code = code if 0 < code < 126 else 1
        raise error


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks the stage and all that it started to end, and ends what does not."""
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, wanted)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            break
