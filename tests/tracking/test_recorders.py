"""Recorders keep one contract: the one that speaks to MLflow, and the one in memory by which deliveries are tested."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests.tracking.contract import PAGE, RUN, RecorderContract
from tests.tracking.studies import EXPERIMENT
from tracker.errors import TrackingError
from tracker.tracking.memory_recorder import MemoryRecorder
from tracker.tracking.mlflow_recorder import MlflowRecorder
from tracker.tracking.recorder import Found

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own


class TestMemory(RecorderContract):
    """In memory."""

    @pytest.fixture
    def recorder(self) -> MemoryRecorder:
        return MemoryRecorder(page=PAGE)

    def steps(self, recorder: Any, found: Found, metric: str) -> list[int]:
        [run] = [run for run in recorder.runs() if run.run_id == found.run_id]
        return sorted(point.step for point in run.points if point.name == metric)


class TestMlflow(RecorderContract):
    """MLflow with its SQLite file."""

    @pytest.fixture
    def recorder(self, uri: str) -> MlflowRecorder:
        self.uri = uri
        return MlflowRecorder(uri, EXPERIMENT, page=PAGE)

    def steps(self, recorder: Any, found: Found, metric: str) -> list[int]:
        return sorted(point.step for point in MlflowClient(self.uri).get_metric_history(found.run_id, metric))


def test_one_that_is_away_refuses_everything() -> None:
    """While it is away no call has an effect; afterwards all is as it was."""
    recorder = MemoryRecorder()
    made = recorder.create(RUN, None)
    recorder.away = True
    for call in (recorder.connect, recorder.reach, lambda: recorder.create(RUN, None), lambda: recorder.end(made, RUN)):
        with pytest.raises(TrackingError, match="away"):
            call()
    recorder.recover()
    assert recorder.search("tracker.kind", "trial") == [made]


@pytest.mark.parametrize(("answer_lost", "runs"), [(False, 1), (True, 2)])
def test_the_call_that_was_chosen_fails(answer_lost: bool, runs: int) -> None:
    """Calls before and after it succeed; where only the answer is lost, the server has done what was asked."""
    recorder = MemoryRecorder()
    recorder.fail(1, answer_lost=answer_lost)
    recorder.create(RUN, None)
    with pytest.raises(TrackingError, match="a call failed"):
        recorder.create(RUN, None)
    recorder.reach()
    assert len(recorder.search("tracker.kind", "trial")) == runs


def test_an_upload_can_stop_half_way() -> None:
    """Files arrive one by one; a failure leaves those before it."""
    recorder = MemoryRecorder()
    made = recorder.create(RUN, None)
    recorder.fail(1)
    uploading = contextlib.ExitStack()
    folder = uploading.enter_context(recorder.files(made))
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(b"")
    with pytest.raises(TrackingError):
        uploading.close()
    assert [sorted(run.files) for run in recorder.runs()] == [["a"]]
