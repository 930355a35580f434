"""What texts look like to people though they are not read so: numbers with signs, local dates, texts alike in print."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tracker.datasets.schema import HALF_NUMBERS, MOSTLY_NUMBERS, is_number, parse_date

if TYPE_CHECKING:
    import pandas as pd

MANY_NUMBERS = 20  # with fewer different ones beside words, they may be codes
_SIGN = r"[$€£¥%]?"
_DRESSED = re.compile(rf"{_SIGN}\s?[-+]?{_SIGN}\s?(\d{{1,3}}([.,'\s]\d{{3}})+|\d+)([.,]\d+)?\s?{_SIGN}", re.ASCII)
_THOUSANDS = re.compile(r"(?<=\d)[\u00a0\u202f ](?=\d{3})")
_MOMENT = re.compile(
    r"(\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2})?"
    r"[ T,]*(\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[ap]\.?m\.?)?)?",
    re.IGNORECASE | re.ASCII,
)
_CODE = re.compile(r"[+-]?0\d")


def looks_like(cells: pd.Series[Any]) -> str | None:
    """What a column of categories seems to hold in truth, and how to write it; None where it looks like categories."""
    counts = {text.strip(): count for text, count in cells.value_counts().items() if isinstance(text, str)}
    total = sum(counts.values())
    if not total:
        return None

    def share(test: Callable[[str], object]) -> float:
        return sum(count for text, count in counts.items() if test(text)) / total

    numbers = [text for text in counts if is_number(text)]
    if any(_CODE.match(text) for text in numbers):
        return None
    dressed = [text for text in counts if not is_number(text) and _is_dressed(text)]
    if dressed and share(lambda text: is_number(text) or _is_dressed(text)) >= MOSTLY_NUMBERS:
        return f"numbers such as {dressed[0]!r}; write them plain, with a point for decimals and without signs"
    if MANY_NUMBERS < len(numbers) < len(counts) and share(is_number) >= HALF_NUMBERS:
        odd = next(text for text in counts if not is_number(text))
        return f"numbers with texts such as {odd!r} among them; leave a cell empty where there is no number"
    if share(lambda text: text and _MOMENT.fullmatch(text)) >= MOSTLY_NUMBERS:
        other = [text for text in counts if not parse_date(text)]
        return f"dates or times of day such as {other[0]!r}; give numbers that a network can read" if other else None
    return None


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
        else:
            yield f"{other!a} and {text!a} look alike in print"


def _is_dressed(text: str) -> bool:
    return _DRESSED.fullmatch(_THOUSANDS.sub(" ", text)) is not None


def _seen(text: str) -> str:
    """A text as people see it: one form of each letter, nothing invisible, no case, single spaces; numbers by value."""
    visible = "".join(sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != "Cf")
    plain = " ".join(visible.split()).casefold()
    return repr(float(plain)) if is_number(plain) and not _CODE.match(plain) else plain
