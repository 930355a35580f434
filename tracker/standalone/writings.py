"""Reads numbers and dates as people write them: decimal commas, thousands, per cent, day or month first, times of day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

SPACES = " \u00a0\u202f"
_THOUSANDS = {" ": f"[{SPACES}]", "'": "['\u2019]", ",": ",", ".": r"\."}
_CURRENCY = "$\u20ac\u00a3\u00a5\u20b9%"
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec "
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?(?: ?(?P<half>[ap])\.?m\.?)?"
_ZONE = r"(?P<zone> ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?"
_DAYS = (
    r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
    r"(?P<one>\d{1,2})(?P<sign>[-/.])(?P<two>\d{1,2})(?P=sign)(?P<year>\d{4}|\d{2})",
    r"(?P<day>\d{1,2})[-. /](?P<word>[a-z]{3})[a-z]*\.?[-. /,]+(?P<year>\d{4})",
    r"(?P<word>[a-z]{3})[a-z]*\.? (?P<day>\d{1,2}),? (?P<year>\d{4})",
)
_WHOLE = [re.compile(rf"{day}(?:[ T,]+{_TIME}{_ZONE})?", re.IGNORECASE | re.ASCII) for day in _DAYS]
_CLOCK = re.compile(_TIME, re.IGNORECASE | re.ASCII)
CLOCK_DAY = datetime(1970, 1, 1, tzinfo=UTC)  # the day of a time that has none


def thousands_pattern(sign: str) -> str:
    """What separates thousands: of spaces and apostrophes there are several."""
    return _THOUSANDS[sign]


@lru_cache(maxsize=64)
def number_pattern(decimal: str, thousands: str) -> str:
    """What a number looks like with these signs; `thousands` may be empty."""
    whole = rf"(?:[0-9]{{1,3}}(?:{_THOUSANDS[thousands]}[0-9]{{3}})+|[0-9]+)" if thousands else "[0-9]+"
    point = re.escape(decimal)
    return rf"[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"


def number_text(text: str, decimal: str = ".", thousands: str = "", *, signs: bool = False) -> str | None:
    """A number as Python writes it, or None where the text is none.

    With `signs`, currency and per cent signs are left out (`12.5%` is 12.5) and brackets mean minus: `(3.1)` is -3.1.
    """
    text = bare_number(text) if signs else text.strip()
    if not re.fullmatch(number_pattern(decimal, thousands), text):
        return None
    if thousands:
        text = re.sub(_THOUSANDS[thousands], "", text)
    return text.replace(decimal, ".")


def bare_number(text: str) -> str:
    """The text without the signs of money and per cent; brackets become a minus."""
    text = text.strip().replace("\u2212", "-")
    minus = text.startswith("(") and text.endswith(")")
    text = text[1:-1].strip() if minus else text
    if text[:1] in {"+", "-"}:
        minus, text = minus != (text[0] == "-"), text[1:]
    text = text.strip(_CURRENCY + SPACES)
    return f"-{text}" if minus and not text.startswith("-") else text


def parse_moment(text: str, *, day_first: bool = False) -> datetime | None:
    """The moment that a text names, in UTC where it has no zone; a time of day alone is one of 1970-01-01. None if none."""
    text = text.strip()
    for pattern in _WHOLE:
        if found := pattern.fullmatch(text):
            return _moment(found.groupdict(), day_first)
    found = _CLOCK.fullmatch(text)
    return (
        None if found is None else _moment({"year": "1970", "month": "1", "day": "1", **found.groupdict()}, day_first)
    )


def says_order(text: str) -> bool | None:
    """Whether a date such as `13/02/2024` has the day first; None where both are possible, or where it is not the question."""
    found = _WHOLE[1].match(text.strip())
    if found is None:
        return None
    if found["sign"] == ".":
        return True
    one, two = int(found["one"]), int(found["two"])
    return None if (one > 12) == (two > 12) else one > 12


def has_order(text: str) -> bool:
    """Whether a text is a date in which either day or month comes first."""
    return _WHOLE[1].fullmatch(text.strip()) is not None


def names_day(text: str) -> bool:
    """Whether a text has the form of a date, with or without a time; a time of day alone has not."""
    return any(pattern.fullmatch(text.strip()) for pattern in _WHOLE)


def _moment(parts: dict[str, str | None], day_first: bool) -> datetime | None:
    if parts.get("one"):
        first = day_first or parts["sign"] == "."
        parts["day"], parts["month"] = (parts["one"], parts["two"]) if first else (parts["two"], parts["one"])
    month = _month(parts["word"]) if parts.get("word") else int(parts["month"] or 0)
    year = int(parts["year"] or 0)
    year += 0 if len(str(parts["year"])) == 4 else 2000 if year < 69 else 1900
    second = float(parts.get("second") or 0)
    hour, half = int(parts.get("hour") or 0), (parts.get("half") or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0) if 1 <= hour <= 12 else 24
    clock = hour, int(parts.get("minute") or 0), int(second), round(second % 1 * 1e6)
    try:
        return datetime(year, month, int(parts["day"] or 0), *clock, tzinfo=_zone(parts.get("zone")))
    except ValueError:
        return None


def _month(word: str | None) -> int:
    return _MONTHS.find(f"{str(word).lower()} ") // 4 + 1


def _zone(text: str | None) -> timezone:
    text = (text or "").strip().upper().replace(":", "")
    if text in {"", "Z", "UTC"}:
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
