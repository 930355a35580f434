"""The zip file of a bundle: equal bytes for equal files, and whatever else calls itself a zip file is refused."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_hostile import refused
from tracker.bundling.archive import BEGINNING, MODE, pack, read_archive, write_archive

SOUND = {"bundle.json": b"{}", "model/weights.safetensors": b"\x00" * 64, "reports/final.json": b"x"}


def zipped(*entries: tuple[str, bytes], mode: int = MODE, how: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        archive.comment = comment
        for name, content in entries:
            entry = zipfile.ZipInfo(name, BEGINNING)
            entry.create_system, entry.external_attr, entry.compress_type = 3, mode << 16, how
            archive.writestr(entry, content)
    return out.getvalue()


def changed(at: bytes, to: bytes) -> bytes:
    content = pack(SOUND)
    assert at in content
    return content.replace(at, to)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no zip": lambda: b"\x80\x04.",
    "a zip of nothing but its end": lambda: b"PK\x05\x06" + b"\xff" * 18,
    "leads out": lambda: zipped(("../x", b"1")),
    "leads out inside": lambda: zipped(("reports/../../x", b"1")),
    "absolute": lambda: zipped(("/etc/x", b"1")),
    "a drive": lambda: zipped(("C:/x", b"1")),
    "a backslash": lambda: zipped(("reports\\x", b"1")),
    "a dot file": lambda: zipped((".git/config", b"1")),
    "an empty part": lambda: zipped(("reports//x", b"1")),
    "deep": lambda: zipped(("/".join("a" * 50), b"1")),
    "long": lambda: zipped(("a" * 4000, b"1")),
    "not ASCII": lambda: zipped(("reports/\u202ex", b"1")),
    "a control character": lambda: zipped(("reports/\x1b[31m", b"1")),
    "a folder": lambda: zipped(("reports/", b"")),
    "a link": lambda: zipped(("reports/x", b"/etc/hosts"), mode=stat.S_IFLNK | 0o777),
    "a program": lambda: zipped(("reports/x", b"1"), mode=stat.S_IFREG | 0o4755),
    "compressed": lambda: zipped(("reports/x", b"1" * 100), how=zipfile.ZIP_DEFLATED),
    "a bomb": lambda: zipped(("reports/x", bytes(10**7)), how=zipfile.ZIP_BZIP2),
    "the same but for case": lambda: zipped(("Reports/x", b"1"), ("reports/x", b"2")),
    "too many": lambda: zipped(*((f"f{n}", b"") for n in range(10_001))),
    "a comment": lambda: zipped(("bundle.json", b"1"), comment=b"hidden"),
    "something before it": lambda: b"#!/bin/sh\n" + pack(SOUND),
    "something behind it": lambda: pack(SOUND) + b"\x00",
    "a byte that is another": lambda: changed(b"\x00" * 64, b"\x00" * 63 + b"\x01"),
    "in another order": lambda: zipped(("b", b"1"), ("a", b"2")),
    "another name inside than in the list": lambda: pack(SOUND).replace(b"reports/final.json", b"reports/other.json", 1),
    "encrypted": lambda: pack(SOUND).replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_bundle_is_refused(tmp_path: Path, name: str) -> None:
    """28 files: nothing is written, no program starts, and the message names the file."""
    path = tmp_path / "final.zip"
    path.write_bytes(HOSTILE[name]())
    assert str(path) in refused(lambda: read_archive(path))


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    """Two entries of one name, of which readers take different ones."""
    path = tmp_path / "final.zip"
    with pytest.warns(UserWarning, match="Duplicate name"):
        path.write_bytes(zipped(("a", b"1"), ("a", b"2")))
    assert "names a file twice" in refused(lambda: read_archive(path))


def test_sizes_that_lie_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    """The list says 4 GB for a file of 64 bytes; no memory is asked for."""
    path = tmp_path / "final.zip"
    content = pack({"x": b"\x00" * 64})
    path.write_bytes(content.replace((64).to_bytes(4, "little") * 2, (2**32 - 2).to_bytes(4, "little") * 2))
    assert "larger than it is" in refused(lambda: read_archive(path))


def test_a_bundle_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Whatever the order of the files, the bytes are the same, and the files come back."""
    path = tmp_path / "final.zip"
    size = write_archive(path, dict(reversed(SOUND.items())))
    assert (size, pack(SOUND), SOUND) == (path.stat().st_size, path.read_bytes(), read_archive(path))
    assert "there is no such file" in refused(lambda: read_archive(tmp_path))
