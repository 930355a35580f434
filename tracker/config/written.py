"""Texts as YAML writes them: in the files that `tracker init` makes, and in the entries that messages tell people to write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from tracker.config.read import read_yaml
from tracker.errors import ConfigError


def scalar(text: str) -> str:
    """A text as YAML writes it: plain where it stays the same text, else in quotation marks."""
    try:
        plain = bool(re.fullmatch(r"[\w./-]+( [\w./-]+)*", text)) and read_yaml(text.encode(), "") == text
    except ConfigError:
        plain = False
    return text if plain else quoted(text)


def quoted(text: str) -> str:
    """A text in quotation marks; what print does not show, and YAML does not take, stands there as an escape."""
    return "".join(one if one.isprintable() else f"\\U{ord(one):08X}" for one in json.dumps(text, ensure_ascii=False))


def listed(names: Iterable[str], most: int | None = None) -> str:
    """Names as a list of YAML on one line; beyond the first `most` how many there are, behind it."""
    found = [*names]
    more = len(found) - len(found[:most])
    return f"[{', '.join(map(scalar, found[:most]))}]{f' and {more} more' if more else ''}"
