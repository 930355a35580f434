"""Values, arrays and tables as canonical bytes, and SHA-256 digests of them that are the same everywhere.

The digest of a value is SHA-256 over `tracker/2:KIND\n` and the value's canonical JSON: UTF-8, sorted keys, no white
space, floats in shortest round-trip form (`1.0` and `1` differ), and `{"$float": "nan"}` where JSON has no word.
Changing any of this changes every key ever written: raise FORMAT and keep the golden tests.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORMAT = "tracker/2"
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
MOST_BYTES = 2**28  # of one text: a trial with a million epochs
MOST_DEPTH = 64  # lists and entries within one another; ours have about ten
_BYTES_PER_VALUE = 16  # at least, so that a text of commas alone asks for no memory
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def canonical_json(value: Any) -> bytes:
    """The one JSON text of `value` (None, bool, int, float, str, and lists, tuples, string-keyed mappings of those).

    Raises TypeError for anything else, so that no `repr` with an address in it ever reaches a digest.
    """
    return json.dumps(
        _plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def parse_canonical(text: bytes | str, most_bytes: int = MOST_BYTES) -> Any:
    """The value that `canonical_json` wrote, floats exact, tuples as lists.

    Raises ValueError for what is no JSON in UTF-8, is longer than `most_bytes` or too deep, or holds half a character.
    """
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(content) > most_bytes or content.count(b",") > most_bytes // _BYTES_PER_VALUE:
        raise ValueError(
            f"is too large: {len(content)} bytes, {content.count(b',')} commas; at most {most_bytes} bytes"
        )
    try:
        value = json.loads(content.decode(), object_hook=_restore_float)
    except RecursionError:
        raise ValueError(f"is nested more than {MOST_DEPTH} deep") from None
    if content.count(b"[") + content.count(b"{") > MOST_DEPTH and _is_deep(value):
        raise ValueError(f"is nested more than {MOST_DEPTH} deep")
    if _SURROGATE.search(content):
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value


def _is_deep(value: Any) -> bool:
    """Whether lists and entries lie deeper within one another than anything of ours."""
    level = [value] if type(value) in {dict, list} else []
    for _ in range(MOST_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if type(item) is dict else item)
            if type(child) in {dict, list}
        ]
        if not level:
            return False
    return True


def digest(kind: str, value: Any, form: str = FORMAT) -> str:
    """SHA-256 (hex) of a value under the name of its kind, so that equal values of two kinds never share a digest."""
    return hashlib.sha256(f"{form}:{kind}\n".encode() + canonical_json(value)).hexdigest()


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and little-endian bytes, in the order of the names."""
    import numpy as np

    hasher = hashlib.sha256(f"{FORMAT}:arrays\n".encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        if array.dtype.hasobject:
            raise TypeError(f"{name}: objects have no bytes to digest")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        hasher.update(canonical_json([name, array.dtype.str, list(array.shape)]) + b"\n")
        hasher.update(array.tobytes())
    return hasher.hexdigest()


def digest_table(frame: pd.DataFrame) -> str:
    """SHA-256 (hex) over the column names, their kinds and every cell, in the order of rows and columns.

    Numbers hash as float64 or int64 bytes, other cells as canonical JSON of their text; a gap hashes as null.
    """
    hasher = hashlib.sha256(f"{FORMAT}:table\n".encode())
    hasher.update(canonical_json([list(map(str, frame.columns)), len(frame)]) + b"\n")
    for name in frame.columns:
        kind, content = column_bytes(frame[name])
        hasher.update(canonical_json([str(name), kind, len(content)]) + b"\n")
        hasher.update(content)
    return hasher.hexdigest()


def column_bytes(column: pd.Series) -> tuple[str, bytes]:
    """The kind of a column (`float`, `int`, `bool`, `text`) and its cells as bytes that do not depend on pandas."""
    import numpy as np
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return "bool", column.to_numpy(dtype=bool).tobytes()
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        return "int", column.to_numpy(dtype="<i8").tobytes()
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        values = column.to_numpy(dtype="<f8", na_value=np.nan)
        return "float", np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes()
    cells = [None if pd.isna(cell) else str(cell) for cell in column]
    return "text", canonical_json(cells)


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_bytes(content: bytes) -> str:
    """SHA-256 (hex) of bytes, as `digest_file` gives for a file that holds them."""
    return hashlib.sha256(content).hexdigest()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, Mapping):
        if list(value) == ["$float"]:
            raise TypeError("a mapping whose only key is $float has no canonical form; it would be read as a float")
        return dict(_plain_items(value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form: {value!r}")


def _plain_items(value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"keys must be text, found {key!r}")
        yield key, _plain(item)


def _restore_float(value: dict[str, Any]) -> Any:
    if len(value) == 1 and isinstance(word := value.get("$float"), str) and word in _NON_FINITE:
        return _NON_FINITE[word]
    return value
