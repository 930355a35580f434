"""Reads a Parquet file into a table of the same few kinds of cells that a CSV file gives."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq

from tracker.datasets.appearance import is_number
from tracker.datasets.limits import EXACT, MAX_TEXT, check_size
from tracker.datasets.load_csv import typed
from tracker.datasets.schema import as_text
from tracker.datasets.writing import Writing, gaps_made
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MAGIC = b"PAR1"
_TAIL = 8  # length of the footer (4 bytes) and MAGIC


def parse_parquet(
    content: bytes, name: str, text: Collection[str] = (), writing: Writing | None = None
) -> pd.DataFrame:
    """The table in `content`; times and numbers of pandas' `category` become texts, an empty text is a gap.

    Of `writing` only words for a gap and columns of numbers matter. Raises DataError.
    """
    import pandas as pd

    table = read_arrow(content, name)
    _check_texts(table, name)
    columns = {field.name: _cells(table[field.name]) for field in table.schema}
    if writing is not None:
        columns = {column: _written(cells, column, writing, column in text) for column, cells in columns.items()}
    for code in _codes(table.schema).intersection(columns):
        if pd.api.types.is_numeric_dtype(columns[code].dtype) and not pd.api.types.is_bool_dtype(columns[code].dtype):
            columns[code] = as_text(columns[code])  # who wrote `category` said that the numbers are names
    return pd.DataFrame(columns, columns=table.column_names)


def _check_texts(table: Any, name: str) -> None:
    """Refuses texts that are few in the file, as a dictionary, and would fill the memory when they are written out."""
    total = sum(map(_written_out, table.columns))
    if total > MAX_TEXT:
        raise DataError(f"{name}: {total} bytes of text when written out; at most {MAX_TEXT} are read; take fewer rows")


def _written_out(column: Any) -> int:
    """The bytes of texts in a column, in those of its parts too; bytes that rows share count once, and so do not count."""
    kind, types = column.type, pa.types
    if types.is_struct(kind):
        return sum(map(_written_out, column.flatten()))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return sum(_written_out(pa.chunked_array([chunk.flatten()])) for chunk in column.chunks)
    if types.is_dictionary(kind):
        return sum(map(_spread, column.chunks)) if types.is_string(kind.value_type) else 0
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary)
    is_text = types.is_fixed_size_binary(kind) or any(is_one(kind) for is_one in texts)
    return int(column.nbytes) if is_text else 0


def _spread(chunk: Any) -> int:
    """The bytes of a dictionary's texts, each as often as it stands in a row."""
    lengths = pc.binary_length(chunk.dictionary)
    return pc.sum(pc.cast(pc.take(lengths, chunk.indices), pa.int64())).as_py() or 0


def _written(cells: pd.Series[Any], name: str, writing: Writing, literal: bool) -> pd.Series[Any]:
    """A column with gaps for the declared words; texts are numbers where gaps were found among them, or where it is said."""
    import pandas as pd

    words = writing.gap_words(name)
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        numbers = {float(word) for word in words if is_number(word)}
        return cells.where(~cells.isin(numbers)) if numbers and cells.isin(numbers).any() else cells
    if not isinstance(cells.dtype, pd.StringDtype):
        return cells
    texts = pa.array(cells, pa.string(), from_pandas=True)
    found = gaps_made(texts, words)
    if name in writing.numbers or found.null_count > texts.null_count:
        return typed(texts, name, writing, literal=literal)
    return cells


def _codes(schema: Any) -> set[str]:
    """The columns that pandas had as `category`; numbers among them are plain numbers as far as Parquet can say."""
    try:
        described = (schema.pandas_metadata or {}).get("columns", ())
        return {str(column["field_name"]) for column in described if column.get("pandas_type") == "categorical"}
    except (ValueError, TypeError, KeyError, AttributeError):
        return set()  # somebody else's notes


def read_arrow(content: bytes, name: str) -> Any:
    """The Arrow table in `content`, page checksums and texts verified. Raises DataError saying what is damaged."""
    _check_ends(content, name)
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        _check_names(file.schema_arrow.names, name)
        check_size(name, file.metadata.num_rows, file.metadata.num_columns)
        table = _open_sharing(content, file).read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{name}: damaged Parquet file ({message}); write it again") from None
    if table.num_rows != file.metadata.num_rows:
        raise DataError(
            f"{name}: damaged Parquet file: expected {file.metadata.num_rows} rows, found {table.num_rows}; write it again"
        )
    return table


def _open_sharing(content: bytes, file: Any) -> Any:
    """The file, opened so that equal bytes stay one: images that are few in it could fill the memory."""
    leaves = [file.schema.column(place) for place in range(len(file.schema))]
    wanted = {path for name in file.schema_arrow.names for path in (name, f"{name}.bytes")}
    found = [one.path for one in leaves if one.physical_type == "BYTE_ARRAY" and one.logical_type.type == "NONE"]
    shared = [path for path in found if path in wanted]
    if not shared:
        return file
    return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True, read_dictionary=shared)


def _check_ends(content: bytes, name: str) -> None:
    if not content:
        raise DataError(f"{name}: the file is empty (0 bytes); expected a Parquet file")
    if content[:4] != MAGIC:
        raise DataError(f"{name}: not a Parquet file: expected it to begin with {MAGIC!r}, found {content[:4]!r}")
    if len(content) < _TAIL + len(MAGIC) or content[-4:] != MAGIC:
        raise DataError(
            f"{name}: truncated Parquet file: expected {MAGIC!r} at its end, found {content[-4:]!r} "
            f"after {len(content)} bytes; copy or write it again"
        )
    needed = int.from_bytes(content[-8:-4], "little") + _TAIL + len(MAGIC)
    if needed > len(content):
        raise DataError(
            f"{name}: damaged Parquet file: its footer asks for at least {needed} bytes, found {len(content)}; write it again"
        )


def _check_names(names: list[str], name: str) -> None:
    twice = sorted({column for column in names if names.count(column) > 1}) if len(set(names)) < len(names) else []
    empty = ["a column has no name"] if any(not column.strip() for column in names) else []
    faults = [f"column {column!r} occurs {names.count(column)} times; rename or remove" for column in twice] + empty
    if faults:
        raise DataError(f"{name}: {fault}" for fault in faults)


def _cells(column: Any) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series(_objects(column), dtype=object) if _is_bytes(column.type) else _plain(column)


def _plain(column: Any) -> pd.Series[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = pc.cast(column, kind.value_type), kind.value_type
    if pa.types.is_boolean(kind):
        import pandas as pd

        return column.to_pandas().astype(pd.BooleanDtype()) if column.null_count else column.to_pandas()  # type: ignore[no-any-return]
    if pa.types.is_integer(kind):
        return _whole(column)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return pc.cast(column, pa.float64(), safe=False).to_pandas()  # type: ignore[no-any-return]
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return _text([None if cell is None else cell.isoformat() for cell in _python(column)])
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _text([cell or None for cell in column.to_pylist()])
    return column.to_pandas()  # type: ignore[no-any-return] # lists, bytes: refused by the checks unless dropped


def _is_bytes(kind: Any) -> bool:
    """Whether cells are bytes, perhaps beside their path, of which equal ones stand once in the file."""
    names = [field.name for field in kind] if pa.types.is_struct(kind) else []
    inner = kind.field("bytes").type if "bytes" in names else kind
    kinds = {pa.binary(), pa.large_binary()}
    return bool(pa.types.is_dictionary(inner) and inner.value_type in kinds)


def _objects(column: Any) -> list[Any]:
    """Cells as Python has them; equal bytes are one object: images that are few in the file do not fill the memory."""
    if pa.types.is_struct(column.type):
        parts = [_objects(pc.struct_field(column, field.name)) for field in column.type]
        names = [field.name for field in column.type]
        cells = (dict(zip(names, row, strict=True)) for row in zip(*parts, strict=True))
        return [cell if valid else None for cell, valid in zip(cells, column.is_valid().to_pylist(), strict=True)]
    if not pa.types.is_dictionary(column.type):
        return column.to_pylist()  # type: ignore[no-any-return]
    found: list[Any] = []
    for chunk in column.chunks:
        known = chunk.dictionary.to_pylist()
        found += [None if place is None else known[place] for place in chunk.indices.to_pylist()]
    return found


def _whole(column: Any) -> pd.Series[Any]:
    ends = pc.min_max(column).as_py()
    low, high = ends["min"] or 0, ends["max"] or 0
    if high >= 2**63 or (column.null_count and not (low >= -EXACT and high <= EXACT)):
        return _text([None if cell is None else str(cell) for cell in column.to_pylist()])
    target = pa.float64() if column.null_count else pa.int64()
    return pc.cast(column, target).to_pandas()  # type: ignore[no-any-return]


def _python(column: Any) -> list[Any]:
    # Nanoseconds have no Python type; microseconds do, and no calendar needs more.
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("us", tz=column.type.tz), safe=False)
    elif pa.types.is_time(column.type):
        column = pc.cast(column, pa.time64("us"), safe=False)
    return column.to_pylist()  # type: ignore[no-any-return]


def _text(cells: list[str | None]) -> pd.Series[Any]:

    return pa.array(cells, pa.string()).to_pandas()  # type: ignore[no-any-return]
