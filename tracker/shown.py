"""How data is shown: control characters as escapes, numbers with their noun, cells of a CSV file as no formula."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

# C0 and C1 controls, what turns the direction of text around, halves of characters; lines may end.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\t\n]")
_FORMULA = re.compile(r"\s*[=+@\-\t\r]")
SHORT = 3  # letters
MOST_NEAR = 8  # names among which one that is an edit away is looked for
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
    near = nearest(found, known) if isinstance(found, str) else None
    return f"; did you mean {near}?" if near else ""


def there_are(found: str, known: Collection[str]) -> str:
    """The names that are known, and which one an unknown one could have been."""
    return f"there are {', '.join(known)}{meant(found, known)}"


def nearest(found: str, known: Iterable[str]) -> str | None:
    """The known name that most resembles it, in whatever case, one that is a single edit away first; None where none does."""
    wanted = found.casefold()
    folded = {
        name.casefold(): name for name in [*known][::-1] if len(found) > SHORT or name[:1].casefold() == wanted[:1]
    }
    alike = get_close_matches(wanted, folded, n=MOST_NEAR)
    return folded[min(alike, key=lambda name: edits(wanted, name) > 1)] if alike else None


def edits(one: str, other: str) -> int:
    """How many letters to put in, take out or exchange, or neighbours to swap, make one text the other."""
    before, last = list[int](), list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        row = [at]
        for place, wanted in enumerate(other, 1):
            fewest = min(last[place] + 1, row[-1] + 1, last[place - 1] + (letter != wanted))
            if at > 1 and place > 1 and letter == other[place - 2] and one[at - 2] == wanted:
                fewest = min(fewest, before[place - 2] + 1)
            row.append(fewest)
        before, last = last, row
    return last[-1]


def csv_cell(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula: where one would, it begins with an apostrophe."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text.strip()) else text


def written(value: Any) -> str:
    """A hyperparameter with all its digits, as params.yaml has it; a text as it is."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def score_text(value: float | None) -> str:
    """A score with four digits; a word where there is none."""
    return "undefined" if value is None else f"{value:.4f}"


def by_number(text: str) -> tuple[int, float, str]:
    """What texts are sorted by so that numbers among them come first, by their value."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
