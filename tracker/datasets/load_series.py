"""Makes a table with one row per sequence of files that hold sequences: `.ts` files, list columns, one row per step.

Sequences of several lengths are padded to the longest with gaps, and get one channel more, the mask, which says 1 for each
step that is there and 0 for each that is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.config.written import listed
from tracker.datasets.limits import MAX_COLUMNS, check_size
from tracker.datasets.load_arrays import DROPPED, table_of
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from tracker.config import Data

Series = np.ndarray[Any, np.dtype[np.float64]]  # (steps, channels)
LISTS = "lists"


def parse_ts(content: bytes, name: str, target: str) -> pd.DataFrame:
    """The sequences in a `.ts` file, with their class in the column `target`.

    The format: lines that begin with `@` describe, behind `@data` each line is a sequence: channels separated by colons,
    each with its numbers separated by commas (`?` is a gap), the class last. Raises DataError.
    """
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{name}: is not text in UTF-8; expected a .ts file") from None
    begin = next((place for place, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if begin is None:
        raise DataError(f"{name}: has no line @data; expected a .ts file")
    said = [line.split() for line in lines[:begin] if line.startswith("@")]
    entries = {words[0].lower(): [word.lower() for word in words[1:2]] for words in said}
    if entries.get("@timestamps") == ["true"]:
        raise DataError(f"{name}: @timeStamps true is not read; write the numbers alone, at equal steps")
    if entries.get("@classlabel") != ["true"]:
        raise DataError(f"{name}: has no classes (@classLabel true); expected one behind each sequence")
    rows = [(place, line) for place, line in enumerate(lines[begin + 1 :], begin + 2) if line.strip()]
    read = [_ts_row(line, f"{name}, line {place}") for place, line in rows]
    return _table([series for series, _ in read], {target: _texts([label for _, label in read])}, name)


def _ts_row(line: str, place: str) -> tuple[Series, str]:
    *channels, label = line.strip().split(":")
    if not channels or not label.strip():
        raise DataError(f"{place}: expected channels and a class, separated by colons")
    numbers = [[_number(cell, place) for cell in channel.split(",")] for channel in channels]
    if len({len(channel) for channel in numbers}) > 1:
        lengths = ", ".join(str(len(channel)) for channel in numbers)
        raise DataError(f"{place}: its channels have {lengths} steps; expected one length within a sequence")
    return np.array(numbers, dtype=np.float64).T, label.strip()


def _number(cell: str, place: str) -> float:
    try:
        return math.nan if cell.strip() == "?" else float(cell)
    except ValueError:
        raise DataError(f"{place}: expected a number or ?, found {cell.strip()[:40]!r}") from None


def as_sequences(frame: pd.DataFrame, data: Data) -> pd.DataFrame:
    """The table with one row per sequence, where `data.sequences` says how it holds them. Raises DataError."""
    if data.sequences is None:
        return frame
    dropped = [name for name in data.drop if name in frame]
    kept = frame.drop(columns=dropped)
    found = _from_lists(kept, data) if data.sequences == LISTS else _from_steps(kept, data)
    found.attrs[DROPPED] = dropped
    return found


def _from_lists(frame: pd.DataFrame, data: Data) -> pd.DataFrame:
    """Columns whose cells are lists of numbers are channels; a list of lists holds all channels, step by step."""
    lists = [str(name) for name in frame if len(frame) and isinstance(frame[name].iloc[0], np.ndarray | list)]
    if not lists:
        raise DataError(f"{data.source}: data.sequences: lists, and no column holds lists of numbers")
    rows = [_of_lists([frame[name].iloc[row] for name in lists], lists, row + 1, data) for row in range(len(frame))]
    return _table(rows, {str(name): frame[name] for name in frame if name not in lists}, data.source)


def _of_lists(cells: Sequence[Any], names: Sequence[str], row: int, data: Data) -> Series:
    place = f"{data.source}, row {row}"
    channels = []
    for name, cell in zip(names, cells, strict=True):
        try:
            array = np.array(list(cell) if cell is not None else [], dtype=np.float64)
        except (TypeError, ValueError):
            try:
                array = np.stack([np.asarray(step, dtype=np.float64) for step in cell])
            except (TypeError, ValueError):
                raise DataError(
                    f"{place}: column {name!r}: expected a list of numbers, or of steps of equal width"
                ) from None
        channels.append(array[:, None] if array.ndim == 1 else array)
    if len({len(channel) for channel in channels}) > 1:
        lengths = ", ".join(f"{name} {len(channel)}" for name, channel in zip(names, channels, strict=True))
        raise DataError(f"{place}: its lists have different lengths ({lengths}); expected one within a sequence")
    found: Series = np.concatenate(channels, axis=1)
    return found


def _from_steps(frame: pd.DataFrame, data: Data) -> pd.DataFrame:
    """One row per step: those with equal cells in `by` are a sequence, in the order of `order`; numbers are channels."""
    import pandas as pd

    from tracker.datasets.check import unknown_column

    assert data.sequences is not None
    assert not isinstance(data.sequences, str)
    by, order = data.sequences.by, data.sequences.order
    needed = {"data.sequences.by": by, "data.sequences.order": order, "data.target": data.target}
    if faults := [unknown_column(place, name, frame.columns) for place, name in needed.items() if name not in frame]:
        raise DataError(f"{data.source}: {fault}" for fault in faults)
    if gaps := [name for name in (by, order) if frame[name].isna().any()]:
        raise DataError(
            f"{data.source}: column {gaps[0]!r} has gaps; every step needs its sequence and its place in it"
        )
    frame = frame.sort_values([by, order], kind="stable")
    if (twice := frame.duplicated([by, order])).any():
        first = frame[twice].iloc[0]
        raise DataError(f"{data.source}: sequence {first[by]} has two steps at {order} {first[order]}; leave one out")
    groups = frame.groupby(by, sort=True)
    others = [str(name) for name in frame if name not in {by, order, data.target}]
    channels = [name for name in others if pd.api.types.is_numeric_dtype(frame[name].dtype) and name != data.id]
    told = [name for name in (data.target, *others) if name not in channels]
    varies = [name for name in told if (groups[name].nunique(dropna=False) > 1).any()]
    if varies:
        fault = (
            f"column {varies[0]!r} changes within a sequence and is no number; "
            f"leave it out: data.drop: {listed(varies[:1])}"
        )
        raise DataError(f"{data.source}: {fault}")
    if not channels:
        raise DataError(f"{data.source}: no column of numbers is left for the steps of a sequence")
    parts = {key: part[channels].to_numpy(dtype=np.float64, na_value=np.nan) for key, part in groups}
    once = groups.first().reset_index()[[by, *told]]
    return _table(list(parts.values()), {str(name): once[name] for name in once}, data.source)


def _table(rows: Sequence[Series], columns: Mapping[str, Any], name: str) -> pd.DataFrame:
    if faults := list(_faults(rows)):
        raise DataError(f"{name}: {fault}" for fault in faults)
    longest, shortest, channels = max(map(len, rows)), min(map(len, rows)), rows[0].shape[1]
    is_padded = longest > shortest
    check_size(name, len(rows), longest * (channels + is_padded))
    x = np.full((len(rows), longest, channels + is_padded), np.nan)
    for place, row in enumerate(rows):
        x[place, : len(row), :channels] = row
        if is_padded:
            x[place, :, channels] = np.arange(longest) < len(row)
    return table_of(name, x, columns, x.shape[1:], mask=is_padded)


def _faults(rows: Sequence[Series]) -> Iterator[str]:
    if not rows:
        yield "has no sequences"
        return
    channels = rows[0].shape[1]
    for place, row in enumerate(rows, start=1):
        if not len(row):
            yield f"sequence {place} has no steps; leave it out"
            return
        if row.shape[1] != channels:
            yield f"sequence {place} has {row.shape[1]} channels, the first has {channels}; expected one number for all"
            return
    longest = max(map(len, rows))
    if longest * (channels + 1) > MAX_COLUMNS:
        yield (
            f"{longest} steps of {channels} channels; at most {MAX_COLUMNS} numbers are read of a sequence; cut them, or "
            "take every second step"
        )


def _texts(cells: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.array(list(cells), pa.string()).to_pandas()
