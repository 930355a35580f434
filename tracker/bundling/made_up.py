"""Rows that no table holds, made of what a model's preprocessing knows: they show whether it predicts as it did."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

ROWS = 32
REACH = 2.0  # numbers lie within so many scales around the centre


def make_rows(preprocessing: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Raw rows for a model, the same ones for the same preprocessing; now and then a gap, where those are filled."""
    return [
        {entry["name"]: _cell(entry, _share(place, entry["name"]), place) for entry in preprocessing["columns"]}
        for place in range(ROWS)
    ]


def _share(place: int, name: str) -> float:
    """A number from 0 to below 1 that follows from both."""
    drawn = hashlib.sha256(f"{place}/{name}".encode()).digest()
    return int.from_bytes(drawn[:6], "big") / 2**48


def _cell(entry: Mapping[str, Any], share: float, place: int) -> Any:
    if entry.get("fill") is not None and place % 8 == int(share * 8):
        return None
    return _CELLS[entry["kind"]](entry, share)


def _number(entry: Mapping[str, Any], share: float) -> float:
    return float(entry["center"] + entry["scale"] * REACH * (2 * share - 1))


def _category(entry: Mapping[str, Any], share: float) -> str | None:
    known = entry["categories"]
    return str(known[int(share * len(known))]) if known else None


def _date(entry: Mapping[str, Any], share: float) -> str:
    return (datetime.fromisoformat(entry["first"]) + timedelta(days=int(share * 1000))).date().isoformat()


_CELLS = {
    "numeric": _number,
    "boolean": lambda _, share: "true" if share < 0.5 else "false",
    "categorical": _category,
    "date": _date,
}
