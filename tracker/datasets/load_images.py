"""Makes a table with one column per number of a table that has an image in each row: its bytes, or the path of its file.

Paths are relative to the folder of the table's file and stay inside it. How an image is read is in `tracker.datasets.pictures`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tracker.canonical import digest, digest_bytes
from tracker.datasets.load_arrays import table_of
from tracker.datasets.pictures import ARRAY, IMAGES, Image, read_file, stack, to_image
from tracker.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from tracker.config import Data

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
BYTES, PATH = "bytes", "path"  # entries of a cell that is a struct, as data sets of images have them
LOOKED_AT = 20  # rows, where a column is proposed
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def as_images(frame: pd.DataFrame, data: Data, folder: Path) -> pd.DataFrame:
    """The table with a column per number of its images, where `data.images` names their column. Raises DataError.

    `folder` is where the table's file lies. `frame.attrs["shape"]` is (channels, height, width).
    """
    if data.images is None:
        return frame
    from tracker.datasets.check import unknown_column

    if data.images not in frame:
        raise DataError(f"{data.source}: {unknown_column('data.images', data.images, frame.columns)}")
    if not len(frame):
        raise DataError(f"{data.source}: the table has no rows")
    images = stack(data.source, len(frame), _images(frame[data.images], data, folder))
    left = [str(name) for name in frame if name != data.images]
    return table_of(data.source, images, {name: frame[name] for name in left}, images.shape[1:])


def _images(cells: pd.Series[Any], data: Data, folder: Path) -> Iterator[tuple[str, Image | DataError]]:
    for row, cell in enumerate(cells, start=1):
        place = f"{data.source}, row {row}"
        try:
            content, path = _content(cell, f"{place}, column {data.images!r}", folder)
            told = f"{place} ({path!r})" if path else place
            yield place, to_image(content, told, PurePosixPath(path).suffix)
        except DataError as error:
            yield place, error


def _content(cell: Any, place: str, folder: Path) -> tuple[bytes, str]:
    """The bytes of an image, and the path of its file where they come from one. Raises DataError."""
    import pandas as pd

    cell = _inside(cell)
    if isinstance(cell, bytes):
        return cell, ""
    if isinstance(cell, str):
        return _read_below(folder, cell, place), cell
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        raise DataError(f"{place}: is a gap; give an image, or leave the row out")
    raise DataError(f"{place}: holds {type(cell).__name__}; expected the bytes of a PNG or JPEG, or the path of a file")


def _inside(cell: Any) -> Any:
    """The bytes of a struct of bytes and path, its path where there are none; any other cell as it is."""
    if not isinstance(cell, dict):
        return cell
    return cell.get(BYTES) or cell.get(PATH)


def _read_below(folder: Path, path: str, place: str) -> bytes:
    """A file below the folder; no part of its path may be a link, go up, or begin at the root. Raises DataError."""
    told = f"{place}: {path!r}"
    parts = PurePosixPath(path).parts
    if not parts or "\0" in path:
        raise DataError(f"{told} is no path")
    if path.startswith("/") or ".." in parts:
        raise DataError(f"{told} leads out of the folder of the table; write paths relative to it, without ..")
    if PurePosixPath(path).suffix.lower() not in {*IMAGES, ARRAY}:
        raise DataError(f"{told}: expected the path of a .png, .jpg or .npy file")
    at = os.open(folder, _FOLDER)
    try:
        for part in parts[:-1]:
            further = _open_folder(part, at, told)
            os.close(at)
            at = further
        return read_file(parts[-1], told, at)
    finally:
        os.close(at)


def _open_folder(name: str, within: int, told: str) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=within)
    except OSError as error:
        raise DataError(f"{told}: cannot be read ({name}: {error.strerror}); links are not followed") from None


def files_digest(frame: pd.DataFrame, data: Data, folder: Path) -> str | None:
    """A digest of the files that the cells of `data.images` name; None where they name none. Raises DataError."""
    if data.images is None or data.images not in frame:
        return None
    paths = sorted({cell for cell in map(_inside, frame[data.images]) if isinstance(cell, str)})
    told = [[path, digest_bytes(_read_below(folder, path, data.source))] for path in paths]
    return digest("images", told) if paths else None


def image_columns(frame: pd.DataFrame, folder: Path) -> list[str]:
    """The columns that seem to hold images: bytes or names of files, of which some are there. Reads no image whole.

    Whoever reads them says which of the others are damaged or missing.
    """
    return [name for name, cells in _like_images(frame) if any(_is_image(cell, folder) for cell in cells)]


def unread_columns(frame: pd.DataFrame, folder: Path) -> dict[str, str]:
    """The columns of names of image files of which none of the first rows can be read, with why not, by the first one."""
    told = dict[str, str]()
    for name, cells in _like_images(frame):
        if isinstance(cells[0], str) and not any(_is_image(cell, folder) for cell in cells):
            try:
                _read_below(
                    folder, cells[0], f"column {name!r} names image files, and of the first {len(cells)} none is read"
                )
            except DataError as error:
                why = str(error)
                told[name] = why if "relative" in why else f"{why}; paths start at the folder of the table"
    return told


def _like_images(frame: pd.DataFrame) -> Iterator[tuple[str, list[Any]]]:
    """The columns of bytes or of names of image files alone, with their first cells."""
    rest = frame.select_dtypes(exclude=["number", "bool"])
    for name in rest:
        cells = [_inside(cell) for cell in rest[name].dropna().head(LOOKED_AT)]
        if cells and all(isinstance(cell, bytes) or _names_image(cell) for cell in cells):
            yield str(name), cells


def _names_image(cell: Any) -> bool:
    return isinstance(cell, str) and PurePosixPath(cell).suffix.lower() in {*IMAGES, ARRAY}


def _is_image(cell: Any, folder: Path) -> bool:
    if isinstance(cell, bytes):
        return cell.startswith(MAGIC)
    if cell.startswith("/") or ".." in PurePosixPath(cell).parts:
        return False
    return os.path.isfile(folder / cell)  # noqa: PTH113  Path.is_file raises where a name is too long


def places_of(cells: Iterable[Any]) -> list[str]:
    """The folders of the files that cells name, as few as hold no other folder of the table's; a loose file by itself."""
    paths = [PurePosixPath(cell) for cell in map(_inside, cells) if isinstance(cell, str)]
    held: dict[str, list[PurePosixPath]] = {}
    for path in filter(lambda path: path.parts, paths):
        held.setdefault(path.parts[0], []).append(path.parent if len(path.parts) > 1 else path)
    return sorted(os.path.commonpath(places) for places in held.values())
