"""The executor of this very process."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from tests.execution.contract import ExecutorContract, alone, outcomes, segments
from tests.studies.project import SmallProject
from tracker.errors import TrackerError
from tracker.execution.executor import InlineExecutor
from tracker.execution.trainer import Segment, Trainer
from tracker.families.family import OwnFunction
from tracker.training.loop import Result


class TestInline(ExecutorContract):
    """Inline, cohorts as they come."""

    @pytest.fixture
    def executor(self, small_project: SmallProject) -> InlineExecutor:
        return InlineExecutor(small_project.data)


class TestInlineSolo(ExecutorContract):
    """Inline where lanes are not trusted: cohorts of one."""

    @pytest.fixture
    def executor(self, small_project: SmallProject) -> InlineExecutor:
        return InlineExecutor(small_project.data, most_lanes=1)


def test_the_number_of_threads_is_put_back(small_project: SmallProject) -> None:
    """Training uses one thread, the caller has as many as before, also between two results."""
    before = torch.get_num_threads()
    for _ in InlineExecutor(small_project.data).run(segments(small_project.specs("grid"))):
        assert before == torch.get_num_threads()
    assert before == torch.get_num_threads()


class Starved(Trainer):
    """A machine on which memory suffices for one run at a time, and for `victim` not at all."""

    victim = ""

    def _train(self, segments: Sequence[Segment], own: OwnFunction | None) -> list[Result]:
        if len(segments) > 1 or segments[0].spec.key == self.victim:
            torch.empty(1 << 55)
        return super()._train(segments, own)


def test_what_is_too_large_together_is_trained_alone(small_project: SmallProject) -> None:
    """Memory that does not suffice for a cohort may suffice for its trials; for one of them it ends the run."""
    specs, executor = small_project.specs("grid"), InlineExecutor(small_project.data)
    executor.trainer = trainer = Starved(executor.arrays)
    assert alone(small_project, specs) == outcomes(executor.run(segments(specs)))
    trainer.victim = specs[-1].key
    with pytest.raises(TrackerError, match=rf"not enough memory for a trial: seed {specs[-1].seed}, .*fewer workers"):
        list(executor.run(segments(specs)))
