"""Values, arrays and tables as canonical bytes, and SHA-256 digests of them that are the same everywhere.

The digest of a value is SHA-256 over `tracker/2:KIND\n` and the value's canonical JSON: UTF-8, sorted keys, no white
space, floats in shortest round-trip form (`1.0` and `1` differ), and `{"$float": "nan"}` where JSON has no word.
Changing any of this changes every key ever written: raise FORMAT and keep the golden tests.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORMAT = "tracker/2"
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def canonical_json(value: Any) -> bytes:
    """The one JSON text of `value` (None, bool, int, float, str, and lists, tuples, string-keyed mappings of those).

    Raises TypeError for anything else, so that no `repr` with an address in it ever reaches a digest.
    """
    return json.dumps(
        _plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def parse_canonical(text: bytes | str) -> Any:
    """The value that `canonical_json` wrote, floats exact, tuples as lists."""
    return json.loads(text, object_hook=_restore_float)


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
    if len(value) == 1 and value.get("$float") in _NON_FINITE:
        return _NON_FINITE[value["$float"]]
    return value
