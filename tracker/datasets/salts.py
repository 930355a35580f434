"""Keeps the salt of every lineage of splits in one small file in git, so that growing data never reshuffles rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.canonical import digest
from tracker.datasets.storage import write_file
from tracker.errors import DataError

FORMAT = 1
LINEAGE_FORMAT = "tracker/1"  # of these digests alone: with others a project would lose its salts, and rows would move


@dataclass(frozen=True, slots=True)
class Salt:
    """The salt of a lineage and out of how many it was chosen."""

    salt: int
    tries: int


def lineage_digest(lineage: Mapping[str, Any]) -> str:
    """What must be equal for two splits to share a salt, as a digest."""
    return digest("lineage", lineage, LINEAGE_FORMAT)


def read_salts(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of the salts file by lineage; none where there is no file. Raises DataError where it is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        lineages = dict(json.loads(content)["lineages"])
        whole = all(_is_whole(name, entry) for name, entry in lineages.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise DataError(f"{path}: damaged, or a merge is unfinished; restore it: git checkout -- {path.name}")
    return lineages


def _is_whole(name: str, entry: Mapping[str, Any]) -> bool:
    lineage = {key: value for key, value in entry.items() if key not in {"salt", "tries"}}
    numbers = isinstance(entry["salt"], int) and isinstance(entry["tries"], int)
    return numbers and 0 <= entry["salt"] < 2**32 and entry["tries"] >= 1 and lineage_digest(lineage) == name


def keep_salt(path: Path, lineage: Mapping[str, Any], salt: Salt) -> None:
    """Adds the salt of a lineage to the file; only for the holder of the lock on its folder."""
    lineages = read_salts(path)
    lineages[lineage_digest(lineage)] = {**lineage, "salt": salt.salt, "tries": salt.tries}
    content = {"format": FORMAT, "lineages": lineages}
    write_file(path, json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n")
