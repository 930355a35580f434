"""Rows that workers map are those that were loaded, writes stay with who wrote, and no file is left behind."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from tests.studies.project import SmallProject
from tracker.datasets.training_data import TrainingData
from tracker.errors import DataError
from tracker.execution.shared_rows import ARRAYS, SharedRows, receive_rows


@pytest.fixture
def data(small_project: SmallProject) -> TrainingData:
    """Rows of which some only rank, and none only stop."""
    data = small_project.data
    x, y = data.x_validation, data.y_validation
    return replace(data, x_validation=x[:0], y_validation=y[:0], x_selection=x, y_selection=y)


@pytest.fixture
def shared(data: TrainingData) -> SharedRows:
    """Their file."""
    return SharedRows(data)


def received(shared: SharedRows) -> TrainingData:
    """What a worker gets."""
    here, there = Pipe()
    with here, there:
        shared.send(here, os.getpid())
        return receive_rows(there, shared.layout)


def test_they_are_the_same(data: TrainingData, shared: SharedRows) -> None:
    """Every array has its values, shape and type; all else is as it was; the layout carries no row."""
    found = received(shared)
    for name in ARRAYS:
        there, array = getattr(data, name), getattr(found, name)
        assert (there.dtype, there.shape, there.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert 0 == len(getattr(shared.layout.rest, name))
    assert (data.digests, data.labels, data.splits) == (found.digests, found.labels, found.splits)


def test_rows_that_are_not_there_stay_away(small_project: SmallProject) -> None:
    """Without `split.selection` there are none for selection."""
    assert received(SharedRows(small_project.data)).x_selection is None


def test_a_write_stays_with_who_wrote(data: TrainingData, shared: SharedRows) -> None:
    """Code of one's own that changes its rows changes those of no other worker."""
    received(shared).x_train[:] = 7
    assert np.array_equal(data.x_train, received(shared).x_train)


def test_the_file_has_no_name(data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing lies in the folder for temporary files while it is open, so that no kill leaves any."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows = SharedRows(data)
    handle = rows._handle
    assert [] == list(tmp_path.iterdir())
    assert os.fstat(handle).st_size > data.x_train.nbytes
    del rows
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_no_folder_for_temporary_files_is_one_line(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none can be written to there is no name to tell."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere/1", "/nowhere/2"])
    with pytest.raises(
        DataError, match=r"^the folder for temporary files: the rows .* \(No usable temporary directory"
    ):
        SharedRows(data)


def test_a_full_disk_is_one_line(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder, the size and what to do are told."""
    full = lambda **_: Path("/dev/full").open("wb")  # noqa: E731, SIM115
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    size = sum(getattr(data, name).nbytes for name in ARRAYS)
    with pytest.raises(
        DataError, match=rf"the rows for the workers, {size} bytes, cannot be written there \(No space left"
    ):
        SharedRows(data)
