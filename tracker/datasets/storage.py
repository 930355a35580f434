"""Writes tables and JSON documents so that a folder is old, absent or whole, and reads back only what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker import durable
from tracker.canonical import canonical_json, digest, parse_canonical
from tracker.durable import lock_folder, sync_folder, write_whole
from tracker.errors import DataError, StoreError

if TYPE_CHECKING:
    import pandas as pd

_MEND = "free disk space or make it writable, then run the same command again"
WAIT_S = 5.0  # for another command that writes the same folder


@contextmanager
def locked(folder: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Holds `folder` for one process at a time; the lock ends with the process, so none is ever stale. Raises StoreError."""
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock_folder(folder, wait_s))
        except OSError as error:
            raise StoreError(f"{folder}: cannot be used ({error.strerror}); {_MEND}") from None
        yield


@contextmanager
def folders_replaced(*folders: Path) -> Iterator[Sequence[Path]]:
    """`tracker.durable.folders_replaced`, for the holder of a lock. Raises StoreError: a full disk is no fault of a table."""
    try:
        with durable.folders_replaced(*folders) as asides:
            yield asides
    except OSError as error:
        raise StoreError(f"{error.filename or folders[0]}: cannot be written ({error.strerror}); {_MEND}") from None


def write_file(path: Path, content: bytes) -> None:
    """Replaces one file as a whole. Raises StoreError."""
    try:
        write_whole(path, content)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); {_MEND}") from None


def write_document(path: Path, kind: str, value: Mapping[str, Any]) -> str:
    """Writes canonical JSON with its own digest as the entry `digest`, which is returned."""
    found = digest(kind, value)
    path.write_bytes(canonical_json({**value, "digest": found}) + b"\n")
    return found


def read_document(path: Path, kind: str, remedy: str) -> dict[str, Any]:
    """What `write_document` wrote. Raises DataError with the remedy where a byte differs."""
    try:
        value = parse_canonical(path.read_bytes())
        expected = value.pop("digest")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise DataError(f"{path}: not what was written; {remedy}") from None
    if not isinstance(value, dict) or digest(kind, value) != expected:
        raise DataError(f"{path}: differs from its digest; {remedy}")
    return value


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Writes Parquet with page checksums; equal frames give equal bytes (for one release of Arrow)."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    table = pa.table({str(name): _arrow(frame[name]) for name in frame.columns})
    with path.open("wb") as file:
        pq.write_table(table, file, write_page_checksum=True, compression="zstd", store_schema=False)


def _arrow(column: pd.Series[Any]) -> Any:
    import pandas as pd
    import pyarrow as pa

    if pd.api.types.is_bool_dtype(column.dtype):
        return pa.array(column, pa.bool_(), from_pandas=True)
    if pd.api.types.is_integer_dtype(column.dtype):
        return pa.array(column, pa.int64())
    if pd.api.types.is_float_dtype(column.dtype):
        return pa.array(column, pa.float64(), from_pandas=True)
    if isinstance(column.dtype, pd.StringDtype):
        return pa.array(column, pa.string(), from_pandas=True)
    return pa.array([None if pd.isna(cell) else str(cell) for cell in column], pa.string())


def read_frame(path: Path, remedy: str) -> pd.DataFrame:
    """The frame that `write_frame` wrote, checksums verified. Raises DataError with the remedy."""
    from tracker.datasets.load_parquet import parse_parquet

    try:
        return parse_parquet(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except DataError as error:
        raise DataError(f"{fault}; {remedy}" for fault in error.faults) from None
