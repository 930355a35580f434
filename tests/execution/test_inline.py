"""The executor of this very process."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from tests.execution.contract import ExecutorContract
from tests.studies.project import Project
from tracker.errors import TrackerError
from tracker.execution.executor import InlineExecutor, arrays_of, run_cohort
from tracker.records import TrialSpec
from tracker.training.arrays import Arrays
from tracker.training.loop import Result, train_cohort


class TestInline(ExecutorContract):
    """Inline, cohorts as they come."""

    @pytest.fixture
    def executor(self, small_project: Project) -> InlineExecutor:
        return InlineExecutor(small_project.data)


class TestInlineSolo(ExecutorContract):
    """Inline where lanes are not trusted: cohorts of one."""

    @pytest.fixture
    def executor(self, small_project: Project) -> InlineExecutor:
        return InlineExecutor(small_project.data, most_lanes=1)


def test_the_number_of_threads_is_put_back(small_project: Project) -> None:
    """Training uses one thread, the caller has as many as before, also between two results."""
    before = torch.get_num_threads()
    for _ in InlineExecutor(small_project.data).run(small_project.specs("grid")):
        assert before == torch.get_num_threads()
    assert before == torch.get_num_threads()


def test_what_is_too_large_together_is_trained_alone(small_project: Project) -> None:
    """Memory that does not suffice for a cohort may suffice for its trials; for one of them it ends the run."""
    specs, arrays = small_project.specs("grid"), arrays_of(small_project.data)

    def starved(cohort: Sequence[TrialSpec], rows: Arrays) -> list[Result]:
        if len(cohort) > 1 or cohort[0] == specs[-1]:
            torch.empty(1 << 55)
        return train_cohort(cohort, rows)

    assert len(specs[:-1]) == len(run_cohort(specs[:-1], arrays, starved))
    with pytest.raises(TrackerError, match=rf"not enough memory for a trial: seed {specs[-1].seed}, .*fewer workers"):
        run_cohort(specs, arrays, starved)
