"""Rows as 64-bit keys that depend on what a row is, never on where it stands, and keys as numbers in [0, 1)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.canonical import canonical_json

if TYPE_CHECKING:
    import pandas as pd

Keys = np.ndarray[Any, np.dtype[np.uint64]]
ROW_FORMAT = "tracker/1"  # of row keys alone: they decide splits, so no release may change them
_GAP = "\x00gap"  # no cell holds a NUL character


def text_keys(cells: pd.Series[Any], domain: str) -> Keys:
    """A key per text, SHA-256 cut to 64 bits; `domain` keeps the ids and the cells of one text apart."""
    import pandas as pd

    codes, texts = pd.factorize(cells.astype("object").where(cells.notna(), _GAP))
    return _hash(f"{ROW_FORMAT}:{domain}\n".encode(), [str(text).encode() for text in texts])[codes]


def content_keys(frame: pd.DataFrame, kinds: Mapping[str, str]) -> Keys:
    """A key per row over the named columns, whatever their order; `kinds` says how a column's cells are read.

    Numbers count by their float64 value (1 and 1.0 are one, -0.0 is 0.0), so that a column of whole numbers keeps its keys
    when a fraction or a gap joins it.
    """
    names = sorted(kinds)
    cells = np.empty((len(frame), len(names)), dtype="<u8")
    for place, name in enumerate(names):
        cells[:, place] = _cell_keys(frame[name], kinds[name])
    prefix = f"{ROW_FORMAT}:row\n".encode() + canonical_json(names) + b"\n"
    content, width = cells.tobytes(), cells.itemsize * len(names)
    return _hash(prefix, [content[place : place + width] for place in range(0, len(content), width)])


def uniform(keys: Keys, salt: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A number in [0, 1) per key, another one under another salt (the finalizer of SplitMix64: Steele et al. 2014)."""
    mixed = _mix(keys ^ _mix(np.array([salt], dtype=np.uint64)))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def hex_keys(keys: Keys) -> list[str]:
    """The keys as text of 16 hexadecimal digits."""
    return [f"{int(key):016x}" for key in keys]


def _cell_keys(cells: pd.Series[Any], kind: str) -> Keys:
    from tracker.datasets.schema import as_text

    if kind != "numeric":
        return text_keys(as_text(cells), "cell")
    values = cells.to_numpy(dtype="float64", na_value=np.nan)
    plain = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, and no negative zero
    return plain.astype("<f8").view("<u8")


def _hash(prefix: bytes, contents: Sequence[bytes]) -> Keys:
    start = hashlib.sha256(prefix)
    digests = []
    for content in contents:
        hasher = start.copy()
        hasher.update(content)
        digests.append(hasher.digest()[:8])
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def _mix(keys: Keys) -> Keys:
    mixed = keys + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
