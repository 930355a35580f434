"""The zip file of a bundle: equal files give equal bytes, and only what is written so is read."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tracker.errors import InputError, NotFoundError
from tracker.evaluation.files import write_durably

MOST_BYTES, MOST_FILES, LONGEST_NAME = 2**31 - 2**20, 10_000, 300  # beyond 2 GiB a zip file takes another form
NAME = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,5}"
)  # relative, no dots first, no links up
BEGINNING = (1980, 1, 1, 0, 0, 0)
MODE = stat.S_IFREG | 0o644
_UNREADABLE = (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, LookupError, struct.error)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The bytes of a zip file: names sorted, nothing compressed, no times. Raises InputError where it would be too large."""
    if len(files) > MOST_FILES or sum(map(len, files.values())) > MOST_BYTES:
        raise InputError(f"a bundle holds at most {MOST_FILES} files and 2 GiB; these are more")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, BEGINNING)
            entry.create_system, entry.external_attr = 3, MODE << 16
            archive.writestr(entry, content)
    return out.getvalue()


def write_archive(path: Path, files: Mapping[str, bytes]) -> int:
    """Writes the zip file whole or not at all; its size in bytes. Raises StoreError, InputError."""
    content = pack(files)
    write_durably(path, content)
    return len(content)


def read_archive(path: Path) -> dict[str, bytes]:
    """Every file of a bundle by its name; nothing is written anywhere.

    Nothing in it is compressed, so it cannot grow. What `write_archive` does not write is refused: names that lead elsewhere,
    links, folders, doubles, compressed or encrypted entries, and bytes beside or between them. Raises InputError.
    """
    content = _content(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _require_plain(path, entries, len(content))
            files = {entry.filename: archive.read(entry) for entry in entries}
    except _UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a bundle ({_words(error)}); `tracker bundle final` writes one") from None
    if pack(files) != content:
        raise InputError(f"{path}: is not written as bundles are: it was packed by another program, or hides something")
    return files


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise NotFoundError(f"{path}: there is no such file")
        if path.stat().st_size > MOST_BYTES + 2**20:
            raise InputError(f"{path}: larger than a bundle may be (2 GiB)")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise NotFoundError(f"{path}: cannot be read ({_words(error)})") from None


def _require_plain(path: Path, entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuses by what the list of entries says, before any is read."""
    if len(entries) > MOST_FILES:
        raise InputError(f"{path}: holds {len(entries)} files; a bundle has at most {MOST_FILES}")
    names = {entry.filename.lower() for entry in entries}
    if len(names) < len(entries):
        raise InputError(f"{path}: names a file twice")
    if sum(entry.file_size for entry in entries) > size:
        raise InputError(f"{path}: its files are said to be larger than it is")
    for entry in entries:
        if why := _fault(entry):
            raise InputError(f"{path}: {entry.filename[:LONGEST_NAME]!a} {why}, as no file of a bundle does")


def _fault(entry: zipfile.ZipInfo) -> str | None:
    if len(entry.filename) > LONGEST_NAME or not NAME.fullmatch(entry.filename):
        return "has a name that leads elsewhere"
    if entry.external_attr >> 16 != MODE:
        return "is a link, a folder or a program"
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
        return "is compressed or encrypted"
    return None


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:200]
