"""Says how large a table, and a whole number in it, may be so that it is read without loss."""

from __future__ import annotations

from tracker.errors import DataError

MAX_COLUMNS = 10_000
MAX_CELLS = 200_000_000
MAX_TEXT = 2**30  # bytes of text of a table, written out
TEXTS = (".csv", ".tsv", ".txt", ".data")  # how the names of tables end that are texts
ARRAYS = (".npz", ".ts")  # and those that are images or sequences
SUFFIXES = (*TEXTS, ".parquet", ".pq", *ARRAYS)
EXACT = 2**53  # up to here float64 holds every whole number


def check_size(name: str, rows: int, columns: int) -> None:
    """Refuses tables that would not fit in memory, before they are spread out in it. Raises DataError."""
    if columns > MAX_COLUMNS:
        raise DataError(f"{name}: {columns} columns; at most {MAX_COLUMNS} are read; leave some out of the file")
    if rows * columns > MAX_CELLS:
        raise DataError(
            f"{name}: {rows} rows of {columns} columns; at most {MAX_CELLS} cells are read; take fewer rows"
        )
