"""What texts look like to people though they are not read so: numbers in another writing, dates, texts alike in print."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracker.datasets.writing import GROUPED, Writing
from tracker.standalone.writings import number_text, parse_moment

if TYPE_CHECKING:
    import pandas as pd

MANY_NUMBERS = 20  # with fewer different ones beside words, they may be codes
FEW_WORDS = 3  # so many different words beside numbers may all mean a gap
# A column of numbers in which some cells are words: words for a gap are told from categories by their meaning.
MOSTLY = 0.9
HALF = 0.5
EXAMPLES = 3
GAP_WORDS = frozenset({"na", "nan", "n/a", "#n/a", "null", "none", "missing", "?", "-", "--", ".", "nil"})
SURE_GAPS = frozenset({"nan", "n/a", "#n/a", "null", "?"})  # hardly ever the name of a category
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SHAPE = re.compile(r"[^0-9A-Za-z]{0,3}\d[\d.,'\s\u2019\u00a0\u202f]*([eE][-+]?\d+)?[^0-9A-Za-z]{0,3}", re.ASCII)
_DATE_SHAPE = re.compile(r"\d{1,4}[-/.: ][0-9a-z]|[a-z]{3,9}\.? \d", re.IGNORECASE | re.ASCII)
_CODE = re.compile(r"[+-]?0\d")
# the first one that fits is meant: `1,000` is a thousand, where no cell says otherwise
_WRITINGS = ((".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
_PLAIN = Writing()


@dataclass(frozen=True, slots=True)
class Look:
    """What a column of texts seems to hold: `gaps` (numbers and words for a gap), `numbers` (in another writing), `mixed`
    (numbers and other words) or `dates`; the cells that do not fit, examples, and the writing that would fit."""

    kind: str
    odd: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""
    signs: bool = False


def is_number(value: str) -> bool:
    """Whether a text is written as a finite number."""
    return _NUMBER.fullmatch(value.strip()) is not None


def is_code(value: str) -> bool:
    """Whether a text of digits has a leading zero, which numbers have not."""
    return _CODE.match(value.strip()) is not None


def is_gap_word(value: str) -> bool:
    """Whether a text is a word that people write where a value is missing."""
    return value.strip().casefold() in GAP_WORDS


def look_at(cells: pd.Series[Any], writing: Writing = _PLAIN) -> Look | None:
    """What a column of texts seems to hold in truth; None where it looks like categories."""
    counts = _counts(cells)
    words = {text for text in counts if is_gap_word(text)}
    numbers = {text for text in counts.keys() - words if number_text(text, writing.decimal, writing.thousands)}
    others = [text for text in counts if text not in words and text not in numbers]
    if any(map(is_code, numbers)):
        return None  # names
    total = sum(count for text, count in counts.items() if text not in words)
    if not others:
        if numbers and words:
            return Look("gaps", tuple(sorted(words)), tuple(sorted(numbers)[:EXAMPLES]))
        grouped = bool(numbers) and writing.decimal == "," and all(re.match(GROUPED, text) for text in numbers)
        return Look("numbers", (), tuple(numbers)[:EXAMPLES], ",", ".") if grouped else None
    if look := _other_writing(counts, words, total, writing):
        return look
    share = sum(counts[text] for text in numbers) / total
    if numbers and (share >= MOSTLY or (len(numbers) > MANY_NUMBERS and share >= HALF)):
        return Look("mixed", tuple(sorted(others)), tuple(sorted(numbers)[:EXAMPLES]))
    return _dates(counts, others, total)


def _counts(cells: pd.Series[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text, count in cells.value_counts().items():
        if isinstance(text, str) and text.strip():
            counts[text.strip()] = counts.get(text.strip(), 0) + int(count)
    return counts


def _other_writing(counts: dict[str, int], words: set[str], total: int, writing: Writing) -> Look | None:
    """The first writing in which nearly all cells are numbers, where one cell is not in the declared one."""
    texts = [text for text in counts if text not in words]
    if sum(counts[text] for text in texts if _SHAPE.fullmatch(text)) < MOSTLY * total:
        return None
    for decimal, thousands in _WRITINGS:
        if writing.decimal not in {".", decimal}:
            continue
        fits = [text for text in texts if number_text(text, decimal, thousands, signs=True) is not None]
        if sum(counts[text] for text in fits) < MOSTLY * total:
            continue
        dressed = [text for text in fits if number_text(text, writing.decimal, writing.thousands) is None]
        if not dressed:
            return None
        signs = any(number_text(text, decimal, thousands) is None for text in fits)
        odd = sorted({*texts}.difference(fits) | words)
        return Look("numbers", tuple(odd), tuple(dressed[:EXAMPLES]), decimal, thousands, signs)
    return None


def _dates(counts: dict[str, int], others: list[str], total: int) -> Look | None:
    shaped = [text for text in others if _DATE_SHAPE.match(text)]  # quick: ids are many
    if sum(counts[text] for text in shaped) < MOSTLY * total:
        return None
    good = {text for text in shaped if is_date(text)}
    if sum(counts[text] for text in good) < MOSTLY * total:
        return None
    odd = [text for text in counts if text not in good]
    return Look("dates", tuple(odd), tuple(sorted(good)[:EXAMPLES]))


def is_date(text: str) -> bool:
    """Whether a text is a date or a time of day in one of the usual writings."""
    return any(parse_moment(text, day_first=first) is not None for first in (False, True))


def look_alike(texts: Iterable[str]) -> Iterator[str]:
    """For each text that people may take for another one: both, and in what alone they differ."""
    first: dict[str, str] = {}
    for text in sorted(texts):
        other = first.setdefault(_seen(text), text)
        if other == text:
            continue
        if other.strip().casefold() == text.strip().casefold():
            yield f"{other!r} and {text!r} differ in case or spaces only"
        elif is_number(other) and is_number(text):
            yield f"{other!r} and {text!r} are the same number"
        elif other.rstrip(". ").casefold() == text.rstrip(". ").casefold():
            yield f"{other!r} and {text!r} differ in a full stop only"
        else:
            yield f"{other!a} and {text!a} look alike in print"


def _seen(text: str) -> str:
    """A text as people see it: one form of each letter, nothing invisible, no case, single spaces; numbers by value."""
    visible = "".join(sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != "Cf")
    plain = " ".join(visible.split()).casefold()
    if is_number(plain) and not _CODE.match(plain):
        return repr(float(plain))
    return plain.rstrip(".") or plain


def in_order(labels: Iterable[str]) -> list[str]:
    """Texts as people sort them: numbers by their value, before all else by the alphabet."""
    return sorted(labels, key=lambda text: (not is_number(text), float(text) if is_number(text) else 0.0, text))
