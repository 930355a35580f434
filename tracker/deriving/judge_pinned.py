"""Judges a study of portable numerics in a process of its own: proposals come of NumPy's kernels, pinned before NumPy loads.

So one call judges native and portable studies, each with the kernels it was made with. `main` is that process: a job comes
as a line of JSON on standard input, and lines go back: trials derived so far, then the verdict, or `problem`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tracker.canonical import canonical_json, parse_canonical
from tracker.deriving.compare_outcomes import Difference
from tracker.deriving.judge_study import FreshProcesses, OnStep, verify_study
from tracker.deriving.verdict import Verdict
from tracker.errors import TrackerError
from tracker.lifelines import when_orphaned
from tracker.numerics import pin_numerics
from tracker.paths import Paths
from tracker.surroundings.changes import Cause


def verify_pinned(name: str, paths: Paths, workers: int, sample: int | None, on_step: OnStep) -> Verdict:
    """What `verify_study` gives where the kernels are pinned. Raises TrackerError."""
    environ = dict(os.environ)
    pin_numerics("portable", environ, ())
    job = {"name": name, "root": str(paths.root), "home": str(paths.home), "workers": workers, "sample": sample}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "tracker.deriving.judge_pinned"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(canonical_json(job) + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = parse_canonical(line)
                if "step" in answer:
                    on_step(*answer["step"])
                elif "problem" in answer:
                    raise TrackerError(answer["problem"])
                else:
                    return verdict_from(answer["verdict"])
        finally:
            process.kill()
    raise TrackerError(f"the process that judges {name} ended with code {process.returncode}; see its messages above")


def verdict_from(values: Mapping[str, Any]) -> Verdict:
    """A verdict from its own entries."""
    read: dict[str, Any] = {**values, "causes": tuple(Cause(**cause) for cause in values["causes"])}
    if values["first_difference"] is not None:
        read["first_difference"] = Difference(**values["first_difference"])
    if values["sample"] is not None:
        read["sample"] = tuple(values["sample"])
    if values["inner"] is not None:
        read["inner"] = verdict_from(values["inner"])
    return Verdict(**read)


def main() -> None:
    """Judges one study."""
    when_orphaned()  # nobody would read the verdict
    lines = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what somebody's training loop prints is no answer

    def say(answer: Mapping[str, Any]) -> None:
        lines.write(canonical_json(answer) + b"\n")
        lines.flush()

    job = parse_canonical(sys.stdin.buffer.readline())
    paths = Paths(Path(job["root"]), Path(job["home"]))
    try:
        with FreshProcesses(job["workers"]) as processes:
            found = verify_study(job["name"], paths, processes, job["sample"], lambda *step: say({"step": step}))
        say({"verdict": asdict(found)})
    except TrackerError as error:
        say({"problem": str(error)})


if __name__ == "__main__":
    main()
