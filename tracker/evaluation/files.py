"""Writes a file so that a reader finds it whole or not at all, also after a power cut; reads it back as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tracker.canonical import parse_canonical
from tracker.durable import sync_folder, write_whole
from tracker.errors import InputError, NotFoundError, StoreError
from tracker.shapes import Check, entries

ENTRIES = entries({})


def write_durably(path: Path, content: bytes) -> None:
    """Writes aside, then renames; file and folder are on the disk when this returns. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); free space or mend its permissions") from None


def write_report(path: Path, value: Mapping[str, Any], on_one_line: Collection[str] = ()) -> None:
    """Writes a report as indented JSON in the order of its entries; equal values give equal bytes.

    Entries with these names are for programs: each stands on one line.
    """
    entries = [
        f"  {json.dumps(name, ensure_ascii=False)}: {_written(item, name in on_one_line)}"
        for name, item in value.items()
    ]
    write_durably(path, ("{\n" + ",\n".join(entries) + "\n}\n" if entries else "{}\n").encode())


def _written(item: Any, on_one_line: bool) -> str:
    text = json.dumps(item, indent=None if on_one_line else 2, ensure_ascii=False, allow_nan=False)
    return text.replace("\n", "\n  ")


def read_report(path: Path, remedy: str, shape: Check = ENTRIES) -> dict[str, Any]:
    """The entries of a JSON report, checked against a shape of `tracker.fields`.

    Raises NotFoundError where it is not there, InputError where it is no report.
    """
    try:
        value = parse_canonical(path.read_bytes())
        if not isinstance(value, dict):
            raise InputError(f"{path}: expected entries, found {type(value).__name__}; {remedy}")
        shape(value)
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except ValueError as error:
        raise InputError(f"{path}: not a sound report ({error}); {remedy}") from None
    return value
