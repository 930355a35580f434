"""How a file writes its cells: separator, header line, decimal sign, words for a gap; as declared, and as it seems."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracker.standalone.writings import number_pattern, number_text, thousands_pattern

if TYPE_CHECKING:
    from tracker.config import Data

ROW_NAMES = "(row names)"  # a first column that R or pandas wrote without a name
EVERY = "*"  # the entry of data.gaps that speaks about every column
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity)$"
_OTHER_SEPARATORS = (";", "\t", "|")
GROUPED = r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+$"
ENOUGH = 5  # fractions in rising order that are no accident


@dataclass(frozen=True, slots=True)
class Writing:
    """What `data` declares of the file's writing; the one without arguments is that of a plain CSV file."""

    header: str | None = None
    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    gaps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    numbers: Sequence[str] = ()

    @classmethod
    def of(cls, data: Data) -> Writing:
        """The writing that the entries `data` of params.yaml declare."""
        separator = "\t" if data.separator == "tab" else data.separator
        return cls(data.header, separator, data.decimal, data.thousands or "", data.gaps, data.numbers)

    def gap_words(self, column: str) -> set[str]:
        """The words that mean a gap in a column."""
        return {*self.gaps.get(EVERY, ()), *self.gaps.get(column, ())}

    def of_column(self, column: str) -> dict[str, Any]:
        """What must be known to read the column's raw cells again; empty where they are plain."""
        entries = {
            "gaps": sorted(self.gap_words(column)),
            "decimal": self.decimal,
            "thousands": self.thousands,
            "signs": column in self.numbers,
        }
        plain = {"gaps": [], "decimal": ".", "thousands": "", "signs": False}
        return {name: value for name, value in entries.items() if value != plain[name]}


def gaps_made(cells: Any, words: set[str]) -> Any:
    """A text column of Arrow in which the words are gaps."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not words:
        return cells
    hit = pc.is_in(pc.utf8_trim_whitespace(cells), value_set=pa.array(sorted(words), pa.string()))
    return pc.if_else(hit, pa.scalar(None, pa.string()), cells)


def plain_numbers(cells: Any, column: str, writing: Writing) -> Any | None:
    """A text column of Arrow with its numbers written plain; None where the declared writing says that they are texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column in writing.numbers:
        whole = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
        coded = whole.dictionary_encode()
        plain = [
            text if text is None else number_text(text, writing.decimal, writing.thousands, signs=True)
            for text in coded.dictionary.to_pylist()
        ]
        return None if None in plain else pa.array(plain, pa.string()).take(coded.indices)
    if writing.decimal == "." and not writing.thousands:
        return cells
    texts = pc.utf8_trim_whitespace(cells)
    pattern = f"^(?:{number_pattern(writing.decimal, writing.thousands)})$"
    if not pc.all(pc.match_substring_regex(texts, pattern)).as_py():
        # plain numbers beside a declared writing stay numbers, unless each could be meant as thousands (`1.234`)
        return None if pc.all(pc.match_substring_regex(texts, GROUPED)).as_py() else cells
    if writing.thousands:
        texts = pc.replace_substring_regex(texts, thousands_pattern(writing.thousands), "")
    return pc.replace_substring(texts, writing.decimal, ".")


def separator_of(line: str) -> str | None:
    """Another separator than the comma, where the first line has one outside of quotation marks and no comma."""
    outside = re.sub(r'"(?:[^"]|"")*"', '""', line)
    if "," in outside and not (len(outside.split(";")) > 2 * len(outside.split(","))):
        return None
    counts = {sign: outside.count(sign) for sign in _OTHER_SEPARATORS}
    best = max(counts, key=lambda sign: counts[sign])
    return best if counts[best] else None


def looks_like_data(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the cells of the first line are no names: cells that occur in their own columns, or numbers out of order.

    Numbers in order (years, places, wavelengths) are names that people give.
    """
    words = [place for place, cell in enumerate(header) if not re.fullmatch(NUMBER, cell.strip())]

    def met(place: int) -> bool:
        return any(place < len(row) and row[place] == header[place] for row in rows)

    if len(header) > 1 and all(map(met, range(len(header)))):
        return True
    numbers = [float(header[place]) for place in sorted({*range(len(header))}.difference(words))]
    if not numbers:
        return False
    ordered = all(a < b for a, b in itertools.pairwise(numbers))
    named = ordered and (len(numbers) >= ENOUGH or all(number.is_integer() for number in numbers))
    return not named or (bool(words) and all(map(met, words)))


def first_rows(text: Iterator[str], separator: str, most: int) -> list[list[str]]:
    """The first records of a file that are not blank; fewer where it cannot be read."""
    rows: list[list[str]] = []
    try:
        for record in csv.reader(text, delimiter=separator):
            if record:
                rows.append(record)
            if len(rows) == most:
                break
    except csv.Error:
        pass
    return rows
