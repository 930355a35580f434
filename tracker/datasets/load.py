"""Reads `data.source` (a bundled data set, a file, a folder of images) into a table of numbers and texts."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.datasets.limits import SUFFIXES, TEXTS
from tracker.datasets.load_arrays import parse_npz
from tracker.datasets.load_csv import PLAIN, parse_csv, propose_writing
from tracker.datasets.load_folder import parse_folder
from tracker.datasets.load_images import as_images
from tracker.datasets.load_parquet import parse_parquet
from tracker.datasets.load_series import as_sequences, parse_ts
from tracker.datasets.writing import Writing
from tracker.errors import DataError
from tracker.shown import meant

if TYPE_CHECKING:
    import pandas as pd

    from tracker.config import Data

BUNDLED = ("breast_cancer", "digits", "wine")
MAX_BYTES = 2 * 1024**3


def read_table(
    source: str, root: Path, text: Collection[str] = (), writing: Writing = PLAIN, target: str = "target"
) -> pd.DataFrame:
    """The table behind `source`: `sklearn:NAME`, or a file or a folder of images, absolute or relative to `root`.

    Of arrays (`tracker.datasets.load_arrays`) `frame.attrs["shape"]` says what a row is; their labels become the column
    `target`. Numbers arrive as int64 or float64, truth values of Parquet as bool, all else as text; NaN and None are gaps. A
    column of CSV stays text where numbers would lose something: leading zeros, integers beyond 64 bits, or beyond 2^53 beside
    gaps; the columns named in `text` stay text as well. `writing` says how the file writes its cells. Raises DataError for what
    cannot be read whole.
    """
    if source.startswith("sklearn:"):
        return _read_bundled(source.removeprefix("sklearn:"))
    suffix = Path(source).suffix.lower()
    if "://" in source:
        raise DataError(f"data.source: {source!r}: is an address; fetch the file, and give its path")
    if suffix not in SUFFIXES and (root / source).is_dir() and not (root / source).is_symlink():
        return parse_folder(root / source, source, target)
    if suffix not in SUFFIXES:
        known = ", ".join(f"sklearn:{name}" for name in BUNDLED)
        raise DataError(
            f"data.source: {source!r}: expected a file that ends in .csv, .parquet, .npz or .ts "
            f"(or {', '.join(TEXTS[1:])} for text), a folder with a folder of images per class, or one of {known}"
        )
    content = _read_bytes(root / source, source)
    if suffix in TEXTS:
        return parse_csv(content, source, text, writing)
    if suffix == ".npz":
        return parse_npz(content, source, target)
    if suffix == ".ts":
        return parse_ts(content, source, target)
    return parse_parquet(content, source, text, writing)


def read_rows(data: Data, root: Path, text: Collection[str] = ()) -> pd.DataFrame:
    """As `read_table`; a row is an image or a sequence where `data.images` or `data.sequences` says where they are."""
    frame = read_table(data.source, root, text, Writing.of(data), data.target)
    return as_images(as_sequences(frame, data), data, (root / data.source).parent)


def look_at_writing(source: str, root: Path) -> Writing:
    """The writing that a file seems to have; that of anything but CSV is plain. Raises DataError."""
    if Path(source).suffix.lower() not in TEXTS:
        return PLAIN
    return propose_writing(_read_bytes(root / source, source), source)


def _read_bundled(name: str) -> pd.DataFrame:
    if name not in BUNDLED:
        known = ", ".join(f"sklearn:{entry}" for entry in BUNDLED)
        raise DataError(f"data.source: sklearn:{name} is not bundled; there are {known}")
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    frame: pd.DataFrame = bunch.frame.drop(columns="target")
    names = [str(label) for label in bunch.target_names]
    return frame.assign(target=[names[code] for code in bunch.target])


def _read_bytes(path: Path, name: str) -> bytes:
    # The file is opened once and judged by its descriptor: what was checked is what is read, even if the name is swapped.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise DataError(f"data.source: {name!r}: {_why_not_opened(path, error)}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise DataError(f"data.source: {name!r}: {_kind_of_file(status.st_mode)}; give the path of a file")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > MAX_BYTES:
            raise DataError(f"data.source: {name!r}: {status.st_size} bytes; at most {MAX_BYTES} are read")
        try:
            content = file.read(status.st_size + 1)
        except OSError as error:
            raise DataError(f"data.source: {name!r}: cannot be read ({error.strerror})") from None
    if len(content) != status.st_size:
        raise DataError(
            f"data.source: {name!r}: expected {status.st_size} bytes, found {len(content)}; "
            "the file changed while it was read; run again when it is complete"
        )
    return content


def _looked_for(path: Path) -> str:
    """The path that was tried, the first part of it that is not there, and what of that folder may be meant."""
    missing = path = Path(os.path.normpath(path))
    while not missing.parent.is_dir() and missing != missing.parent:
        missing = missing.parent
    try:
        near = meant(missing.name, (one.name for one in missing.parent.iterdir()))
    except OSError:
        near = ""
    lacking = "" if missing == path else f"; there is no folder {missing}"
    return f"it is looked for at {path}{lacking}{near}"


def _why_not_opened(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "is not a path (it holds a NUL character)"
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        if Path(f"{path}.dvc").is_file():
            return "is not here, but DVC keeps it; fetch it with `dvc pull`"
        return f"cannot be opened ({error.strerror}); {_looked_for(path)}"
    if stat.S_ISREG(mode):
        return f"cannot be opened ({error.strerror})"
    if stat.S_ISLNK(mode) and "/files/md5/" in path.readlink().as_posix():
        return "is a link into a cache of DVC; `dvc unprotect` puts the file itself in its place"
    return f"{_kind_of_file(mode)}; give the path of a regular file"


def _kind_of_file(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "is a symbolic link, which may point elsewhere tomorrow",
        stat.S_IFDIR: "is a folder",
        stat.S_IFIFO: "is a FIFO",
        stat.S_IFSOCK: "is a socket",
        stat.S_IFCHR: "is a device",
        stat.S_IFBLK: "is a device",
    }
    return kinds.get(stat.S_IFMT(mode), "is not a regular file")
