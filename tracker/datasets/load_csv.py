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
from tracker.datasets.writing import (
    NUMBER,
    ROW_NAMES,
    Writing,
    first_rows,
    gaps_made,
    looks_like_data,
    plain_numbers,
    separator_of,
)
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

WHOLE = r"^[+-]?[0-9]+$"
LEADING_ZERO = r"^[+-]?0[0-9]"
LOOKED_AT = 500  # rows in which the cells of the first line are looked for
PLAIN = Writing()
_FOREIGN = {
    b"PK\x03\x04": "this is an Excel workbook or a ZIP file, no CSV; save the sheet as CSV (UTF-8), or unpack the file",
    b"\x1f\x8b": "this is packed with gzip; unpack it",
    b"PAR1": "this is Parquet; give it a name that ends in .parquet",
    b"version https://git-lfs": "this is a pointer of Git LFS, not the table; fetch it with `git lfs pull`",
}
_SHOWN = 5
_BLOCK = 16 * 1024**2  # no row may be longer than a block


def parse_csv(content: bytes, name: str, text: Collection[str], writing: Writing = PLAIN) -> pd.DataFrame:
    """The table in `content`: UTF-8, an empty cell is a gap (`NA` is a text unless `writing` says that it is a gap).

    Without a header line the columns are named c1, c2 and so on. Raises DataError naming line, byte or column.
    """
    import pandas as pd

    content = content.removeprefix(b"\xef\xbb\xbf")
    _check_bytes(content, name)
    header = _read_header(content, name, writing)
    table = _parse_cells(content, header, name, writing)
    check_size(name, table.num_rows, table.num_columns)
    if header[0] == ROW_NAMES and pc.count_distinct(table[ROW_NAMES]).as_py() < table.num_rows:
        raise DataError(_nameless(name, 1))
    columns = {column: typed(table[column], column, writing, literal=column in text) for column in header}
    return pd.DataFrame(columns, columns=header)


def propose_writing(content: bytes, name: str) -> Writing:
    """The separator and the header line that a file seems to have. Raises DataError for what is no text."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    _check_bytes(content, name)
    separator = separator_of(_first_line(content)) or ","
    rows = first_rows(_lines(content), separator, LOOKED_AT)
    return Writing("none" if rows and looks_like_data(rows[0], rows[1:]) else None, separator)


def _check_bytes(content: bytes, name: str) -> None:
    if not content.strip():
        raise DataError(f"{name}: the file is empty; expected a header row and rows of data")
    for start, told in _FOREIGN.items():
        if content.startswith(start):
            raise DataError(f"{name}: {told}")
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


def _lines(content: bytes) -> Iterator[str]:
    return io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="")


def _first_line(content: bytes) -> str:
    return content.lstrip().split(b"\n", 1)[0].decode()


def _records(content: bytes, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(_lines(content), delimiter=separator, strict=True)
    for record in reader:
        if record:  # blank lines are no rows
            yield reader.line_num, record


def _read_header(content: bytes, name: str, writing: Writing) -> list[str]:
    if note := re.fullmatch(r'"?sep=(.)"?\s*', _first_line(content)):
        raise DataError(
            f"{name}: line 1 ({note[0].strip()!r}) is a note for spreadsheets; take it out{_said(note[1], writing)}"
        )
    other = separator_of(_first_line(content)) if writing.separator == "," else None
    try:
        first = next(_records(content, writing.separator))[1]
    except csv.Error as error:
        raise DataError(_other_separator(name, other) or f"{name}: line 1: cannot be read ({error})") from None
    if len(first) > MAX_COLUMNS:
        raise DataError(f"{name}: {len(first)} columns; at most {MAX_COLUMNS} are read; leave some out of the file")
    if len(first) == 1 and other:
        raise DataError(_other_separator(name, other))
    if writing.header == "none":
        return [f"c{place}" for place in range(1, len(first) + 1)]
    rows = first_rows(_lines(content), writing.separator, LOOKED_AT)[1:]
    first = _with_row_names(first, rows, name)
    if writing.header is None and rows and looks_like_data(first, rows):
        shown = ", ".join(map(repr, first[:_SHOWN])) + (", ..." if len(first) > _SHOWN else "")
        again = f" and take out what repeats them, such as row {rows.index(first) + 2}" if first in rows else ""
        raise DataError(
            f"{name}: line 1 looks like data ({shown}), not like names; without a header line say data.header: none "
            f"(the columns are then c1 to c{len(first)}); if these are names, say data.header: first{again}"
        )
    faults = list(_header_faults(first, name))
    if faults:
        raise DataError(faults)
    return first


def _said(separator: str, writing: Writing) -> str:
    return "" if separator == writing.separator else f", and say data.separator: {_quoted(separator)}"


def _quoted(sign: str) -> str:
    return '"tab"' if sign == "\t" else f'"{sign}"'


def _with_row_names(first: list[str], rows: list[list[str]], name: str) -> list[str]:
    """The names of line 1, and ROW_NAMES for a first column that R or pandas wrote without one.

    Raises DataError where all rows have another number of cells than line 1 for another reason.
    """
    widths = {len(row) for row in rows}
    width = widths.pop() if len(widths) == 1 else len(first)
    if width == len(first) + 1 and len(rows) > 1 and any(row[-1] for row in rows):
        return [ROW_NAMES, *first]
    if width == len(first) + 1 and not any(row[-1] for row in rows):
        raise DataError(
            f"{name}: each row ends with a separator, the header does not; take it out of the rows, or add it to line 1 "
            "with a name"
        )
    if first[0].strip() and not any(first[1:]) and width > min(len(first), 2):
        raise DataError(
            f"{name}: line 1 ({first[0]!r}) looks like a title above rows of {width} cells; take out the lines above the "
            "names, or say data.header: none where there are no names"
        )
    return [ROW_NAMES, *first[1:]] if len(first) > 1 and not first[0].strip() else first


def _nameless(name: str, place: int) -> str:
    why = (
        "R and pandas write names of rows so, unless told row.names = FALSE, index=False; but these are not all different"
        if place == 1
        else "or take the column out: spreadsheets write empty ones behind the last"
    )
    return f"{name}: column {place} has no name; give it one in the header ({why})"


def _other_separator(name: str, sign: str | None) -> str:
    if sign is None:
        return ""
    return f"{name}: line 1: the cells are separated by {sign!r}, not by commas; say data.separator: {_quoted(sign)}"


def _header_faults(header: list[str], name: str) -> Iterator[str]:
    places: dict[str, list[int]] = {}
    for place, column in enumerate(header, start=1):
        places.setdefault(column, []).append(place)
    for column, at in places.items():
        if not column.strip():
            yield _nameless(name, at[0])
        elif len(at) > 1:
            told = ", ".join(map(str, at))
            lost = "" if _is_word(column) else " (or is there no header line? then say data.header: none)"
            yield f"{name}: column {column!r} occurs {len(at)} times (columns {told}); rename or remove{lost}"
        elif not column.isprintable():
            unseen = dict.fromkeys(sign for sign in column if not sign.isprintable())
            named = ", ".join(unicodedata.name(sign, f"control character U+{ord(sign):04X}") for sign in unseen)
            yield f"{name}: column {at[0]}: the name {column!r} holds {named}, which print does not show; rename it"


def _is_word(column: str) -> bool:
    return not re.fullmatch(NUMBER, column.strip())


def _parse_cells(content: bytes, header: list[str], name: str, writing: Writing) -> Any:
    # Arrow reads an unclosed quote as one long cell without a word; such a file has an odd number of quotes.
    if content.count(b'"') % 2:
        _raise_ragged(content, header, name, writing)
    named = header[0] == ROW_NAMES  # a name that is not in the file
    content = content.lstrip(b"\r\n") if named else content
    try:
        return arrow_csv.read_csv(
            pa.py_buffer(content),
            read_options=arrow_csv.ReadOptions(
                block_size=_BLOCK,
                skip_rows=int(named),
                column_names=header if named or writing.header == "none" else None,
            ),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, delimiter=writing.separator),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        _raise_ragged(content, header, name, writing)
        raise DataError(f"{name}: cannot be read as CSV ({str(error).splitlines()[0]})") from None


def _raise_ragged(content: bytes, header: list[str], name: str, writing: Writing) -> None:
    # Arrow does not say on which line a row is ragged; the slow reader does, and is needed for damaged files only.
    faults, width = [], len(header)
    line, told = 1, "on line 1" if writing.header == "none" else "in the header"
    try:
        for line, record in _records(content, writing.separator):
            if len(record) != width and not (header[0] == ROW_NAMES and record == header[1:]):
                faults.append(f"{name}: line {line}: {len(record)} cells, expected {width} as {told}")
            if len(faults) == _SHOWN:
                break
    except csv.Error as error:
        faults.append(f"{name}: after line {line}: {error}; is a quotation mark left open?")
    if faults:
        raise DataError(faults)


def typed(column: Any, name: str, writing: Writing, *, literal: bool) -> pd.Series[Any]:
    """A text column of Arrow with gaps for the declared words, as numbers where it holds numbers and is not `literal`."""
    column = gaps_made(column, writing.gap_words(name))
    if column.null_count == len(column):
        return pc.cast(column, pa.float64()).to_pandas()  # type: ignore[no-any-return]
    plain = None if literal else plain_numbers(column, name, writing)
    numbers = None if plain is None else as_numbers(plain, codes=name not in writing.numbers)
    return (column if numbers is None else numbers).to_pandas()  # type: ignore[no-any-return]


def as_numbers(column: Any, *, codes: bool = True) -> Any | None:
    """A text column of Arrow as int64 or float64, or None where a cell is no number or would lose something.

    Leading zeros make `codes` of numbers.
    """
    cells = pc.utf8_trim_whitespace(column)
    if not _all_match(cells, NUMBER):
        return None
    if codes and pc.any(pc.match_substring_regex(cells, LEADING_ZERO)).as_py():
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
