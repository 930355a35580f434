"""Reads a CSV file into a table; what pandas would bend in silence is either kept as text or refused."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from tracker.datasets.limits import EXACT, MAX_COLUMNS, check_size
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity)$"
WHOLE = r"^[+-]?[0-9]+$"
LEADING_ZERO = r"^[+-]?0[0-9]"
_SHOWN = 5
_BLOCK = 16 * 1024**2  # no row may be longer than a block


def parse_csv(content: bytes, name: str, text: Collection[str]) -> pd.DataFrame:
    """The table in `content`: UTF-8, commas, one header row, an empty cell is a gap (`NA` is a text).

    Raises DataError naming line, byte or column.
    """
    import pandas as pd

    content = content.removeprefix(b"\xef\xbb\xbf")
    _check_bytes(content, name)
    header = _read_header(content, name)
    table = _parse_cells(content, header, name)
    check_size(name, table.num_rows, table.num_columns)
    columns = {column: _typed(table[column], column in text) for column in header}
    return pd.DataFrame(columns, columns=header)


def _check_bytes(content: bytes, name: str) -> None:
    if not content.strip():
        raise DataError(f"{name}: the file is empty; expected a header row and rows of data")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{name}: line 1, byte 0: this is UTF-16; save the file as UTF-8")
    if (place := content.find(b"\0")) >= 0:
        raise DataError(
            f"{name}: line {_line(content, place)}, byte {place}: a NUL byte; the file is damaged or not text"
        )
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        found = content[error.start : error.start + 1].hex()
        raise DataError(
            f"{name}: line {_line(content, error.start)}, byte {error.start}: not UTF-8 (found 0x{found}); "
            "save the file as UTF-8"
        ) from None


def _line(content: bytes, place: int) -> int:
    return content.count(b"\n", 0, place) + 1


def _records(content: bytes) -> Iterator[tuple[int, list[str]]]:
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="")
    reader = csv.reader(text, strict=True)
    for record in reader:
        if record:  # blank lines are no rows
            yield reader.line_num, record


def _read_header(content: bytes, name: str) -> list[str]:
    try:
        header = next(_records(content))[1]
    except csv.Error as error:
        raise DataError(f"{name}: line 1: the header cannot be read ({error})") from None
    if len(header) > MAX_COLUMNS:
        raise DataError(f"{name}: {len(header)} columns; at most {MAX_COLUMNS} are read; leave some out of the file")
    faults = list(_header_faults(header, name))
    if faults:
        raise DataError(faults)
    return header


def _header_faults(header: list[str], name: str) -> Iterator[str]:
    places: dict[str, list[int]] = {}
    for place, column in enumerate(header, start=1):
        places.setdefault(column, []).append(place)
    for column, at in places.items():
        if not column.strip():
            yield (
                f"{name}: column {at[0]} has no name; give it one in the header "
                "(pandas writes such a column unless it is told index=False)"
            )
        elif len(at) > 1:
            told = ", ".join(map(str, at))
            lost = "" if _is_word(column) else " (or is there no header line? A table needs one)"
            yield f"{name}: column {column!r} occurs {len(at)} times (columns {told}); rename or remove{lost}"
        elif not column.isprintable():
            unseen = dict.fromkeys(sign for sign in column if not sign.isprintable())
            named = ", ".join(unicodedata.name(sign, f"control character U+{ord(sign):04X}") for sign in unseen)
            yield f"{name}: column {at[0]}: the name {column!r} holds {named}, which print does not show; rename it"
    if len(header) == 1 and (signs := [sign for sign in (";", "\t", "|") if sign in header[0]]):
        yield f"{name}: one column only, {header[0]!r}; separate the cells by commas, not by {signs[0]!r}"


def _is_word(column: str) -> bool:
    return not re.fullmatch(NUMBER, column.strip())


def _parse_cells(content: bytes, header: list[str], name: str) -> Any:
    # Arrow reads an unclosed quote as one long cell without a word; such a file has an odd number of quotes.
    if content.count(b'"') % 2:
        _raise_ragged(content, len(header), name)
    try:
        return arrow_csv.read_csv(
            pa.py_buffer(content),
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        _raise_ragged(content, len(header), name)
        raise DataError(f"{name}: cannot be read as CSV ({str(error).splitlines()[0]})") from None


def _raise_ragged(content: bytes, width: int, name: str) -> None:
    # Arrow does not say on which line a row is ragged; the slow reader does, and is needed for damaged files only.
    faults = []
    line = 1
    try:
        for line, record in _records(content):
            if len(record) != width:
                faults.append(f"{name}: line {line}: {len(record)} cells, expected {width} as in the header")
            if len(faults) == _SHOWN:
                break
    except csv.Error as error:
        faults.append(f"{name}: after line {line}: {error}; is a quotation mark left open?")
    if faults:
        raise DataError(faults)


def _typed(column: Any, text: bool) -> pd.Series[Any]:
    if column.null_count == len(column):
        return pc.cast(column, pa.float64()).to_pandas()  # type: ignore[no-any-return]
    numbers = None if text else as_numbers(column)
    return (column if numbers is None else numbers).to_pandas()  # type: ignore[no-any-return]


def as_numbers(column: Any) -> Any | None:
    """A text column of Arrow as int64 or float64, or None where a cell is no number or would lose something."""
    cells = pc.utf8_trim_whitespace(column)
    if not _all_match(cells, NUMBER) or pc.any(pc.match_substring_regex(cells, LEADING_ZERO)).as_py():
        return None
    cells = pc.replace_substring_regex(cells, r"^\+", "")
    if not _all_match(cells, WHOLE):
        return pc.cast(cells, pa.float64())
    try:
        whole = pc.cast(cells, pa.int64())
    except pa.ArrowInvalid:
        return None
    if not column.null_count:
        return whole
    ends = pc.min_max(whole).as_py()
    return pc.cast(whole, pa.float64()) if ends["min"] >= -EXACT and ends["max"] <= EXACT else None


def _all_match(cells: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern)).as_py())
