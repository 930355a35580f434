"""An audit of pruning: pruned trials trained to their end, and nothing else changed by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import SmallProject
from tests.studies.test_runner import Forbidden
from tracker.errors import NotFoundError
from tracker.studies.study import Study

EPOCHS = 5


def plan_of(project: SmallProject, pruner: dict[str, Any] | None) -> Any:
    """Twelve random trials, of which a pruner stops those that are not among the best three after an epoch."""
    study = {"sampler": "random", "trials": 12, **({"pruner": pruner, "generation": 4} if pruner else {})}
    return project.plan("random", studies__random=study, training={"epochs": EPOCHS, "early_stopping": None})


def test_an_audit_tells_what_pruning_cost_and_saved(small_project: SmallProject, tmp_path: Path) -> None:
    """Finished trials are those of the study without a pruner; those better than the best left are wrong prunes."""
    plan, store = plan_of(small_project, {"name": "first_epoch", "keep": 2}), tmp_path / "store"
    result = small_project.run(plan, store)
    study = Study(result, store, small_project.serving(), small_project.source)
    whole = {
        trial.number: trial for trial in small_project.run(plan_of(small_project, None), tmp_path / "plain").trials
    }
    pruned = [trial.number for trial in result.trials if trial.state == "pruned"]
    audit = study.audit()
    assert 3 < len(pruned) == len(audit.finished)
    assert [whole[number].outcome for number in pruned] == [trial.outcome for trial in audit.finished]
    assert result.best is not None
    values = {trial.number: trial.value for trial in audit.finished}
    assert {number for number, value in values.items() if value > result.best.value} <= set(audit.wrong)
    assert all(values[number] >= result.best.value for number in audit.wrong)
    assert (len(pruned), EPOCHS * len(pruned)) == (audit.stopped_epochs, audit.whole_epochs)
    assert f"{len(pruned)} pruned trials trained to their end: {len(audit.wrong)} would have been best" in str(audit)
    assert f"saved {4 * len(pruned)} of {5 * len(pruned)} epochs" in str(audit)


def test_an_audit_changes_nothing_else(small_project: SmallProject, tmp_path: Path) -> None:
    """A smaller audit is part of a larger one; the study replays with the same digest, without training."""
    plan, store = plan_of(small_project, {"name": "first_epoch", "keep": 2}), tmp_path / "store"
    result = small_project.run(plan, store)
    study = Study(result, store, small_project.serving(), small_project.source)
    small, large = study.audit(2), study.audit(4)
    assert 2 == len(small.finished)
    assert {trial.number for trial in small.finished} < {trial.number for trial in large.finished}
    assert large == study.audit(4)
    again = small_project.run(plan, store, Forbidden(small_project.data))
    assert (result.digest, [t.state for t in result.trials]) == (again.digest, [t.state for t in again.trials])


def test_where_nothing_was_pruned(small_project: SmallProject, tmp_path: Path) -> None:
    """It says so, and it says where the rows are missing."""
    result = small_project.run(plan_of(small_project, None), tmp_path / "store")
    serving = small_project.serving()
    with pytest.raises(NotFoundError, match="random: no trial was pruned, so there is nothing to audit"):
        Study(result, tmp_path / "store", serving, small_project.source).audit()
    with pytest.raises(NotFoundError, match="the rows to train on did not come with it"):
        Study(result, tmp_path / "store", serving).audit()
