"""The rows of a study in one file without a name, which its workers map: loaded once and held once, however many they are."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any
from weakref import finalize

import numpy as np

from tracker.datasets.training_data import TrainingData
from tracker.errors import DataError

ARRAYS = ("x_train", "y_train", "x_validation", "y_validation", "x_selection", "y_selection")
ALIGNED = 64  # bytes: where an array begins


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file an array lies."""

    begin: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What a worker needs beside the file: where its arrays are, and all else that the data is."""

    rest: TrainingData
    places: Mapping[str, Place]


class SharedRows:
    """The file, which is gone with this object and the last process that has mapped it, however that ended."""

    def __init__(self, data: TrainingData) -> None:
        arrays = {name: array for name in ARRAYS if (array := getattr(data, name)) is not None}
        places: dict[str, Place] = {}
        try:
            with tempfile.TemporaryFile(prefix="tracker-rows-") as file:
                for name, array in arrays.items():
                    file.write(bytes(-file.tell() % ALIGNED))
                    places[name] = Place(file.tell(), array.shape, array.dtype.str)
                    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
                file.write(bytes(ALIGNED))  # a file of no bytes could not be mapped
                file.flush()
                self._handle = os.dup(file.fileno())
        except OSError as error:
            size = sum(array.nbytes for array in arrays.values())
            place = tempfile.tempdir or "the folder for temporary files"
            raise DataError(
                f"{place}: the rows for the workers, {size} bytes, cannot be written there ({error.strerror}); "
                "free space, or name another folder in TMPDIR"
            ) from None
        nothing: dict[str, Any] = {name: array[:0].copy() for name, array in arrays.items()}
        self.layout = Layout(replace(data, **nothing), places)
        finalize(self, os.close, self._handle)

    def send(self, pipe: Connection, pid: int) -> None:
        """Gives the file to a process; one that has died meanwhile is found out by who waits for it."""
        with contextlib.suppress(OSError):
            reduction.send_handle(pipe, self._handle, pid)


def receive_rows(pipe: Connection, layout: Layout) -> TrainingData:
    """The data as it was, its arrays in the file; what is written to them stays in this process.

    Raises DataError where they cannot be mapped, EOFError where who sends them is gone.
    """
    handle = reduction.recv_handle(pipe)
    try:
        mapped = mmap.mmap(handle, 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        size = os.fstat(handle).st_size
        raise DataError(
            f"a worker cannot map the rows, {size} bytes ({error.strerror}); give it more memory, or say --workers 1"
        ) from None
    finally:
        os.close(handle)
    arrays: dict[str, Any] = {
        name: np.frombuffer(mapped, place.dtype, int(np.prod(place.shape)), place.begin).reshape(place.shape)
        for name, place in layout.places.items()
    }
    return replace(layout.rest, **arrays)
