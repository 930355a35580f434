"""How data is shown: control characters as escapes, numbers with their noun, cells of a CSV file as no formula."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

# C0 and C1 controls, what turns the direction of text around, halves of characters; lines may end.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\t\n]")
_FORMULA = re.compile(r"\s*[=+@\-\t\r]")
SHORT = 3  # letters
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def shown(text: str) -> str:
    r"""A text as a terminal may have it: what would steer the terminal is written out, `\x1b` for one."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """The same of a name, a label, a value: it is part of a line, so that it cannot end one."""
    return _BREAKS.sub(lambda found: ascii(found[0])[1:-1], shown(text))


def counted(number: int, noun: str) -> str:
    """A number with its noun, as people say it: 1 epoch, 3 epochs, 1,200 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def agree(number: int, one: str, many: str) -> str:
    """The word that goes with a number of things: `is` of 1, `are` of 0 and 2."""
    return one if number == 1 else many


def meant(found: object, known: Iterable[str]) -> str:
    """What a name that is not known could have been, as the end of a sentence; empty where nothing is near.

    Of short names, which all resemble one another, only what begins alike: gpu is not meant to be cpu.
    """
    if not isinstance(found, str):
        return ""
    names = [name for name in known if len(found) > SHORT or name[:1] == found[:1].casefold()]
    near = [name for name in names if name.casefold() == found.casefold()] or get_close_matches(found, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def csv_cell(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula: where one would, it begins with an apostrophe."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text.strip()) else text
