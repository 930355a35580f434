"""Reads arrays of images, sequences or plain features from a NumPy `.npz` file into a table with one column per number.

`X` holds the rows: (rows, height, width) or (rows, channels, height, width) of images, (rows, features) of a table. Every
other array of one dimension is a column of its name: `y`, an id, a group.
"""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.datasets.limits import MAX_COLUMNS, check_size
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 2 * 1024**3  # of an array when it is unpacked
MOST_CHANNELS = 4  # of images that are taken for channels last
SHAPE, MASK = "shape", "mask"  # what a frame from arrays says of its rows, in `frame.attrs`
DROPPED = "dropped"  # there, too: columns of `data.drop` that are gone already
LABELS = ("y", "labels", "label")
_SAVE = 'np.savez_compressed("data.npz", X=X, y=y)'


def parse_npz(content: bytes, name: str, target: str) -> pd.DataFrame:
    """The table in the `.npz` file `content`: numbers as columns `x_...`, labels in the column `target`.

    `frame.attrs["shape"]` is the shape of a row, such as (1, 28, 28), where `X` has more than two dimensions. Nothing in the
    file is executed. Raises DataError.
    """
    arrays = _read_arrays(content, name)
    x = next((arrays.pop(key) for key in ("X", "x") if key in arrays), None)
    if x is None:
        raise DataError(f"{name}: has no array X, but {_named(arrays)}; write it with {_SAVE}")
    if faults := [*_x_faults(x), *_column_faults(arrays, len(x) if x.ndim else 0)]:
        raise DataError(f"{name}: {fault}" for fault in faults)
    if target not in arrays and (label := next((key for key in LABELS if key in arrays), None)):
        arrays = {target if key == label else key: array for key, array in arrays.items()}
    shape = () if x.ndim == 2 else (1, *x.shape[1:]) if x.ndim == 3 else x.shape[1:]
    check_size(name, len(x), math.prod(x.shape[1:]))
    return table_of(name, x, {key: _cells(array) for key, array in arrays.items()}, shape)


def table_of(
    name: str, x: np.ndarray[Any, Any], columns: Mapping[str, Any], shape: Sequence[int], *, mask: bool = False
) -> pd.DataFrame:
    """A table of rows (rows, ...) with a column per number, then `columns`; `shape` and `mask` say what a row is.

    Raises DataError, which begins with `name`, where a column has the name of a number.
    """
    import pandas as pd

    names = ["x_" + "_".join(map(str, place)) for place in product(*map(range, x.shape[1:]))]
    if twice := sorted(set(names).intersection(columns)):
        raise DataError(f"{name}: column {twice[0]!r} has the name that a number of each row gets; rename it")
    flat = x.reshape(len(x), -1).astype(_number_type(x))
    frame = pd.concat([pd.DataFrame(flat, columns=names), pd.DataFrame(dict(columns))], axis=1)
    frame.attrs = ({SHAPE: tuple(shape)} if shape else {}) | ({MASK: True} if mask else {})
    return frame


def _read_arrays(content: bytes, name: str) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            for member in members:
                if member.file_size > MAX_BYTES:
                    raise DataError(
                        f"{name}: {member.filename} has {member.file_size} bytes; at most {MAX_BYTES} are read; take fewer rows"
                    )
            return {m.filename.removesuffix(".npy"): _read_array(archive.read(m), m.filename, name) for m in members}
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise DataError(f"{name}: damaged or no .npz file ({error}); write it with {_SAVE}") from None


def _read_array(content: bytes, member: str, name: str) -> np.ndarray[Any, Any]:
    try:
        return read_npy(content)
    except ValueError as error:
        reason = "it holds Python objects, which are not read" if "pickle" in str(error) else error
        raise DataError(f"{name}: {member}: cannot be read ({reason}); save arrays of numbers and texts") from None


def read_npy(content: bytes) -> np.ndarray[Any, Any]:
    """The array in the bytes of a `.npy` file, none of which is executed. Raises ValueError, in one line."""
    try:
        array: np.ndarray[Any, Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (
        ValueError,
        EOFError,
        OSError,
        MemoryError,
        SyntaxError,
        OverflowError,
        TypeError,
        tokenize.TokenError,
    ) as error:
        raise ValueError((str(error) or type(error).__name__).splitlines()[0]) from None
    return array


def _named(arrays: Mapping[str, Any]) -> str:
    return ", ".join(sorted(arrays)[:10]) or "nothing"


def _x_faults(x: np.ndarray[Any, Any]) -> Iterator[str]:
    if x.dtype.kind not in "iufb":
        yield f"X holds {x.dtype}; expected numbers"
    if x.ndim not in {2, 3, 4}:
        yield f"X has the shape {x.shape}; expected (rows, height, width), (rows, channels, height, width) or (rows, features)"
    elif 0 in x.shape:
        yield f"X has the shape {x.shape}, in which nothing is left"
    elif x.ndim == 4 and x.shape[3] <= MOST_CHANNELS < x.shape[1]:
        yield f"X has the shape {x.shape}, channels last; give channels first: X.transpose(0, 3, 1, 2)"
    elif math.prod(x.shape[1:]) > MAX_COLUMNS:
        yield f"a row of X has {math.prod(x.shape[1:])} numbers; at most {MAX_COLUMNS} are read; make images smaller"


def _column_faults(arrays: Mapping[str, np.ndarray[Any, Any]], rows: int) -> Iterator[str]:
    for key, array in arrays.items():
        if array.shape != (rows,):
            yield f"{key} has the shape {array.shape}; expected one cell per row of X, ({rows},)"
        elif array.dtype.kind not in "iufbU":
            yield f"{key} holds {array.dtype}; expected numbers or texts"


def _cells(array: np.ndarray[Any, Any]) -> Any:
    import pyarrow as pa

    if array.dtype.kind == "U":
        return pa.array([str(cell) or None for cell in array], pa.string()).to_pandas()
    return array if array.dtype.kind == "b" else array.astype(_number_type(array))


def _number_type(array: np.ndarray[Any, Any]) -> type[np.int64 | np.float64]:
    """What holds its numbers: whole ones, where none is beyond 64 bits with a sign."""
    beyond = array.dtype.kind == "u" and array.size > 0 and array.max() > np.iinfo(np.int64).max
    return np.int64 if array.dtype.kind in "iub" and not beyond else np.float64
