"""A study that wall time cut off: the beginning of the study, marked; the same command ends as if nothing had been."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import SmallProject
from tracker.deriving.judge_study import FreshProcesses, verify_study
from tracker.execution.executor import InlineExecutor
from tracker.store.store import Store
from tracker.studies.report import write_reports
from tracker.studies.result import StudyResult
from tracker.studies.runner import run_study
from tracker.terminal.leaderboard import notes_of
from tracker.terminal.show import study_summary
from tracker.tracking.run_contents import finished_study

PARTS: dict[str, Any] = {
    "tpe": {"sampler": "tpe", "trials": 12, "generation": 4},
    "random": {"sampler": "random", "trials": 12},
}
WORDS = "timeout of 10 s after 8 of 12 trials; not repeatable: how far it came is of this machine and its load"


def ticking(step: float) -> Callable[[], float]:
    """A clock that goes on by so many seconds whenever it is read."""
    readings = count()
    return lambda: step * next(readings)


def run(project: SmallProject, store: Path, name: str, timeout: int | None, step: float = 0.0) -> StudyResult:
    plan = project.plan(name, studies={name: PARTS[name] | ({} if timeout is None else {"timeout": timeout})})
    with Store.open(store) as opened:
        return run_study(plan, opened, InlineExecutor(project.data), {}, clock=ticking(step))


@pytest.mark.parametrize(("name", "step"), [("tpe", 6.0), ("random", 11.0)])
def test_it_ends_after_a_part_and_goes_on_to_the_same_study(
    small_project: SmallProject, tmp_path: Path, name: str, step: float
) -> None:
    """Two generations of four, or the first eight of what is one generation; then the digest of a study without a timeout."""
    truth = run(small_project, tmp_path / "truth", name, None)
    assert truth.cut_off is None
    part = run(small_project, tmp_path / "cut", name, 10, step)
    assert WORDS == part.cut_off
    assert truth.spec.key == part.spec.key
    assert truth.trials[:8] == part.trials
    again = run(
        small_project, tmp_path / "cut", name, 10, 11.0
    )  # always late: each command brings at least one part more
    assert (truth.digest, None) == (again.digest, again.cut_off)


def test_what_it_leaves_is_marked(small_project: SmallProject, tmp_path: Path) -> None:
    """In the report, in notes, in the summary and as a tag of the study's run; `verify` derives what is there."""
    project = small_project.copy(tmp_path / "project")
    part = run(project, project.paths.store, "random", 10, 11.0)
    with Store.open(project.paths.store) as store:
        write_reports(part, project.serving(), store, project.paths.reports, project.paths.models)
        assert WORDS == finished_study(store, part.spec.key).tags["tracker.cut_off"]
    assert WORDS == json.loads((project.paths.study_reports / "random.json").read_text())["cut_off"]
    assert f"random was cut off by its {WORDS}" in notes_of(project.paths, "random")
    assert f"cut off by its {WORDS}; the same command goes on" in study_summary(project.study(part))
    with FreshProcesses() as processes:
        assert "identical" == verify_study("random", project.paths, processes, sample=1).state
    run(project, project.paths.store, "random", None)
    with Store.open(project.paths.store) as store:
        assert "no more: it went on to its end" == finished_study(store, part.spec.key).tags["tracker.cut_off"]
