"""The executor of this very process."""

from __future__ import annotations

import pytest
import torch

from tests.execution.contract import ExecutorContract
from tests.studies.project import Project
from tracker.execution.executor import InlineExecutor


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
