"""One image, a file or the bytes of one, becomes an array; several become one array where they are alike.

PNG and JPEG are read as they are, grey or RGB, and `.npy`: nothing is resized or converted, because what would come out depends
on the library's release. Nothing in a file is executed.
"""

from __future__ import annotations

import io
import math
import os
import stat
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from tracker.datasets.limits import MAX_COLUMNS, check_size
from tracker.datasets.load_arrays import read_npy
from tracker.errors import DataError
from tracker.shown import counted

IMAGES, ARRAY = (".png", ".jpg", ".jpeg"), ".npy"
CHANNELS = {"L": 1, "RGB": 3}  # by Pillow's name of a mode
MOST_BYTES = 64 * 1024**2  # of one file
MOST_FAULTS = 10

Image = np.ndarray[Any, Any]  # (channels, height, width)


def read_file(name: str | os.PathLike[str], place: str, folder: int | None = None) -> bytes:
    """The bytes of a file, which is no link; `folder` is the descriptor of the folder that `name` is relative to.

    Raises DataError, which begins with `place`, for what is no regular file, is too large or cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{place}: is no regular file")
            if status.st_size > MOST_BYTES:
                raise DataError(f"{place}: has {status.st_size} bytes; at most {MOST_BYTES} are read")
            return file.read()
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror}); links are not followed") from None


def to_image(content: bytes, place: str, suffix: str = "") -> Image:
    """The image (channels, height, width) in the bytes of a PNG, a JPEG or, by the suffix, a `.npy` file. Raises DataError."""
    image = _array(content, place) if suffix.lower() == ARRAY else _picture(content, place)
    if 0 in image.shape or math.prod(image.shape) > MAX_COLUMNS:
        raise DataError(f"{place}: has {math.prod(image.shape)} numbers ({_size(image)}); 1 to {MAX_COLUMNS} are read")
    return image


def stack(name: str, rows: int, images: Iterable[tuple[str, Image | DataError]]) -> Image:
    """Images of one size as one array (rows, channels, height, width), each given with how a message names it.

    Raises DataError with the first faults, those met in reading and images that are unlike the first, and the number of more.
    """
    found: list[Image] = []
    faults: list[str] = []
    first = ""
    for place, image in images:
        if isinstance(image, DataError):
            faults += image.faults
        elif not found:
            check_size(name, rows, image.size)
            found, first = [image], place
        elif image.shape != found[0].shape:
            other = first.removeprefix(f"{name}/").removeprefix(f"{name}, ")
            faults.append(f"{place}: is {_size(image)}, {other} is {_size(found[0])}; all must be alike")
        else:
            found.append(image)
    if faults:
        rest = len(faults) - MOST_FAULTS
        raise DataError([*faults[:MOST_FAULTS], *([f"{name}: and {counted(rest, 'image')} more"] if rest > 0 else [])])
    return np.stack(found)


def _array(content: bytes, place: str) -> Image:
    try:
        image = read_npy(content)
    except ValueError as error:
        raise DataError(f"{place}: cannot be read as .npy ({error}); save an array of numbers") from None
    if image.dtype.kind not in "iufb" or image.ndim not in {2, 3}:
        raise DataError(
            f"{place}: holds {image.dtype} of the shape {image.shape}; expected numbers (height, width) or (channels, height, "
            "width)"
        )
    return image[None] if image.ndim == 2 else image


def _picture(content: bytes, place: str) -> Image:
    import PIL.Image

    try:
        with (
            warnings.catch_warnings(action="ignore", category=PIL.Image.DecompressionBombWarning),
            PIL.Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture,
        ):
            if picture.mode not in CHANNELS:
                raise DataError(f"{place}: is of mode {picture.mode}; save it as grey (L) or RGB, without transparency")
            numbers = picture.width * picture.height * CHANNELS[picture.mode]
            if numbers > MAX_COLUMNS:  # told before anything is unpacked
                raise DataError(
                    f"{place}: has {numbers} numbers ({picture.width} x {picture.height}); at most {MAX_COLUMNS} are read; "
                    "make images smaller"
                )
            pixels = np.asarray(picture)
    except (PIL.UnidentifiedImageError, PIL.Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{place}: is no readable PNG or JPEG ({type(error).__name__}); save it again") from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _size(image: Image) -> str:
    channels, height, width = image.shape
    return f"{height} x {width} with {counted(channels, 'channel')}"
