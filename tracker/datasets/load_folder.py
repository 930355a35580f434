"""Reads a folder with a folder per class, of PNG, JPEG or `.npy` images, into a table with one column per number.

The name of a class is that of its folder. All images have one size and number of channels: nothing is resized or converted,
because what would come out depends on the library's release. Nothing in a file is executed.
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.datasets.limits import MAX_COLUMNS, check_size
from tracker.datasets.load_arrays import table_of
from tracker.errors import DataError
from tracker.shown import counted

if TYPE_CHECKING:
    import pandas as pd

IMAGES, ARRAY = (".png", ".jpg", ".jpeg"), ".npy"
CHANNELS = {"L": 1, "RGB": 3}  # by Pillow's name of a mode
MOST_BYTES = 64 * 1024**2  # of one file
MOST_FAULTS = 10
_LAYOUT = "NAME_OF_CLASS/IMAGE.png"


def parse_folder(folder: Path, name: str, target: str) -> pd.DataFrame:
    """The table of a folder: numbers as columns `x_...`, the names of the class folders in the column `target`.

    `frame.attrs["shape"]` is (channels, height, width). Rows are in the order of paths. Raises DataError, which names files.
    """
    files = list(_files(folder, name))
    arrays: list[np.ndarray[Any, Any]] = []
    faults: list[str] = []
    for label, path in files:
        place = f"{name}/{label}/{path.name}"
        try:
            image = _read(path, place)
        except DataError as error:
            faults += error.faults
            continue
        if not arrays:
            check_size(name, len(files), image.size)
            first = f"{label}/{path.name}"
        elif image.shape != arrays[0].shape:
            faults.append(f"{place}: is {_size(image)}, {first} is {_size(arrays[0])}; all must be alike")
            continue
        arrays.append(image)
    if faults:
        raise DataError(faults[:MOST_FAULTS])
    return table_of(np.stack(arrays), {target: [label for label, _ in files]}, arrays[0].shape)


def _files(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """The class and path of each image, sorted. Raises DataError where the folder is laid out in another way."""
    if links := sorted(
        entry.name for entry in folder.iterdir() if entry.is_symlink() and not entry.name.startswith(".")
    ):
        raise DataError(f"{name}/{links[0]}: is a link; links are not followed; put what it points to in its place")
    if loose := sorted(
        entry.name for entry in folder.iterdir() if entry.suffix.lower() in {*IMAGES, ARRAY} and entry.is_file()
    ):
        raise DataError(
            f"{name}/{loose[0]}: lies beside the folders of classes; put it into one of them, or take it away"
        )
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(classes) < 2:
        raise DataError(
            f"{name}: has {len(classes)} folder{'s' * (len(classes) != 1)} of classes; expected one per class: {_LAYOUT}"
        )
    for one in classes:
        entries = sorted(entry for entry in one.iterdir() if not entry.name.startswith("."))
        others = [entry.name for entry in entries if entry.suffix.lower() not in {*IMAGES, ARRAY}]
        if others:
            raise DataError(f"{name}/{one.name}: holds {others[0]}; expected .png, .jpg or .npy files and nothing else")
        if not entries:
            raise DataError(
                f"{name}/{one.name}: is empty; a class has at least one image, take the folder away otherwise"
            )
        yield from ((one.name, entry) for entry in entries)


def _read(path: Path, place: str) -> np.ndarray[Any, Any]:
    """One image (channels, height, width). Raises DataError."""
    content = _content(path, place)
    image = _array(content, place) if path.suffix.lower() == ARRAY else _picture(content, place)
    if 0 in image.shape or math.prod(image.shape) > MAX_COLUMNS:
        raise DataError(f"{place}: has {math.prod(image.shape)} numbers ({_size(image)}); 1 to {MAX_COLUMNS} are read")
    return image


def _content(path: Path, place: str) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{place}: is no regular file")
            if status.st_size > MOST_BYTES:
                raise DataError(f"{place}: has {status.st_size} bytes; at most {MOST_BYTES} are read")
            return file.read()
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror}); links are not followed") from None


def _array(content: bytes, place: str) -> np.ndarray[Any, Any]:
    try:
        image: np.ndarray[Any, Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise DataError(
            f"{place}: cannot be read as .npy ({str(error).splitlines()[0]}); save an array of numbers"
        ) from None
    if image.dtype.kind not in "iufb" or image.ndim not in {2, 3}:
        raise DataError(
            f"{place}: holds {image.dtype} of the shape {image.shape}; expected numbers (height, width) or (channels, height, "
            "width)"
        )
    return image[None] if image.ndim == 2 else image


def _picture(content: bytes, place: str) -> np.ndarray[Any, Any]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            if picture.mode not in CHANNELS:
                raise DataError(f"{place}: is of mode {picture.mode}; save it as grey (L) or RGB, without transparency")
            numbers = picture.width * picture.height * CHANNELS[picture.mode]
            if numbers > MAX_COLUMNS:  # told before anything is unpacked
                raise DataError(
                    f"{place}: has {numbers} numbers ({picture.width} x {picture.height}); at most {MAX_COLUMNS} are read; "
                    "make images smaller"
                )
            pixels = np.asarray(picture)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{place}: is no readable PNG or JPEG ({type(error).__name__}); save it again") from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _size(image: np.ndarray[Any, Any]) -> str:
    channels, height, width = image.shape
    return f"{height} x {width} with {counted(channels, 'channel')}"
