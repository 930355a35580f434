"""Whatever searches and whatever stops trials early: a study is the same, whoever runs it and however often it dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import Shuffled, SmallProject
from tests.studies.test_runner import Forbidden, Interrupted
from tracker.execution.executor import InlineExecutor
from tracker.pruner_table import PRUNERS
from tracker.sampler_table import SAMPLERS
from tracker.studies.runner import Progress

TRIALS = 12
SEVERAL = "with three objectives and constraints"
GOALS = [f"nsga3 {SEVERAL}"]  # all others: tests/search/test_sampler_contract.py
WORST = {"worst": 0.6}  # of the pruner that has no default


def plan_of(project: SmallProject, search: str, trials: int = TRIALS) -> Any:
    """A study of generations of four with this sampler, or of random trials with this pruner."""
    sampler, _, goals = search.partition(" ")
    study: dict[str, Any] = {"sampler": sampler, "trials": trials, "generation": 4}
    if goals:
        study |= {"constraints": ["parameters <= 300", "val_recall >= 0.3"]}
        study |= {"objectives": ["val_f1", "training_flops", "val_precision"]}
    if search in PRUNERS:
        study |= {"sampler": "random", "pruner": {"name": search, **(WORST if search == "threshold" else {})}}
    return project.plan("random", studies__random=study, training={"epochs": 5, "early_stopping": None})


@pytest.mark.parametrize("search", [*(name for name, row in SAMPLERS.items() if row.learns), *PRUNERS, *GOALS])
def test_one_study_whoever_runs_it(small_project: SmallProject, tmp_path: Path, search: str) -> None:
    """One, two and four at a time in any order, killed after each generation, extended: the same trials, bit for bit."""
    plan = plan_of(small_project, search)
    truth = small_project.run(plan, tmp_path / "store")
    assert TRIALS == len(truth.trials)
    for lanes in (1, 2, 4):
        executor = Shuffled(InlineExecutor(small_project.data, most_lanes=lanes), lanes)
        assert truth.digest == small_project.run(plan, tmp_path / f"lanes-{lanes}", executor).digest
    killed = tmp_path / "killed"
    for finished in (0, 4, 8):

        def die(progress: Progress, finished: int = finished) -> None:
            if progress.finished > finished:
                raise Interrupted

        with pytest.raises(Interrupted):
            small_project.run(plan, killed, on_progress=die)
    assert truth.digest == small_project.run(plan, killed).digest
    extended = tmp_path / "extended"
    small_project.run(plan_of(small_project, search, 6), extended)
    assert truth.digest == small_project.run(plan, extended).digest
    assert truth.digest == small_project.run(plan, extended, Forbidden(small_project.data)).digest
